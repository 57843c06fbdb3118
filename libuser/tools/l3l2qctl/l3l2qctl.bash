# SPDX-License-Identifier: MIT
# Completion of l3l2qctl in bash.

_l3l2qctl() {
	local words='list show dump top watch metrics doctor --json --payload --delay --rounds --after --node --help --version'

	case ${COMP_WORDS[COMP_CWORD - 1]} in
	show | dump) words=$(l3l2qctl list 2>/dev/null | sed -n '2,$s/ .*//p') ;;
	--node) words=$(compgen -f -- "${COMP_WORDS[COMP_CWORD]}") ;;
	-d | --delay | -n | --rounds | --after) words= ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -F _l3l2qctl l3l2qctl
