#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# check.sh check|debug|style|native|guest: what "make check", "make check-debug",
# "make style" and so on run. A step that fails does not stop the others; what
# cannot even be built counts as one failure. Prints the sum as its last line and
# leaves it in build/results/. L3L2Q_SLOW=N multiplies the time limits, for busy
# machines.

set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top" || exit 1

what=$1
results=$top/build/results/$what
slow=${L3L2Q_SLOW:-1}
make=(env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL "${MAKE:-make}" -s)
started=$(date +%s)

mkdir -p build/results build/log
: >"$results"
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title() { printf '== %s (%d s)\n' "$1" $(($(date +%s) - started)); }

# result SUITE PASSED FAILED SKIPPED
result() { echo "$1 $2 $3 $4" >>"$results"; }

# step SUITE COMMAND...: something that is made rather than tested
step() {
	local suite=$1 log=$top/build/log/$1.log
	shift

	# stderr is shown as it comes: downloads and builds take their time
	if timeout -k 10 3600 "$@" >"$log" 2> >(tee -a "$log.err" >&2); then
		return 0
	fi
	echo "  FAIL $suite: ${*: -1}"
	tail -n 30 "$log" | sed 's/^/       | /'
	result "$suite" 0 1 0
	return 1
}

native() {
	local suite=$1
	shift
	"$here/native.sh" --suite "$suite" --results "$results" "$@"
}

# over 'TRANSPORT...' DIR PROGRAM...: each program with each transport, or once
# if its source does not care
over() {
	local transports=$1 dir=$2 t p
	shift 2

	for p in "$@"; do
		if ! grep -q L3L2Q_TRANSPORT "selftests/$p.c"; then
			echo "$dir/$p"
			continue
		fi
		for t in $transports; do
			echo "L3L2Q_TRANSPORT=$t $dir/$p"
		done
	done
}

native_suites() {
	local variant specs p

	for variant in plain asan tsan; do
		title "native tests, $variant"
		step "build-$variant" "${make[@]}" -j"$(nproc)" "tests-$variant" || continue
		specs=()
		for p in "${lib[@]}"; do
			specs+=("build/$variant/$p")
		done
		while read -r p; do
			specs+=("$p")
		done < <(over 'memfd external' "build/$variant" "${proto[@]}")
		if [ "$variant" != tsan ]; then
			p=build/$variant/l3l2q-stream
			[ "$variant" = asan ] || p=build/bin/l3l2q-stream
			specs+=("STREAM=$p L3L2Q_TRANSPORT=memfd selftests/stream.sh")
		fi
		L3L2Q_VARIANT=$variant native "native-$variant" --limit $((300 * slow)) "${specs[@]}"
	done
}

# guest SUITE KERNEL LIMIT TOTAL MEMORY [VAR=VALUE...]
guest() {
	local suite=$1 kernel=$2 limit=$3 total=$4 mem=$5 specs=() p dir
	shift 5

	title "kselftests in a guest, $kernel kernel"
	step "build-guest" "${make[@]}" -j"$(nproc)" lib tools tests-guest || return
	step "kernel-$kernel" "$top/selftests/vm/kernel.sh" "$kernel" || return
	dir=$(tail -n 1 "build/log/kernel-$kernel.log")
	step "module-$kernel" "${make[@]}" -j"$(nproc)" kmod KDIR="$dir/kdir" || return

	for p in "${drv[@]}"; do
		specs+=("build/guest/$p")
	done
	while read -r p; do
		specs+=("$* $p")
	done < <(over 'driver memfd external' build/guest "${proto[@]}")
	specs+=("${shell[@]}")
	"$top/selftests/vm/run.sh" --suite "$suite" --kernel "$dir" --mem "$mem" --timeout $((limit * slow)) --total $((total * slow)) \
		--module "build/kmod-$(cat "$dir/version")/l3l2q.ko" --results "$results" \
		--file build/bin-static/l3l2q-stream:/bin/l3l2q-stream -- "${specs[@]}"
}

style() {
	title 'style and headers'
	step 'build-lib' "${make[@]}" -j"$(nproc)" lib tools
	native style "$here/style.sh"
	native headers "$here/headers.sh"
	native freestanding "$here/freestanding.sh"
	native man "$here/man.sh"
}

models() {
	title 'models of sleeping and waking'
	native models "$top/selftests/models/run.sh"
}

sum() {
	awk '{ p += $2; f += $3; s += $4 }
		END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$results"
}

# drv=(...) proto=(...) lib=(...) shell=(...)
declare -a drv proto lib shell
eval "$("${make[@]}" print-tests)"

case $what in
check)
	style
	models
	native_suites
	guest guest-stock stock 300 900 big
	;;
native)
	native_suites
	;;
guest)
	guest guest-stock stock 300 900 big
	;;
debug)
	# A leak scan takes 10 s for each GiB, and there are four.
	guest guest-debug debug 600 2100 1G L3L2Q_MESSAGES=50000
	;;
style)
	style
	;;
esac
title 'sum'
awk '{ printf "  %-20s %d passed, %d failed, %d skipped\n", $1, $2, $3, $4 }' "$results"
sum
