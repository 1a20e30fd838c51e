# SPDX-License-Identifier: Apache-2.0
# setup.sh: finds out which Debian packages are missing and gets them: by apt-get where we are root, else by
# unpacking them into .deps/root. Sourced by ./dev, from the top of the tree. Touches no network when nothing is missing.

deps=$PWD/.deps
deps_root=$deps/root

say() { printf '%s\n' "$*" >&2; }
die() {
    say "dev: $*"
    exit 1
}

# Points tests at the private nats-server, and tools and loader at .deps/root when something was unpacked there.
setup_environment() {
    if [ -z "${NATS_SERVER:-}" ] && [ -x "$deps/nats/usr/sbin/nats-server" ]; then
        export NATS_SERVER=$deps/nats/usr/sbin/nats-server
    fi
    [ -d "$deps_root/usr" ] || return 0
    local triplet=${TRIPLET:-$(setup_triplet)}
    local lib=$deps_root/usr/lib/$triplet
    export PATH="$deps_root/usr/bin:$deps_root/usr/sbin:$PATH"
    export LD_LIBRARY_PATH="$lib:$deps_root/lib/$triplet${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    if [ -f "$deps_root/etc/ssl/openssl.cnf" ] && [ ! -e /usr/lib/ssl/openssl.cnf ]; then
        export OPENSSL_CONF=$deps_root/etc/ssl/openssl.cnf
    fi
    if [ -x "$deps_root/usr/bin/gcc" ]; then
        export CC=gcc
        export C_INCLUDE_PATH="$deps_root/usr/include:$deps_root/usr/include/$triplet"
        export LIBRARY_PATH="$lib:$deps_root/lib/$triplet"
    fi
}

setup_triplet() {
    case $(uname -m) in
    x86_64) echo x86_64-linux-gnu ;;
    aarch64) echo aarch64-linux-gnu ;;
    *) die "this processor ($(uname -m)) was never tried: only x86_64 and aarch64 are supported" ;;
    esac
}

# Words of packages.txt that belong to the groups given.
setup_wanted() {
    local groups=" $* " group names
    while read -r group names; do
        case $group in '' | '#'*) continue ;; esac
        [[ $groups == *" $group "* ]] && echo "$names"
    done <infra/setup/packages.txt
    return 0
}

# The wanted that are neither installed nor unpacked, one a line, alternatives kept.
setup_missing() {
    local have names name found
    have=" $(dpkg-query -W -f='${Package} ${db:Status-Status}\n' 2>/dev/null |
        sed -n 's/ installed$//p' | tr '\n' ' ') "
    [ -f "$deps/unpacked" ] && have+="$(tr '\n' ' ' <"$deps/unpacked") "
    while read -r names; do
        found=
        for name in ${names//|/ }; do
            [[ $have == *" $name "* ]] && found=1
        done
        # `gcc`, `clang` and such may also come from elsewhere; libraries may not.
        [ -z "$found" ] && [[ $names != lib* ]] && command -v "${names%%-build*}" >/dev/null &&
            [[ $names != *-server ]] && found=1
        [ -n "$found" ] || echo "$names"
    done < <(setup_wanted "$@")
}

setup_has_nats() {
    [ -x "${NATS_SERVER:-}" ] || [ -x "$deps/nats/usr/sbin/nats-server" ] ||
        command -v nats-server >/dev/null
}

setup_has_promtool() {
    [ -x "$deps/prometheus/usr/bin/promtool" ] || command -v promtool >/dev/null
}

setup_check_machine() {
    setup_triplet >/dev/null || exit 1
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && return 0
    say "dev: this is not Debian (no apt-get here), so the packages below must be installed by hand,"
    say "     under whatever names this system gives them; nats-server may stand anywhere on PATH:"
    setup_wanted build test private | sed 's/|.*//; s/^/       /' >&2
    exit 1
}

setup_check_disk() {
    local free
    free=$(df -Pk . | awk 'NR == 2 {print $4}')
    [ "$free" -ge "$1" ] ||
        die "too little disk space here: $((free / 1024)) MB are free, $(($1 / 1024)) MB are needed"
}

# apt with lists of its own under .deps, for users who may not write the system's.
setup_apt_private() {
    mkdir -p "$deps/apt/lists/partial" "$deps/apt/cache/archives/partial"
    apt_options=(-o "Dir::State::Lists=$deps/apt/lists" -o "Dir::Cache=$deps/apt/cache"
        -o Debug::NoLocking=1 -o APT::Sandbox::User=)
}

setup_candidate() {
    local policy
    policy=$(apt-cache "${apt_options[@]}" policy "$1" 2>/dev/null)
    [[ $policy == *Candidate:* && $policy != *"Candidate: (none)"* ]]
}

