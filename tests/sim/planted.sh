#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plants each mistake of the product (#ifdef TRIBUTARY_BREAK_<NAME>), one at a time, and runs the simulator until it is
# caught: the net itself is tested. planted.sh BUILD_DIR [SEEDS [NAME ...]]; prints seeds to detection and the checker.
# A scenario that says "without: NAME" must fail with that mistake. SEEDS 0: the scenarios alone.
set -euo pipefail
build=$(cd "$1" && pwd)
seeds=${2:-4000}
[ $# -gt 2 ] && wanted=("${@:3}") || wanted=()
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources=(common/base proto edge regional global)
if [ ${#wanted[@]} -eq 0 ]; then
    mapfile -t wanted < <(grep -rhoE 'TRIBUTARY_BREAK_[A-Z_]+' --include='*.c' "${sources[@]}" | sed 's/TRIBUTARY_BREAK_//' | sort -u)
fi
mapfile -t libraries < <(find "$build" -name '*.a' | grep -E '/(libsim_machine|libtributary_sim|lib(edge|regional|global)_(driver|core)|libtributary_(proto|base))\.a$')
flags=(-std=c17 -O1 -g -D_GNU_SOURCE '-DTRIBUTARY_VERSION="planted"' -DSIM_SCENARIOS='"tests/sim/scenarios"' -I. -w)
mapfile -t paths < <(grep -oE '(-isystem |-I)[^ ]+' "$build/build.ninja" | tr -s ' ' '\n' | grep / | sed 's/^-I//' | sort -u)
for path in "${paths[@]}"; do [ -d "$path" ] && flags+=(-isystem "$path"); done

# Debian 12 calls it msgpackc, 13 msgpack-c.
msgpack=$(sed -n "s/^DEP_msgpack_[^:]*:FILEPATH=//p" "$build/CMakeCache.txt" | head -n 1)

# One mistake: its files are compiled anew and stand before the libraries, so that theirs are not taken.
plant() {
    local name=$1 files file objects=()
    mapfile -t files < <(grep -rlE "TRIBUTARY_BREAK_$name\b" --include='*.c' "${sources[@]}")
    [ ${#files[@]} -gt 0 ] || { echo "no such mistake: $name" >&2; return 1; }
    for file in "${files[@]}"; do
        local object=$work/${name}_$(basename "$file" .c).o
        cc "${flags[@]}" "-DTRIBUTARY_BREAK_$name=1" -c "$file" -o "$object"
        objects+=("$object")
    done
    cc "${flags[@]}" tests/sim/sim_main.c "${objects[@]}" -Wl,--start-group "${libraries[@]}" -Wl,--end-group \
        -lxxhash -lsodium "$msgpack" -lzstd -lsnappy -lz -lm -lpthread -o "$work/$name"
}

# Every scenario that stands for the rule must fail.
stories() {
    local name=$1 story
    for story in $(grep -lE "^# without:.*\b$name\b" tests/sim/scenarios/*.sim); do
        if "$work/$name" --scenario "$story" >/dev/null 2>&1; then
            echo "  $(basename "$story" .sim) passes with $name" && missed=$((missed + 1))
        fi
    done
}

# One mistake, start to end; its row and what was missed go into files, since several run at a time.
try() {
    local name=$1 found seed
    missed=0
    plant "$name"
    stories "$name" >"$work/$name.row"
    if [ "$seeds" -gt 0 ]; then
        # One worker, seeds in order: the first that fails is the number of seeds it took.
        found=$("$work/$name" --seeds "$seeds" --jobs 1 --quiet 2>/dev/null | head -n 1 || true)
        if [ -z "$found" ]; then
            printf '%-32s %8s  %s\n' "$name" "> $seeds" 'NOT CAUGHT' >>"$work/$name.row"
            missed=$((missed + 1))
            seed=$((seeds + 1))
        else
            seed=$(sed -E 's/^seed ([0-9]+):.*/\1/' <<<"$found")
            printf '%-32s %8s  %s\n' "$name" "$seed" \
                "$(sed -E 's/^seed [0-9]+: VIOLATION of ([a-z-]+).*/\1/' <<<"$found")" >>"$work/$name.row"
        fi
        echo "$seed" >"$work/$name.seed"
    fi
    echo "$missed" >"$work/$name.missed"
    rm -f "$work/$name" "$work/${name}"_*.o
}

[ "$seeds" -eq 0 ] || printf '%-32s %8s  %s\n' mistake seeds 'caught by'
running=0
for name in "${wanted[@]}"; do
    try "$name" &
    running=$((running + 1))
    [ "$running" -lt "$(nproc)" ] || { wait -n && running=$((running - 1)); }
done
wait
missed=0
counts=()
for name in "${wanted[@]}"; do
    [ -f "$work/$name.missed" ] || { echo "$name: not built"; missed=$((missed + 1)); continue; }
    cat "$work/$name.row"
    missed=$((missed + $(cat "$work/$name.missed")))
    [ "$seeds" -eq 0 ] || counts+=("$(cat "$work/$name.seed")")
done
[ "$seeds" -gt 0 ] || { echo "scenarios: $missed pass that must not"; [ "$missed" -eq 0 ]; exit; }
median=$(printf '%s\n' "${counts[@]}" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
echo "${#wanted[@]} mistakes planted, $missed not caught, median $median seeds"
# The canary: without a mistake, as many seeds pass.
if ! "$build/bin/sim" --seeds 200 --quiet; then
    echo 'the build without a mistake fails as well' >&2
    missed=1
fi
[ "$missed" -eq 0 ]
