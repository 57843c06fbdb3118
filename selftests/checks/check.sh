#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# check.sh check|debug|style|native|python|packages|guest|arm64|stock: what "make check", "make check-debug",
# "make style" and so on run. A step that fails does not stop the others; what
# cannot even be built counts as one failure. Prints the time of each suite, and the
# sum as its last line, which it leaves in build/results/. L3L2Q_SLOW=N multiplies the
# time limits, for busy machines. L3L2Q_ONLY=REGEX runs only the tests that match, for work on them.
# L3L2Q_EXITS=N has drv_ascend see N exits of owners under "debug", not some.

set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top" || exit 1

what=$1
results=$top/build/results/$what
slow=${L3L2Q_SLOW:-1}
only=${L3L2Q_ONLY:-.}
make=(env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL "${MAKE:-make}" -s WERROR=-Werror)
started=$(date +%s)

times=$results.times

mkdir -p build/results build/log
: >"$results"
: >"$times"
# shellcheck disable=SC2317
cleanup() {
	local jobs

	mapfile -t jobs < <(jobs -rp)
	[ ${#jobs[@]} = 0 ] || { kill "${jobs[@]}" && wait; } 2>/dev/null
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title() { printf '== %s (%d s)\n' "$1" $(($(date +%s) - started)); }

# spent: the seconds of processors that the children of this shell have used, in REPLY
spent() {
	local file=$results.spent.$BASHPID minutes system

	times >"$file"
	{ read -r && read -r REPLY system; } <"$file"
	rm "$file"
	minutes=$((${REPLY%m*} + ${system%m*}))
	REPLY=${REPLY#*m} system=${system#*m}
	REPLY=$((minutes * 60 + ${REPLY%.*} + ${system%.*}))
}

# timed NAME COMMAND...: remember how long it takes, with all it has to build
timed() {
	local name=$1 t0 cpu st=0
	shift

	t0=$(date +%s)
	spent
	cpu=$REPLY
	"$@" || st=$?
	spent
	echo "$name $(($(date +%s) - t0)) $((REPLY - cpu))" >>"$times"
	return $st
}

# result SUITE PASSED FAILED SKIPPED
result() { echo "$1 $2 $3 $4" >>"$results"; }

# step SUITE COMMAND...: something that is made rather than tested
step() {
	local suite=$1 log=$top/build/log/$1.log
	shift

	# stderr is shown as it comes: downloads and builds take their time
	if timed "$suite" timeout -k 10 3600 "$@" >"$log" 2> >(tee -a "$log.err" >&2); then
		return 0
	fi
	echo "  FAIL $suite: ${*: -1}"
	tail -n 30 "$log" | sed 's/^/       | /'
	result "$suite" 0 1 0
	return 1
}

native() {
	local suite=$1
	shift
	timed "$suite" "$here/native.sh" --suite "$suite" --results "$results" "$@"
}

# the NPU memory that npu_standin has for everybody: RAM, and npu1's window
ascend=ascend:0x120000000000:0x1000000
ascend_bar=ascend:0x123000000000:0x1000000

# leave those of specs that L3L2Q_ONLY asks for
select_only() {
	mapfile -t specs < <(printf '%s\n' "${specs[@]}" | grep -E -e "$only")
}

# over 'TRANSPORT...' DIR PROGRAM...: each program with each transport, or once
# if its source does not care. TRANSPORT+spsq: in that binding, if the program has both
over() {
	local transports=$1 dir=$2 t p
	shift 2

	for p in "$@"; do
		if ! grep -qE 'L3L2Q_TRANSPORT|"proto_transport.h"' "selftests/$p.c"; then
			echo "$dir/$p"
			continue
		fi
		for t in $transports; do
			case $t in
			*+spsq)
				! grep -q L3L2Q_BINDING "selftests/$p.c" ||
					echo "L3L2Q_BINDING=spsq L3L2Q_TRANSPORT=${t%+spsq} $dir/$p"
				;;
			"$ascend_bar")
				echo "WITH_MODULE=npu_standin,bar=0000:02:00.0 L3L2Q_TRANSPORT=$t $dir/$p"
				;;
			ascend*) echo "WITH_MODULE=npu_standin L3L2Q_TRANSPORT=$t $dir/$p" ;;
			*) echo "L3L2Q_TRANSPORT=$t $dir/$p" ;;
			esac
		done
	done
}

