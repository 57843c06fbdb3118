#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# examples/orchestration.cc as TAP: L2 by the names of simpler. ORCHESTRATION is the program,
# L3L2Q_TRANSPORT what it runs over; by default what the guest has.

ORCHESTRATION=${ORCHESTRATION:-orchestration}
command -v "$ORCHESTRATION" >/dev/null || { echo '1..0 # SKIP no compiler for C++ of this machine'; exit 0; }

echo 'TAP version 13'
echo 1..1
said=$(timeout 60 "$ORCHESTRATION" "${L3L2Q_TRANSPORT:-driver}" 2>&1 | tr '\n' ,)
if [ "$said" = '8 10 12,2 4 6,14,16,18,46 50 54,' ]; then
	echo 'ok 1 an orchestration of simpler answers'
else
	echo "# $said"
	echo 'not ok 1 an orchestration of simpler answers'
fi
