#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# packages.sh short|long: packages, as TAP. They are built, and README's five commands are run.
# "short" takes a guest with this tree's module and those programs of this machine that the commands
# need. "long" has lintian judge the packages, installs them in a bare Debian (as root), has DKMS build
# for two kernels and boots both, and one with Secure Boot, then upgrades, removes and purges; builds
# twice for the same bytes; and builds the packages of RPM.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
form=$1
tmp=$(mktemp -d)
deb=build/packages/deb
root=$tmp/root
n=0

# shellcheck source=libuser/packaging/stage.sh
. libuser/packaging/stage.sh

# shellcheck disable=SC2317
cleanup() {
	local m

	for m in proc sys dev; do
		! mountpoint -q "$root/$m" || umount -l "$root/$m"
	done
	rm -rf --one-file-system "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		tail -n 60 "$tmp/out" | sed 's/^/# /'
		echo "not ok $n $2"
	fi
}
# skip WHAT WHY: a failure if L3L2Q_NO_SKIP is set
skip() {
	n=$((n + 1))
	if [ -n "${L3L2Q_NO_SKIP-}" ]; then
		echo "not ok $n $1: $2"
	else
		echo "ok $n $1 # SKIP $2"
	fi
}
finish() {
	echo "1..$n"
	exit 0
}

multiarch=$(gcc -print-multiarch)

# One-line answers that must be the same
same_versions() {
	head -n 1 libuser/packaging/debian/changelog | grep -F "l3l2q ($version-" &&
		grep -x "Version: *$version" libuser/packaging/rpm/l3l2q.spec
}

# no_lintian FILE...: prints each tag that no override explains
no_lintian() {
	lintian --allow-root --tag-display-limit 0 -I --pedantic --profile debian "$@" 2>&1 |
		grep -v '^N:\|^running with root privileges' >"$tmp/out"
	[ ! -s "$tmp/out" ]
}

# The files that somebody looks for, each in its package, and no file in two
file_lists() {
	local f p path

	for f in $deb/*.deb; do
		dpkg-deb --fsys-tarfile "$f" | tar -tf - | grep -v '/$' | sed "s,^\\.,$(dpkg-deb -f "$f" Package) ,"
	done >"$tmp/files"
	while read -r p path; do
		grep -qxF "$p $path" "$tmp/files" || echo "$p lacks $path"
	done >"$tmp/out" <<-END
		libl3l2q1 /usr/lib/$multiarch/libl3l2q.so.1
		libl3l2q-dev /usr/lib/$multiarch/libl3l2q.so
		libl3l2q-dev /usr/lib/$multiarch/libl3l2q.a
		libl3l2q-dev /usr/lib/$multiarch/pkgconfig/l3l2q.pc
		libl3l2q-dev /usr/lib/$multiarch/pkgconfig/l3l2q-core.pc
		libl3l2q-dev /usr/include/l3l2q.h
		libl3l2q-dev /usr/include/l3l2q.hpp
		libl3l2q-dev /usr/include/l3l2q/core.h
		libl3l2q-dev /usr/include/linux/l3l2q.h
		libl3l2q-dev /usr/share/man/man7/l3l2q.7.gz
		libl3l2q-dev /usr/share/man/man3/l3l2q_create.3.gz
		libl3l2q-dev /usr/share/doc/libl3l2q-dev/examples/hello.c
		l3l2q-tools /usr/bin/l3l2qctl
		l3l2q-tools /usr/bin/l3l2q-stream
		l3l2q-tools /usr/share/man/man1/l3l2qctl.1.gz
		l3l2q-tools /usr/share/bash-completion/completions/l3l2qctl
		l3l2q-tools /usr/share/zsh/vendor-completions/_l3l2qctl
		l3l2q-tools /usr/share/doc/l3l2q-tools/examples/trace/timeline.sh
		l3l2q-tools /usr/share/doc/l3l2q-tools/examples/trace/perf.sh
		python3-l3l2q /usr/lib/python3/dist-packages/l3l2q/__init__.py
		l3l2q-dkms /usr/src/l3l2q-$version/dkms.conf
		l3l2q-dkms /usr/src/l3l2q-$version/driver/main.c
		l3l2q-dkms /usr/src/l3l2q-$version/uapi/linux/l3l2q.h
		l3l2q-dkms /usr/lib/udev/rules.d/60-l3l2q.rules
		l3l2q-dkms /usr/lib/modules-load.d/l3l2q.conf
		l3l2q-dkms /usr/share/man/man4/l3l2q-driver.4.gz
	END
	sed 's/^[^ ]* //' "$tmp/files" | sort | uniq -d >>"$tmp/out"
	[ ! -s "$tmp/out" ]
}

# The symbols file and the library have the same names
symbols() {
	diff <(sed -n 's/^ \([^ ]*\)@L3L2Q.*/\1/p' libuser/packaging/debian/libl3l2q1.symbols | sort) \
		<(nm -D --defined-only "$root/usr/lib/$multiarch/libl3l2q.so.1" | sed 's/.* //; s/@.*//' | sort) >"$tmp/out"
}

