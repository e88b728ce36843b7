# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the packaging's scripts share: a Debian of the suite that packages are for, in which they are built and checked.

# shellcheck source=testbed/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../testbed/lib.sh"

native=$(dpkg --print-architecture)

# make_build_root ARCH TAR: with compilers, lintian, and what debian/control asks for to build for that architecture.
make_build_root()
{
	local arch=$1 tar=$2 archs=$native compiler=

	[[ $arch == "$native" ]] || archs+=,$arch compiler=,crossbuild-essential-$arch
	say "making a $default_suite in which to build for $arch, some minutes"
	# shellcheck disable=SC2016 # $1 is mmdebstrap's
	as_root mmdebstrap --quiet --mode=root --variant=buildd --architectures="$archs" \
		--include="fakeroot,lintian$compiler" \
		--customize-hook='mkdir -p "$1/source/debian"' \
		--customize-hook="copy-in '$repo_dir/debian/control' /source/debian" \
		--customize-hook="chroot \"\$1\" apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends -a $arch \
			build-dep /source >&2" \
		--customize-hook='rm -r "$1/source"' \
		"$default_suite" - "$(debian_mirror)" >"$tar" 2>"$tar.log" || {
		tail -n 40 "$tar.log" >&2
		die "cannot make a $default_suite for $arch"
	}
	rm "$tar.log"
}

# build_root ARCH: prints the name of a tar with it, anew where what it is to have has changed.
build_root()
{
	local tar

	tar=$cache_dir/build-root/$default_suite-$native-$1-$(recipe_id make_build_root -- \
		"$(sed -n '/^Build-Depends/,/^$/p' "$repo_dir/debian/control")").tar
	once "$tar" make_build_root "$1"
	printf '%s\n' "$tar"
}

# in_root TAR COMMAND: runs the shell command in a fresh copy of that root, in /source, which has what the tar on
# stdin has. What it leaves in /out comes out as a tar on stdout.
in_root()
{
	local tar=$1 command=$2 root

	root=$(mktemp -d "${TMPDIR:-/tmp}/kvm-vgic-root.XXXXXX")
	# shellcheck disable=SC2064 # the name of now
	trap "as_root rm -rf '$root'" EXIT
	as_root tar -xf "$tar" -C "$root" &&
		as_root mkdir "$root/source" "$root/out" &&
		as_root chmod 755 "$root" "$root/source" &&
		as_root tar -xf - -C "$root/source" --no-same-owner &&
		as_root chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
			sh -ec "cd /source; $command" >&2 </dev/null &&
		as_root tar -cf - -C "$root/out" .
}
