# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# What the testbed's scripts share: messages, the cache folder, and a private apt for
# the Debian suites and the architecture that the host itself does not run.

set -euo pipefail

testbed_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo_dir=$(dirname "$testbed_dir")
cache_dir=${KVM_VGIC_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME and KVM_VGIC_CACHE are both unset}/.cache}/kvm-vgic}
machine=$(uname -m)

# The suite that the sysroot, libzdtmtst and the default guest come from. It is also where
# the search for a kernel or a CRIU version starts, see find_suite().
default_suite=trixie
all_suites=(trixie forky sid experimental)

# As container tools do: 125 is our own failure, everything else belongs to the command.
readonly OWN_FAILURE=125

# stdout belongs to the guest's command (or to the path a script prints): we talk on stderr.
say()
{
	printf 'testbed: %s\n' "$*" >&2
}

die()
{
	say "error: $*"
	exit "$OWN_FAILURE"
}

# A command that failed and that nobody looked at is a failure of ours, wherever it was.
unexpected()
{
	local status=$?

	((status == OWN_FAILURE)) || say "error: '$2' failed with status $status ($(basename "$0"), line $1)"
	exit "$OWN_FAILURE"
}
set -E
trap 'unexpected "$LINENO" "$BASH_COMMAND"' ERR

as_root()
{
	if ((EUID == 0)); then
		"$@"
	else
		sudo -- "$@"
	fi
}

