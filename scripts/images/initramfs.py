"""The guest's file system: the cpio archive ("newc") that the kernel unpacks at its start."""

import gzip
import re
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from catalogue import MACHINES
from kernel import Kernel, load_order

GUEST = Path(__file__).parent / "guest"

# qemu_fw_cfg takes VMCOREINFO to QEMU.
DEVICES = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "qemu_fw_cfg")
# xfs asks for a crc32c that it does not depend on; there is nobody to load it later.
SIGHTS = ("crc32c_generic", "loop", "fuse", "tun", "overlay", "bridge", "nbd", "dm-mod", "xfs")


class Cpio:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.count = 0

    def add(self, path: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self.count += 1
        name = path.encode() + b"\0"
        # inode mode uid gid links mtime size device(2) represented-device(2) name-size check
        fields = (self.count, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        for part in (header + name, content):
            self.parts.append(part + bytes(-len(part) % 4))

    def folder(self, path: str) -> None:
        self.add(path, stat.S_IFDIR | 0o755)

    def program(self, path: str, content: bytes) -> None:
        self.add(path, stat.S_IFREG | 0o755, content)

    def file(self, path: str, content: bytes) -> None:
        self.add(path, stat.S_IFREG | 0o644, content)

    def finish(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def compile_cast(arch: str, native: str, folder: Path) -> bytes:
    compiler = "gcc" if arch == native else f"{MACHINES[arch].compiler}-gcc"
    program = folder / "cast"
    sources = [GUEST / "cast.c", GUEST / "report.c"]
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-static", "-pthread", "-o", program, *sources], check=True)
    return program.read_bytes()


def build(kernel: Kernel, busybox: bytes, cast: bytes) -> bytes:
    archive = Cpio()
    for folder in ("bin", "dev", "etc", "proc", "sys", "tmp", "modules"):
        archive.folder(folder)
    # Process 1 has its input and output here before it can mount anything.
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.program("init", (GUEST / "init").read_bytes())
    archive.program("bin/busybox", busybox)
    archive.program("bin/cast", cast)
    modules = load_order(kernel.modules, DEVICES + SIGHTS)
    for name, content in modules.items():
        archive.file(f"modules/{name}.ko", content)
    devices = load_order(kernel.modules, DEVICES)
    archive.file("modules/devices", lines(devices))
    archive.file("modules/sights", lines(name for name in modules if name not in devices))
    packed = gzip.compress(archive.finish(), compresslevel=1)
    # Another archive may follow, and must then be aligned.
    return packed + bytes(-len(packed) % 4)


def lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def with_server(initramfs: bytes, server: Path) -> bytes:
    """The same with what a live guest does, our own program, and the libraries that it needs if it is not linked
    statically."""
    archive = Cpio()
    archive.file("live", (GUEST / "live").read_bytes())
    archive.program("bin/kgdbserver", server.read_bytes())
    listed = subprocess.run(["ldd", server], text=True, capture_output=True).stdout
    folders: set[str] = set()
    for library in re.findall(r"(/\S+) \(0x", listed):
        path = Path(library.lstrip("/"))
        for folder in reversed(path.parents[:-1]):
            if str(folder) not in folders:
                archive.folder(str(folder))
                folders.add(str(folder))
        archive.program(str(path), Path(library).read_bytes())
    return initramfs + archive.finish()


def for_crash(initramfs: bytes, kernel: Kernel) -> bytes:
    """To be put after `initramfs`: what is loaded for the case of a crash. The kernel unpacks one archive after the
    other."""
    archive = Cpio()
    archive.folder("boot")
    archive.file("boot/vmlinuz", kernel.image.read_bytes())
    archive.file("boot/initramfs", initramfs)
    return archive.finish()