# Chooses the first alternative that this release has; updates the lists once if there is none.
setup_resolve() {
    local names name chosen
    for names in "$@"; do
        chosen=
        for name in ${names//|/ }; do
            setup_candidate "$name" && chosen=$name && break
        done
        [ -n "$chosen" ] || return 1
        echo "$chosen"
    done
}

setup_update() {
    say "  fetching the package lists"
    apt-get "${apt_options[@]}" -qq update >"$deps/apt.log" 2>&1 || {
        tail -n 3 "$deps/apt.log" >&2
        die "the package lists cannot be fetched: is there a network? (whole story: .deps/apt.log)"
    }
}

# Unpacks the packages given, and everything they need that is not installed, into a folder.
setup_unpack() {
    local folder=$1 package file
    shift
    mkdir -p "$folder" "$deps/archives"
    (cd "$deps/archives" && apt-get "${apt_options[@]}" -qq download "$@") >"$deps/apt.log" 2>&1 || {
        tail -n 3 "$deps/apt.log" >&2
        die "packages cannot be downloaded: is there a network? (whole story: .deps/apt.log)"
    }
    for package in "$@"; do
        for file in "$deps/archives/${package%%=*}"_*.deb; do
            dpkg-deb -x "$file" "$folder" || die "cannot unpack $file"
        done
    done
    rm -rf "$deps/archives"
}

# Links of unpacked packages were made for /: mends those that lead out of the tree or nowhere.
setup_mend_links() {
    local triplet=$1 link target name
    while read -r link; do
        target=$(readlink "$link")
        name=$(basename "$target")
        if [[ $target == /* && -e $deps_root$target ]]; then
            ln -sfn "$deps_root$target" "$link"
        elif [ -e "/usr/lib/$triplet/$name" ]; then
            ln -sfn "/usr/lib/$triplet/$name" "$link"
        elif [ -e "/lib/$triplet/$name" ]; then
            ln -sfn "/lib/$triplet/$name" "$link"
        fi
    done < <(find "$deps_root" -type l ! -exec test -e {} \; -print)
    # Linker scripts name absolute paths, too.
    for link in "$deps_root/usr/lib/$triplet/"lib{c,m}.so; do
        [ -f "$link" ] || continue
        grep -q 'GNU ld script' "$link" &&
            sed -i "s# /usr/lib/$triplet/\(libc_nonshared.a\|libmvec.so\)# $deps_root/usr/lib/$triplet/\1#g" "$link"
    done
    return 0
}

setup_without_root() {
    local triplet closure
    triplet=$(setup_triplet)
    say "  without root: unpacking into .deps/root"
    closure=$(apt-get "${apt_options[@]}" -s -o Dir::State::extended_states=/dev/null install \
        --no-install-recommends "$@" 2>"$deps/apt.log" | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
    [ -n "$closure" ] || {
        tail -n 5 "$deps/apt.log" >&2
        die "apt-get does not know how to install: $*"
    }
    # shellcheck disable=SC2086 # one word a package
    setup_unpack "$deps_root" $closure
    setup_mend_links "$triplet"
    printf '%s\n' $closure "$@" | sed 's/:.*//' >>"$deps/unpacked"
}

setup_with_root() {
    say "  as root: apt-get install"
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 install \
        --no-install-recommends "$@" >"$deps/apt.log" 2>&1 || {
        tail -n 5 "$deps/apt.log" >&2
        die "apt-get install failed: is there a network? (whole story: .deps/apt.log)"
    }
}

# What npm brings, held against the lock files: uPlot for the page, and what its test drives a browser with.
setup_page() {
    local from folder
    command -v npm >/dev/null || die "npm is missing: the page stays without charts"
    for from in global/page tests/page; do
        folder=$deps/page
        [ $from = global/page ] || folder=$deps/page-test
        mkdir -p "$folder"
        cp $from/package.json $from/package-lock.json "$folder"
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund >"$deps/npm.log" 2>&1) || {
            tail -n 3 "$deps/npm.log" >&2
            die "npm cannot fetch $from: is there a network? (whole story: .deps/npm.log)"
        }
    done
    touch "$deps/page/$(sha256sum global/page/package-lock.json | cut -d' ' -f1)"
    for folder in build/*/; do # so that the next build finds the charts
        [ ! -f "$folder/CMakeCache.txt" ] || cmake "$folder" >/dev/null
    done
}

# setup GROUP...: makes sure that the packages of these groups and nats-server are there.
setup() {
    setup_environment
    local missing=() names resolved want_nats= want_promtool=
    if command -v dpkg-query >/dev/null; then
        mapfile -t missing < <(setup_missing "$@")
    fi
    setup_has_nats || want_nats=1
    # Only tests ask for it.
    [[ " $* " != *" test "* ]] || setup_has_promtool || want_promtool=1
    command -v dpkg-query >/dev/null && [ ${#missing[@]} -eq 0 ] && [ -z "$want_nats$want_promtool" ] && return 0
    if ! command -v dpkg-query >/dev/null; then
        for names in cc cmake ninja openssl python3; do
            command -v $names >/dev/null || setup_check_machine
        done
        [ -z "$want_nats" ] || setup_check_machine
        return 0
    fi
    setup_check_machine
    setup_check_disk 2000000
    mkdir -p "$deps"
    say "missing packages: ${missing[*]%%|*} ${want_nats:+nats-server (unpacked privately)} ${want_promtool:+prometheus (likewise)}"
    apt_options=()
    [ "$(id -u)" -eq 0 ] || setup_apt_private
    names=("${missing[@]}")
    [ -z "$want_nats" ] || names+=(nats-server)
    [ -z "$want_promtool" ] || names+=(prometheus)
    resolved=$(setup_resolve "${names[@]}") || {
        setup_update
        resolved=$(setup_resolve "${names[@]}") ||
            die "this release of Debian lacks one of: ${names[*]} (Debian 12 and 13 have them all)"
    }
    resolved=$(grep -vx -e nats-server -e prometheus <<<"$resolved" || true)
    if [ -n "$resolved" ]; then
        # shellcheck disable=SC2086 # one word a package
        if [ "$(id -u)" -eq 0 ]; then setup_with_root $resolved; else setup_without_root $resolved; fi
    fi
    [ -z "$want_nats" ] || setup_unpack "$deps/nats" nats-server
    [ -z "$want_promtool" ] || setup_unpack "$deps/prometheus" prometheus
    setup_environment
    say "  all there"
}