native_suites() {
	local variant specs once each p

	for variant in plain asan tsan; do
		title "native tests, $variant"
		step "build-$variant" "${make[@]}" -j"$(nproc)" tools "tests-$variant" build/bench/l3l2q-bench \
			build/bin-static/orchestration || continue
		once=("${lib[@]}" "${cxx[@]}") each=("${proto[@]}")
		if [ "$variant" = tsan ]; then
			mapfile -t once < <(printf '%s\n' "${tsan[@]}" | grep ^lib_)
			mapfile -t each < <(printf '%s\n' "${tsan[@]}" | grep ^proto_)
		fi
		mapfile -t specs < <(printf "build/$variant/%s\n" "${once[@]}"
			over 'memfd memfd+spsq external external+spsq external-wc external-device external-copied external-copied+spsq' "build/$variant" "${each[@]}")
		if [ "$variant" != tsan ]; then
			p=build/$variant/l3l2q-stream
			[ "$variant" = asan ] || p=build/bin/l3l2q-stream
			specs+=("STREAM=$p L3L2Q_TRANSPORT=memfd selftests/stream.sh")
			specs+=("STREAM=$p NPUSIM=${p%stream}npusim selftests/npu_stream.sh")
		fi
		if [ "$variant" = plain ]; then
			specs+=("ORCHESTRATION=build/bin-static/orchestration L3L2Q_TRANSPORT=memfd selftests/orchestration.sh")
			specs+=("BENCH=build/bench/l3l2q-bench L3L2Q_TRANSPORT=memfd selftests/bench.sh")
		fi
		select_only
		L3L2Q_VARIANT=$variant native "native-$variant" --limit $((300 * slow)) "${specs[@]}"
	done
}

# The Python module. Without headers or pytest its tests say what is missing.
python_suites() {
	local variant
	local -A target=([plain]=python [asan]=python-asan)

	title 'Python'
	for variant in plain asan; do
		if "$here/python-headers.sh"; then
			step "build-python-$variant" "${make[@]}" -j"$(nproc)" "${target[$variant]}" || continue
		fi
		native "python-$variant" --limit $((600 * slow)) "selftests/python/run.sh $variant"
	done
}

# Short runs of the fuzzers. Without clang they say so.
fuzzers() {
	title 'fuzzers'
	if command -v clang >/dev/null; then
		step build-fuzz "${make[@]}" -j"$(nproc)" fuzzers || return
	fi
	native fuzz --limit $((300 * slow)) 'selftests/fuzz/run.sh short'
}

# What run.sh is to run: SUITE and its options, quoted. The short runs come last, so that two
# of them end at about the same time.
runs=()
short_runs=()
claims=$results.claims
rm -rf "$claims"

# quoted SUITE [run.sh's options] -- SPEC...: as a run
quoted() { printf '%q ' "$@"; }

