#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [options] [TEST...]
#
# Boots a guest under QEMU, runs TEST programs in it one by one and sums up
# their TAP, or runs one script with its output shown as it comes.
#
#   TEST                a static program or a script of ours, copied in; leading
#                       VAR=value words go to its environment, further words are
#                       its arguments: 'L3L2Q_TRANSPORT=driver build/proto_x -v'.
#                       WITH_MODULE=NAME[,P=V...] is not for it: NAME.ko, one of
#                       --module-file, is there while it runs
#   --kernel K          stock (default), debug, stock-arm64, or a result directory of
#                       kernel.sh; tests and modules have to be for its machine
#   --module 'F.ko [P=V...]'  copy to /lib/modules and insmod before the tests;
#                       group access for every /dev/l3l2q* (may be repeated)
#   --module-file F.ko  copy to /lib/modules for tests that insmod it themselves;
#                       NAME_KO in their environment is its path (may be repeated)
#   --npu ID[:SIZE[:ARGS]]  a PCI function with SIZE (default 64M) of NPU memory,
#                       and l3l2q-npusim with ARGS as the NPU behind it: a new one
#                       for each run (may be repeated). The guest can unplug it.
#                       With any there is an ivshmem-plain, too, which is not for us:
#                       64 KiB of 0xaa, to be left as they are
#   --disk SIZE         an NVMe disk of that size, empty, for O_DIRECT
#   --no-load           with --script: leave the insmod to the script, which may
#                       call load-module
#   --file SRC:DST      copy a file, keeping its mode (may be repeated)
#   --script FILE       run this in the guest instead of tests
#   --mem SIZE          guest memory; "big": 6G if the host has 12 GiB available
#   --timeout S         for each test (default 120)
#   --total S           for the whole guest (default 900)
#   --suite NAME        what the summary calls this run
#   --results FILE      append "NAME passed failed skipped"
#   --log DIR           where console and output go (default build/log/NAME)
#   --append ARGS       more kernel command line
#   --qemu ARG          one more argument for qemu (may be repeated)
#   --one-thread        emulate all processors in one thread. With more, QEMU 7.2 lets a
#                       processor go on by what no longer is: where tests take PCI
#                       functions away, by the old memory map, so that what it writes to
#                       its interrupt controller goes elsewhere; where they switch trace
#                       events, by a breakpoint that the kernel's text no longer has, for
#                       ever
#
# In the guest: users l3 and l2 (in group l3l2q), mallory (not in it); L3L2Q_KO
# names the module, L3L2Q_VARIANT is guest or guest-debug, L3L2Q_NPUS are the IDs.
# L3L2Q_ACCEL=tcg|kvm decides about KVM instead of the probe, NPUSIM=FILE is another
# l3l2q-npusim.
#
# On QEMU's monitor, which each l3l2q-npusim has, "device_del ID" unplugs a function.
# Once the guest has let go of it, these plug it in again; either of the first two
# may complain:
#
#	chardev-remove ID
#	chardev-remove ID.again
#	chardev-add socket,id=ID.again,path=ID.sock
#	device_add ivshmem-doorbell,id=ID,vectors=2,chardev=ID.again,bus=ID.port
#
# (QEMU takes no name again that its command line had, and waits for ever for a
# greeting on a connection that already had one.)

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=selftests/checks/spec.sh
. "$here/../checks/spec.sh"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/l3l2q
npusim=${NPUSIM:-$top/build/bin/l3l2q-npusim}
vectors=2
threads=multi
without=
qpid='' work='' npu_rc=0
declare -A npus=()

say() { echo "run.sh: $*" >&2; }
die() { say "$*"; exit 2; }

