#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Model checking, as TAP: the wake protocol and "no fence while busy" with spin, the
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
wake_holds='
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
wake_breaks='
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

# No fence while busy.
fence_holds='
C=FUTEX MEMFD N=3 LATE
C=FUTEX MEMFD N=3 WEAK
C=WAIT N=3 LATE
C=POLL N=3 LATE
C=LEVEL N=3 LATE
C=EDGE N=3 WEAK
C=EVENTFD N=3 LATE
C=ARM N=3
A=FUTEX AW=CNT B=FUTEX BW=CNT MEMFD N=3 WEAK
A=FUTEX AW=CNT B=FUTEX BW=CNT MEMFD BUSY=2
A=WAIT AW=CNT B=WAIT BW=CNT N=3
A=POLL AW=CNT B=WAIT BW=CNT BUSY=1
A=EVENTFD AW=CNT B=LEVEL BW=CNT
C=EDGE B=WAIT BW=CNT
A=FUTEX AW=IN B=FUTEX BW=OUT MEMFD HEAD_HALF=1 N=1
A=WAIT AW=IN B=POLL BW=OUT HEAD_HALF=1 N=1
A=EDGE AW=CNT HEAD_HALF=1
C=WAIT ABORTER
C=EDGE ABORTER
C=WAIT OWN=1
A=WAIT AW=IN OWN=1 N=1 RAW
C=WAIT RAW
C=POLL RAW
C=LEVEL RAW
C=FUTEX MEMFD OLD
C=WAIT OLD
C=FUTEX MEMFD REFUSED N=3
C=EDGE B=WAIT BW=CNT REFUSED
C=FUTEX MEMFD N=3 WAKE_DONE
'

two='A=FUTEX AW=CNT B=FUTEX BW=CNT MEMFD'
fence_breaks="
C=FUTEX MEMFD NO_MEMBARRIER:no membarrier
C=WAIT NO_MEMBARRIER:no membarrier before WAIT
C=EDGE WEAK NO_MEMBARRIER:no membarrier before epoll
C=FUTEX MEMFD NO_MB_UNFENCED:no barrier after unfenced is set
C=FUTEX MEMFD N=3 NO_MB_AGAIN:no barrier before armed is loaded again
C=FUTEX MEMFD N=3 NO_SECOND_LOAD:a barrier, but armed is not loaded again
C=FUTEX MEMFD N=3 NO_REQ:the unfenced half does not look for REQ
C=FUTEX MEMFD NO_MB_STORE:no barrier after a fenced store
C=FUTEX MEMFD LOAD_FIRST:armed is loaded before the counter is stored
C=FUTEX MEMFD UNFENCED_EARLY:looks for unfenced before it arms
C=FUTEX MEMFD LOOK_FIRST:looks, then arms
C=FUTEX MEMFD N=3 NO_REQ_SET:does not ask for fences
C=FUTEX MEMFD N=3 REQ_LATE:asks for fences after the membarrier
C=FUTEX MEMFD ASKS_LATE:arms before the peer can see ASKS
$two DONE_EARLY:loads DONE before it arms
$two PLAIN_OR:arms by load and store instead of an atomic OR
$two DONE_FIRST:sets DONE before the membarrier
$two COUNT_EARLY:is not counted during the membarrier
$two COUNT_LATE:is counted after it has armed
$two NO_COUNT:lets off without the count
$two BUSY=2 COUNT_FIRST:lets off and looks at the count before armed
$two REFUSED N=3 OFF_REQ:lets off where DONE is not set
C=EDGE B=WAIT BW=CNT OFF_BLIND:lets off whatever is armed, without comparing
C=FUTEX MEMFD N=3 OFF_REQ_ALONE:takes REQ away and leaves DONE
C=FUTEX MEMFD N=3 WAKE_REQ:a wake takes REQ too
C=FUTEX MEMFD N=3 WAKE_ALL_BITS:a wake takes REQ and DONE too
C=FUTEX MEMFD N=3 REFUSED DONE_REFUSED:sets DONE after a failed membarrier
C=FUTEX MEMFD REFUSED NO_NAP:sleeps without a limit after a failed membarrier
A=WAIT AW=CNT B=WAIT BW=CNT NO_REPORT:two sleepers, WAIT does not look at DONE
A=WAIT AW=CNT B=WAIT BW=CNT REPORT_LATE:two sleepers, WAIT looks and then loads DONE
C=EDGE B=POLL BW=CNT NO_REPORT:two sleepers, poll does not look at DONE
C=WAIT RAW NO_REPORT:WAIT does not report an unfenced half
C=POLL RAW NO_REPORT:poll does not report it
C=LEVEL RAW NO_REPORT:the same for epoll
C=ARM NO_REPORT:ARM does not fire for it
A=WAIT AW=IN OWN=1 N=1 RAW NO_REPORT_AGAIN:watches that are armed again do not fire for it
C=EDGE B=WAIT BW=CNT OWN=1 NO_REPORT_AGAIN:the same beside a thread that lets off
C=EDGE RAW:edge-triggered epoll without arming in the library
"

# check ID MODEL DEFINES BROKEN: runs the model, leaves what pan says in the file out
check() {
	local dir=$work/$1 defines=() word optimise=-O0

	for word in $3; do
		defines+=("-D$word")
	done
	mkdir -p "$dir" && cd "$dir" || return
	spin "${defines[@]}" -a "$here/$2.pml" >spin.out 2>&1 || return
	# -n: no list of unreached states; an incomplete search must not pass.
	# Elsewhere the compiler would take longer than the search.
	[ "$2$4" != wake ] || optimise=-O1
	"${CC:-cc}" $optimise -w -DSAFETY -DCOLLAPSE -DMEMLIM=1500 -o pan pan.c >cc.out 2>&1 || return
	timeout 200 ./pan -m100000 -n >out 2>&1
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

# run_all MODEL HOLDS BREAKS
run_all() {
	local model=$1 i=0 line

	while read -r line; do
		[ -n "$line" ] || continue
		i=$((i + 1))
		check "$model-$i" "$model" "${line%%:*}" "${line#"${line%%:*}"}" &
		while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
			wait -n
		done
	done <<<"$2$3"
	wait

	i=0
	while read -r line; do
		[ -n "$line" ] || continue
		i=$((i + 1))
		case $(result "$model-$i") in
		holds) ok "$model: $line ($(states "$model-$i") states)" ;;
		fails) not "$model: $line: a wake-up is lost" ;;
		*)     not "$model: $line: the search did not end"
		       cat "$work/$model-$i"/*out | sed 's/^/# /' ;;
		esac
	done <<<"$2"
	while read -r line; do
		[ -n "$line" ] || continue
		i=$((i + 1))
		case $(result "$model-$i") in
		fails) ok "$model, broken: ${line#*:}: found" ;;
		holds) not "$model, broken: ${line#*:}: not found" ;;
		*)     not "$model, broken: ${line#*:}: the search did not end"
		       cat "$work/$model-$i"/*out | sed 's/^/# /' ;;
		esac
	done <<<"$3"
}

echo "TAP version 13"

if command -v spin >/dev/null && command -v "${CC:-cc}" >/dev/null; then
	run_all wake "$wake_holds" "$wake_breaks"
	run_all fence "$fence_holds" "$fence_breaks"
else
	skip "wake, fence: the wake protocol" "needs spin (package spin) and a C compiler"
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
