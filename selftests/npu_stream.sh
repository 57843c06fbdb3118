#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# l3l2q-stream to an NPU, from outside, as TAP. In a guest with L3L2Q_NPUS, through
# the first PCI window. Elsewhere without QEMU and driver, to an l3l2q-npusim of its
# own: NPUSIM names it, STREAM the program. For dash and for busybox.
# shellcheck disable=SC2016,SC2086

LIMIT=100	# seconds for any one run

# program NAME DEFAULT
program() {
	p=$(command -v "${1:-$2}") || { echo "Bail out! no $2"; exit 1; }
	case $p in
	/*) echo "$p" ;;
	*) echo "$PWD/$p" ;;
	esac
}

STREAM=$(program "$STREAM" l3l2q-stream) || { echo "$STREAM"; exit 1; }
if [ -n "$L3L2Q_GUEST" ] && [ -z "$L3L2Q_NPUS" ]; then
	echo '1..0 # SKIP no NPU in this guest'
	exit 0
fi
if [ -z "$L3L2Q_GUEST" ]; then
	NPUSIM=$(program "$NPUSIM" l3l2q-npusim) || { echo "$NPUSIM"; exit 1; }
fi

dir=$(mktemp -d) || exit 1
cd "$dir" || exit 1
pids=
# shellcheck disable=SC2086,SC2317
clean_up() {
	[ -z "$pids" ] || kill -9 $pids 2>/dev/null
	cd / && rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

n=0
bad=0

# verdict STATUS NAME
verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		sed 's/^/# /' err
		echo "not ok $n $2"
		bad=$((bad + 1))
	fi
}

# ok NAME COMMAND...
ok() {
	name=$1
	shift
	"$@" >>err 2>&1
	verdict $? "$name"
}

# run [OPTION...]: leaves the status in $st, stdout in out, stderr in err
run() {
	timeout $LIMIT "$STREAM" --transport "$T" --peer npu --timeout 60 "$@" >out 2>err
	st=$?
}

# field NAME: of the summary line
field() { sed -n "s/.*\\(^\\| \\)$1=\\([^ ]*\\).*/\\2/p" err | tail -n 1; }

says() { grep -q -e "$1" err; }

# streams NAME FILE OPTION...: verified, all there, and reported so
streams() {
	name=$1 file=$2
	shift 2
	run -i "$file" -o result --verify "$@"
	size=$(wc -c <"$file")
	[ $st = 0 ] && [ "$(wc -c <result)" = "$size" ] && [ "$(field bytes)" = "$size" ] &&
		[ "$(field result)" = ok ]
	verdict $? "$name"
}

# refuses NAME STATUS TEXT OPTION...
refuses() {
	name=$1 want=$2 text=$3
	shift 3
	run "$@"
	[ $st = "$want" ] && says "$text"
	verdict $? "$name"
}

# at_least FILE BYTES: wait until it has as many
at_least() {
	tries=0
	while [ ! -e "$1" ] || [ "$(wc -c <"$1")" -lt "$2" ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || return 1
		sleep 0.1
	done
}

is_prefix() { head -c "$(wc -c <"$1")" "$2" | cmp - "$1"; }

# npusim: one of our own at $dir/npu
npusim() {
	mkfifo ready
	"$NPUSIM" --socket npu --size 64M --log npu.log >ready &
	npu=$!
	pids="$pids $npu"
	read -r word <ready
	rm -f ready
	[ "$word" = ready ]
}

: >err
dd if=/dev/urandom of=big bs=1024 count=3072 2>/dev/null
printf 'an odd tail' >>big
for size in 0 1 3 65535 65536 65537; do
	head -c $size big >in.$size
done

echo 'TAP version 13'
if [ -n "$L3L2Q_GUEST" ]; then
	T=
	for d in /sys/bus/pci/drivers/l3l2q/0*; do
		[ -e "$d" ] && T=pci:${d##*/} && break
	done
	ok 'the driver has an NPU' [ -n "$T" ]
else
	T=npusim:npu
	ok 'l3l2q-npusim gets ready' npusim
fi

# one message on its way at a time, and time to fall asleep
single='--message 16K --input-arena 16K --output-arena 16K --npu-delay 500'

# ---- sizes, operations, windows

for size in 0 1 3 65535 65536 65537; do
	streams "echo: $size bytes" "in.$size"
	ok "echo: $size bytes are the same" cmp "in.$size" result
done
streams 'echo: several MiB' big
ok 'echo changes nothing' cmp big result
streams 'xor-u8: several MiB' big --op xor-u8:0xa5
mv result xored
streams 'xor-u8 again' xored --op xor-u8:0xa5
ok 'xor twice is the original' cmp big result
ok 'xor once is not' sh -c '! cmp -s big xored'
streams 'add-f32: several MiB' big --op add-f32:1.5
streams 'messages of odd size' big --message 10007 --op xor-u8:7
if grep -q '[1Y]' /sys/module/l3l2q/parameters/pci_write_combining 2>/dev/null; then
	refuses 'depth 1 is not for memory that is not cached' 2 'cannot make a queue' -i big -o result --depth 1
else
	streams 'depth 1' big --depth 1
fi
streams 'window of the whole depth' big --depth 64 --window 64 --message 4096
streams 'SPSQ binding' big --binding spsq:7:42 --op xor-u8:9
streams 'arenas of one message' big --input-arena 65536 --output-arena 64K
streams 'odd messages in odd arenas' big --input-arena 64064 --output-arena 20032 --message 20011 --window 3
streams 'sleeping at once' big --spin off $single
ok 'sleeping at once: it slept' [ "$(field sleeps)" -gt 0 ]
streams 'silent' big --silent
ok 'silent: nobody rang' [ "$(field npu_rings)" = 0 ]
streams 'silent, sleeping at once' big --silent --spin off $single
timeout $LIMIT sh -c 'cat big | "$1" --transport "$2" --peer npu --op xor-u8:1 2>err |
	"$1" --transport memfd --op xor-u8:1 2>err2 | cmp - big' - "$STREAM" "$T" >/dev/null
ok 'a pipe in and a pipe out' [ $? = 0 ]

# ---- who cannot be

refuses 'no worker to connect to' 2 'not with --peer npu' -i big --connect nowhere
refuses 'no worker to kill' 2 'no worker to kill' -i big --kill-worker-after 3
refuses 'a peer that is none' 2 'not worker or npu' -i big --peer gnu
refuses 'unplug what' 2 'not N:ID' -i big --npu-unplug 3
refuses 'a message the window cannot hold' 1 '' -i big -o result --message 1M --depth 64 --input-arena 1G
timeout $LIMIT "$STREAM" --transport memfd --npu-delay 3 -i big >out 2>err
ok 'a worker is no NPU' [ $? = 2 ]
timeout $LIMIT "$STREAM" --transport npusim:npu -i big >out 2>err
ok 'an NPU is no worker' [ $? = 2 ]
timeout $LIMIT "$STREAM" --transport npusim:nowhere --peer npu -i big >out 2>err
ok 'no NPU there: status 1' [ $? = 1 ]
ok 'no NPU there: in words' says 'no NPU at nowhere'

# ---- an NPU that goes away

# slow OPTION...: a stream in the background that is to take long, at work
slow() {
	rm -f result
	timeout $LIMIT "$STREAM" --transport "$T" --peer npu -i big -o result \
		"$@" >out 2>err &
	l3=$!
	pids="$pids $l3"
	at_least result 131072
}

# removed NAME OPTION...: the function goes, by sysfs, and comes back
removed() {
	what=$1
	shift
	slow "$@"
	echo 1 >"/sys/bus/pci/devices/${T#pci:}/remove"
	wait $l3
	ok "$what: status 4" [ $? = 4 ]
	ok "$what: in words" says 'the NPU was unplugged after [0-9]* messages; queue reports: .*removed'
	ok "$what: summary" [ "$(field result)" = removed ]
	ok "$what: what came before is right" is_prefix result big
	refuses "$what: the window is gone" 1 'no NPU window' -i big -o result
	echo 1 >/sys/bus/pci/rescan
	streams "$what: and it is back" big
}

if [ -n "$L3L2Q_GUEST" ]; then
	streams 'ringing' big --spin off $single
	ok 'ringing: L3 is told by interrupts' [ "$(field interrupts)" -gt 0 ]
	ok 'ringing: the NPU is rung' [ "$(field doorbells)" -gt 0 ]
	ok 'ringing: the timer never runs' [ "$(field timer_ticks)" = 0 ]
	streams 'polled' big --spin off $single --silent
	ok 'polled: no interrupts' [ "$(field interrupts)" = 0 ]
	ok 'polled: no doorbells' [ "$(field doorbells)" = 0 ]
	ok 'polled: by the timer' [ "$(field timer_ticks)" -gt 0 ]
	removed 'removal' --npu-delay 100000
	removed 'removal, verified' --npu-delay 100000 --verify
	removed 'removal under a sleeper' --spin off $single --npu-delay 100000
	removed 'removal, with an eventfd' --npu-delay 100000 --abort-eventfd
	removed 'removal, from a silent NPU' --npu-delay 100000 --silent
else
	slow --timeout 2 --npu-delay 100000
	kill -9 $npu
	wait $l3
	ok 'l3l2q-npusim killed: status 1' [ $? = 1 ]
	ok 'l3l2q-npusim killed: in words' says 'no progress for 2.0 s: [0-9]* messages sent'
	ok 'l3l2q-npusim killed: summary' [ "$(field result)" = timeout ]
	ok 'l3l2q-npusim killed: what came before is right' is_prefix result big
	ok 'another one gets ready at the same place' npusim
	streams 'and works' big
	kill $npu
	wait $npu
	ok 'SIGTERM ends it' [ $? = 0 ]
	ok 'its socket is gone' [ ! -e npu ]
fi

echo "1..$n"
[ $bad = 0 ]