# shellcheck disable=SC2317
cleanup() {
	if [ -n "$qpid" ]; then
		kill -TERM "$qpid" 2>/dev/null || true
		wait "$qpid" 2>/dev/null || true
	fi
	if [ ${#npus[@]} != 0 ]; then
		kill -KILL "${npus[@]}" 2>/dev/null || true
	fi
	if [ -n "$work" ]; then
		rm -rf "$work"
	fi
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# pack DIR FILE: uncompressed, which every kernel takes and which is fastest
pack() {
	(cd "$1" && find . -print0 | LC_ALL=C sort -z |
		cpio --null --quiet -o -H newc -R 0:0) >"$2"
}

# boot ACCEL KERNEL INITRD MEM APPEND LIMIT [qemu arguments]
boot() {
	local accel=$1 kernel=$2 initrd=$3 mem=$4 append=$5 limit=$6
	shift 6

	case $arch-$accel in
	x86_64-kvm) set -- -M q35 -cpu host "$@" ;;
	# With 5-level page tables a KASAN kernel trips over itself in early boot.
	x86_64-*) set -- -M q35 -cpu "max,la57=off$without" "$@" ;;
	aarch64-kvm) set -- -M virt,gic-version=host -cpu host "$@" ;;
	aarch64-*) set -- -M virt,gic-version=3 -cpu max,pauth-impdef=on "$@" ;;
	*) die "no guests for $arch" ;;
	esac
	if [ "$accel" = kvm ]; then
		set -- -accel kvm "$@"
	else
		set -- -accel "tcg,thread=$threads" "$@"
	fi
	# timeout passes the signals it gets on to qemu
	exec timeout -k 10 --foreground "$limit" "qemu-system-$arch" "$@" \
		-smp 2 -m "$mem" -nodefaults -no-user-config -display none \
		-no-reboot -kernel "$kernel" -initrd "$initrd" -append "$append"
}

# A /dev/kvm may open and still never boot a kernel, so try, once for each
# host boot and version of qemu.
accel() {
	local key mark=$cache/kvm.probe dir ok=no

	if [ -n "${L3L2Q_ACCEL-}" ]; then
		echo "$L3L2Q_ACCEL"
		return
	fi
	if [ "$arch" != "$(uname -m)" ] || [ ! -w /dev/kvm ] || [ ! -r /dev/kvm ]; then
		echo tcg
		return
	fi
	key="$(uname -r) $(cat /proc/sys/kernel/random/boot_id) $("qemu-system-$arch" --version | head -n 1)"
	if [ "$(head -n 1 "$mark" 2>/dev/null)" != "$key" ]; then
		say "probing whether KVM boots a kernel (at most 20 s)"
		dir=$work/probe
		mkdir -p "$dir/root/bin"
		cp "$busybox" "$dir/root/bin/busybox"
		printf '#!/bin/busybox sh\n/bin/busybox poweroff -f\n' >"$dir/root/init"
		chmod 755 "$dir/root/init"
		pack "$dir/root" "$dir/initrd"
		if (boot kvm "$(stock_kernel)/vmlinuz" "$dir/initrd" 512M "console=$console quiet panic=-1" 20 \
			</dev/null >"$dir/log" 2>&1); then
			ok=yes
		fi
		printf '%s\n%s\n' "$key" $ok >"$mark.$$"
		mv "$mark.$$" "$mark"
	fi
	if [ "$(sed -n 2p "$mark")" = yes ]; then
		echo kvm
	else
		echo tcg
	fi
}

stock_kernel() { "$here/kernel.sh" stock | tail -n 1; }

# A static busybox: the host's if it is one, else unpacked from the package.
busybox_path() {
	local b

	if [ "$arch" != "$(uname -m)" ]; then
		echo "$("$here/kernel.sh" busybox-arm64 | tail -n 1)/busybox"
		return
	fi
	b=$(command -v busybox || true)
	if [ -n "$b" ] && ! grep -aq 'ld-linux' "$b"; then
		echo "$b"
	else
		echo "$("$here/kernel.sh" busybox | tail -n 1)/busybox"
	fi
}

# The emulated TSC is the host's and ticks alike on all CPUs; without being told
# so, the kernel falls back to a clock that costs a trap for each look. Its own
# calibration, and its check that timer interrupts arrive, fail on a busy host.
clock_args() {
	if [ "$1" != tcg ] || [ "$arch" != x86_64 ]; then
		return
	fi
	[ "$(uname -m)" = x86_64 ] || { echo no_timer_check; return; }
	cc -O2 -o "$work/tsc-khz" "$here/tsc-khz.c"
	echo "tsc=reliable tsc_early_khz=$("$work/tsc-khz") no_timer_check"
}

big_mem() {
	local kb

	kb=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	if [ "${kb:-0}" -ge $((12 * 1024 * 1024)) ]; then
		echo 6G
	else
		echo 1G
	fi
}

