#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh plain|asan [PYTEST ARGUMENTS...]: the tests of the Python module, with what "make
# python" or "make python-asan" has built, as TAP. PYTHON is the interpreter.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
variant=$1
shift

skip() {
	echo "1..0 # SKIP $*"
	exit 0
}

# An interpreter from elsewhere may come first and lack what the system's has.
for python in ${PYTHON:-python3 /usr/bin/python3}; do
	! "$python" -c 'import pytest' 2>/dev/null || break
done
"$python" -c 'import pytest' 2>/dev/null || skip 'pytest is not installed (python3-pytest)'

export L3L2Q_TAP=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$top/build/python
tests=("$here")
if [ "$variant" = asan ]; then
	export PYTHONPATH=$top/build/python-asan PYTHONMALLOC=malloc
	# What the interpreter leaves behind is not this module's.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	tests=("$here"/test_native*.py "$here"/test_asyncio.py)
	# The interpreter is not linked with it, and it has to be the first library.
	LD_PRELOAD=$("${CC:-gcc}" -print-file-name=libasan.so):$("${CC:-gcc}" -print-file-name=libubsan.so)
	export LD_PRELOAD
fi
[ -d "$PYTHONPATH" ] || skip "$PYTHONPATH is not built (python3-dev)"

cd "$here"
exec "$python" -m pytest -p no:cacheprovider "$@" "${tests[@]}"
