#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# PID 1 of the guests of secure_boot.py: before the key of DKMS is enrolled it asks for that, and
# afterwards it loads what the key has signed. Verdicts begin with @@, since the kernel uses the same port.

export PATH=/sbin:/bin
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t securityfs securityfs /sys/kernel/security
/sbin/insmod /modules/efivarfs.ko && mount -t efivarfs efivarfs /sys/firmware/efi/efivars

verdict() {
	if [ "$1" = 0 ]; then
		echo "@@ ok $2"
	else
		sed 's/^/@@ # /' /tmp/out
		echo "@@ not ok $2"
	fi
}
refused() {
	! /sbin/insmod "/modules/$1.ko" >/tmp/out 2>&1 && grep -q 'Key was rejected by service' /tmp/out
}
loads() {
	/sbin/insmod "/modules/$1.ko" >/tmp/out 2>&1 && [ -c /dev/l3l2q ] && rmmod l3l2q >>/tmp/out 2>&1
}

{ mokutil --sb-state && cat /sys/kernel/security/lockdown; } >/tmp/out 2>&1
grep -q 'SecureBoot enabled' /tmp/out && grep -qF '[integrity]' /tmp/out
verdict $? 'the firmware has Secure Boot on, the kernel is locked down'
refused unsigned
verdict $? 'a module without a signature is refused'
# its status is 0 if the key is not enrolled
if mokutil --test-key /mok.pub >/tmp/out 2>&1; then
	refused dkms
	verdict $? 'so is that of DKMS, whose key is not enrolled yet'
	printf 'l3l2q-test\nl3l2q-test\n' | mokutil --import /mok.pub >/tmp/out 2>&1
	verdict $? 'mokutil --import'
else
	loads dkms
	verdict $? 'with its key enrolled, the module that DKMS has built is loaded'
	loads signed
	verdict $? 'so is one that sign-file has signed with that key'
fi
echo '@@ done'
sync
reboot -f