main() {
	local kernel=stock mem=1G timeout=120 total=900 suite=guest results='' log='' append='' script='' load=1 disk=''
	local -a modules=() extra=() npu=() files=() tests=() qemu=()

	while [ $# -gt 0 ]; do
		case $1 in
		--kernel) kernel=$2; shift 2 ;;
		--module) modules+=("$2"); shift 2 ;;
		--module-file) extra+=("$2"); shift 2 ;;
		--npu) npu+=("$2"); shift 2 ;;
		--disk) disk=$2; shift 2 ;;
		--no-load) load=0; shift ;;
		--file) files+=("$2"); shift 2 ;;
		--script) script=$2; shift 2 ;;
		--mem) mem=$2; shift 2 ;;
		--timeout) timeout=$2; shift 2 ;;
		--total) total=$2; shift 2 ;;
		--suite) suite=$2; shift 2 ;;
		--results) results=$2; shift 2 ;;
		--log) log=$2; shift 2 ;;
		--append) append=$2; shift 2 ;;
		--qemu) qemu+=("$2"); shift 2 ;;
		--one-thread) threads=single; shift ;;
		--) shift; tests+=("$@"); break ;;
		-*) die "unknown option $1" ;;
		*) tests+=("$1"); shift ;;
		esac
	done
	if [ "$mem" = big ]; then
		mem=$(big_mem)
	fi
	log=${log:-$top/build/log/$suite}
	mkdir -p "$log" "$cache"
	log=$(realpath "$log")
	rm -f "$log"/{console,output,npu-*}.log
	work=$(mktemp -d "${TMPDIR:-/tmp}/l3l2q-vm.XXXXXX")

	local kdir arch console port busybox how variant=guest cmdline
	local -a serial
	case $kernel in
	stock | debug | stock-arm64) kdir=$("$here/kernel.sh" "$kernel" | tail -n 1) ;;
	*) kdir=$kernel ;;
	esac
	[ -e "$kdir/vmlinuz" ] || die "no kernel in $kdir"
	# one made before there were others was for this machine
	arch=$(cat "$kdir/arch" 2>/dev/null || uname -m)
	# The first port is the console's, the second ours.
	case $arch in
	x86_64) console=ttyS0 port=ttyS1 serial=(-serial chardev:out) ;;
	*) console=ttyAMA0 port=ttyS0 serial=(-device pci-serial,chardev=out) ;;
	esac
	busybox=$(busybox_path)
	how=$(accel)

	local root=$work/root m t w name dst prog cmd ko='' list=''
	mkdir -p "$root"/{bin,sbin,etc,lib/modules,tests}
	cp "$busybox" "$root/bin/busybox"
	install -m 755 "$here/init" "$root/init"
	install -m 755 "$here/load-module" "$root/sbin/load-module"
	cat >"$root/etc/passwd" <<-'END'
		root:x:0:0:root:/root:/bin/sh
		l3:x:1000:1000:l3:/tmp:/bin/sh
		l2:x:1001:1001:l2:/tmp:/bin/sh
		mallory:x:1002:1002:mallory:/tmp:/bin/sh
		nobody:x:65534:65534:nobody:/:/bin/sh
	END
	cat >"$root/etc/group" <<-'END'
		root:x:0:
		l3l2q:x:990:l3,l2
		l3:x:1000:
		l2:x:1001:
		mallory:x:1002:
		nogroup:x:65534:
	END

	for m in "${modules[@]}"; do
		cp "${m%% *}" "$root/lib/modules/"
		w=/lib/modules/$(basename "${m%% *}")
		ko=${ko:-$w}
		list="$list $w"
		if [ "$m" != "${m%% *}" ]; then
			echo "${m#* }" >"$root$w.param"
		fi
	done
	for m in "${extra[@]}"; do
		cp "$m" "$root/lib/modules/"
		w=$(basename "$m" .ko)
		w=${w^^}
		echo "export ${w//-/_}_KO=/lib/modules/$(basename "$m")" >>"$root/etc/rig.conf"
	done
	for t in "${files[@]}"; do
		dst=$root/${t##*:}
		mkdir -p "$(dirname "$dst")"
		cp -p "${t%:*}" "$dst"
	done
	: >"$root/etc/tests"
	for t in "${tests[@]}"; do
		cmd='' prog=''
		for w in $t; do
			case $prog$w in
			*=*) cmd="$cmd $w" ;;
			*)
				if [ -z "$prog" ]; then
					prog=1
					[ -e "$w" ] || die "no test program $w"
					name=$(basename "$w")
					install -m 755 "$w" "$root/tests/$name"
					cmd="$cmd /tests/$name"
				else
					cmd="$cmd $w"
				fi
				;;
			esac
		done
		printf '%s\t%s\t%s\n' "$(name_of "$t")" "$timeout" "${cmd# }" >>"$root/etc/tests"
	done
	case $(cat "$kdir/version") in
	*-l3l2q-debug)
		variant=guest-debug
		# what AVX and protection keys have is slow to emulate, in each switch
		without=,-xsave,-pku
		append="panic_on_warn=1 kmemleak=on $append"
		;;
	esac
	{
		echo "L3L2Q_KO=$ko"
		echo "L3L2Q_VARIANT=$variant"
		echo "RIG_MODULES='$list'"
		echo "RIG_LOAD=$load"
		echo "RIG_PORT=$port"
		echo "L3L2Q_NPUS='$(for t in "${npu[@]}"; do echo "${t%%:*}"; done | xargs)'"
		if [ -n "$script" ]; then
			install -m 755 "$script" "$root/$(basename "$script")"
			echo "RIG_SCRIPT=/$(basename "$script")"
		fi
	} >>"$root/etc/rig.conf"
	pack "$root" "$work/initrd"
	rm -rf "$root"

	cmdline="console=$console loglevel=5 log_buf_len=4M panic=-1 oops=panic $(clock_args "$how")"
	cmdline="$cmdline rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60 $append"

	if [ -n "$script" ]; then
		run_script
	else
		run_tests
	fi
}

