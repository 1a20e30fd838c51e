# SPDX-License-Identifier: Apache-2.0
# suite.sh: all tests, group by group; each check counts as one test. Sourced by ./dev, from the top of the tree.

reports=build/reports
passed=0
failed=0
failures=()
skipped=()

# record NAME CODE [LOG]
record() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$1${3:+ (whole story: $3)}")
    fi
}

# run NAME COMMAND...: one check with a log of its own; shows the end of it when it fails.
run() {
    local name=$1 log=$reports/${1//[\/ ]/_}.log started=$SECONDS code=0
    shift
    printf '  %-28s' "$name" >&2
    "$@" >"$log" 2>&1 </dev/null || code=$?
    if [ "$code" -eq 77 ]; then # not here: neither passed nor failed
        printf 'SKIPPED: %s\n' "$(tail -n 1 "$log")" >&2
        skipped+=("$name")
        return 0
    elif [ "$code" -eq 0 ]; then
        printf 'ok  %4d s\n' $((SECONDS - started)) >&2
    else
        printf 'FAILED with %d after %d s\n' "$code" $((SECONDS - started)) >&2
        tail -n 40 "$log" | sed 's/^/    | /' >&2
    fi
    record "$name" "$code" "$log"
    return 0
}

# suite_ctest NAME [ctest option ...]: unit tests and the fuzz corpus, under ASan and UBSan.
suite_ctest() {
    local name=$1 log=$reports/ctest.log code=0 line total bad started=$SECONDS
    shift
    printf '  %-28s' "$name" >&2
    ctest --test-dir build/asan -j "$jobs" --output-on-failure --no-tests=error "$@" >"$log" 2>&1 </dev/null || code=$?
    # 97% tests passed, 1 tests failed out of 30
    line=$(grep -E 'tests passed, [0-9]+ tests failed out of' "$log" || true)
    total=$(sed -n 's/.*out of \([0-9]*\).*/\1/p' <<<"$line")
    bad=$(sed -n 's/.*passed, \([0-9]*\) tests failed.*/\1/p' <<<"$line")
    if [ -z "$total" ]; then
        printf 'FAILED\n' >&2
        tail -n 20 "$log" >&2
        record "$name" 1 "$log"
        return 0
    fi
    printf '%d of %d  %4d s\n' $((total - bad)) "$total" $((SECONDS - started)) >&2
    passed=$((passed + total - bad))
    failed=$((failed + bad))
    while read -r line; do
        [ -n "$line" ] && failures+=("$line (whole story: $log)")
    done < <(sed -n 's/^[ \t]*[0-9]* - \([^ ]*\) (.*/\1/p' "$log")
    [ "$bad" -eq 0 ] || grep -E '^\[(----|FAIL)|Assertion|run_unit:|ERROR: |SUMMARY' "$log" | head -n 40 | sed 's/^/    | /' >&2
    [ "$code" -eq 0 ] || [ "$bad" -ne 0 ] || record "ctest itself" 1 "$log"
}

# Programs of tests/tsan, a plain main() each: Criterion cannot start under ThreadSanitizer.
suite_tsan() {
    local file name targets=()
    for file in tests/tsan/tsan_*.c; do
        [ -f "$file" ] && targets+=("$(basename "$file" .c)")
    done
    [ ${#targets[@]} -gt 0 ] || return 0
    build tsan "${targets[@]}"
    local options="halt_on_error=1"
    [ ! -f tests/tsan/tsan.supp ] || options+=":suppressions=$PWD/tests/tsan/tsan.supp"
    for name in "${targets[@]}"; do
        run "tsan/$name" env TSAN_OPTIONS="$options" timeout 120 "build/tsan/bin/$name"
    done
}

# The same fresh seeds twice: no violation, and the same story to the letter.
sim_twice() {
    local first=$1 count=$2 once again
    once=$(build/asan/bin/sim --seeds "$count" --first "$first" | tee /dev/stderr | tail -n 1) || return 1
    again=$(build/asan/bin/sim --seeds "$count" --first "$first" | tail -n 1) || return 1
    echo "again: $again"
    [ -n "${once##* trace }" ] && [ "${once##* trace }" = "${again##* trace }" ]
}

# The simulator: the scenarios that once failed, seeds that nobody has seen, and mistakes that must be caught.
suite_sim() {
    [ -x build/asan/bin/sim ] || return 0
    local first=${SIM_FIRST:-$((RANDOM * 32768 + RANDOM))}
    run sim/scenarios timeout 200 build/asan/bin/sim --scenarios
    run "sim/seeds from $first" sim_twice "$first" "${SIM_SEEDS:-150}"
    build dev sim
    run sim/planted timeout 600 bash tests/sim/planted.sh build/dev "${PLANTED_SEEDS:-4000}"
    [ ! -f "$reports/sim_planted.log" ] || sed 's/^/    | /' "$reports/sim_planted.log" >&2
}

suite_tidy() {
    if [ -f tests/tidy/tidy.py ]; then
        run tidy python3 tests/tidy/tidy.py
    fi
    if [ -f tests/tidy/test_tidy.py ]; then
        run tidy/selftest python3 tests/tidy/test_tidy.py
    fi
}

lint_clang_tidy() { sources | xargs python3 tests/harness/clang_tidy.py build/asan "$jobs"; }

suite_lint() {
    run lint/format lint_format
    run lint/cppcheck lint_cppcheck
    run lint/clang-tidy lint_clang_tidy
}

lint_format() { sources | xargs clang-format --dry-run -Werror; }

lint_cppcheck() {
    sources | grep '\.c$' | grep -v '^tests/unit/' |
        xargs cppcheck -q -j "$jobs" --std=c11 --enable=warning,performance,portability --inline-suppr \
            --library=tests/harness/cppcheck.cfg --suppress=missingIncludeSystem \
            --suppress=unknownMacro --suppress=internalAstError --suppress=nullPointer \
            --suppress=nullPointerRedundantCheck --error-exitcode=1 -I . -D_GNU_SOURCE \
            --cppcheck-build-dir=build/lint
}

# suite_e2e [NAME]: real programs, real nats-server, loopback.
suite_e2e() {
    local file name
    for file in tests/e2e/[a-z][0-9]*.py; do
        name=$(basename "$file" .py)
        [ -z "${1:-}" ] || [ "$1" = "$name" ] || continue
        run "e2e/$name" env TRIBUTARY_BIN="$PWD/build/asan/bin" KEEP="${KEEP:-}" timeout -k 5 240 python3 "$file"
    done
}

suite() {
    local group name started=$SECONDS groups=("$@")
    [ ${#groups[@]} -gt 0 ] || groups=(tidy ctest sim tsan lint e2e)
    mkdir -p "$reports" build/lint
    case "${groups[*]}" in
    e2e | e2e/*) build asan tributary-edge tributary-regional tributary-archiver tributary-global tributaryctl tributary-load crash_points ;;
    *) build asan ;;
    esac
    for group in "${groups[@]}"; do
        case $group in
        ctest) suite_ctest "unit and fuzz (ASan, UBSan)" ;;
        unit | fuzz) suite_ctest "$group (ASan, UBSan)" -L "$group" ;;
        unit.* | fuzz.*) suite_ctest "$group" -R "^$group\$" ;;
        tsan | sim | tidy | lint) "suite_$group" ;;
        e2e) suite_e2e ;;
        e2e/*) suite_e2e "${group#e2e/}" ;;
        *) die "no such group of tests: $group (see ./dev help)" ;;
        esac
    done
    local failure
    for failure in ${failures[@]+"${failures[@]}"}; do
        say "failed: $failure"
    done
    for name in ${skipped[@]+"${skipped[@]}"}; do
        say "skipped, and so not shown: $name"
    done
    say "in $((SECONDS - started)) s:"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
