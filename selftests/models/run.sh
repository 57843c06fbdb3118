#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Model checking, as TAP: the wake protocol with spin (package spin), the
# ordering of shared memory with herd7 (package herdtools7; vm/kernel.sh fetches it
# where the distribution has none).
#
# Everything that has to hold is checked; and then each barrier, and each order
# of steps, is broken in turn: the checker must find the failure, or the model
# would prove nothing.
#
#   HERD7=...  the herd7 program, if it is not in the path
#   LKMM=...   tools/memory-model of a kernel source, if the cache has none
#   KEEP=1     keep the working directory: pan's trail and spin's files
#   L3L2Q_NO_SKIP=1  fail where a checker is missing

set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/l3l2q-models.XXXXXX") || exit 1
[ -n "${KEEP:-}" ] && echo "# in $work" || trap 'rm -rf "$work"' EXIT

n=0 failed=0
ok()   { n=$((n + 1)); echo "ok $n - $*"; }
not()  { n=$((n + 1)); failed=$((failed + 1)); echo "not ok $n - $*"; }
skip() {
	if [ -n "${L3L2Q_NO_SKIP:-}" ]; then
		not "$1: $2"
		return
	fi
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# ---- spin ---------------------------------------------------------------------

# What has to hold.
holds='
STREAM C_WAIT
STREAM C_POLL
STREAM C_EPOLL
STREAM C_EVENTFD
STREAM C_WAIT N=4 DEPTH=2
SEVERAL
RACE
SELF C_WAIT
SELF C_EVENTFD
SILENT
END
FUTEX
'

# What must fail: a barrier left out, a step left out, or two steps swapped.
breaks='
STREAM C_WAIT NO_MB_STORE:no barrier between the counter store and the load of armed
STREAM C_WAIT NO_MB_ARM:no barrier between arming and the look in WAIT
STREAM C_POLL NO_MB_ARM:the same in poll
STREAM C_EPOLL NO_MB_ARM:the same in poll for epoll
STREAM C_EVENTFD NO_MB_ARM_USER:the same in an application that has an eventfd
RACE NO_MB_REARM:no barrier between arming again and the second look
SELF C_WAIT NO_MB_SELF:no barrier between HOLD and the load of the own armed word
STREAM C_WAIT LOOK_FIRST:looks, then arms
STREAM C_WAIT QUEUE_LATE:queues itself after the look
STREAM C_EPOLL ARM_IF_NOTHING:poll arms only when it has nothing to report
SEVERAL ARM_ONCE:a woken sleeper does not arm again
RACE NO_REARM:watches that do not fire are not armed again
RACE NO_SECOND_LOOK:arms again without a second look
RACE PLAIN_OR:arms by load and store instead of an atomic OR
RACE PLAIN_XCHG:clears armed by load and store instead of xchg
SEVERAL WAKE_ONE:wakes one sleeper of several
STREAM C_POLL WAKE_FIRST:wakes, then clears armed
SELF C_WAIT NO_KICK_SELF:nobody wakes a sleeper of the own role
SILENT NO_LOCK:clears armed and arms again without the lock that the scanner takes
SILENT NO_AGAIN:forgets that a role was added while the tick looked at it
END KIND_FIRST:records an error before the abort flag is stored
FUTEX FUTEX_ON_ARMED:sleeps on the armed word itself
'

# check ID DEFINES BROKEN: runs the model, leaves what pan says in the file out
check() {
	local dir=$work/$1 defines=() word optimise=-O1

	for word in $2; do
		defines+=("-D$word")
	done
	mkdir -p "$dir" && cd "$dir" || return
	spin "${defines[@]}" -a "$here/wake.pml" >spin.out 2>&1 || return
	# -n: no list of unreached states; an incomplete search must not pass.
	# What is broken is found soon: there the compiler takes the time.
	[ -z "$3" ] || optimise=-O0
	"${CC:-cc}" $optimise -w -DSAFETY -DCOLLAPSE -DMEMLIM=1500 -o pan pan.c >cc.out 2>&1 || return
	timeout 100 ./pan -m100000 -n >out 2>&1
	rm -f pan pan.?
}

# result ID: holds, fails or broken
result() {
	local out=$work/$1/out

	if grep -q '^pan:1: invalid end state' "$out" 2>/dev/null; then
		echo fails
	elif grep -q 'errors: 0$' "$out" 2>/dev/null &&
	     ! grep -q 'Search not completed\|max search depth too small' "$out"; then
		echo holds
	else
		echo broken
	fi
}

states() { sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' "$work/$1/out" 2>/dev/null; }

spin_all() {
	local i=0 line

	while read -r line; do
		[ -n "$line" ] || continue
		i=$((i + 1))
		check "$i" "${line%%:*}" "${line#"${line%%:*}"}" &
		while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
			wait -n
		done
	done <<<"$holds$breaks"
	wait

	i=0
	while read -r line; do
		[ -n "$line" ] || continue
		i=$((i + 1))
		case $(result $i) in
		holds) ok "wake: $line ($(states $i) states)" ;;
		fails) not "wake: $line: a wake-up is lost" ;;
		*)     not "wake: $line: the search did not end"; cat "$work/$i"/*out | sed 's/^/# /' ;;
		esac
	done <<<"$holds"
	while read -r line; do
		[ -n "$line" ] || continue
		i=$((i + 1))
		case $(result $i) in
		fails) ok "wake, broken: ${line#*:}: found" ;;
		holds) not "wake, broken: ${line#*:}: not found" ;;
		*)     not "wake, broken: ${line#*:}: the search did not end"
		       cat "$work/$i"/*out | sed 's/^/# /' ;;
		esac
	done <<<"$breaks"
}

echo "TAP version 13"

if command -v spin >/dev/null && command -v "${CC:-cc}" >/dev/null; then
	spin_all
else
	skip "wake: the wake protocol" "needs spin (package spin) and a C compiler"
fi

# ---- herd7 --------------------------------------------------------------------

# fetched NAME: the directory that vm/kernel.sh has made of it
fetched() { "$here/../vm/kernel.sh" "$1" 2>"$work/$1.err" | tail -n 1; }

herd=${HERD7:-$(command -v herd7)}
if [ -z "$herd" ]; then
	dir=$(fetched herd)
	if [ -n "$dir" ]; then
		herd=$dir/herd7
	else
		sed 's/^/# /' "$work/herd.err"
	fi
fi
lkmm=${LKMM:-}
if [ -z "$lkmm" ]; then
	dir=$(fetched source)
	if [ -f "$dir/tools/memory-model/linux-kernel.cat" ]; then
		lkmm=$dir/tools/memory-model
	else
		sed 's/^/# /' "$work/source.err"
	fi
fi

# The first comment of a test says what herd must find: Never or Sometimes.
for test in "$here"/litmus/*.litmus; do
	name=$(basename "$test" .litmus)
	want=$(sed -n 's/^.*expect: \([A-Z][a-z]*\).*$/\1/p;' "$test" | head -n 1)
	if [ -z "$herd" ]; then
		skip "litmus: $name" "no herd7, and none can be fetched"
		continue
	fi
	case $name in
	linux-*)
		if [ -z "$lkmm" ]; then
			skip "litmus: $name" "no kernel source with tools/memory-model"
			continue
		fi
		run=(-I "$lkmm" -conf "$lkmm/linux-kernel.cfg") ;;
	c11-*)	run=(-model rc11.cat) ;;
	*)	run=() ;;
	esac
	timeout 60 "$herd" "${run[@]}" "$test" >"$work/herd.out" 2>&1
	got=$(sed -n 's/^Observation [^ ]* \([A-Z][a-z]*\) .*/\1/p' "$work/herd.out")
	if [ -n "$want" ] && [ "$got" = "$want" ]; then
		ok "litmus: $name: ${got,,}"
	else
		not "litmus: $name: wanted $want, got ${got:-nothing}"
		sed 's/^/# /' "$work/herd.out"
	fi
done

echo "1..$n"
[ "$failed" = 0 ]
