# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# How a test is said, to be sourced: 'VAR=value... program arguments...'.

# name_of SPEC: what the summary calls it
name_of() {
	local w n=

	for w in $1; do
		case $w in
		L3L2Q_TRANSPORT=*) n="$n ${w#*=}" ;;
		*=*) ;;
		*)
			echo "$(basename "$w")$n"
			return
			;;
		esac
	done
}
