"""A kernel that is built here, of Debian's source: for what none of Debian's own permits."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from catalogue import MACHINES, Built
from kernel import Kernel
from packages import Archive

KERNELS = Path(__file__).resolve().parent / "kernels"

TOOLS = {"make", "flex", "bison", "bc", "libelf-dev", "dwarves", "kmod", "xz-utils"}
"""Debian's packages that a build needs beside a compiler."""

NAMES = {"amd64": ("x86", "bzImage"), "arm64": ("arm64", "Image")}
"""What the kernel's makefiles call the architectures, and the files that boot."""


class BuildError(Exception):
    pass


@dataclass(frozen=True)
class KernelSource:
    archive: Archive
    source: Built
    version: str

    def __str__(self) -> str:
        return f"{self.source.package} {self.version} {self.source.arch}, {'+'.join(self.source.config)}"

    def unpack(self, folder: Path) -> Path:
        """The tree: 1.4 GB."""
        self.archive.unpack([self.source.package], folder)
        packed = folder / f"usr/src/{self.source.package}.tar.xz"
        subprocess.run(["tar", "--extract", "--file", packed, "--directory", folder], check=True)
        packed.unlink()
        return folder / self.source.package


def find(archive: Archive, source: Built) -> KernelSource:
    return KernelSource(archive, source, archive.records([source.package])[0]["Version"])


def files(source: Built) -> list[Path]:
    """What the kernel is configured by."""
    return [KERNELS / f"{name}.config" for name in source.config]


def build(tree: Path, source: Built, native: str, folder: Path) -> Kernel:
    arch, boots = NAMES[source.arch]
    folder.mkdir()
    wanted = folder / "wanted"
    wanted.write_text("".join(path.read_text() for path in files(source)))
    log = (folder / "log").open("w+")
    cross = () if source.arch == native else (f"CROSS_COMPILE={MACHINES[source.arch].compiler}-",)

    def make(*goals: str) -> None:
        command = ["make", "-s", f"-j{os.cpu_count()}", "-C", str(tree), f"O={folder}", f"ARCH={arch}", *cross, *goals]
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode != 0:
            log.seek(0)
            raise BuildError(f"make {goals[0]} fails:\n{log.read()[-3000:]}")

    make("allnoconfig", f"KCONFIG_ALLCONFIG={wanted}")
    check(wanted.read_text(), (folder / ".config").read_text())
    make(boots, "modules")
    make("modules_install", f"INSTALL_MOD_PATH={folder}/installed", "INSTALL_MOD_STRIP=1")
    release = (folder / "include/config/kernel.release").read_text().strip()
    return Kernel(release, folder / f"arch/{arch}/boot/{boots}", folder / "installed/lib/modules" / release)


def check(wanted: str, config: str) -> None:
    """What depends on something that is missing is left out without a word."""
    lacks = set(re.findall(r"^CONFIG_.*=.*$", wanted, re.MULTILINE)) - set(config.splitlines())
    unwanted = [name for name in re.findall(r"^# (CONFIG_\w+) is not set$", wanted, re.MULTILINE) if f"\n{name}=" in config]
    if lacks or unwanted:
        raise BuildError(f"the configuration lacks {sorted(lacks)}, and has {unwanted}")