# guests SUITE [run.sh's options]: all of specs, later, in a guest, but those that take
# functions away or patch the kernel's text (as switching a trace event does) in one of their
# own; the longest in two, which can run beside each other
guests() {
	local suite=$1 spec shared=() alone=() driver=()
	shift

	for spec in "${specs[@]}"; do
		case "$suite $spec" in
		*/drv_remove | */drv_trace | */drv_probes | */tracing.sh) alone+=("$spec") ;;
		guest-debug*/drv_* | guest-stock*/drv_*) driver+=("$spec") ;;
		*) shared+=("$spec") ;;
		esac
	done
	[ ${#driver[@]} = 0 ] || runs+=("$(quoted "$suite-driver" "$@" -- "${driver[@]}")")
	[ ${#shared[@]} = 0 ] || runs+=("$(quoted "$suite" "$@" -- "${shared[@]}")")
	[ ${#alone[@]} = 0 ] ||
		short_runs+=("$(quoted "$suite-alone" --one-thread "$@" -- "${alone[@]}")")
}

# run_guest OUTPUT [run.sh's options]: in the background, so that a signal ends it at once
run_guest() {
	"$top/selftests/vm/run.sh" --results "$results" "${@:2}" >"$1" 2>&1 &
	pid=$!
	wait "$pid"
	pid=
}

# run_guests RUN...: those that nobody else has claimed. The output of a guest is shown when
# it has ended.
run_guests() {
	local run pid=

	trap '[ -z "$pid" ] || { kill "$pid"; wait "$pid"; }; exit 143' TERM
	for run; do
		eval "set -- $run"
		mkdir "$claims/$1" 2>/dev/null || continue
		title "guest $1 begins, see build/log/$1"
		timed "$1" run_guest "$claims/$1/output" --suite "$@" 9>&-
		cat "$claims/$1/output"
	done
}

# start_guests RUN...: one after the other, after those that were started before. A guest
# keeps little more than one processor busy: what runs on this machine goes on beside it.
start_guests() {
	mkdir -p "$claims"
	{ flock 9 && run_guests "$@"; } 9>>"$claims/lane" &
}

# Two guests at a time, for nothing else is left to do.
finish_guests() {
	run_guests "${runs[@]}" "${short_runs[@]}" &
	wait
	runs=() short_runs=()
}

# Python, for guests like this machine. Without its headers or pytest there is none, and the
# tests in the guest say so.
pack_python() {
	local python

	rm -f build/guest-python.tar
	"${make[@]}" -j"$(nproc)" python || return
	for python in ${PYTHON:-python3 /usr/bin/python3}; do
		! "$python" selftests/vm/pack_python.py build/guest-python.tar || return 0
	done
	return 1
}

# guest SUITE KERNEL LIMIT TOTAL MEMORY 'TRANSPORT...' [VAR=VALUE...]
guest() {
	local suite=$1 kernel=$2 limit=$3 total=$4 mem=$5 transports=$6
	local specs=() args=() p dir b=build kmod which=L3L2Q_TRANSPORT window=64M
	local orchestration=build/bin-static/orchestration bench=build/bench-static/l3l2q-bench
	shift 6

	title "for guests with the $kernel kernel"
	case $kernel in
	debug)
		# with the debugging options on it takes minutes, and says nothing about speed
		bench=
		# KASAN has a shadow of each window, made by every probe
		window=32M
		;;
	*-arm64)
		# as little as another kind of machine that is emulated
		bench=
		b=build/aarch64-linux-gnu
		which=.
		orchestration= # no compiler for C++
		if ! p=$("$here/cross.sh" 2>&1); then
			echo "  SKIP $suite: $p"
			result "$suite" 0 0 1
			return
		fi
		args=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- CC="$p")
		step 'build-npusim' "${make[@]}" -j"$(nproc)" lib tools || return
		;;
	esac
	step "build-$suite" "${make[@]}" -j"$(nproc)" lib tools tests-guest ${bench:+"$bench"} \
		${orchestration:+"$orchestration"} "${args[@]}" || return
	step "kernel-$kernel" "$top/selftests/vm/kernel.sh" "$kernel" || return
	dir=$(tail -n 1 "build/log/kernel-$kernel.log")
	step "module-$kernel" "${make[@]}" -j"$(nproc)" kmod kmod-tests KDIR="$dir/kdir" "${args[@]}" || return
	kmod=$b/kmod-$(cat "$dir/version")

	for p in "${drv[@]}"; do
		specs+=("$* $b/guest/$p")
	done
	# what has no transport is as on this machine, if that has this processor
	while read -r p; do
		specs+=("$* $p")
	done < <(over "$transports" "$b/guest" "${proto[@]}" | grep "$which")
	for p in "${shell[@]}"; do
		[ -z "$bench" ] && [ "$p" = selftests/bench.sh ] || specs+=("$* $p")
	done
	if [ "$orchestration" ]; then
		specs+=("$* L3L2Q_TRANSPORT=pci selftests/orchestration.sh"
			"$* L3L2Q_TRANSPORT=pci L3L2Q_DATAFLOW=1 selftests/python.sh")
	fi
	# the NPU is lost by it
	specs+=("L3L2Q_NPU_MAY_DIE=1 $b/guest/drv_npu -t an_npu_that_exits_is_a_time_out")
	select_only
	args=()
	for p in "${modules[@]}"; do
		args+=(--module-file "$kmod-tests/$p/$p.ko")
	done
	p=$dir/modules/kernel/drivers/pci/pcie/aer_inject.ko
	if [ -e "$p" ]; then
		args+=(--module-file "$p")
	fi
	if [ "$b" = build ] && pack_python >build/log/guest-python.log 2>&1; then
		args+=(--file build/guest-python.tar:/python.tar)
	fi
	if [ "$b" = build ] && selftests/vm/pack_programs.sh build/guest-tracers.tar perf trace-cmd \
		>build/log/guest-tracers.log 2>&1; then
		args+=(--file build/guest-tracers.tar:/tracers.tar --file libuser/examples/trace/perf.sh:/trace/perf.sh
			--file libuser/examples/trace/trace-cmd.sh:/trace/trace-cmd.sh
			--file libuser/examples/trace/timeline.sh:/trace/timeline.sh)
	fi
	guests "$suite" --kernel "$dir" --mem "$mem" --timeout $((limit * slow)) --total $((total * slow)) \
		--module "$kmod/l3l2q.ko" "${args[@]}" --npu "npu0:$window" --npu "npu1:$window" --disk 16M \
		--qemu -device --qemu pci-testdev,membar=16M --file "$b/bin-static/l3l2q-stream:/bin/l3l2q-stream" \
		--file "$b/bin-static/l3l2qctl:/bin/l3l2qctl" \
		${bench:+--file "$bench:/bin/l3l2q-bench"} \
		${orchestration:+--file "$orchestration:/bin/orchestration"}
}

guest_stock() {
	guest guest-stock stock 300 1500 big "driver driver+spsq pci dmabuf:ram $ascend memfd"
}

# Windows that are RAM, mapped as real ones are: after guest_stock, with what that
# has built.
guest_wc() {
	local dir p specs=() args=()

	dir=$(tail -n 1 build/log/kernel-stock.log)
	for p in drv_npu drv_pci drv_remove; do
		specs+=("build/guest/$p")
	done
	while read -r p; do
		specs+=("$p")
	done < <(over "pci $ascend_bar" build/guest "${proto[@]}" | grep L3L2Q_TRANSPORT)
	select_only
	for p in "${modules[@]}"; do
		args+=(--module-file "build/kmod-$(cat "$dir/version")-tests/$p/$p.ko")
	done
	guests guest-wc --kernel "$dir" --timeout $((300 * slow)) --total $((600 * slow)) \
		--module "build/kmod-$(cat "$dir/version")/l3l2q.ko pci_write_combining=1" "${args[@]}" --npu npu0 --npu npu1
}

# Emulating another machine is slow, and the protocol's code is the same: fewer
# transports, shorter streams, fewer rounds of insmod.
guest_arm64() {
	# where this is the machine itself, guest-stock was that already
	[ "$(uname -m)" != aarch64 ] || return
	guest guest-arm64 stock-arm64 300 1200 1G "driver pci $ascend" L3L2Q_MESSAGES=5000 L3L2Q_ROUNDS=40
}

style() {
	title 'style and headers'
	step 'build-lib' "${make[@]}" -j"$(nproc)" lib tools
	native style --limit $((600 * slow)) "$here/style.sh"
	native headers "$here/headers.sh"
	native freestanding "$here/freestanding.sh"
	native probes "$here/probes.sh"
	native timeline "$here/timeline.sh"
	native man "$here/man.sh"
	native builds --limit $((600 * slow)) "$here/builds.sh"
}

packages() {
	title 'packages'
	native packages --limit $((600 * slow)) "$here/packages.sh short"
}

models() {
	title 'models of sleeping and waking'
	native models --limit $((1200 * slow)) "$top/selftests/models/run.sh"
}

sum() {
	awk '{ p += $2; f += $3; s += $4 }
		END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$results"
}

# drv=(...) proto=(...) lib=(...) tsan=(...) cxx=(...) shell=(...) modules=(...)
declare -a drv proto lib tsan cxx shell modules
eval "$("${make[@]}" print-tests)"

guests_of_check() {
	guest_arm64
	start_guests "${runs[@]}"
	guest_stock
	guest_wc
	start_guests "${runs[@]}" "${short_runs[@]}"
}

case $what in
check)
	guests_of_check
	style
	packages
	models
	native_suites
	python_suites
	fuzzers
	finish_guests
	;;
native)
	native_suites
	python_suites
	fuzzers
	;;
