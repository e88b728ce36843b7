# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the packaging's scripts share: a Debian of the suite that packages are for, in which they are built and looked at.

# shellcheck source=testbed/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testbed/lib.sh"

native=$(dpkg --print-architecture)

# make_build_root ARCH TAR: with the compilers, and what debian/control asks for to build for that architecture.
make_build_root()
{
	local arch=$1 tar=$2 archs=$native compiler=gcc

	[[ $arch == "$native" ]] || {
		archs+=,$arch
		compiler=gcc-$(triplet "$arch"),libc6-dev:$arch
	}
	say "making a $default_suite in which to build for $arch"
	# shellcheck disable=SC2016 # $1 is mmdebstrap's
	as_root mmdebstrap --quiet --mode=root --variant=buildd --architectures="$archs" \
		--include="$compiler,fakeroot,lintian" \
		--customize-hook='mkdir -p "$1/source/debian"' \
		--customize-hook="copy-in '$repo_dir/debian/control' /source/debian" \
		--customize-hook="chroot \"\$1\" apt-get -qq -y --no-install-recommends -a $arch build-dep /source" \
		--customize-hook='rm -r "$1/source"' \
		"$default_suite" - "$(debian_mirror)" >"$tar" || die "cannot make a $default_suite for $arch"
}

triplet()
{
	dpkg-architecture -a "$1" -q DEB_HOST_GNU_TYPE 2>/dev/null | tr _ -
}

# in_build_root ARCH COMMAND: runs the shell command in a fresh copy of that root, with what stdin, a tar, has in
# /source. What it leaves in /out comes out as a tar on stdout.
in_build_root()
{
	local arch=$1 command=$2 root tar

	tar=$cache_dir/build-root/$default_suite-$native-$arch-$(recipe_id make_build_root -- \
		"$(sed -n '/^Build-Depends/,/^$/p' "$repo_dir/debian/control")").tar
	once "$tar" make_build_root "$arch"
	root=$(mktemp -d "${TMPDIR:-/tmp}/kvm-vgic-build.XXXXXX")
	# shellcheck disable=SC2064 # the name of now
	trap "as_root rm -rf '$root'" EXIT
	as_root tar -xf "$tar" -C "$root"
	as_root mkdir "$root/source" "$root/out"
	as_root tar -xf - -C "$root/source" --no-same-owner
	as_root chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
		sh -ec "cd /source; $command" >&2 </dev/null
	as_root tar -cf - -C "$root/out" .
}
