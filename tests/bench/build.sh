# SPDX-License-Identifier: Apache-2.0
# build.sh: what the benches share: the release build folder and programs linked against it. Sourced, from the top
# of the tree. BENCH_BUILD: the folder (default build/release).

build=${BENCH_BUILD:-build/release}

# bench_make TARGET...: configures the folder if need be, and builds.
bench_make() {
    [ -f "$build/build.ninja" ] || cmake --preset release -B "$build" -DTRIBUTARY_TESTS=OFF >/dev/null
    cmake --build "$build" --target "$@" >/dev/null
    mkdir -p "$build/bench"
}

# bench_libraries ROOM...: their libraries, and what these need.
bench_libraries() {
    local room msgpack
    # Debian 12 calls it msgpackc, 13 msgpack-c.
    msgpack=$(sed -n "s/^DEP_msgpack_[^:]*:FILEPATH=//p" "$build/CMakeCache.txt" | head -n 1)
    echo -Wl,--start-group
    for room in "$@"; do
        find "$build" -name "lib$room.a"
    done
    echo -Wl,--end-group "${msgpack:--lmsgpackc}" -lzstd -lxxhash -lsodium -lm
}

# bench_cc NAME SOURCE... -- ROOM... -- [LIBRARY...]: $build/bench/NAME.
bench_cc() {
    local name=$1 sources=() rooms=()
    shift
    while [ "$1" != -- ]; do sources+=("tests/bench/$1"); shift; done
    shift
    while [ "$1" != -- ]; do rooms+=("$1"); shift; done
    shift
    # shellcheck disable=SC2046
    ${CC:-cc} -std=c17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -I. -Itests/bench "${sources[@]}" \
        -o "$build/bench/$name" $(bench_libraries "${rooms[@]}") "$@"
}
