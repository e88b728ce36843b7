# SPDX-License-Identifier: GPL-2.0-only
# Completion of criu-kvm for bash.

_criu_kvm()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local -A options=(
		[check]='--libdir --json --verbose --help'
		[show]='--json --dot --verbose --help'
		[verify]='--host --root --verbose --help'
		[diff]='--json --verbose --help'
		[recover]='--frozen --verbose --help'
		[plan]='--json --verbose --help'
	)

	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "${!options[*]} --help --version" -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${options[${COMP_WORDS[1]}]-}" -- "$word")
	elif [[ ${COMP_WORDS[1]} == @(check|recover) && $before != --libdir ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word")
	else
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
	fi
}
complete -F _criu_kvm criu-kvm
