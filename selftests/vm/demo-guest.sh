#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The second part of "make demo", in a guest (run.sh --script --no-load): insmod,
# then /input through a queue of the driver, from user l3 to user l2 and back; and
# the third, in demo-npu.sh, to an NPU.

# shellcheck shell=dash disable=SC2034
input=/input transport=driver
dir=/tmp/demo
mkdir -m 777 $dir || exit 1
umask 0

# shellcheck source=selftests/vm/demo-lib.sh
. /demo-lib.sh

as() {
	user=$1
	shift
	su -s /bin/sh "$user" -c "umask 0; exec $*"
}

l3() {
	if [ -S $dir/sock ]; then
		as l3 "$@" --connect $dir/sock
	else
		as l3 "$@"
	fi
}

l2_listens() {
	as l2 l3l2q-stream --listen $dir/sock &
	tries=0
	while [ ! -S $dir/sock ] && [ $tries -lt 200 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
}

# refused USER TEXT: in words
refused() {
	as "$1" l3l2q-stream -i $input -o /dev/null 2>$dir/err && die 'it was not refused'
	sed 's/^/  /' $dir/err
	grep -q "$2" $dir/err || die "it did not say \"$2\""
}

say
say "== $(wc -c <$input) bytes through /dev/l3l2q, in a guest with kernel $(uname -r)"
say "   $(uname -m), $(nproc) CPUs"
say
say 'Without the module:'
refused l3 'is the l3l2q module loaded'
load-module || die 'insmod failed'
say
say 'insmod l3l2q.ko:'
# shellcheck disable=SC2012
ls -l /dev/l3l2q | sed 's/^/  /'
say
say 'A user who is not in the group:'
refused mallory 'ermission'
say
say "L3 is $(as l3 id -un), L2 is $(as l2 id -un), who opens no device: it is handed its end."
all_jobs
killed --abort-eventfd
[ "$(field abort)" = eventfd ] || die 'the abort did not come as an eventfd signal'
table
# shellcheck source=selftests/vm/demo-npu.sh
. /demo-npu.sh
demo_npu npu0
say
rmmod l3l2q || die 'rmmod failed'
say 'rmmod l3l2q: nothing is left.'
