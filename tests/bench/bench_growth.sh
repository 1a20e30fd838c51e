#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_growth.sh [--plot FILE.svg]: how the fold's cost grows; a table, and with gnuplot a plot; see build.sh.
# BENCH_CLICKS, BENCH_ROUNDS.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

bench_make regional_core
bench_cc bench_growth bench_growth.c bench_clicks.c -- regional_core tributary_proto tributary_base --
out=$build/bench
"$out/bench_growth" --clicks "${BENCH_CLICKS:-2000000}" --rounds "${BENCH_ROUNDS:-3}" >"$out/growth.tsv"
echo "| what | value | ns CPU a click | bytes kept a click | MiB of tables |"
echo "| --- | --- | --- | --- | --- |"
awk -F '\t' '{ printf "| %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5 }' "$out/growth.tsv"

[ "${1:-}" = --plot ] || exit 0
command -v gnuplot >/dev/null || { echo "bench_growth: no plot: needs gnuplot" >&2; exit 77; }
gnuplot <<PLOT
set terminal svg size 900,600 font "sans,11"
set output "$2"
set datafile separator "\t"
set multiplot layout 2,3
set style data linespoints
set yrange [0:*]
set key off
set ylabel "ns CPU a click"
set xtics rotate by -30
set logscale x
set title "ads"; plot "< grep '^ads' $out/growth.tsv" using 2:3 lw 2 pt 7
set title "users"; plot "< grep '^users' $out/growth.tsv" using 2:3 lw 2 pt 7
set title "partitions"; plot "< grep '^partitions' $out/growth.tsv" using 2:3 lw 2 pt 7
unset logscale x
set title "late, per mille"; plot "< grep '^late' $out/growth.tsv" using 2:3 lw 2 pt 7
set title "sent again, per mille"; plot "< grep '^sent' $out/growth.tsv" using 2:3 lw 2 pt 7
unset multiplot
PLOT
echo "plot: $2"
