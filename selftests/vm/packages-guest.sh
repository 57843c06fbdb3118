#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What packages.sh does in a guest (run.sh --script --no-load): /root.tar is a system with our
# packages, /commands are those that README has after the first, which installed them. With /long
# it tries containers, too, also by podman if that is in the system. TAP.

# shellcheck shell=dash disable=SC2086
root=/tmp/root
n=0

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		sed 's/^/# /' /tmp/out
		echo "not ok $n $2"
		bad=1
	fi
}
# in_root COMMAND...: moved to /, since the kernel refuses user namespaces in a chroot
in_root() {
	unshare -m sh -c 'cd "$1" && mount --move . / && shift && exec chroot . "$@"' - $root /usr/bin/env -i \
		SYSTEMD_IGNORE_CHROOT=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ PYTHONDONTWRITEBYTECODE=1 "$@"
}
# as_member COMMAND..., as_other COMMAND...: as a user in the group l3l2q, and as one who is not
as_member() {
	in_root setpriv --reuid 1234 --regid 1234 --groups "$(in_root getent group l3l2q | cut -d: -f3)" "$@"
}
as_other() {
	in_root setpriv --reuid 1234 --regid 1234 --clear-groups "$@"
}

bad=0
mkdir $root && mount -t tmpfs -o size=90% tmpfs $root && tar -C $root -xf /root.tar && rm /root.tar
st=$?
for m in proc sys dev run; do
	mkdir -p $root/$m && mount --rbind /$m $root/$m || st=1
done
if [ $st != 0 ]; then
	echo 'Bail out! the root does not unpack'
	exit 1
fi

mkdir -p /run/udev
in_root /usr/lib/systemd/systemd-udevd --daemon >/tmp/out 2>&1 || in_root /lib/systemd/systemd-udevd --daemon >/tmp/out 2>&1
verdict $? 'udev starts'

# $1 to $4 are from here on a command of README each
while read -r line; do
	set -- "$@" "$line"
