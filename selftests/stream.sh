#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# l3l2q-stream from outside, as TAP. STREAM is the program, L3L2Q_TRANSPORT what it
# runs over; by default what the guest has. For dash and for busybox.
# shellcheck disable=SC2016,SC2217

STREAM=${STREAM:-l3l2q-stream}
T=${L3L2Q_TRANSPORT:-driver}
LIMIT=60	# seconds for any one run
STREAM=$(command -v "$STREAM") || { echo '1..0 # SKIP no l3l2q-stream'; exit 0; }
case $STREAM in
/*) ;;
*) STREAM=$PWD/$STREAM ;;
esac

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
	timeout $LIMIT "$STREAM" --transport "$T" "$@" >out 2>err
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
		[ "$(field result)" = ok ] && [ "$(field sides)" = 2 ]
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
		[ $tries -lt 300 ] || return 1
		sleep 0.1
	done
}

# listened: wait until somebody listens at sock
listened() {
	tries=0
	while [ ! -S sock ] && [ $tries -lt 300 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
}

# listens: a worker in the background, at sock
listens() {
	timeout $LIMIT "$STREAM" --listen sock 2>err.worker &
	worker=$!
	pids="$pids $worker"
	listened
}

# feeds: big, and then nothing for a minute, at fifo
feeds() {
	rm -f fifo result
	mkfifo fifo
	(cat big; exec sleep 60) >fifo 2>/dev/null &
	feeder=$!
	pids="$pids $feeder"
}

is_prefix() { head -c "$(wc -c <"$1")" "$2" | cmp - "$1"; }

: >err
dd if=/dev/urandom of=big bs=1024 count=3072 2>/dev/null
printf 'an odd tail' >>big
for size in 0 1 3 65535 65536 65537; do
	head -c $size big >in.$size
done

echo 'TAP version 13'

# ---- sizes and operations

for size in 0 1 3 65535 65536 65537; do
	streams "echo: $size bytes" "in.$size" --op echo
	ok "echo: $size bytes are the same" cmp "in.$size" result
done
streams 'an empty input is no message' in.0
ok 'an empty input: 0 messages' [ "$(field messages)" = 0 ]
streams '65537 bytes' in.65537
ok '65537 bytes are 2 messages' [ "$(field messages)" = 2 ]

for op in echo xor-u8:0xa5 xor-u8:165 add-f32:1.5 add-f32:-3e38; do
	streams "$op: several MiB" big --op $op
	mv result "result.$op"
done
ok 'echo changes nothing' cmp big result.echo
ok 'xor-u8 takes hexadecimal and decimal' cmp result.xor-u8:0xa5 result.xor-u8:165
run -i result.xor-u8:0xa5 -o twice --op xor-u8:0xa5
ok 'xor twice is the original' cmp big twice
ok 'xor once is not' sh -c '! cmp -s big result.xor-u8:0xa5'
head -c 40000 /dev/zero >zeros
i=0
while [ $i -lt 100 ]; do
	printf '\000\000\200\077'
	i=$((i + 1))
done >ones.400
i=0
while [ $i -lt 100 ]; do
	cat ones.400
	i=$((i + 1))
done >ones
run -i zeros -o result --op add-f32:1
ok 'add-f32: 0 + 1 = 1' cmp ones result
head -c 7 zeros >seven
run -i seven -o result --op add-f32:1
{ head -c 4 ones; head -c 3 zeros; } >expected
ok 'add-f32 leaves an odd tail alone' cmp expected result
streams 'add-f32: messages of odd size' big --op add-f32:0.1 --message 10007

# ---- pipes

timeout $LIMIT sh -c 'cat big | "$1" --transport "$2" --op xor-u8:1 --verify 2>err |
	"$1" --transport "$2" --op xor-u8:1 --verify 2>err2 | cmp - big' - "$STREAM" "$T" >/dev/null
ok 'a pipeline of two is the original' [ $? = 0 ]
timeout $LIMIT sh -c '(head -c 10 big; sleep 0.3; cat in.65537; sleep 0.3; head -c 3 big) |
	"$1" --transport "$2" --verify >result 2>err' - "$STREAM" "$T"
ok 'a pipe that stutters' [ $? = 0 ]
{ head -c 10 big; cat in.65537; head -c 3 big; } >expected
ok 'a pipe that stutters: all of it' cmp expected result
timeout $LIMIT sh -c '"$1" --transport "$2" -i big 2>err; echo $? >status' - "$STREAM" "$T" |
	head -c 10 >result
ok 'a reader that leaves: status 1' [ "$(cat status)" = 1 ]
ok 'a reader that leaves: in words' says 'cannot write -: Broken pipe'

# ---- windows, depths, arenas, waiting

streams 'depth 1' big --depth 1
streams 'depth 2, window 1' big --depth 2 --window 1
streams 'window 4' big --window 4
streams 'window of the whole depth' big --depth 64 --window 64 --message 4096
streams 'arenas of one message' big --input-arena 65536 --output-arena 64K
streams 'arenas of one message and a bit' big --input-arena 65600 --output-arena 98304 --op xor-u8:7
streams 'tiny output arena' big --input-arena 1M --output-arena 4096 --message 4096
streams 'odd messages in odd arenas' big --input-arena 64064 --output-arena 20032 --message 20011 \
	--window 3 --op add-f32:2
streams 'sleeping at once' big --spin off --depth 2
ok 'sleeping at once: it slept' [ "$(field sleeps)" -gt 0 ]
streams 'busy' big --spin 30000000 --timeout 60 --message 4096
# over memfd each half may ask the kernel once a millisecond whether its peer lives
questions=0
[ "$T" != memfd ] || questions=$(awk "BEGIN { print int($(field seconds) * 4000) + 4 }")
ok 'busy: under 0.01 system calls a message' \
	[ "$(field messages)" -gt "$((($(field syscalls) - questions) * 100))" ]

# ---- what describes the queue

streams 'region version 2.0' big --region-version 2.0
ok 'region version 2.0: reported' [ "$(field region_version)" = 2.0 ]
streams 'region version 3.0' big --region-version 3.0 --op xor-u8:3
ok 'region version 3.0: reported' [ "$(field region_version)" = 3.0 ]
streams 'SPSQ binding' big --binding spsq:0x807060504030201:42 --op xor-u8:9
ok 'SPSQ binding: reported' [ "$(field binding)" = spsq ]
streams 'L3Q2 binding' big --binding l3q2
ok 'L3Q2 binding: reported' [ "$(field binding)" = l3q2 ]
refuses 'a binding that is none' 2 'not l3q2 or spsq' -i big --binding spsk
refuses 'a session without a transaction' 2 'two numbers' -i big --binding spsq:7
refuses 'a session below 0' 2 'two numbers' -i big --binding spsq:-7:1
refuses 'a transaction of more than 64 bits' 2 'a number' -i big --binding spsq:7:99999999999999999999
refuses 'a transaction of 0' 2 'not 0' -i big --binding spsq:7:0
ok 'no tag: none reported' sh -c '! grep -q " tag=" err'
refuses 'region version 4.0' 2 'region-version 4.0: not 2.0 or 3.0' -i big --region-version 4.0
refuses 'an empty tag' 2 'not 1 to 31 printable' -i big --tag ''
refuses 'a tag of 32 characters' 2 'not 1 to 31 printable' -i big --tag 0123456789012345678901234567890x
refuses 'a tag with a tab' 2 'not 1 to 31 printable' -i big --tag "$(printf 'a\tb')"
if [ "$T" = external ]; then
	refuses 'external memory has no tag' 2 'needs the driver or memfd' -i big --tag x
else
	streams 'a tag' big --tag 'job 7, 31 characters, no more !'
	ok 'a tag: reported at the end' says ' tag=job 7, 31 characters, no more !$'
fi

# shown: the worker's end has the tag in /proc, where the driver says so
shown() {
	tries=0
	while ! grep -qs 'l3l2q-tag:.job-8$' /proc/$worker/fdinfo/*; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		sleep 0.1
	done
}
case $T in
memfd | external) ;;
*)
	listens
	feeds
	"$STREAM" --transport "$T" --connect sock --tag job-8 -i fifo -o result >out 2>err &
	l3=$!
	pids="$pids $l3"
	ok "a tag: shown of the worker's end" shown
	kill -TERM $l3
	wait $l3
	kill $feeder 2>/dev/null
	wait $worker
	;;
esac

# ---- a worker of one's own

# named: the process that L3 has started has the program's name
named() {
	for status in /proc/[0-9]*/status; do
		grep -qs "^PPid:.$l3\$" "$status" && grep -s '^Name:' "$status"
	done | grep -q 'l3l2q-stream$'
}
mkfifo slow
"$STREAM" --transport "$T" -i slow -o answer --message 1 >out 2>err &
l3=$!
pids="$pids $l3"
exec 3>slow
echo >&3
# Once there is an answer the worker has started.
while [ ! -s answer ] && kill -0 $l3 2>/dev/null; do
	sleep 0.1
