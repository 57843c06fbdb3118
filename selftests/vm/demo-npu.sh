# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2154,SC2034,SC2317
#
# The third part of "make demo", for demo-guest.sh, with the module loaded: the
# same file to an NPU, which is l3l2q-npusim outside the guest, through a PCI window.

transport=pci
l2_listens() { :; }

npu_row() {
	printf '%-22s %8s %10s %8.3f %8s %9s %9s %7s %10s %9s %6s %9s\n' "$1" "$(field messages)" \
		"$(field bytes)" "$(field seconds)" "$(field rate_mib_s)" "$(field rtt_p50_us)" \
		"$(field rtt_p99_us)" "$(field sleeps)" "$(field interrupts)" "$(field doorbells)" \
		"$(field timer_ticks)" "$(field npu_rings)" >>"$rows"
}

npu_table() {
	printf '\n%-22s %8s %10s %8s %8s %9s %9s %7s %10s %9s %6s %9s\n' 'to an NPU over pci' \
		messages bytes seconds MiB/s 'p50 us' 'p99 us' sleeps interrupts doorbells ticks \
		'NPU rings'
	cat "$rows"
	say 'sleeps: of L3. ticks: of the timer that looks for it, if the NPU is silent.'
	say 'one by one: there is one message on its way, and the NPU takes 1000 us for it.'
}

npu_stream() {
	name=$1
	row() { npu_row "$@"; }
	stream "$@"
}

# rang: L3 was told by interrupts if it slept, and never by the timer. An interrupt counts
# where it finds a sleeper, so there may be none in a run where L3 always had work.
rang() {
	case $name in
	'one by one'*) [ "$(field interrupts)" -gt 0 ] || die 'no interrupt came' ;;
	esac
	[ "$(field doorbells)" -gt 0 ] || die 'the NPU was not rung'
	[ "$(field timer_ticks)" = 0 ] || die 'the timer ran although the NPU rings'
}

silent() {
	[ "$(field interrupts)$(field doorbells)$(field npu_rings)" = 000 ] || die 'somebody rang'
}

npu_jobs() {
	mode=$1 check=$2
	shift 2
	npu_stream "echo, $mode" "$input" "$dir/echo" --op echo "$@"
	$check
	cmp "$input" "$dir/echo" || die 'echo changed something'
	npu_stream "xor-u8, $mode" "$input" "$dir/xor" --op xor-u8:0x5a "$@"
	$check
	cmp -s "$input" "$dir/xor" && die 'xor changed nothing'
	npu_stream "add-f32, $mode" "$input" "$dir/add" --op add-f32:1.5 --binding spsq:7:42 "$@"
	$check
	npu_stream "one by one, $mode" "$input" "$dir/echo" --op echo --depth 1 --spin off \
		--npu-delay 1000 "$@"
	$check
	[ "$(field sleeps)" -gt 0 ] || die 'L3 never slept'
	cmp "$input" "$dir/echo" || die 'echo changed something'
}

# unplugged ID: QEMU takes the function away, in the middle of a stream
unplugged() {
	say
	say "QEMU unplugs the NPU in mid-stream (device_del $1):"
	as l3 l3l2q-stream --transport pci --peer npu -i "$input" -o "$dir/cut" --npu-delay 50000 \
		--npu-unplug "20:$1" 2>"$dir/err"
	st=$?
	sed -n 's/^l3l2q-stream: /  /p' "$dir/err"
	[ $st = 4 ] || die "exit status $st, not 4"
	grep -q 'the NPU was unplugged' "$dir/err" || die 'it was not reported as an unplug'
	head -c "$(wc -c <"$dir/cut")" "$input" | cmp - "$dir/cut" || die 'what came before is wrong'
	say "  exit status 4; the $(wc -c <"$dir/cut") bytes written until then are right"
	tries=0
	while [ -e "$npu_device" ] && [ $tries -lt 200 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
	[ ! -e "$npu_device" ] || die 'the function is still there'
	say 'Without an NPU:'
	as l3 l3l2q-stream --transport pci --peer npu -i "$input" -o "$dir/none" 2>"$dir/err" &&
		die 'it streamed to nowhere'
	sed 's/^/  /' "$dir/err"
	say 'and /dev/l3l2q goes on with RAM:'
	transport=ram
	row() { :; }
	stream 'echo' "$input" "$dir/echo" --op echo
}

# demo_npu ID
demo_npu() {
	npu_device=$(readlink -f /sys/bus/pci/drivers/l3l2q/0*)
	[ -e "$npu_device" ] || die 'the driver found no NPU'
	: >"$rows"
	say
	say "== the same bytes to an NPU, over PCI: l3l2q-npusim, a program outside this guest"
	say "   $(basename "$npu_device"): $(cat "$npu_device/vendor" "$npu_device/device" | xargs)," \
		"window of $(($(stat -c %s "$npu_device/resource2") >> 20)) MiB," \
		"$(find "$npu_device/msi_irqs/" -type f | wc -l) interrupts"
	say
	say 'Doorbells: the NPU sleeps until it is rung, L3 until an interrupt.'
	npu_jobs ringing rang --peer npu
	say
	say 'A silent NPU loads and stores, and nothing else.'
	npu_jobs silent silent --peer npu --silent
	npu_table
	unplugged "$1"
}
