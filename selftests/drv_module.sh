#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The module's life: parameters are documented, and loading, using and removing
# it 200 times leaves neither messages nor memory behind. In the guest, as root:
# L3L2Q_KO is the module, and drv_module, which uses it, lies next to this.

cd "$(dirname "$0")" || exit 1
# A debug kernel takes seconds for each round, holds on to what was freed, and
# scans for leaks itself.
case ${L3L2Q_VARIANT-} in
*debug*) debug=1 rounds=${L3L2Q_ROUNDS:-40} warm=10 ;;
*) debug=0 rounds=${L3L2Q_ROUNDS:-200} warm=20 ;;
esac
n=0
failed=0

ok() { n=$((n + 1)); echo "ok $n $1"; }
not_ok() {
	n=$((n + 1))
	failed=1
	echo "not ok $n $1"
	shift
	for l; do
		echo "# $l"
	done
}

loaded() { grep -q '^l3l2q ' /proc/modules; }
load() { load-module "$L3L2Q_KO"; }
unload() { rmmod l3l2q; }

echo 'TAP version 13'
if [ ! -e "$L3L2Q_KO" ]; then
	echo '1..0 # SKIP no module: L3L2Q_KO is not set'
	exit 4
fi
echo '1..7'

# Something small that maps, sleeps, wakes and closes
use() {
	./drv_module -r module.can_be_used >/tmp/use.log 2>&1
}

# A message that is not the loader's. Levels 0 to 4 are emergency to warning.
complaints() {
	dmesg -r | grep -E '^<[0-9]+>' | while IFS='>' read -r level text; do
		level=${level#<}
		if [ $((level % 8)) -le 4 ]; then
			case $text in
			*l3l2q:\ loading\ out-of-tree\ module*) ;;
			*l3l2q:\ module\ verification\ failed*) ;;
			*'hrtimer: interrupt took'*) ;;
			*clocksource*) ;;
			*) echo "$text" ;;
			esac
		fi
	done
}

# KiB that are free, those on the processors' own lists included, and KiB that the
# kernel holds for itself
free() {
	awk '/^MemFree:/ { s += $2 }
		$1 == "count:" { s += $2 * 4 }
		END { print s }' /proc/meminfo /proc/zoneinfo
}
held() {
	awk '/^(Slab|PageTables|KernelStack|Percpu|VmallocUsed):/ { s += $2 }
		END { print s }' /proc/meminfo
}

# ---- parameters

params=$(modinfo -p "$L3L2Q_KO" 2>/dev/null || modinfo "$L3L2Q_KO" | sed -n 's/^parm: *//p')
missing=
for p in $(strings "$L3L2Q_KO" | sed -n 's/^parmtype=\([^:]*\):.*/\1/p' | sort -u); do
	strings "$L3L2Q_KO" | grep -q "^parm=$p:..*" || missing="$missing $p"
done
if [ -z "$missing" ] && strings "$L3L2Q_KO" | grep -q '^parmtype='; then
	ok 'every parameter is documented'
else
	not_ok 'every parameter is documented' "without description:$missing" "$params"
fi

bad=
for k in license description author; do
	strings "$L3L2Q_KO" | grep -q "^$k=..*" || bad="$bad $k"
done
if [ -z "$bad" ]; then
	ok 'licence, description and author are there'
else
	not_ok 'licence, description and author are there' "missing:$bad"
fi

# What modinfo prints; without the kernel's dma-bufs there is nothing to import.
import=$(strings "$L3L2Q_KO" | grep '^import_ns=')
if [ "${import:-import_ns=DMA_BUF}" = import_ns=DMA_BUF ]; then
	ok 'the namespace is imported by its name'
else
	not_ok 'the namespace is imported by its name' "$import"
fi

# Loaded for nobody unasked, and depmod has nothing to complain about: a devname
# needs a fixed minor.
alias=$(strings "$L3L2Q_KO" | grep '^alias=')
if [ -z "$alias" ]; then
	ok 'the module has no aliases'
else
	not_ok 'the module has no aliases' "$alias"
fi

# ---- loading

loaded || load
if use; then
	ok 'a loaded module works'
else
	not_ok 'a loaded module works' "$(tail -n 5 /tmp/use.log)"
fi

# ---- again and again

# Messages so far were judged elsewhere.
dmesg -c >/dev/null
error=
round() {
	load || { error="insmod failed in round $i"; return 1; }
	use || { error="use failed in round $i: $(tail -n 3 /tmp/use.log)"; return 1; }
	unload || { error="rmmod failed in round $i"; return 1; }
}

unload || error='rmmod failed though nothing was open'
i=0
# until ROUND
rounds_to() {
	while [ -z "$error" ] && [ $i -lt "$1" ]; do
		i=$((i + 1))
		round
	done
	echo 3 >/proc/sys/vm/drop_caches
}

# The first rounds fill caches. What is lost with each round shows in every
# quarter of the others; noise does not.
rounds_to $warm
free=$(free) held=$(held)
for q in 1 2 3 4; do
	rounds_to $((warm + q * rounds / 4))
	free="$free $(free)" held="$held $(held)"
done
loaded || load

messages=$(complaints)
if [ -n "$error" ]; then
	not_ok "insmod, use and rmmod $rounds times without a message" "$error"
elif [ -n "$messages" ]; then
	not_ok "insmod, use and rmmod $rounds times without a message" "$messages"
else
	ok "insmod, use and rmmod $rounds times without a message"
fi

# least N...: the smallest step from one to the next
least() {
	echo "$@" | awk '{ m = $2 - $1
		for (i = 3; i <= NF; i++)
			if ($i - $(i - 1) < m) m = $i - $(i - 1)
		print m }'
}

# less than three quarters of a page for each round
limit=$((rounds * 3 / 4))
echo "# KiB free: $free; held by the kernel: $held"
# shellcheck disable=SC2086
lost=$(least $(for f in $free; do echo $((-f)); done)) grown=$(least $held)
if [ -z "$error" ] && [ $debug = 1 ]; then
	n=$((n + 1))
	echo "ok $n no memory is lost # SKIP a debug kernel keeps freed memory; the scan for leaks judges"
elif [ -z "$error" ] && [ "$lost" -lt $limit ] && [ "$grown" -lt $limit ]; then
	ok 'no memory is lost'
else
	not_ok 'no memory is lost' "$limit KiB or more in each quarter of $rounds rounds"
fi

exit $failed
