"""A kernel of Debian's, unpacked: the file that boots, its modules, its debug file."""

import lzma
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from packages import Archive, PackageError, dependencies


@dataclass(frozen=True)
class Kernel:
    release: str
    image: Path
    modules: Path


@dataclass(frozen=True)
class KernelPackages:
    archive: Archive
    release: str
    version: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.names[0]} {self.version} {self.archive.arch}"

    def unpack(self, folder: Path) -> Kernel:
        self.archive.unpack(self.names, folder)
        # /lib is /usr/lib in newer packages, and the kernel is with its modules instead of in /boot.
        modules = first(folder, f"lib/modules/{self.release}", f"usr/lib/modules/{self.release}")
        image = first(folder, f"boot/vmlinuz-{self.release}", f"boot/vmlinux-{self.release}", f"{modules}/vmlinuz")
        return Kernel(self.release, image, modules)


def unpack_debug(archive: Archive, release: str, target: Path) -> None:
    """vmlinux with DWARF, out of a package of up to 800 MB whose other files are not unpacked."""
    (package,) = archive.fetch([f"linux-image-{release}-dbg"])
    places = (f"./usr/lib/debug/boot/vmlinux-{release}", f"./usr/lib/debug/lib/modules/{release}/vmlinux")
    quiet = subprocess.DEVNULL  # one of the two places is not there, and tar does not read on behind the other
    for place in places:
        unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, stderr=quiet)
        with unpack as contents, target.open("wb") as file:
            command = ["tar", "--extract", "--to-stdout", "--occurrence=1", "--file=-", place]
            subprocess.run(command, stdin=contents.stdout, stdout=file, stderr=quiet, check=False)
        if target.stat().st_size > 0:
            break
    else:
        raise FileNotFoundError(f"{package.name} has neither {' nor '.join(places)}")
    package.unlink()


def find(archive: Archive, meta: str) -> KernelPackages:
    """The kernel that the meta package stands for today."""
    image = next((name for name in dependencies(archive.records([meta])[0]) if re.match(r"linux-image-\d", name)), None)
    if image is None:
        raise PackageError(f"{meta} of {archive.root.name} does not depend on a kernel")
    record = archive.records([image])[0]
    release = image.removeprefix("linux-image-")
    # Since 7.x the files are spread over several packages.
    parts = (f"linux-binary-{release}", f"linux-modules-{release}")
    names = (image, *(part for part in dependencies(record) if part in parts))
    return KernelPackages(archive, release, record["Version"], names)


def first(folder: Path, *candidates: str) -> Path:
    for candidate in candidates:
        if (folder / candidate).exists():
            return folder / candidate
    raise FileNotFoundError(f"none of {', '.join(candidates)} in {folder}")


def module_key(name: str) -> str:
    return name.replace("-", "_")


def load_order(modules: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """The wanted modules' contents by name, each after those it depends on, without what is built in."""
    files = {module_key(path.name.partition(".ko")[0]): path for path in modules.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in order or name not in files:
            return
        path = files[name]
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        # .modinfo, in which the module says itself what modprobe would read in modules.dep.
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for dependency in depends[1].decode().split(",") if depends else ():
            add(module_key(dependency))
        order[name] = content

    for name in wanted:
        add(module_key(name))
    return order
