# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2154,SC2119,SC2120
#
# For demo-native.sh and demo-guest.sh, under dash and busybox. They set $input,
# $dir (to write to) and $transport, and define l3 COMMAND... and l2_listens,
# which leaves a worker in the background at $dir/sock, or nothing.

rows=$dir/rows

say() { printf '%s\n' "$*"; }
die() {
	say "demo: $*"
	exit 1
}

# field NAME: of the last summary line
field() { sed -n "s/.*\\(^\\| \\)$1=\\([^ ]*\\).*/\\2/p" "$dir/err" | tail -n 1; }

row() {
	printf '%-22s %8s %10s %8.3f %8s %9s %9s %9s %7s %7s %9s\n' "$1" "$(field messages)" \
		"$(field bytes)" "$(field seconds)" "$(field rate_mib_s)" "$(field rtt_p50_us)" \
		"$(field rtt_p90_us)" "$(field rtt_p99_us)" "$(field sleeps)" "$(field kicks)" \
		"$(field syscalls_per_message)" >>"$rows"
}

table() {
	printf '\n%-22s %8s %10s %8s %8s %9s %9s %9s %7s %7s %9s\n' "over $transport" messages \
		bytes seconds MiB/s 'p50 us' 'p90 us' 'p99 us' sleeps kicks calls/msg
	cat "$rows"
	say 'p50, p90, p99: round trips, with as many messages on their way as there is room for.'
	say 'calls/msg: system calls of both sides on the path of messages, for each of them.'
}

# stream NAME INPUT OUTPUT OPTION...: one run, each byte of it verified
stream() {
	name=$1 from=$2 to=$3
	shift 3
	rm -f "$to"
	l2_listens
	if ! l3 l3l2q-stream --transport "$transport" --verify -i "$from" -o "$to" "$@" \
		2>"$dir/err"; then
		cat "$dir/err"
		die "$name failed"
	fi
	[ "$(field bytes)" = "$(wc -c <"$from")" ] || die "$name: not all bytes came back"
	say "  $name: $(field messages) messages there and back, every byte as computed independently"
	row "$name"
}

# few_calls: the last run made under 0.01 system calls a message. Over memfd each half
# may also ask the kernel once a millisecond whether its peer lives.
few_calls() {
	per_second=0
	[ "$transport" != memfd ] || per_second=4000
	awk "BEGIN {
		questions = $per_second * ($(field seconds) + 0.001)
		exit !($(field syscalls) - questions < 0.01 * $(field messages))
	}" || die "$(field syscalls) system calls for $(field messages) messages although both sides were busy"
}

# The same three jobs, and one message at a time; MODE is for the names.
jobs() {
	mode=$1
	shift
	stream "echo, $mode" "$input" "$dir/echo" --op echo "$@"
	after "$@"
	cmp "$input" "$dir/echo" || die 'echo changed something'
	stream "xor-u8, $mode" "$input" "$dir/xor" --op xor-u8:0x5a "$@"
	after "$@"
	stream "xor-u8 again, $mode" "$dir/xor" "$dir/twice" --op xor-u8:0x5a "$@"
	after "$@"
	cmp -s "$input" "$dir/xor" && die 'xor changed nothing'
	cmp "$input" "$dir/twice" || die 'xor twice is not the original'
	say '  xor twice is the original, says cmp'
	stream "add-f32, $mode" "$input" "$dir/add" --op add-f32:1.5 "$@"
	after "$@"
	stream "SPSQ binding, $mode" "$input" "$dir/echo" --op echo --binding spsq:0x0807060504030201:42 "$@"
	after "$@"
	[ "$(field binding)" = spsq ] || die 'the queue was described by another binding'
	stream "one by one, $mode" "$input" "$dir/echo" --op echo --depth 1 "$@"
	after "$@"
}

after() {
	case "$*" in
	*'--spin off'*) [ "$(field sleeps)" -gt 0 ] || die 'nobody slept' ;;
	*) few_calls ;;
	esac
}

all_jobs() {
	: >"$rows"
	say
	say 'Both sides busy: neither sleeps, each looks for work all the time.'
	jobs busy --spin 30000000 --timeout 60
	say
	say 'Both sides sleep whenever there is nothing to do.'
	jobs sleeping --spin off
}

# killed OPTION...: a worker that is killed half-way
killed() {
	half=$(($(field messages) / 2))
	say
	say "A worker that gets SIGKILL after $half messages:"
	l3 l3l2q-stream --transport "$transport" -i "$input" -o "$dir/killed" \
		--kill-worker-after $half "$@" 2>"$dir/err"
	st=$?
	sed -n 's/^l3l2q-stream: /  /p' "$dir/err"
	[ $st = 3 ] || die "exit status $st, not 3"
	grep -q 'was killed by signal 9' "$dir/err" || die 'it was not reported as killed'
	head -c "$(wc -c <"$dir/killed")" "$input" | cmp - "$dir/killed" ||
		die 'what came before is wrong'
	say "  exit status 3; the $(wc -c <"$dir/killed") bytes written until then are right"
}
