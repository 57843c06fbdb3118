#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# l3l2q-bench --quick, as TAP: that all of it works, not what it measures. BENCH is
# the program, L3L2Q_TRANSPORT what it runs over; by default what the guest has. For
# dash and for busybox.

BENCH=${BENCH:-l3l2q-bench}
T=${L3L2Q_TRANSPORT:-driver}
LIMIT=100	# seconds
BENCH=$(command -v "$BENCH") || { echo '1..0 # SKIP no l3l2q-bench'; exit 0; }
case $BENCH in
/*) ;;
*) BENCH=$PWD/$BENCH ;;
esac

dir=$(mktemp -d) || exit 1
cd "$dir" || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP

n=0
bad=0

# ok NAME COMMAND...
ok() {
	name=$1
	shift
	n=$((n + 1))
	if "$@" >>err 2>&1; then
		echo "ok $n $name"
	else
		tail -n 20 err | sed 's/^/# /'
		echo "not ok $n $name"
		bad=$((bad + 1))
	fi
}

# run ARGUMENTS...: leaves the status in $st, stdout in out, stderr in err
run() {
	timeout $LIMIT "$BENCH" "$@" >out 2>err
	st=$?
}

refuses() {
	name=$1
	shift
	run "$@"
	ok "$name" [ $st = 2 ]
}

is_json() { perl -MJSON::PP -e 'local $/; decode_json(<STDIN>)' <json; }

echo 'TAP version 13'

run --quick --transport "$T" --json json
ok "all of it works over $T" [ $st = 0 ]
cp out all

for group in pingpong oneway batch copying inplace depth window sleeping onecpu create epoll; do
	ok "contest: $group" grep -q "^$group/[0-9]*: " all
done
# what can be measured here: nothing that depends on DPDK, or on how many files may be open
rows='two-line hand-over:to the naive protocol:to memcpy:1 MiB to 4 KiB:over memfd, to a futex pair'
rows="$rows:create . destroy:system calls:timer ticks:wake-ups:microseconds of CPU"
rows="$rows:depth 1024 to depth 65536:depth 16384 to:on one processor, spinning to not"
rows="$rows:at 1 k messages:at 10 k messages:at 100 k messages"
if [ "$T" = driver ]; then
	for group in abort silent polling; do
		ok "contest: $group" grep -q "^$group/[0-9]*: " all
	done
	rows="$rows:over the driver, to an eventfd pair:abort by ioctl:4096 regions"
fi
for metric in rate/1000 rate/10000 rate/100000 busy idle; do
	ok "metric: $metric" grep -q "^$metric/[a-z].* [0-9.]* [a-z%]" all
done
IFS=:
for row in $rows; do
	ok "target: $row" grep -qE "^\\| [^|]*${row}[^|]*\\| +[0-9.]+x? +\\|.*\\| at .*\\| (met|missed) +\\|$" all
done
unset IFS

for peer in 'rte_ring zc burst of 32 B:rte_ring' 'boost spsc_queue:boost::lockfree::spsc_queue' \
	'io_uring NOP:io_uring'; do
	ok "peer, or why it is not there: ${peer%%:*}" \
		grep -qE "^  ${peer%%:*} +([0-9]|not here)|^left out: ${peer#*:} \(.* was not there\)" all
done

ok 'runs are measured' grep -qE '^  l3l2q runs +[0-9]' all

ok 'JSON: each contest' [ "$(grep -c '"what": .*"contestants": ' json)" = "$(grep -c '^[a-z]*/[0-9]*: ' all)" ]
ok 'JSON: each target' [ "$(grep -c '"met": ' json)" = "$(grep -cE '\| (met|missed) +\|$' all)" ]
if command -v perl >/dev/null; then
	ok 'JSON: well-formed' is_json
fi

run --quick --transport "$T" --only window
ok '--only: status 0' [ $st = 0 ]
ok '--only: that, and nothing else' [ "$(grep -c '^[a-z]*/[0-9]*: ' out)" = 1 ]
ok '--only: its name' grep -q '^window/' out
run --quick --transport "$T" --only window --json no/where
ok 'JSON that cannot be written: status 1' [ $st = 1 ]
run --quick --transport telepathy --only window
ok 'unknown transport: status 1' [ $st = 1 ]
ok 'unknown transport: in words' grep -q telepathy err

refuses 'unknown option' --frobnicate
refuses 'argument that is no option' quick
refuses 'no round' --rounds 0
refuses 'more rounds than there is room' --rounds 100000
refuses 'rounds of no number' --rounds 3x
refuses 'turns of no time' --ms 0
run --help
ok '--help: status 0' [ $st = 0 ]
ok '--help: in words' grep -q -e --transport out

echo "1..$n"
[ $bad = 0 ]
