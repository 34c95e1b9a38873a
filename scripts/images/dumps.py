"""The files that are made of a guest: by QEMU while it is stopped, and by makedumpfile of QEMU's."""

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catalogue import MACHINES, Image
from machine import Monitor
from packages import Archive

# With what it needs; trixie's is the oldest with zstd, and none of Debian's has snappy.
MAKEDUMPFILE_PACKAGES = (
    *("makedumpfile", "libc6", "libdw1t64", "libelf1t64"),
    *("liblzo2-2", "libzstd1", "zlib1g", "liblzma5", "libbz2-1.0"),
)

QEMU: dict[str, dict[str, Any]] = {
    "elf.dump": {"paging": False},
    "elf-paging.dump": {"paging": True},
    "kdump-zlib.dump": {"paging": False, "format": "kdump-zlib"},
}

MAKEDUMPFILE = {
    "md-none-d0.dump": "-d 0",
    "md-zlib-d0.dump": "-c -d 0",
    "md-lzo-d0.dump": "-l -d 0",
    "md-zstd-d0.dump": "-z -d 0",
    "md-zlib-d31.dump": "-c -d 31",
    "md-lzo-d31.dump": "-l -d 31",
    "md-zstd-d31.dump": "-z -d 31",
    "md-elf-d31.dump": "-E -d 31",
    "md-flat-zlib-d0.dump": "-F -c -d 0",
    "md-flat-lzo-d31.dump": "-F -l -d 31",
    "md-flat-elf-d31.dump": "-F -E -d 31",
    # By default the first file gets the first GiB, which here is everything.
    "split": "-c -d 31 --split --splitblock-size 16",
}
SPLIT = ("split-0.dump", "split-1.dump", "split-2.dump")


def by_qemu(monitor: Monitor, image: Image, folder: Path) -> None:
    """Stops the guest, and lets QEMU write its memory."""
    spinner = re.search(r"^spinner \d+ function=(\w+)", monitor.guest.report(), re.MULTILINE)
    if spinner and image.end == "alive":
        registers = monitor.stop_at(int(spinner[1], 16))
    else:
        registers = monitor.stop()
    (folder / "registers.txt").write_text(registers)
    for name in image.files:
        if name in QEMU:
            monitor.run("dump-guest-memory", protocol=f"file:{folder / name}", **QEMU[name])
    # The file behind the memory is an image as it is.
    monitor.run("quit")
    monitor.guest.process.wait()


class MakeDumpFile:
    """Knows only the architecture that it is compiled for, hence its own libraries and perhaps an emulator."""

    def __init__(self, archive: Archive, folder: Path, native: str) -> None:
        machine = MACHINES[archive.arch]
        root = archive.unpack(MAKEDUMPFILE_PACKAGES, folder)
        libraries = root / "usr/lib" / machine.compiler
        emulator = [] if archive.arch == native else [machine.user_emulator]
        loader = [str(libraries / machine.loader), "--library-path", str(libraries)]
        self.command = [*emulator, *loader, str(root / "usr/bin/makedumpfile")]

    def run(self, name: str, source: Path) -> None:
        options = MAKEDUMPFILE[name].split()
        command = [*self.command, "--message-level", "0", *options, source.name]
        if "-F" in options:
            with (source.parent / name).open("wb") as target:
                subprocess.run(command, cwd=source.parent, stdout=target, check=True)
        else:
            targets = SPLIT if "--split" in options else (name,)
            subprocess.run([*command, *targets], cwd=source.parent, stdout=subprocess.DEVNULL, check=True)


@contextmanager
def headers_in_front(path: Path) -> Iterator[None]:
    """makedumpfile takes it that an ELF file's program headers follow the file header. QEMU (since 7.1) has its two
    section headers there; for the time being the program headers are moved over them."""
    with path.open("r+b") as file:
        header = bytearray(file.read(64))
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(0)
        before = file.read(offset + size * count)
        struct.pack_into("<QQ", header, 32, 64, 0)  # e_phoff, e_shoff
        struct.pack_into("<HHH", header, 58, 0, 0, 0)  # the section headers' size, count, and index of names
        file.seek(0)
        file.write(header + before[offset:])
    try:
        yield
    finally:
        with path.open("r+b") as file:
            file.write(before)


def make_sparse(path: Path) -> None:
    """Gives back the disk space of zeros; guests have many."""
    if shutil.which("fallocate"):
        subprocess.run(["fallocate", "--dig-holes", path], check=True)
