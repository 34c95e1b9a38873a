"""Debian's packages of any architecture and suite, through an apt of our own: the system's architectures, sources and
package states stay as they are, and no privilege is needed."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = os.environ.get("KGDBSERVER_DEBIAN_MIRROR", "http://deb.debian.org")


def sources(suite: str) -> list[str]:
    lines = [f"{MIRROR}/debian {suite} main"]
    if "-" not in suite and suite != "sid":
        lines.append(f"{MIRROR}/debian-security {suite}-security main")
    return [f"deb [signed-by={KEYRING}] {line}" for line in lines]


class PackageError(Exception):
    pass


class Archive:
    """The packages of one suite for one architecture."""

    def __init__(self, folder: Path, suite: str, arch: str) -> None:
        self.root = folder / "apt" / f"{suite}-{arch}"
        self.packages = folder / "packages"
        self.arch = arch
        for part in ("lists/partial", "cache/archives/partial", "state"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        self.packages.mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        (self.root / "sources.list").write_text("\n".join(sources(suite)) + "\n")
        (self.root / "apt.conf").write_text(
            f"""APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "{self.root}/state";
Dir::State::lists "{self.root}/lists";
Dir::State::status "{self.root}/status";
Dir::Cache "{self.root}/cache";
Dir::Etc::sourcelist "{self.root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""
        )

    def apt(self, *command: str) -> str:
        environment = os.environ | {"APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        run = subprocess.run(
            command, env=environment, cwd=self.packages, text=True, capture_output=True, stdin=subprocess.DEVNULL
        )
        if run.returncode != 0:
            raise PackageError(f"{' '.join(command[:2])} for {self.root.name}: {run.stderr.strip()}")
        return run.stdout

    def update(self) -> None:
        """Fetches the lists, if those that are here are not of today: what they name may have gone from the archive."""
        stamp = self.root / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < 6 * 3600:
            return
        try:
            self.apt("apt-get", "update", "-qq")
            stamp.touch()
        except PackageError as error:
            # Of the rarer architectures, the security updates may not be there. If more is missing, this says why.
            print(error, file=sys.stderr)

    def records(self, packages: Iterable[str]) -> list[dict[str, str]]:
        """The fields of each package's entry in the lists, that of its newest version."""
        # All at once: apt reads its lists anew each time, which takes a second.
        text = self.apt("apt-cache", "show", "--no-all-versions", *packages)
        return [dict(re.findall(r"^([A-Za-z-]+): (.*)$", entry, re.MULTILINE)) for entry in text.split("\n\n") if entry]

    def fetch(self, packages: Iterable[str]) -> list[Path]:
        """The packages' files; those that are in the cache, and right, are not fetched again."""
        records = self.records(packages)
        self.apt("apt-get", "download", "-qq", *(f"{record['Package']}={record['Version']}" for record in records))
        names = ("{Package}_{Version}_{Architecture}.deb".format(**record).replace(":", "%3a") for record in records)
        return [self.packages / name for name in names]

    def unpack(self, packages: Iterable[str], target: Path) -> Path:
        target.mkdir(parents=True, exist_ok=True)
        for file in self.fetch(packages):
            subprocess.run(["dpkg-deb", "--extract", file, target], check=True)
        return target


def dependencies(record: dict[str, str]) -> list[str]:
    """The names, without versions and alternatives."""
    return re.findall(r"(?:^|, *)([a-z0-9][a-z0-9.+-]+)", record.get("Depends", ""))
