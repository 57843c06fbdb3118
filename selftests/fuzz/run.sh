#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh short [DIR]: each fuzzer over the corpus of the tree, then from it with a fixed
# seed for a fixed number of runs; TAP. run.sh long SECONDS [DIR]: from the corpus and what
# earlier long runs have left in DIR/corpus, for so long in all; prints the coverage. What
# makes a fuzzer fail is left in DIR/findings.

set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.." || exit 1

what=${1:-short}
work=
fuzzers=(fuzz_queue fuzz_attach fuzz_npusim fuzz_dump)
# What the short run takes a minute for, and the longest inputs.
declare -A runs=([fuzz_queue]=12000 [fuzz_attach]=6000 [fuzz_npusim]=1500 [fuzz_dump]=20000)
declare -A longest=([fuzz_queue]=700 [fuzz_attach]=300 [fuzz_npusim]=400 [fuzz_dump]=1600)

# Descriptors that one process hands to itself confuse the leak checker; leaks of
# descriptors are looked for by the fuzzers.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:handle_abort=0:quarantine_size_mb=32

# fuzz NAME ARGUMENT...
fuzz() {
	local name=$1
	shift
	"$dir/$name" -max_len="${longest[$name]}" -timeout=60 -print_funcs=0 -len_control=0 \
		-artifact_prefix="$dir/findings/$name-" "$@"
}

short() {
	local name ok n=0 failed=0

	if ! command -v clang >/dev/null; then
		echo "1..0 # SKIP clang is not installed"
		return 0
	fi
	echo "TAP version 13"
	echo "1..$((2 * ${#fuzzers[@]}))"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	for name in "${fuzzers[@]}"; do
		ok=ok
		fuzz "$name" -runs=0 "$here/corpus/$name" >"$work/log" 2>&1 || ok="not ok"
		[ "$ok" = ok ] || { grep -v '^#' "$work/log" | tail -n 60; failed=1; }
		echo "$ok $((++n)) $name: corpus of the tree"
		ok=ok
		mkdir -p "$work/$name"
		fuzz "$name" -seed=1 -runs="${runs[$name]}" "$work/$name" "$here/corpus/$name" \
			>"$work/log" 2>&1 || ok="not ok"
		[ "$ok" = ok ] || { grep -v '^#' "$work/log" | tail -n 60; failed=1; }
		grep "cov: " "$work/log" | tail -n 1 | sed "s/^/# /"
		echo "$ok $((++n)) $name: ${runs[$name]} runs from a fixed seed"
	done
	return $failed
}

# The lines of the library that the corpora reach, by clang's own counters.
coverage() {
	local name profiles=() objects=()

	command -v llvm-profdata-14 >/dev/null && PATH=/usr/lib/llvm-14/bin:$PATH
	command -v llvm-cov >/dev/null || { echo 'llvm-cov is not installed: no line coverage'; return; }
	for name in fuzz_queue fuzz_attach; do
		LLVM_PROFILE_FILE=$dir/cov/$name.profraw L3L2Q_FUZZ_THREAD='' "$dir/cov/$name" -runs=0 \
			-timeout=120 "$dir/corpus/$name" "$here/corpus/$name" >/dev/null 2>&1
		profiles+=("$dir/cov/$name.profraw")
		objects+=(-object "$dir/cov/$name")
	done
	llvm-profdata merge -o "$dir/cov/all" "${profiles[@]}" || return
	echo "lines covered (file, lines, missed, covered):"
	llvm-cov report "${objects[@]:1}" -instr-profile="$dir/cov/all" libuser/src libuser/include |
		awk '/^TOTAL/ || /\.[ch] / { printf "  %-40s %6s %6s %8s\n", $1, $8, $9, $10 }'
}

long() {
	local seconds=$1 name share failed=0 found

	export L3L2Q_FUZZ_THREAD=1
	for name in "${fuzzers[@]}"; do
		share=$((seconds / 6))
		[ "$name" != fuzz_queue ] || share=$((seconds / 2))
		mkdir -p "$dir/corpus/$name" "$dir/findings"
		echo "== $name for $share s"
		fuzz "$name" -max_total_time="$share" -print_final_stats=1 "$dir/corpus/$name" \
			"$here/corpus/$name" >"$dir/$name.log" 2>&1 || {
			failed=1
			grep -v '^#' "$dir/$name.log" | tail -n 60
			echo "$name failed; all of it: $dir/$name.log"
		}
		grep -E '^#.*cov: ' "$dir/$name.log" | tail -n 1
		grep -E 'stat::(number_of_executed_units|average_exec_per_sec|peak_rss)' "$dir/$name.log"
	done
	coverage
	found=$(find "$dir/findings" -type f | wc -l)
	echo "findings in $dir/findings: $found"
	return $failed
}

case $what in
short)
	dir=${2:-build/fuzz}
	mkdir -p "$dir/findings"
	short
	;;
long)
	dir=${3:-build/fuzz}
	mkdir -p "$dir/findings"
	long "$2"
	;;
*)
	echo "run.sh short [DIR] | long SECONDS [DIR]" >&2
	exit 2
	;;
esac
