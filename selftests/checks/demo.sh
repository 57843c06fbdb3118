#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What "make demo" runs: l3l2q-stream, and the same in Python, over memfd here; in a guest over the driver, in
# RAM and to an NPU that is a program outside the guest. INPUT names the file to
# stream; by default the guest's kernel image.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top"
make=(env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL make -s -j"$(nproc)")

"${make[@]}" lib tools
kernel=$(selftests/vm/kernel.sh stock | tail -n 1)
INPUT=${INPUT:-$kernel/vmlinuz}
if [ ! -r "$INPUT" ]; then
	echo "demo: cannot read $INPUT" >&2
	exit 1
fi
INPUT=$(realpath "$INPUT")

export INPUT PATH="$top/build/bin:$PATH"
selftests/vm/demo-native.sh

# with the interpreter whose headers are there
python=${PYTHON:-python3}
if "$here/python-headers.sh"; then
	"${make[@]}" python PYTHON="$python"
	printf '\n== the same file in Python, each piece of it echoed\n'
	PYTHONPATH=build/python "$python" libuser/examples/echo.py memfd "$INPUT"
	PYTHONPATH=build/python "$python" libuser/examples/server.py memfd
else
	echo "demo: Python's headers are not installed (python3-dev): no demo of the Python module"
fi

"${make[@]}" kmod KDIR="$kernel/kdir"
selftests/vm/run.sh --suite demo --kernel "$kernel" --total 300 --npu npu0 \
	--module "build/kmod-$(cat "$kernel/version")/l3l2q.ko" --no-load \
	--file build/bin-static/l3l2q-stream:/bin/l3l2q-stream --file "$INPUT:/input" \
	--file selftests/vm/demo-lib.sh:/demo-lib.sh --file selftests/vm/demo-npu.sh:/demo-npu.sh \
	--script selftests/vm/demo-guest.sh
