# SPDX-License-Identifier: Apache-2.0
# Words of tributaryctl for bash: to /usr/share/bash-completion/completions/tributaryctl, or `source` it.
_tributaryctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]:-} words=
    local globe="--globe --ca --token-file --json --help" range="--last --start --end --consistency"
    COMPREPLY=()
    case $before in
    --config | --ca | --token-file | --tokens | --key | check)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames 2>/dev/null
        return 0
        ;;
    --window) words="1m 5m 1h 1d" ;;
    --consistency) words="eventual complete final" ;;
    --fill) words="zero none" ;;
    --as) words="edge regional global" ;;
    --scope) words="stats:read admin" ;;
    --globe) words="https://" ;;
    --last | --start | --end | --limit | --prefix | --cursor | --epoch | --ads | --days | --rate) return 0 ;;
    esac
    if [ -z "$words" ] && [ "$COMP_CWORD" -eq 1 ]; then
        words="stats top ads balance watermarks token edge partitions config --help --version"
    elif [ -z "$words" ]; then
        case $command:$COMP_CWORD in
        token:2) words="create list revoke --help" ;;
        partitions:2) words="show grow --help" ;;
        edge:2) words="list enrol retire write-off --help" ;;
        config:2) words="check --help" ;;
        stats:*) words="--window --fill $range $globe" ;;
        top:*) words="--limit $range $globe" ;;
        ads:*) words="--prefix --limit --cursor $globe" ;;
        balance:* | watermarks:*) words=$globe ;;
        token:*) words="--tokens --key --ads --scope --days --rate" ;;
        edge:*) words="--config --json --epoch --help" ;;
        partitions:*) words="--config --json --from --again --help" ;;
        config:*) words="--as --help" ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _tributaryctl tributaryctl