# start_npu ID[:SIZE[:ARGS]]: the program, and what QEMU is to be told
start_npu() {
	local id size args line fd

	[ -x "$npusim" ] || die "no $npusim: make tools"
	IFS=: read -r id size args <<<"$1"
	size=$(numfmt --from=iec "${size:-64M}")
	rm -f "$work/$id.ready"
	mkfifo "$work/$id.ready"
	exec {fd}<>"$work/$id.ready"
	# shellcheck disable=SC2086
	(cd "$work" && exec "$npusim" --socket "$id.sock" --size "$size" --vectors $vectors \
		--monitor "$id.monitor" --log "$log/npu-$id.log" $args) \
		</dev/null >"$work/$id.ready" 2>"$log/npu-$id.err.log" &
	npus[$id]=$!
	line=
	read -r -t 30 -u "$fd" line || true
	if [ "$line" != ready ]; then
		cat "$log/npu-$id.err.log" >&2
		die "$id: l3l2q-npusim did not get ready"
	fi
	# So much does not fit below 4 GiB, where the firmware's MTRRs forbid to cache.
	devices+=(-device "pcie-root-port,id=$id.port,chassis=${#npus[@]},slot=${#npus[@]},pref64-reserve=4G"
		-chardev "socket,id=$id,path=$id.sock"
		-device "ivshmem-doorbell,id=$id,vectors=$vectors,chardev=$id,bus=$id.port"
		-chardev "socket,id=$id.monitor,path=$id.monitor,server=on,wait=off"
		-mon "chardev=$id.monitor,mode=readline")
}

# What looks like an NPU's window and is somebody else's memory.
start_plain() {
	head -c 65536 /dev/zero | tr '\0' '\252' >"$work/plain"
	devices+=(-object "memory-backend-file,id=plain,size=64K,share=on,mem-path=plain"
		-device "ivshmem-plain,memdev=plain")
}

# Without one, the guest has nothing that takes O_DIRECT.
start_disk() {
	truncate -s "$disk" "$work/disk"
	devices+=(-drive "if=none,id=disk,format=raw,file=disk" -device "nvme,drive=disk,serial=disk")
}

check_plain() {
	[ -e "$work/plain" ] || return 0
	if [ "$(tr -d '\252' <"$work/plain" | wc -c)" != 0 ]; then
		say "somebody wrote to the memory of ivshmem-plain"
		return 1
	fi
}

