#!/bin/sh
# SPDX-License-Identifier: MIT
#
# timeline.sh REGION [TRACE] >FILE.svg
#
# Draws when both sides of a queue sent, received and slept, from a trace as "perf script",
# "trace-cmd report" or /sys/kernel/tracing/trace have it. REGION is the id that l3l2qctl list
# shows. Sends and receives come from the library's probes publish and peek and, of programs that
# use NOTIFY, from l3l2q:l3l2q_notify; sleeps from the probes sleep and wake and from
# l3l2q:l3l2q_wait_begin and _end. Needs gnuplot.

set -eu

case $# in
1 | 2) ;;
*)
	echo "usage: $0 REGION [TRACE] >FILE.svg" >&2
	exit 2
	;;
esac
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
: >"$tmp/send"
: >"$tmp/receive"
: >"$tmp/sleep"

# send and receive: time, row. sleep: from, row, to. Times in us since the first event; L3 is row 2.
awk -v region="$1" -v dir="$tmp" '
	# "sdt_l3l2q:publish_1:" is publish
	function event_name(word) {
		sub(/:$/, "", word)
		sub(/.*:/, "", word)
		sub(/^l3l2q_/, "", word)
		sub(/_[0-9]+$/, "", word)
		return word
	}
	# one message more than before: the same number again is no message
	function moved(what, value) {
		if (what in last && last[what] == value)
			return 0
		last[what] = value
		return value != 0
	}
	{
		at = 0
		for (i = 1; i < NF && !at; i++)
			if ($i ~ /^[0-9]+\.[0-9]+:$/)
				at = i
		if (!at || $1 ~ /^#/)
			next
		name = event_name($(at + 1))
		split("", field)
		for (i = at + 2; i <= NF; i++)
			if ((n = index($i, "=")) > 1)
				field[substr($i, 1, n - 1)] = substr($i, n + 1)
		# perf numbers the arguments of a probe
		id = "region" in field ? field["region"] : field["arg1"]
		if (id != region)
			next
		role = "role" in field ? field["role"] : field["arg2"]
		row = role == "L3" || role == "0" ? 2 : 1
		value = "value" in field ? field["value"] : field["arg3"]
		if (!events++)
			first = $at + 0
		time = ($at - first) * 1000000
		if (name == "publish" && moved("sent" row, value))
			printf "%.3f %d\n", time, row >(dir "/send")
		else if (name == "notify" && field["offset"] == (row == 2 ? 0 : 128) && moved("sent" row, value))
			printf "%.3f %d\n", time, row >(dir "/send")
		else if (name == "peek" && moved("received" row, value))
			printf "%.3f %d\n", time, row >(dir "/receive")
		else if (name == "notify" && field["offset"] == (row == 2 ? 192 : 64) && moved("received" row, value))
			printf "%.3f %d\n", time, row >(dir "/receive")
		else if ((name == "sleep" || name == "wait_begin") && !depth[row]++)
			since[row] = time
		else if ((name == "wait_end" || (name == "wake" && !("armed" in field))) && depth[row] && !--depth[row])
			printf "%.3f %d %.3f\n", since[row], row, time >(dir "/sleep")
	}
	END {
		if (!events) {
			print "no event of region " region > "/dev/stderr"
			exit 1
		}
	}' "${2:--}"

# gnuplot wants something to plot in each file
for f in send receive; do
	[ -s "$tmp/$f" ] || echo 'NaN NaN' >"$tmp/$f"
done
[ -s "$tmp/sleep" ] || echo 'NaN NaN NaN' >"$tmp/sleep"

gnuplot <<END
set terminal svg size 1000,260 font 'sans,12' background '#ffffff'
set title 'region $1'
set xlabel 'us'
set ytics ('L2' 1, 'L3' 2)
set yrange [0.4:2.6]
set key outside top right
set style fill solid 0.35 noborder
plot '$tmp/sleep' using 1:2:1:3:(\$2-0.25):(\$2+0.25) with boxxyerror lc rgb '#888888' title 'asleep', \
	'$tmp/send' using 1:(\$2+0.1) with points pt 9 lc rgb '#1f77b4' title 'sends', \
	'$tmp/receive' using 1:(\$2-0.1) with points pt 11 lc rgb '#d62728' title 'receives'
END
