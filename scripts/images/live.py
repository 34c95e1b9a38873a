#!/usr/bin/env python3
"""Boots a guest that is to be looked at while it runs."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

from catalogue import DEFAULT, MACHINES, MORE  # noqa: E402
from initramfs import with_server  # noqa: E402
from machine import ENDS  # noqa: E402

DESCRIPTION = """\
Boots a live guest that make-images has prepared, with SERVER in it as kgdbserver. Standard input and output are its
console: once it has said "@@ ready" it does what it is told, a line at a time, and says "@@ done STATUS" after each. Port
1234 of the guest is port PORT of this machine, which the guest knows as 10.0.2.2. Of FOLDER/ram.img, which is the guest's
memory, and FOLDER/qmp, QEMU's monitor, the guest can be seen from outside. The guest ends when its standard input does.
FOLDER/disk, if it is there, is the guest's /dev/vda.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guest", type=Path, help="the guest's folder, as make-images prints it, and its name")
    parser.add_argument("server", type=Path, help="the program; best linked statically")
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path, help="for the files that show the guest from outside")
    parser.add_argument("--append", default="", help="for the kernel's command line")
    options = parser.parse_args()
    image = next(image for image in DEFAULT + MORE if image.name == options.guest.name)
    machine = MACHINES[image.source.arch]
    disk = options.folder / "disk"
    with tempfile.TemporaryFile() as initramfs:
        initramfs.write(with_server((options.guest / "initramfs").read_bytes(), options.server))
        initramfs.flush()
        # QEMU reads it while it starts, and this process is QEMU from then on.
        os.set_inheritable(initramfs.fileno(), True)
        command = [
            *("setpriv", "--pdeathsig", "KILL", machine.qemu, "-accel", "tcg,thread=multi", *machine.options),
            *("-cpu", image.cpu, "-smp", "2", "-m", image.memory),
            *("-object", f"memory-backend-file,id=ram,size={image.memory},mem-path={options.folder}/ram.img,share=on"),
            *("-qmp", f"unix:{options.folder}/qmp,server=on,wait=off"),
            *(("-drive", f"file={disk},if=virtio,format=raw") if disk.exists() else ()),
            *("-display", "none", "-no-reboot", "-nodefaults", "-chardev", "stdio,id=console,signal=off"),
            *("-serial", "chardev:console", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{options.port}-:1234"),
            *("-kernel", str(options.guest / "vmlinuz"), "-initrd", f"/proc/self/fd/{initramfs.fileno()}"),
            *("-append", f"{machine.append} loglevel=4 {ENDS[image.end]} {options.append}"),
        ]
        os.execvp(command[0], command)


if __name__ == "__main__":
    main()