python)
	python_suites
	;;
guest)
	guests_of_check
	finish_guests
	;;
arm64 | stock)
	"guest_$what"
	start_guests "${runs[@]}" "${short_runs[@]}"
	finish_guests
	;;
debug)
	# A leak scan takes 10 s for each GiB, and each guest makes four.
	guest guest-debug debug 900 3000 1G "driver pci dmabuf:udmabuf $ascend" L3L2Q_MESSAGES=50000 \
		${L3L2Q_EXITS:+"L3L2Q_EXITS=$L3L2Q_EXITS"}
	start_guests "${runs[@]}" "${short_runs[@]}"
	finish_guests
	;;
style)
	style
	;;
packages)
	native packages --limit $((5400 * slow)) "$here/packages.sh long"
	;;
esac
title 'sum'
awk -v results="$results" '
	FILENAME == results { n[++rows] = $1; p[$1] += $2; f[$1] += $3; s[$1] += $4; next }
	!($1 in p) && !($1 in t) { made[++makes] = $1 }
	{ t[$1] += $2; cpu[$1] += $3 }
	END {
		for (i = 1; i <= rows; i++)
			if (!shown[n[i]]++)
				printf "  %-20s %d passed, %d failed, %d skipped, %d s (CPU %d s)\n", n[i], p[n[i]], f[n[i]], s[n[i]],
					t[n[i]], cpu[n[i]]
		for (i = 1; i <= makes; i++)
			printf "  %-20s %d s (CPU %d s)\n", made[i], t[made[i]], cpu[made[i]]
	}' "$results" "$times"
spent
printf '  %-20s %d s (CPU %d s)\n' 'all of it' $(($(date +%s) - started)) "$REPLY"
sum