# An NPU may end when it is told to, but not by a signal that is not ours.
stop_npus() {
	local id st bad=0

	for id in "${!npus[@]}"; do
		st=0
		# one that is gone already keeps the status that it had
		kill -TERM "${npus[$id]}" 2>/dev/null || true
		wait "${npus[$id]}" || st=$?
		unset "npus[$id]"
		if [ $st -gt 128 ] && [ $st != $((128 + 15)) ]; then
			say "$id: l3l2q-npusim was killed by signal $((st - 128)), see $log/npu-$id.err.log"
			bad=1
		elif grep -qE 'ERROR: (Address|Leak)Sanitizer|runtime error: ' "$log/npu-$id.err.log"; then
			say "$id: a sanitizer complained about l3l2q-npusim, see $log/npu-$id.err.log"
			bad=1
		fi
	done
	return $bad
}

start() {
	local t
	local -a devices=()

	for t in "${npu[@]}"; do
		start_npu "$t"
	done
	if [ ${#npu[@]} != 0 ]; then
		start_plain
	fi
	if [ -n "$disk" ]; then
		start_disk
	fi
	(cd "$work" && boot "$how" "$kdir/vmlinuz" "$work/initrd" "$mem" "$cmdline" "$total" \
		-serial "file:$log/console.log" "$@" "${devices[@]}" "${qemu[@]}") </dev/null &
	qpid=$!
}

# 0 if it went down by itself
finish() {
	local st=0

	wait "$qpid" || st=$?
	qpid=
	stop_npus || npu_rc=1
	check_plain || npu_rc=1
	return $st
}

# From the first sign of trouble on, or just the end; without registers and guesses, so
# that what counts is seen where a log is cut.
console_tail() {
	local at

	echo "  the console ($log/console.log):"
	at=$(grep -nE 'BUG:|WARNING:|Oops|Kernel panic|general protection|rcu: INFO|INFO: task|invoked oom-killer' \
		"$log/console.log" | head -n 1 | cut -d: -f1)
	if [ -n "$at" ]; then
		tail -n "+$at" "$log/console.log"
	else
		tail -n 60 "$log/console.log"
	fi | tr -d '\r' | grep -vE '\]  \? |(R[A-Z0-9]{2}|CR[0-9]|FS|CS|Code|DR[0-9]|PKRU): ' | head -n 80 | sed 's/^/       | /'
}

# QEMU 7.2 has handlers of files that an unplugged ivshmem has closed, and races
# with itself where one processor changes the memory map that another one uses. No
# guest is to blame if QEMU dies of that, so it gets a second chance, and only then.
run_tests() {
	local rc=0

	try_tests || rc=$?
	if [ $rc = 139 ]; then
		say "QEMU itself was killed by SIGSEGV: all of $suite once more"
		rc=0
		try_tests || rc=$?
	fi
	if [ -n "$results" ]; then
		cat "$work/results" >>"$results"
	fi
	[ $rc = 0 ]
}

try_tests() {
	local st=0 rc=0 fifo=$work/output

	rm -f "$fifo" "$work/results"
	mkfifo "$fifo"
	npu_rc=0
	"$here/../checks/tapsum.pl" --suite "$suite" --allow "$here/klog.allow" \
		--results "$work/results" < <(tee "$log/output.log" <"$fifo") &
	local sum=$!
	start -chardev stdio,id=out,signal=off "${serial[@]}" >"$fifo"
	finish || st=$?
	wait "$sum" || rc=$?
	if [ $st = 124 ]; then
		say "the guest took longer than $total s"
	fi
	if ! grep -q '^@@ done' "$log/output.log"; then
		console_tail
		rc=1
	fi
	if [ $npu_rc != 0 ]; then
		rc=1
		echo "$suite-npu 0 1 0" >>"$work/results"
	fi
	if [ $st = 139 ]; then
		rc=139
	fi
	return $rc
}

run_script() {
	local st=0 rc

	start -chardev "stdio,id=out,signal=off,logfile=$log/output.log" "${serial[@]}"
	finish || st=$?
	if [ $st = 124 ]; then
		say "the guest took longer than $total s"
	fi
	rc=$(tr -d '\r' <"$log/console.log" | sed -n 's/^@@ script //p')
	if [ -z "$rc" ]; then
		say "the guest went down before the script ended"
		console_tail
		return 1
	fi
	if ! { tr -d '\r' <"$log/console.log"; echo '@@ done'; } |
		"$here/../checks/tapsum.pl" --suite "$suite" --allow "$here/klog.allow" >"$work/klog"; then
		cat "$work/klog"
		rc=1
	fi
	if [ $npu_rc != 0 ]; then
		rc=1
	fi
	return "$rc"
}

main "$@"
exit