done
ok 'the worker: its name' named
exec 3>&-
wait $l3

listens
streams 'a worker that listened' big --connect sock --op xor-u8:9
wait $worker
ok 'a worker that listened: its status' [ $? = 0 ]
if [ "$T" = memfd ] && setsid unshare -Urpf true 2>/dev/null; then
	# One of another PID namespace has no pid.
	listens
	timeout $LIMIT setsid unshare -Urpf "$STREAM" --transport "$T" -i big -o result \
		--connect sock --kill-worker-after 1 >out 2>err
	[ $? = 1 ] && says 'it has no pid here'
	verdict $? 'a worker without a pid is not killed'
	wait $worker
fi
if command -v perl >/dev/null; then
	# One whose words move a terminal's cursor.
	perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) or die;
		bind(S, sockaddr_un("sock.tmp")) or die; listen(S, 1) or die;
		rename("sock.tmp", "sock") or die; accept(C, S) or die;
		syswrite(C, pack("LL", 3, 0) . "\e[31mred\n" x 100); 1 while sysread(C, $_, 1 << 16)' &
	pids="$pids $!"
	listened
	run -i big -o result --connect sock
	[ $st = 3 ] && says 'says: .*?.31mred?' && ! grep -q "$(printf '\033')" err
	verdict $? 'words of a worker are printable'
	rm -f sock
