#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""secure_boot.py KERNEL ROOT BOOT MODULES BUSYBOX: modules under Secure Boot, as TAP.

OVMF with Microsoft's keys starts Debian's shim, its GRUB and its kernel as they are signed. The
first guest asks by mokutil that the key of DKMS be enrolled, shim's MokManager is answered over the
serial port, and the second guest loads modules. KERNEL is a directory of kernel.sh, ROOT a system
with mokutil and kmod, BOOT has shim and GRUB unpacked, MODULES has unsigned.ko, dkms.ko, signed.ko
and mok.pub. The console goes to standard error.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIRMWARE = Path("/usr/share/OVMF")
LIMIT = 600  # seconds until what is waited for is there

GRUB = """set timeout=0
search --no-floppy --file --set=root /vmlinuz
linux /vmlinuz console=ttyS0 loglevel=3 panic=-1 no_timer_check
initrd /initrd
boot
"""


def copy_program(root: Path, name: str, to: Path, new: Path) -> None:
    """A program of root and the libraries that it needs, to the system new."""
    libraries = subprocess.run(["chroot", root, "ldd", name], check=True, capture_output=True, text=True).stdout
    for path in re.findall(r"(/\S+) \(0x", libraries):
        target = new / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path[1:], target)
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / name[1:], to)


def make_initrd(kernel: Path, root: Path, modules: Path, busybox: Path, new: Path, initrd: Path) -> None:
    for directory in ("bin", "sbin", "modules"):
        (new / directory).mkdir(parents=True)
    shutil.copy(busybox, new / "bin/busybox")
    shutil.copy(HERE / "secure-boot-guest.sh", new / "init")
    copy_program(root, "/usr/bin/mokutil", new / "bin/mokutil", new)
    copy_program(root, "/bin/kmod", new / "sbin/insmod", new)
    for module in ("unsigned.ko", "dkms.ko", "signed.ko"):
        shutil.copy(modules / module, new / "modules")
    shutil.copy(kernel / "modules/kernel/fs/efivarfs/efivarfs.ko", new / "modules")
    shutil.copy(modules / "mok.pub", new)
    with open(initrd, "wb") as out:
        subprocess.run("find . | cpio --quiet -o -H newc -R 0:0 | gzip -1", shell=True, cwd=new, check=True,
                       stdout=out)


def make_disk(kernel: Path, boot: Path, disk: Path) -> None:
    efi = disk / "EFI/BOOT"
    efi.mkdir(parents=True)
    shutil.copy(boot / "usr/lib/shim/shimx64.efi.signed", efi / "BOOTX64.EFI")
    shutil.copy(boot / "usr/lib/shim/mmx64.efi.signed", efi / "mmx64.efi")
    shutil.copy(boot / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", efi / "grubx64.efi")
    (disk / "EFI/debian").mkdir()
    (disk / "EFI/debian/grub.cfg").write_text(GRUB)
    shutil.copy(kernel / "vmlinuz", disk / "vmlinuz")


class Guest:
    def __init__(self, work: Path) -> None:
        shutil.copy(FIRMWARE / "OVMF_VARS_4M.ms.fd", work / "vars.fd")
        flash = "if=pflash,format=raw,unit="
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "q35,smm=on", "-cpu", "max,la57=off", "-accel", "tcg",
             "-smp", "2", "-m", "1G", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
             "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1",
             "-drive", f"{flash}0,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.secboot.fd",
             "-drive", f"{flash}1,file={work}/vars.fd",
             "-drive", f"if=none,id=disk,format=raw,readonly=on,file=fat:{work}/disk",
             "-device", "virtio-blk-pci,drive=disk"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin and self.process.stdout
        self.keyboard = self.process.stdin
        self.screen = self.process.stdout.fileno()
        self.seen = b""

    def wait(self, what: bytes) -> bytes:
        """What comes until a line or a menu has this, and it too."""
        end = time.monotonic() + LIMIT
        while not (found := re.search(what, self.seen)):
            ready, _, _ = select.select([self.screen], [], [], max(0, end - time.monotonic()))
            got = os.read(self.screen, 65536) if ready else b""
            if not got:
                raise TimeoutError(f"no {what.decode()} within {LIMIT} s")
            sys.stderr.buffer.write(got)
            self.seen += got
        before, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return before

    def answer(self, keys: bytes) -> None:
        self.keyboard.write(keys)
        self.keyboard.flush()

    def select_second(self, entry: bytes) -> None:
        """Go to the second entry of a menu, which the menu then draws again, and take it."""
        self.wait(entry)
        self.answer(b"\x1b[B")
        self.wait(entry)
        self.answer(b"\r")

    def enroll(self) -> None:
        self.wait(rb"Press any key to perform MOK management")
        self.answer(b" ")
        self.select_second(rb"Enroll MOK")
        self.select_second(rb" Continue ")
        self.select_second(rb" Yes ")
        self.wait(rb"Password:")
        self.answer(b"l3l2q-test\r")
        self.wait(rb"Reboot")
        self.answer(b"\r")


def main(kernel: Path, root: Path, boot: Path, modules: Path, busybox: Path) -> bool:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_disk(kernel, boot, work / "disk")
        make_initrd(kernel, root, modules, busybox, work / "new", work / "disk/initrd")
        guest = Guest(work)
        try:
            said = guest.wait(rb"@@ done")
            guest.enroll()
            said += guest.wait(rb"@@ done")
        except (TimeoutError, OSError) as error:
            print(f"Bail out! {error}")
            return False
        finally:
            guest.process.kill()
            guest.process.wait()
    lines = re.findall(r"@@ ((?:not )?ok|#) (.*?)\r?\n", said.decode(errors="replace"))
    number = 0
    for verdict, text in lines:
        number += verdict != "#"
        print(f"{verdict} {text}" if verdict == "#" else f"{verdict} {number} {text}")
    print(f"1..{number}")
    return all(verdict != "not ok" for verdict, _ in lines)


if __name__ == "__main__":
    sys.exit(not main(*(Path(argument) for argument in sys.argv[1:6])))
