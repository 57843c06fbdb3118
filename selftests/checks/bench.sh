#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench.sh native|vm|readme: what "make bench", "make bench-vm" and "make bench-readme"
# run. Results are build/bench/native.* and vm.*; ARGS are further arguments for
# l3l2q-bench.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top"
out=build/bench
results=libuser/bench/results
make=(env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL "${MAKE:-make}" -s -j"$(nproc)")

# processor: its name, how many, and whether it is somebody's emulation
processor() {
	LC_ALL=C lscpu | awk -F ': +' '
		$1 == "CPU(s)" { n = $2 }
		$1 == "Model name" && !model { model = $2 }
		$1 == "Hypervisor vendor" { virtual = ", virtual (" $2 ")" }
		END { print (model ? model : "unknown processor") ", " n " processors" virtual }'
}

compiler() { echo "${CC:-gcc} $("${CC:-gcc}" -dumpfullversion)"; }

plot() { rm -f "$out/$1.svg"; libuser/bench/plot.pl "$out/$1.json" "$out/$1.svg" "$2"; }

native() {
	local peers

	"${make[@]}" $out/l3l2q-bench
	peers="DPDK $(pkg-config --modversion libdpdk 2>/dev/null || echo none)"
	peers+=", liburing $(pkg-config --modversion liburing 2>/dev/null || echo none)"
	peers+=", Boost $(sed -n 's/^#define BOOST_LIB_VERSION "\(.*\)"/\1/p' /usr/include/boost/version.hpp \
		2>/dev/null | tr _ . | grep . || echo none)"
	{
		echo "$(processor); Linux $(uname -r); $(compiler); $peers; $(date -u +%F)"
		echo
		# shellcheck disable=SC2086
		$out/l3l2q-bench --rounds 31 --json $out/native.json ${ARGS-}
	} | tee $out/native.txt
	plot native 'Over memfd: best rounds, on two processors'
	echo
	echo "also in $out: native.txt, native.json, native.svg"
}

vm() {
	local kernel version cpu

	"${make[@]}" build/bench-static/l3l2q-bench
	mkdir -p $out
	kernel=$(selftests/vm/kernel.sh stock | tail -n 1)
	version=$(cat "$kernel/version")
	"${make[@]}" kmod KDIR="$kernel/kdir"
	echo "--transport driver --rounds 25 --ms 20 ${ARGS-}" >$out/args
	selftests/vm/run.sh --suite bench --kernel "$kernel" --total 540 --mem 2G \
		--module "build/kmod-$version/l3l2q.ko" --file build/bench-static/l3l2q-bench:/bin/l3l2q-bench \
		--file $out/args:/bench.args --script selftests/vm/bench-guest.sh |
		awk -v json=$out/vm.json '
			/^@@ json/ { at_json = 1; printf "" >json; next }
			/^@@ end/ { at_json = 0; next }
			/^@@ cpu / { next }
			at_json { print >json; next }
			{ print; fflush() }' | tee $out/vm.log
	cpu=$(sed -n 's/^@@ cpu //p' build/log/bench/output.log | tr -d '\r')
	{
		echo "QEMU $("qemu-system-$(uname -m)" --version | sed -n '1s/.*version \([0-9.]*\).*/\1/p')," \
			"2 processors ($cpu), Linux $version, on: $(processor);" \
			"$(compiler); $(date -u +%F)"
		echo
		cat $out/vm.log
	} >$out/vm.txt
	rm $out/vm.log $out/args
	plot vm 'Over the driver, in a guest: best rounds, on two processors'
	echo
	echo "also in $out: vm.txt, vm.json, vm.svg"
}

# From Python, with the interpreter whose headers are there
python() {
	local python=${PYTHON:-python3}

	if ! selftests/checks/python-headers.sh; then
		echo "left out: Python (python3-dev was not there)"
		return
	fi
	"${make[@]}" python PYTHON="$python"
	{
		echo "$(processor); Linux $(uname -r); $("$python" --version); $(date -u +%F)"
		echo
		PYTHONPATH=build/python "$python" libuser/bench/bench.py --json $out/python.json
	} | tee $out/python.txt
}

readme() {
	local run

	rm -f $out/{native,vm,python}.*
	native
	vm
	python
	mkdir -p $results
	for run in native vm python; do
		[ -e "$out/$run.txt" ] || continue
		{ echo 'SPDX-License-Identifier: MIT'; echo; cat "$out/$run.txt"; } >"$results/$run.txt"
		[ "$run" = python ] || cp "$out/$run.svg" "$results/$run.svg"
	done
	libuser/bench/readme.pl README.md $out $results
}

case ${1-} in
native)
	native
	echo
	python
	;;
vm | readme) "$1" ;;
*)
	sed -n '/^# bench.sh/,/^$/s/^# //p' "${BASH_SOURCE[0]}" >&2
	exit 2
	;;
esac