done </commands
[ $# = 4 ]
verdict $? 'README has five commands'

in_root sh -c "$1" >/tmp/out 2>&1
verdict $? "$1"
in_root udevadm settle --timeout=60
in_root stat -c '%G %a' /dev/l3l2q >/tmp/out 2>&1
[ "$(cat /tmp/out)" = 'l3l2q 660' ]
verdict $? 'udev gives the node to the group l3l2q'
in_root sh -c "$2" >/tmp/out 2>&1
[ "$(cat /tmp/out)" = IBM ]
verdict $? "$2"

# a stream, and one look at it once messages move
in_root sh -c "$3
stream=\$!
for i in 1 2 3 4 5 6 7 8 9 10; do
	$4 --rounds 2 >/tmp/top 2>&1 || break
	grep -q '^[0-9]* *ram *[1-9][0-9]* .* attached *attached' /tmp/top && break
done
kill \$stream; wait \$stream; cat /tmp/top" >/tmp/out 2>&1
grep -q '^[0-9]* *ram *[1-9][0-9]* .* attached *attached' /tmp/out
verdict $? "$3 $4"

in_root l3l2qctl doctor >/tmp/out 2>&1
verdict $? 'l3l2qctl doctor finds nothing bad'
grep -q '^ok .*device node .*group l3l2q' /tmp/out
verdict $? 'l3l2qctl doctor names the group'

hello="$2"
as_member $hello >/tmp/out 2>&1
verdict $? 'a member of the group may create'
! as_other $hello >/tmp/out 2>&1 && grep -q 'no permission' /tmp/out
verdict $? 'others may not'
as_other l3l2qctl doctor >/tmp/out 2>&1
[ $? = 1 ] && grep -q 'usermod -aG l3l2q ' /tmp/out
verdict $? 'l3l2qctl doctor tells them to join it'

containers() {
	# What container engines do, by hand: a /dev of its own, with and without the node
	in_root unshare -m sh -c "mount -t tmpfs tmpfs /mnt && touch /mnt/l3l2q && mount --bind /dev/l3l2q /mnt/l3l2q &&
		mount --move /mnt /dev && exec $hello" >/tmp/out 2>&1
	verdict $? 'a container with the node'
	! in_root unshare -m sh -c "mount -t tmpfs tmpfs /dev && exec $hello" >/tmp/out 2>&1 && grep -q 'No such file' /tmp/out
	verdict $? 'a container without it: no driver'
	in_root unshare -m sh -c "mount -t tmpfs tmpfs /dev && exec ${hello% driver} memfd" >/tmp/out 2>&1
	verdict $? 'a container without it: queues over memfd'
	as_member unshare -U -r $hello >/tmp/out 2>&1
	verdict $? 'a user namespace keeps the group of whoever made it'
	! as_other unshare -U -r $hello >/tmp/out 2>&1 && grep -q 'no permission' /tmp/out
	verdict $? 'root of a user namespace is not root of the node'

	# The device cgroup
	if mkdir /tmp/devices && mount -t cgroup -o devices cgroup /tmp/devices 2>/dev/null; then
		mkdir /tmp/devices/box
		echo a >/tmp/devices/box/devices.deny
		! (read -r pid _ </proc/self/stat; echo "$pid" >/tmp/devices/box/cgroup.procs
			in_root $hello) >/tmp/out 2>&1 && grep -q 'does this container have the device' /tmp/out
		verdict $? 'a device cgroup that denies'
		echo "c $(in_root stat -c '%Hr:%Lr' /dev/l3l2q) rw" >/tmp/devices/box/devices.allow
		(read -r pid _ </proc/self/stat; echo "$pid" >/tmp/devices/box/cgroup.procs
			in_root $hello) >/tmp/out 2>&1
		verdict $? 'a device cgroup that allows the node'
		umount /tmp/devices
	fi
}

# The same by podman, with its seccomp profile: an image of the tools and their libraries
podman_as() {
	user=$1
	shift
	in_root setpriv --reuid "$user" --regid "$user" --init-groups /usr/bin/env HOME=/home/$user USER=$user \
		XDG_RUNTIME_DIR=/tmp/$user podman --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"
}
# box USER [OPTION...] COMMAND: in a container
box() {
	user=$1
	shift
	podman_as "$user" run --rm --network none "$@" >/tmp/out 2>&1
}

podman_containers() {
	node='--device /dev/l3l2q'
	stream='l3l2q-stream -i /usr/bin/l3l2qctl -o /dev/null --verify'

	mkdir -p $root/var/lib $root/home/root $root/tmp/root && mkdir -m 1777 $root/var/tmp
	in_root sh -c 'useradd -m -G l3l2q in && mkdir /tmp/in && chown in /tmp/in
		cd / && { echo usr/bin/l3l2qctl; echo usr/bin/l3l2q-stream; ldd /usr/bin/l3l2q-stream | grep -o "/[^ ]*"; } |
		tar -chf /box.tar -T - 2>/dev/null && tar -tf /box.tar' >/tmp/out 2>&1
	for user in root in; do
		podman_as $user import -q /box.tar box >>/tmp/out 2>&1
		verdict $? "podman: an image of the tools, for $user"
	done

	! box root box $stream && grep -q 'No such file' /tmp/out
	verdict $? 'podman: no node'
	box root box $stream --transport memfd
	verdict $? 'podman: queues over memfd'
	box root $node box $stream && box root $node box l3l2qctl doctor && grep -q '^ok .*membarrier' /tmp/out &&
		! grep -q pidfd /tmp/out
	verdict $? "podman $node: its seccomp profile lets all through"
	! box root -v /dev/l3l2q:/dev/l3l2q box l3l2qctl doctor && grep -q 'start the container with --device' /tmp/out
	verdict $? 'podman: doctor knows a node that the device cgroup denies'
	box root -v /dev/l3l2q:/dev/l3l2q --device-cgroup-rule "c $(in_root stat -c '%Hr:%Lr' /dev/l3l2q) rw" box $stream
	verdict $? 'podman: a rule for the device cgroup'
	! box root $node --user 7:7 box $stream &&
		box root $node --user 7:7 --group-add "$(in_root getent group l3l2q | cut -d: -f3)" box $stream
	verdict $? 'podman: a user of the image needs the group by number'
	! box root $node --memory 8m box $stream --input-arena 16M && grep -q 'not enough memory' /tmp/out
	verdict $? 'podman: regions count against the memory of the container'
	! box in $node box l3l2qctl doctor && grep -q 'keep-groups' /tmp/out
	verdict $? 'podman, rootless: without keep-groups no group'
	box in $node --group-add keep-groups box $stream
	verdict $? 'podman, rootless: a member with keep-groups'
}
[ ! -e /long ] || containers
if [ -e $root/usr/bin/podman ]; then
	podman_containers
fi

[ "$(cat /sys/module/l3l2q/version)" = "$(in_root l3l2qctl --version | sed 's/.* //')" ]
verdict $? 'module and tools have one version'

in_root modprobe -r l3l2q >/tmp/out 2>&1
verdict $? 'modprobe -r l3l2q'
in_root udevadm control --exit >/dev/null 2>&1
echo "1..$n"
exit $bad
