#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# check.sh check|debug|style: what "make check", "make check-debug" and "make
# style" run. A step that fails does not stop the others; what cannot even be
# built counts as one failure. Prints the sum as its last line and leaves it in
# build/results/.

set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top" || exit 1

what=$1
results=$top/build/results/$what
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

# with every transport that needs no module
over() {
	local variant=$1 t p
	shift

	for p in "$@"; do
		for t in memfd external; do
			echo "L3L2Q_VARIANT=$variant L3L2Q_TRANSPORT=$t build/$variant/$p"
		done
	done
}

native_suites() {
	local variant specs p limit

	for variant in plain asan tsan; do
		title "native tests, $variant"
		step "build-$variant" "${make[@]}" -j"$(nproc)" "tests-$variant" || continue
		specs=()
		for p in "${lib[@]}"; do
			specs+=("L3L2Q_VARIANT=$variant build/$variant/$p")
		done
		while read -r p; do
			specs+=("$p")
		done < <(over "$variant" "${proto[@]}")
		limit=300
		if [ ${#specs[@]} != 0 ]; then
			native "native-$variant" --limit $limit "${specs[@]}"
		fi
	done
}

# guest SUITE KERNEL LIMIT TOTAL
guest() {
	local suite=$1 kernel=$2 limit=$3 total=$4 specs=() p t dir

	title "kselftests in a guest, $kernel kernel"
	step "build-guest" "${make[@]}" -j"$(nproc)" lib tools tests-guest || return
	step "kernel-$kernel" "$top/selftests/vm/kernel.sh" "$kernel" || return
	dir=$(tail -n 1 "build/log/kernel-$kernel.log")
	step "module-$kernel" "${make[@]}" -j"$(nproc)" kmod KDIR="$dir/kdir" || return

	for p in "${drv[@]}"; do
		specs+=("build/guest/$p")
	done
	for p in "${proto[@]}"; do
		for t in driver memfd external; do
			specs+=("L3L2Q_TRANSPORT=$t build/guest/$p")
		done
	done
	specs+=("${shell[@]}")
	"$top/selftests/vm/run.sh" --suite "$suite" --kernel "$dir" --mem big --timeout "$limit" --total "$total" \
		--module "build/kmod-$(cat "$dir/version")/l3l2q.ko" --results "$results" \
		--file build/bin-static/l3l2q-stream:/bin/l3l2q-stream -- "${specs[@]}"
}

style() {
	title 'style and headers'
	step 'build-lib' "${make[@]}" -j"$(nproc)" lib tools
	native style "$here/style.sh"
	native headers "$here/headers.sh"
	native freestanding "$here/freestanding.sh"
}

sum() {
	awk '{ p += $2; f += $3; s += $4 }
		END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$results"
}

# drv=() proto=() lib=() shell=()
eval "$("${make[@]}" print-tests)"

case $what in
check)
	style
	native_suites
	guest guest-stock stock 240 900
	;;
debug)
	guest guest-debug debug 600 2100
	;;
style)
	style
	;;
esac
title 'sum'
awk '{ printf "  %-20s %d passed, %d failed, %d skipped\n", $1, $2, $3, $4 }' "$results"
sum
