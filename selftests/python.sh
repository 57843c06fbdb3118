#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The tests of the Python module over L3L2Q_TRANSPORT, by default the driver, as TAP: in a
# guest that has /python.tar, of vm/pack_python.py. What is not about this memory runs outside.
# With L3L2Q_DATAFLOW the example with an L2 in C++ alone.

[ -e /python.tar ] || { echo '1..0 # SKIP no Python for this guest'; exit 0; }

root=$(mktemp -d) || exit 1
# shellcheck disable=SC2317
clean_up() {
	umount "$root/dev" "$root/proc" 2>/dev/null
	rm -rf "$root"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

tar -C "$root" -xf /python.tar || exit 1
mkdir -p "$root/dev" "$root/proc" "$root/tmp" "$root/build/bin-static"
! p=$(command -v orchestration) || cp "$p" "$root/build/bin-static"
mount -o bind /dev "$root/dev" && mount -t proc proc "$root/proc" || exit 1

t=${L3L2Q_TRANSPORT:-driver}
tests="test_simpler_interop.py test_native_messages.py test_examples.py"
words="native or asyncio or interop or process or dataflow_with or $t"
if [ "$L3L2Q_VARIANT" != guest-debug ]; then
	# with the debugging options on these take minutes
	tests="$tests test_native_blocking.py test_native_errors.py test_native_views.py
		test_simpler_queue.py test_simpler_mistakes.py test_simpler_region.py test_simpler_process.py
		test_asyncio.py"
fi
if [ "$L3L2Q_DATAFLOW" ]; then
	tests=test_examples.py words=dataflow_with
fi
# shellcheck disable=SC2086
L3L2Q_TRANSPORT=$t L3L2Q_TAP=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/packages HOME=/tmp TMPDIR=/tmp \
	chroot "$root" /bin/python -c 'import os, sys
import pytest
os.chdir("/selftests/python")
sys.exit(pytest.main(sys.argv[1:]))' -p no:cacheprovider \
	-k "$words" $tests