# each parameter of the example exists, and has the default that it shows
example_parameters() {
	grep -o '[a-z_]*=[^ ]*' libuser/packaging/modprobe.conf | sed 's/=.*//' | sort |
		diff - <(sed -n 's/^module_param([[:space:]]*\([a-z_]*\),.*/\1/p' driver/*.c | sort) >"$tmp/out"
}

# What DKMS would build is what is here: same source, and a dkms.conf with this version
dkms_source() {
	local source=$root/usr/src/l3l2q-$version f

	for f in Kbuild driver uapi/linux; do
		diff -r "$f" "$source/$f" || return
	done
	grep -xF "PACKAGE_VERSION=\"$version\"" "$source/dkms.conf"
}

# take_module KERNEL: the module that this tree builds for it, where DKMS puts its own
take_module() {
	local release

	release=$(cat "$1/version")
	mkdir -p "$root/lib/modules/$release/updates/dkms"
	make -s -j"$(nproc)" kmod KDIR="$1/kdir" >"$tmp/out" 2>&1 &&
		cp "build/kmod-$release/l3l2q.ko" "$root/lib/modules/$release/updates/dkms/" &&
		PATH=$PATH:/usr/sbin:/sbin depmod -b "$root" "$release" 2>&1 | grep -v 'could not open modules\.' >"$tmp/out"
	[ ! -s "$tmp/out" ] && [ -s "$root/lib/modules/$release/modules.dep" ]
}

# take PATH...: copy to the root, with the libraries that they need
take() {
	local f

	for f in "$@"; do
		f=$(PATH=$PATH:/usr/sbin:/sbin command -v "$f") || return
		echo "$f"
		ldd "$f" 2>/dev/null | grep -o '/[^ ]*'
		# a link and what it points to
		[ ! -L "$f" ] || readlink -f "$f"
	done | sort -u | tar -C / --no-recursion -chf - -T - 2>/dev/null | tar -C "$root" -xf -
}

# What README's commands need of a system, from this machine
host_root() {
	local stdlib f

	stdlib=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') &&
		take sh env stat getent setpriv unshare mount touch grep cat modprobe udevadm /usr/bin/python3 &&
		(cd / && find ".$stdlib" \( -name test -o -name __pycache__ -o -name 'config-*' -o -name dist-packages \
			-o -name idlelib -o -name lib2to3 \) -prune -o -type f -print | tar -cf - -T -) | tar -C "$root" -xf - || return
	for f in "$root$stdlib"/lib-dynload/*.so "$root"/usr/bin/l3l2q*; do
		ldd "$f" 2>/dev/null | grep -o '=> /[^ ]*' | sed 's/=> //'
	done | sort -u | tar -C / -chf - -T - | tar -C "$root" -xf - || return
	mkdir -p "$root"/{etc,tmp,mnt,usr/lib/systemd}
	[ -e "$root/lib/ld-linux.so" ] || cp -an /lib64 "$root/" 2>/dev/null
	cp "$(find /usr/lib/systemd /lib/systemd -name systemd-udevd | head -n 1)" "$root/usr/lib/systemd/" 2>/dev/null ||
		ln -s /usr/bin/udevadm "$root/usr/lib/systemd/systemd-udevd"
	echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
	printf 'root:x:0:\nl3l2q:x:990:\n' >"$root/etc/group"
}

# README's commands, a line each
commands() {
	sed -n '/^## Five commands/,/^## A program/{/^```sh$/,/^```$/{/^```/d;p}}' README.md
}

# count_tap WHERE: TAP of another one as a part of this
count_tap() {
	local line what

	echo $n >"$tmp/n"
	tr -d '\r' | grep -v '^1\.\.' | while read -r line; do
		case $line in
		'ok '* | 'not ok '*)
			n=$((n + 1))
			what=${line#*ok } what=${what#* }
			echo "${line%%ok *}ok $n $1: $what"
			;;
		*) echo "# ${line#\# }" ;;
		esac
		echo $n >"$tmp/n"
	done
	n=$(cat "$tmp/n")
}

# in_guest KERNEL: the other four of them, in a guest with $root; its TAP counts here
in_guest() {
	local release st=0

	release=$(cat "$1/version")
	tar -C "$root" --one-file-system --exclude='./usr/src' --exclude='./debs' --exclude='./boot' --exclude='./usr/lib/gcc' \
		--exclude='./var/*' --exclude='./usr/share/locale' --exclude='./usr/share/man' --exclude='./usr/include' \
		--exclude='./usr/lib/linux-kbuild*' --exclude='./usr/share/doc/[!lp]*' --exclude='./lib/modules/*/kernel' \
		--exclude='./usr/lib/modules/*/kernel' --exclude='*.a' --exclude='*/gconv' -cf "$tmp/root.tar" . || return
	commands | sed 1d >"$tmp/commands"
	echo "$form" >"$tmp/form"
	selftests/vm/run.sh --suite packages-guest --kernel "$1" --no-load --mem 2G --total 900 \
		--file "$tmp/root.tar:/root.tar" --file "$tmp/commands:/commands" --file "$tmp/form:/$form" \
		--script selftests/vm/packages-guest.sh >"$tmp/guest" 2>&1 || st=$?
	rm "$tmp/root.tar"
	count_tap "$release" <"$tmp/guest"
	tail -n 20 "$tmp/guest" >"$tmp/out"
	return $st
}

# secure_boot KERNEL RELEASE: the module of DKMS in guests whose firmware has Secure Boot on
secure_boot() {
	local modules=$tmp/signed boot=$tmp/boot st=0

	mkdir "$modules" "$boot"
	(cd "$boot" && apt-get -qq -o APT::Sandbox::User=root download shim-signed shim-helpers-amd64-signed \
		grub-efi-amd64-signed && for f in *.deb; do dpkg-deb -x "$f" . || exit; done) >"$tmp/out" 2>&1 &&
		cp "$root/lib/modules/$2/updates/dkms/l3l2q.ko" "$modules/dkms.ko" &&
		strip -g -o "$modules/unsigned.ko" "$modules/dkms.ko" &&
		cp "$modules/unsigned.ko" "$root/tmp/signed.ko" &&
		in_root "/lib/modules/$2/build/scripts/sign-file" sha256 /var/lib/dkms/mok.key /var/lib/dkms/mok.pub \
			/tmp/signed.ko &&
		cp "$root/tmp/signed.ko" "$root/var/lib/dkms/mok.pub" "$modules/" || return
	timeout 1800 selftests/vm/secure_boot.py "$1" "$root" "$boot" "$modules" \
		"$(selftests/vm/kernel.sh busybox | tail -n 1)/busybox" >"$tmp/guest" 2>"$tmp/console" || st=$?
	count_tap "$2" <"$tmp/guest"
	tail -n 40 "$tmp/console" | tr -d '\r\033' >"$tmp/out"
	return $st
}

echo 'TAP version 13'

if ! command -v dh >/dev/null || ! command -v dh_dkms >/dev/null; then
	skip 'packages' 'no debhelper, or no dh-dkms'
	finish
fi

same_versions >"$tmp/out" 2>&1
verdict $? "changelog and spec have the version $version"
example_parameters
verdict $? 'modprobe.conf shows the parameters that there are'
before=$(git status --porcelain 2>/dev/null)
if [ "$form" = short ]; then
	libuser/packaging/deb.sh --short $deb >"$tmp/out" 2>&1
else
	libuser/packaging/deb.sh $deb >"$tmp/out" 2>&1
fi
verdict $? 'the packages build'
[ "$(git status --porcelain 2>/dev/null)" = "$before" ]
verdict $? 'the tree stays as it was'
file_lists
verdict $? 'file lists'

kernel=$(selftests/vm/kernel.sh stock | tail -n 1)

if [ "$form" = short ]; then
	mkdir "$root"
	for f in $deb/*.deb; do
		dpkg-deb -x "$f" "$root" || exit 1
	done
	symbols
	verdict $? 'the symbols file is that of the library'
	dkms_source >"$tmp/out" 2>&1
	verdict $? "DKMS has this tree's source"
	take_module "$kernel"
	verdict $? 'a module for the stock kernel'
	if ! command -v udevadm >/dev/null; then
		skip "README's commands in a guest" 'no udev'
		finish
	fi
	host_root >"$tmp/out" 2>&1
	verdict $? 'a system of what README'\''s commands need'
	in_guest "$kernel"
	verdict $? "README's commands in a guest"
	finish
fi

# ---- long

if ! command -v lintian >/dev/null; then
	skip 'lintian' 'not installed'
else
	no_lintian $deb/build/*.changes
	verdict $? 'lintian has nothing to say'
fi

# The packages and whatever they and the kernels' headers need are fetched by this machine's apt:
# the root needs no network.
fetch() {
	mkdir -p "$root/debs" "$root/var/cache/apt/archives/partial" &&
		timeout 900 apt-get -qq -o "Dir::State::status=$root/var/lib/dpkg/status" -o APT::Sandbox::User=root \
			-o "Dir::Cache::archives=$root/var/cache/apt/archives" -y -d --no-install-recommends \
			install "$@" >"$tmp/out" 2>&1 && mv "$root"/var/cache/apt/archives/*.deb "$root/debs/"
}
# in_root COMMAND...
in_root() {
	timeout 1200 chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		DEBIAN_FRONTEND=noninteractive "$@" >"$tmp/out" 2>&1
}
# has_modules VERSION: DKMS has installed this version for each kernel, and no other
has_modules() {
	local r

	in_root dkms status -m l3l2q || return
	for r in "${releases[@]}"; do
		grep -q "^l3l2q/$1, $r, .*: installed" "$tmp/out" || return
		[ "$(modinfo -F version "$root/lib/modules/$r/updates/dkms/l3l2q.ko"*)" = "$1" ] || return
	done
	[ "$(grep -c '^l3l2q/' "$tmp/out")" = ${#releases[@]} ]
}

arch=$(dpkg --print-architecture)
backport=$(apt-cache search --names-only "^linux-image-6\.12.*-cloud-$arch\$" | sed 's/ .*//; /unsigned/d' | sort -V | tail -n 1)
release=$(cat "$kernel/version")
releases=("$release" "${backport#linux-image-}")

selftests/vm/debian-root.sh "$root" >"$tmp/out" 2>&1
st=$?
if [ $st = 3 ]; then
	skip 'a bare Debian' "$(cat "$tmp/out")"
	finish
fi
verdict $st 'a bare Debian'
[ $st = 0 ] || finish
for m in proc sys dev; do
	mount --rbind "/$m" "$root/$m" && mount --make-rslave "$root/$m" || exit 1
done
fetch "linux-headers-$release" "$backport" "${backport/image/headers}" udev python3 kmod openssl mokutil podman crun uidmap \
	"$PWD"/$deb/*.deb
st=$?
verdict $st 'apt finds what the packages need'
[ $st = 0 ] || finish
cp $deb/*.deb "$root/debs/"
in_root sh -c 'cd /debs && apt-get install -y --no-install-recommends ./*.deb'
st=$?
verdict $st "$(commands | head -n 1), with headers for two kernels"
[ $st = 0 ] || finish
has_modules "$version"
verdict $? "DKMS builds and installs the module for ${releases[*]}"
symbols
verdict $? 'the symbols file is that of the library'
in_root getent group l3l2q
verdict $? 'there is a group l3l2q'
in_root sh -c 'dpkg --audit && dpkg -V l3l2q-dkms l3l2q-tools libl3l2q1 libl3l2q-dev python3-l3l2q && ! dpkg -V | grep l3l2q'
verdict $? 'dpkg --audit and --verify'
[ "$(modinfo -F sig_key "$root/lib/modules/$release/updates/dkms/l3l2q.ko")" ] && [ -s "$root/var/lib/dkms/mok.pub" ]
verdict $? 'DKMS signs with the key of this machine'

in_guest "$kernel"
verdict $? "README's commands in a guest, ${releases[0]}"
mkdir "$tmp/kernel"
cp "$root/boot/vmlinuz-${releases[1]}" "$tmp/kernel/vmlinuz"
echo "${releases[1]}" >"$tmp/kernel/version"
cp "$kernel/arch" "$tmp/kernel/arch"
in_guest "$tmp/kernel"
verdict $? "README's commands in a guest, ${releases[1]}"

if [ "$arch" != amd64 ]; then
	skip 'Secure Boot' 'the boot loaders that are tried are those of x86-64'
elif [ ! -e /usr/share/OVMF/OVMF_CODE_4M.secboot.fd ]; then
	skip 'Secure Boot' 'no ovmf'
else
	secure_boot "$kernel" "$release"
	verdict $? "Secure Boot, ${releases[0]}"
fi

# An upgrade, in both orders: the next version differs in its number alone
next=$version.1
mkdir "$tmp/next"
(
	stage "$tmp/next"
	cd "$tmp/next" && sed -i "s/^\(.define L3L2Q_VERSION \).*/\1\"$next\"/" driver/main.c &&
		sed -i "1s/(.*)/($next-1)/" libuser/packaging/debian/changelog &&
		libuser/packaging/deb.sh --short "$tmp/next/deb"
) >"$tmp/out" 2>&1
verdict $? "packages of the version $next"
cp "$tmp"/next/deb/*.deb "$root/debs/"
in_root dpkg -i "/debs/l3l2q-dkms_$next-1_all.deb" && has_modules "$next"
verdict $? 'the module is upgraded before the library'
in_root sh -c "l3l2qctl --version && ldconfig -p" && grep -q "^l3l2qctl $version\$" "$tmp/out"
verdict $? 'the tools stay as they were, and run'
in_root dpkg -i "/debs/libl3l2q1_$next-1_$arch.deb" "/debs/libl3l2q-dev_$next-1_$arch.deb" \
	"/debs/l3l2q-tools_$next-1_$arch.deb" "/debs/python3-l3l2q_$next-1_$arch.deb"
verdict $? 'then the library, the tools and Python'
in_root dpkg -i "/debs/l3l2q-dkms_$version-1_all.deb" && has_modules "$version"
verdict $? 'the module goes back to the version before: the library is the newer one'
passed=$n
in_guest "$kernel" >"$tmp/tap"
n=$passed
grep -v '^ok' "$tmp/tap" | grep '^not ok' | grep -v 'one version' >"$tmp/out"
[ ! -s "$tmp/out" ]
verdict $? 'a newer library on an older module: all but the test for one version passes'

in_root apt-get remove -y l3l2q-dkms libl3l2q1 && ! ls "$root"/lib/modules/*/updates/dkms/l3l2q.ko* 2>/dev/null &&
	[ ! -e "$root/usr/src/l3l2q-$version" ] && in_root dkms status -m l3l2q && ! grep -q '^l3l2q/' "$tmp/out"
verdict $? 'apt remove takes the modules along'
in_root apt-get purge -y l3l2q-dkms libl3l2q1 l3l2q-tools libl3l2q-dev python3-l3l2q
in_root find /etc /usr /var/lib /lib -xdev -name '*l3l2q*'
[ ! -s "$tmp/out" ]
verdict $? 'after apt purge nothing is left but the group'

libuser/packaging/reproducible.sh >"$tmp/out" 2>&1
verdict $? 'two builds, at different places, have the same bytes'

# ---- RPM

if ! command -v rpmbuild >/dev/null || ! command -v rpmlint >/dev/null; then
	skip 'packages of RPM' 'no rpmbuild, or no rpmlint'
	finish
fi
libuser/packaging/rpm.sh build/packages/rpm >"$tmp/out" 2>&1
verdict $? 'packages of RPM build, and the spec with the module parses'
rpmlint -r libuser/packaging/rpm/l3l2q.rpmlintrc build/packages/rpm/*.rpm 2>&1 | grep ' [EW]: ' >"$tmp/out"
[ ! -s "$tmp/out" ]
verdict $? 'rpmlint has nothing to say'
finish
