#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# native.sh --suite NAME [--results FILE] [--limit S] TEST...
#
# Runs test programs on this machine, one by one, and sums up their TAP. TEST as
# in vm/run.sh: 'VAR=value... program arguments...'. Output: build/log/NAME/.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=selftests/checks/spec.sh
. "$here/spec.sh"
suite=native results='' limit=300

while [ $# -gt 0 ]; do
	case $1 in
	--suite) suite=$2; shift 2 ;;
	--results) results=$2; shift 2 ;;
	--limit) limit=$2; shift 2 ;;
	*) break ;;
	esac
done

log=$top/build/log/$suite
mkdir -p "$log"
pid=
# shellcheck disable=SC2317
cleanup() { [ -z "$pid" ] || kill -KILL -- "-$pid" 2>/dev/null || true; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The sanitizers want a fixed layout, which newer kernels' wide ASLR does not
# leave them; where it cannot be had (containers) they mostly work without.
fixed=()
if setarch -R true 2>/dev/null; then
	fixed=(setarch -R)
fi
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-halt_on_error=1:die_after_fork=0:second_deadlock_stack=1}

run_all() {
	local spec name out t0 st

	for spec in "$@"; do
		name=$(name_of "$spec")
		out=$log/${name// /-}.log
		st=0
		t0=$(date +%s%N)
		echo "@@ begin $name"
		# timeout leads a process group of its own, which is what to
		# clear away afterwards. The output goes to a file: something
		# left running must not hold our pipe open.
		# shellcheck disable=SC2086
		timeout -k 5 "$limit" "${fixed[@]}" env $spec </dev/null >"$out" 2>&1 &
		pid=$!
		wait "$pid" || st=$?
		kill -KILL -- "-$pid" 2>/dev/null || true
		pid=
		cat "$out"
		printf '\n@@ end %s %d %s %d\n' "$name" "$st" \
			"$(awk "BEGIN { printf \"%.1f\", ($(date +%s%N) - $t0) / 1e9 }")" "$limit"
	done
	echo '@@ done'
}

run_all "$@" | "$here/tapsum.pl" --suite "$suite" ${results:+--results "$results"}
