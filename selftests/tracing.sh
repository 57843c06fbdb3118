#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The scripts of examples/trace over a stream, as TAP: in a guest that has /tracers.tar, of
# vm/pack_programs.sh, with perf and trace-cmd.

[ -e /tracers.tar ] || { echo '1..0 # SKIP no perf and trace-cmd for this guest'; exit 0; }
# with the debugging options on it takes minutes, and drv_trace has looked at every event
[ "$L3L2Q_VARIANT" != guest-debug ] || { echo '1..0 # SKIP slow on this kernel'; exit 0; }
[ -e /sys/kernel/tracing/events/l3l2q ] || { echo '1..0 # SKIP no tracefs'; exit 0; }

tmp=$(mktemp -d) || exit 1
# shellcheck disable=SC2317
clean_up() {
	(cd / && tar -tf /tracers.tar | xargs rm -f)
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP
tar -C / -xf /tracers.tar || exit 1
export HOME="$tmp"
n=0

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		head -n 40 "$tmp/err" "$tmp/trace" | sed 's/^/# /'
		echo "not ok $n $2"
	fi
}

# has EVENT...: the trace has each of them
has() {
	for e; do
		grep -q "$e:" "$tmp/trace" || { echo "no $e" >>"$tmp/err"; return 1; }
	done
}

head -c 100000 /dev/urandom >"$tmp/in"
# a message at a time, so that each side sleeps
stream="l3l2q-stream --transport driver --depth 1 --window 1 --message 1024 --spin off --op xor-u8:3 --verify
	-i $tmp/in -o $tmp/out"

# timeline: count what timeline.sh would draw of the trace's region, as "KIND ROW" in $tmp/marks. A
# script in gnuplot's place prints the files that it is told to plot.
mkdir "$tmp/bin"
cat >"$tmp/bin/gnuplot" <<'END'
#!/bin/sh
for file in $(grep -o "'/[^']*' using" | cut -d "'" -f 2); do
	sed "s/^/${file##*/} /" "$file"
done
END
chmod 755 "$tmp/bin/gnuplot"
timeline() {
	region=$(sed -n 's/.*l3l2q_create:.*region=\([0-9]*\) .*/\1/p' "$tmp/trace" | head -n 1)
	PATH=$tmp/bin:$PATH sh /trace/timeline.sh "$region" "$tmp/trace" 2>"$tmp/err" >"$tmp/drawn" || return
	awk '{ print $1, $3 }' "$tmp/drawn" | sort | uniq -c >"$tmp/marks"
}
# draws KIND...: each of them is there for both sides
draws() {
	for mark; do
		grep -q " $mark 1\$" "$tmp/marks" && grep -q " $mark 2\$" "$tmp/marks" ||
			{ cat "$tmp/marks" >"$tmp/err"; return 1; }
	done
}

echo 'TAP version 13'
echo 1..7

# shellcheck disable=SC2086
timeout 120 /trace/trace-cmd.sh "$tmp/trace" $stream >"$tmp/err" 2>&1
verdict $? 'trace-cmd.sh'
has l3l2q_create l3l2q_open_peer l3l2q_attach l3l2q_end l3l2q_free
verdict $? 'trace-cmd shows the life of the region'
grep -q 'l3l2q_create: *region=[1-9][0-9]* role=L3 backend=0 depth=' "$tmp/trace"
verdict $? 'and prints fields as the kernel does'
timeline && draws sleep
verdict $? 'timeline.sh draws sleeps of both sides from it'

# shellcheck disable=SC2086
PROBES=$(command -v l3l2q-stream) timeout 120 /trace/perf.sh "$tmp/trace" $stream >"$tmp/err" 2>&1
verdict $? 'perf.sh'
if grep -q sdt_l3l2q "$tmp/trace" || grep -qa stapsdt "$(command -v l3l2q-stream)"; then
	marks='send receive sleep'
	has l3l2q_create l3l2q_attach l3l2q_free 'sdt_l3l2q:publish[_0-9]*' 'sdt_l3l2q:peek[_0-9]*'
else
	marks=sleep
	has l3l2q_create l3l2q_attach l3l2q_free
fi
verdict $? 'perf shows tracepoints and probes'
# shellcheck disable=SC2086
timeline && draws $marks
verdict $? 'timeline.sh draws what both sides did from it'
