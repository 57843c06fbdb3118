#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest of "make bench-vm": l3l2q-bench with the arguments in /bench.args, and
# then its JSON, between markers.

# shellcheck shell=dash
sed -n 's/^model name[^:]*: */@@ cpu /p' /proc/cpuinfo | head -n 1
# shellcheck disable=SC2046
l3l2q-bench -j /tmp/json $(cat /bench.args)
st=$?
echo '@@ json'
cat /tmp/json
echo '@@ end'
exit $st