fi
refuses 'nobody listens' 3 'no worker at sock' -i big --connect sock

# a killed one leaves its socket, which the next one takes over; not so that of a live one
"$STREAM" --listen sock 2>err.worker &
worker=$!
pids="$pids $worker"
tries=0
while [ ! -S sock ] && [ $tries -lt 300 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
timeout $LIMIT "$STREAM" --listen sock >out 2>err
ok 'a second worker at the same socket: status 1' [ $? = 1 ]
ok 'a second worker at the same socket: in words' says 'sock: another process listens there'
kill -9 $worker
wait $worker
ok 'a killed worker leaves its socket' [ -S sock ]
timeout $LIMIT "$STREAM" --listen sock 2>err.worker &
worker=$!
pids="$pids $worker"
tries=0
run -i big -o result --connect sock --verify
while [ $st = 3 ] && [ $tries -lt 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
	run -i big -o result --connect sock --verify
done
ok 'the next worker takes it over' [ $st = 0 ]
wait $worker
ok 'the next worker: its status' [ $? = 0 ]
: >plain-file
timeout $LIMIT "$STREAM" --listen plain-file >out 2>err
ok 'a file that is no socket stays: status 1' [ $? = 1 ]
ok 'a file that is no socket stays' [ -f plain-file ]

listens
feeds
"$STREAM" --transport "$T" --connect sock -i fifo -o result >out 2>err &
l3=$!
pids="$pids $l3"
ok 'L3 killed: it was at work' at_least result 3000000
kill -9 $l3
kill $feeder
wait $worker
ok 'L3 killed: the worker ends with status 3' [ $? = 3 ]

# ---- a worker that dies

run -i big -o result --kill-worker-after 20
ok 'worker killed: status 3' [ $st = 3 ]
ok 'worker killed: by what, and when' says 'worker (pid [0-9]*) was killed by signal 9 (Killed) after [0-9]* messages'
if [ "$T" != external ]; then
	ok 'worker killed: what the queue says' says 'queue reports: .*REMOTE_ABORTED'
fi
ok 'worker killed: summary' [ "$(field result)" = killed ]
ok 'worker killed: what came before is right' is_prefix result big
if [ "$T" = memfd ] || [ "$T" = external ]; then
	refuses '--abort-eventfd is of the driver' 1 'needs the driver' -i big --abort-eventfd
else
	run -i big -o result --kill-worker-after 20 --abort-eventfd
	ok 'abort eventfd: status 3' [ $st = 3 ]
	ok 'abort eventfd: signalled' [ "$(field abort)" = eventfd ]
	streams 'abort eventfd: no abort' big --abort-eventfd
	ok 'abort eventfd: not signalled' [ "$(field abort)" = none ]
	streams 'abort eventfd: sleeping at once' big --abort-eventfd --spin off
fi

# ---- Ctrl-C

# interrupt SIGNAL: while the input waits for more
interrupt() {
	feeds
	"$STREAM" --transport "$T" -i fifo -o result >out 2>err &
	l3=$!
	pids="$pids $l3"
	at_least result 3000000
	kill -"$1" $l3
	wait $l3
	st=$?
	kill $feeder 2>/dev/null
}

for sig in INT TERM; do
	interrupt $sig
	ok "SIG$sig: status 130" [ $st = 130 ]
	ok "SIG$sig: reported so" [ "$(field result)" = interrupted ]
	ok "SIG$sig: the worker ended well" [ "$(field sides)" = 2 ]
	ok "SIG$sig: nothing that was read is lost" cmp big result
done

# while everything is at work
rm -f fifo result
mkfifo fifo
(while cat zeros; do sleep 0.01; done) >fifo 2>/dev/null &
feeder=$!
"$STREAM" --transport "$T" -i fifo -o result --op add-f32:1 --verify --message 4K >out 2>err &
l3=$!
pids="$pids $feeder $l3"
at_least result 200000
kill -INT $l3
wait $l3
ok 'SIGINT at work: status 130' [ $? = 130 ]
kill $feeder 2>/dev/null
ok 'SIGINT at work: nothing was lost' [ "$(field bytes)" = "$(wc -c <result)" ]
ok 'SIGINT at work: and it is right' sh -c 'head -c 40000 result | cmp - ones'

# nobody reads the output, so that the first signal cannot be enough
rm -f fifo
mkfifo fifo
sleep 60 <fifo >/dev/null 2>&1 &
reader=$!
"$STREAM" --transport "$T" -i big -o fifo >out 2>err &
l3=$!
pids="$pids $reader $l3"
sleep 1
kill -INT $l3
sleep 0.5
ok 'first SIGINT waits for the output' kill -0 $l3
kill -INT $l3
wait $l3
ok 'second SIGINT: status 130' [ $? = 130 ]
ok 'second SIGINT: aborted' says '^[^ ]*: aborted'
kill $reader 2>/dev/null

# ---- what cannot be

refuses 'no such input' 1 'cannot open nowhere: No such file' -i nowhere -o result
refuses 'input is a directory' 1 'Is a directory' -i . -o result
refuses 'no such output directory' 1 'cannot open no/where: No such file' -i big -o no/where
cp big same
refuses 'output is the input' 1 'is the input' -i same -o same
ok 'output is the input: untouched' cmp big same
if [ -c /dev/full ]; then
	refuses 'device full' 1 'cannot write /dev/full: No space' -i big -o /dev/full
	timeout $LIMIT "$STREAM" --help >/dev/full 2>err
	ok '--help: device full' [ $? = 1 ]
fi
# A descriptor of the queue is no stream in their place.
run <&-
[ $st = 1 ] && says 'cannot read -: Bad file descriptor'
verdict $? 'standard input is closed'
timeout $LIMIT "$STREAM" --transport "$T" -i big >&- 2>err
[ $? = 1 ] && says 'cannot write -: Bad file descriptor'
verdict $? 'standard output is closed'
refuses 'unknown option' 2 'help' --frobnicate
refuses 'argument that is no option' 2 'not expected' big
refuses 'unknown operation' 2 'not echo, xor-u8' -i big --op sqrt
refuses 'byte too large' 2 'not echo, xor-u8' -i big --op xor-u8:256
refuses 'scalar that is none' 2 'not echo, xor-u8' -i big --op add-f32:nan
refuses 'message of no bytes' 2 'must not be zero' -i big --message 0
refuses 'message of no number' 2 'not a number' -i big --message 4X
refuses 'message larger than the input arena' 2 'input-arena 65536: a message of 131072 bytes does not fit' \
	-i big --message 128K --input-arena 64K
refuses 'message larger than the output arena' 2 'output-arena 65536: a message of 131072 bytes does not fit' \
	-i big --message 128K --output-arena 64K
refuses 'arena too large for anybody' 2 'too large' -i big --input-arena 99999999999999G
refuses 'arena that is no multiple of 64' 2 'input-arena 65537: not a multiple of 64' -i big --input-arena 65537
refuses 'depth 3' 2 'depth 3: must be a power of two, from 1 to 2^30' -i big --depth 3
refuses 'depth 0' 2 'depth 0: must be a power of two' -i big --depth 0
refuses 'window larger than depth' 2 'window 3: must be 1 ... depth (2)' -i big --depth 2 --window 3
refuses 'a number that is too large' 2 'too large: at most 4294967295' -i big --depth 4294967296
refuses 'window 0' 2 '1 ... depth' -i big --window 0
refuses 'time-out 0' 2 'must not be zero' -i big --timeout 0
T=telepathy refuses 'unknown transport' 2 'telepathy' -i big
T=driver:/dev/nowhere refuses 'no device node' 1 '/dev/nowhere: No such file' -i big -o result
refuses 'verify finds what differs' 1 'first mismatch at byte 0: ' -i big -o result --op echo --verify=xor-u8:1
run -i zeros -o result --op add-f32:1 --verify=add-f32:1.0000001
[ $st = 1 ] && says 'first mismatch at byte 0: 0x00 is there, 0x01 is right'
verdict $? 'verify finds one bit of a float'
run --help
[ $st = 0 ] && grep -q -- --kill-worker-after out
verdict $? '--help'
run --version
[ $st = 0 ] && grep -q '^l3l2q-stream [0-9]' out
verdict $? '--version'

echo "1..$n"
[ $bad = 0 ]