# An identifier that changes with the definition of the given functions and the given words,
# so that a cached result is made anew once its recipe has changed, and only then.
recipe_id()
{
	local -a functions=()

	while (($#)) && [[ $1 != -- ]]; do
		functions+=("$1")
		shift
	done
	{ declare -f "${functions[@]}"; printf '%s\n' "$@"; } | sha256sum | cut -c1-10
}

# once TARGET COMMAND...: make TARGET, a file or a folder of the cache, if it is not there.
# COMMAND gets a temporary name as its last argument; only a complete result is renamed to
# TARGET, and only one process makes it. What an interrupted run left behind is removed.
once()
{
	local target=$1 tmp=$1.tmp
	shift

	[[ ! -e $target ]] || return 0
	mkdir -p "$(dirname "$target")"
	(
		flock -n 9 || {
			say "waiting for another run that makes $(basename "$target")"
			flock 9
		}
		[[ ! -e $target ]] || exit 0
		rm -rf "$tmp"
		# 9>&-: a child that outlives us must not keep the lock.
		"$@" "$tmp" 9>&- >&2
		mv -T "$tmp" "$target"
	) 9>>"$target.lock"
}

# The Debian mirror that this machine already uses: by what its package lists say of
# themselves or, where they were removed, by its name.
debian_mirror()
{
	local uri

	# shellcheck disable=SC2016 # apt expands these
	uri=$({
		apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' | sed -n 's/^Debian|Debian|//p'
		apt-get indextargets --no-release-info --format '$(REPO_URI)' | grep '/debian/*$'
	} 2>/dev/null | awk 'NR == 1') || true
	printf '%s\n' "${uri:-http://deb.debian.org/debian/}"
}

# apt_source TYPE MIRROR SUITE [ARCHS]: a line of a sources.list.
apt_source()
{
	printf '%s [%ssigned-by=%s] %s %s main\n' "$1" "${4:+arch=$4 }" \
		/usr/share/keyrings/debian-archive-keyring.gpg "$2" "$3"
}

# The architectures whose packages the private apt knows; the first one is what it takes for its own.
apt_archs=(arm64)

# The folder of the private apt for these suites.
apt_dir()
{
	local name IFS=-

	name="$*"
	[[ ${apt_archs[*]} == arm64 ]] || name+=-${apt_archs[*]}
	printf '%s\n' "$cache_dir/apt/$name"
}

# Sets apt_options: an apt of ours that knows the packages of the named suites and
# nothing of this machine's packages (an empty status file), so that it resolves everything
# a root needs. Nothing outside of the cache folder is read or written by it, except for
# apt.conf (proxies) and the archive keys.
private_apt()
{
	local dir mirror archs suite

	dir=$(apt_dir "$@")
	mirror=$(debian_mirror)
	archs=$(IFS=,; printf '%s' "${apt_archs[*]}")
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	[[ -e $dir/status ]] || : >"$dir/status"
	for suite in "$@"; do
		apt_source deb "$mirror" "$suite" "$archs"
		apt_source deb-src "$mirror" "$suite"
	done >"$dir/sources.$BASHPID"
	mv "$dir/sources.$BASHPID" "$dir/sources.list"
	apt_options=(
		-o "Dir::Etc::sourcelist=$dir/sources.list"
		-o Dir::Etc::sourceparts=-
		-o Dir::Etc::preferences=/dev/null
		-o "Dir::Etc::preferencesparts=$dir/lists/partial"
		-o "Dir::State::lists=$dir/lists"
		-o "Dir::State::status=$dir/status"
		-o "Dir::State::extended_states=$dir/extended_states"
		-o "Dir::Cache=$dir/cache"
		-o "Dir::Cache::archives=$dir/cache/archives"
		-o "APT::Architecture=${apt_archs[0]}"
		-o "APT::Architectures=$archs"
		# _apt cannot reach a cache folder in a home directory.
		-o APT::Sandbox::User=
		# sid and experimental are now and then past their date on a mirror or in a snapshot.
		-o Acquire::Check-Valid-Until=false
		-o Acquire::Languages=none
		-o Acquire::Retries=3
	)
}

# apt_update SUITE...: private_apt with fresh package lists, once per process.
declare -A apt_updated=()
apt_update()
{
	local dir

	private_apt "$@"
	dir=$(apt_dir "$@")
	[[ -z ${apt_updated[$dir]:-} ]] || return 0
	say "reading the package lists of $*"
	(
		flock 9
		apt-get "${apt_options[@]}" -qq update 9>&- >&2
	) 9>>"$dir.lock" || die "cannot read the package lists of $* from $(debian_mirror)"
	apt_updated[$dir]=1
}

# apt_fetch DIR PACKAGE...: the packages and all they depend on, as .deb files in DIR.
apt_fetch()
{
	local dir=$1 total
	shift

	mkdir -p "$dir/partial"
	total=$(apt-get "${apt_options[@]}" -qq install --no-install-recommends --print-uris "$@" |
		awk '{ size += $3 } END { printf "%d packages, %d MB", NR, size / 1000000 }')
	say "downloading $total"
	apt-get "${apt_options[@]}" -o "Dir::Cache::archives=$dir" -qq -y install \
		--no-install-recommends --download-only "$@" >&2
}

# find_suite PACKAGE VERSION: sets suite to the first one that has this version, where VERSION
# is the beginning of the upstream version: 6.12, 4.1.1. Sets debian_version to the whole of it.
find_suite()
{
	local package=$1 version=$2

	for suite in "${all_suites[@]}"; do
		apt_update "$suite"
		debian_version=$(apt-cache "${apt_options[@]}" madison "$package" |
			awk -F' *[|] *' '!version { version = $2 } END { print version }')
		[[ $debian_version =~ ^"$version"([.~+-]|$) ]] && return 0
	done
	die "no Debian suite (${all_suites[*]}) has $package $version today"
}

# unpack_debs DIR DEB...: a merged-/usr root of these packages. No maintainer script is run,
# so no arm64 code has to run on this machine.
unpack_debs()
{
	local root=$1 deb dir
	shift

	mkdir -p "$root"
	for dir in bin sbin lib; do
		mkdir -p "$root/usr/$dir"
		ln -s "usr/$dir" "$root/$dir"
	done
	for deb in "$@"; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink
	done
}
