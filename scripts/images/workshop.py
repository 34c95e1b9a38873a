"""Makes one image: packages, initramfs, guest, dumps, and the folder that they end up in."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import built
import dumps
import initramfs
from catalogue import MACHINES, Built, Image, Source
from kernel import Kernel, KernelPackages, find, first, unpack_debug
from machine import Guest, GuestError, Monitor
from packages import Archive, PackageError

TOOLS = "trixie"
"""The suite that programs come from, for the guest and to be run here: the oldest that has all architectures."""

HERE = Path(__file__).resolve().parent


def say(text: str) -> None:
    print(f"make-images: {text}", file=sys.stderr, flush=True)


class Workshop:
    """Where images are made: beside those that are ready, so that the last step is a rename. One at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / ".store"
        self.bench = root / ".bench"
        shutil.rmtree(self.bench, ignore_errors=True)  # what a run that was killed has left
        self.bench.mkdir(parents=True)
        self.native = subprocess.run(
            ["dpkg", "--print-architecture"], check=True, text=True, stdout=subprocess.PIPE
        ).stdout.strip()
        # Two apts in one folder would wait for each other's locks and then fail.
        self.packages = threading.Lock()
        self.archives: dict[Source, Archive] = {}

    def install(self, images: Iterable[Image]) -> None:
        wanted = {"debian-archive-keyring", "gcc", "libc6-dev"}
        for image in images:
            arch = image.source.arch
            wanted.add(MACHINES[arch].package)
            if isinstance(image.source, Built):
                wanted |= built.TOOLS
            if arch != self.native:
                compiler = MACHINES[arch].compiler.replace("_", "-")
                wanted |= {f"gcc-{compiler}", f"libc6-dev-{arch}-cross"}
                if set(image.files) & set(dumps.MAKEDUMPFILE):
                    wanted.add("qemu-user|qemu-user-static")
        subprocess.run([HERE.parent / "install", *sorted(wanted)], check=True)

    def archive(self, source: Source) -> Archive:
        """With lists that are as new as this run."""
        key = Source(source.arch, source.suite, "")
        if key not in self.archives:
            self.archives[key] = Archive(self.store, source.suite, source.arch)
            self.archives[key].update()
        return self.archives[key]

    def newest(self, image: Image) -> KernelPackages | built.KernelSource:
        with self.packages:
            archive = self.archive(image.source)
            if isinstance(image.source, Built):
                return built.find(archive, image.source)
            return find(archive, image.source.package)

    def is_ready(self, image: Image, update: bool) -> bool:
        made_from = self.made_from(image)
        if f"recipe {recipe(image)}" not in made_from:
            return False
        return not update or f"kernel {self.newest(image)}" in made_from

    def each(self, work: Callable[[Image], None], images: Iterable[Image]) -> bool:
        """Does it for all images, and says of each that failed why; whether none did."""

        def attempt(image: Image) -> bool:
            try:
                work(image)
            except (built.BuildError, GuestError, PackageError, OSError, subprocess.CalledProcessError) as error:
                say(f"{image.name}: {type(error).__name__}: {error}")
                return False
            return True

        # Two at a time: a guest needs one CPU while it boots, which is most of its time.
        with ThreadPoolExecutor(max_workers=2) as pool:
            return all(list(pool.map(attempt, images)))

    def make(self, image: Image) -> None:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self.bench, prefix=f"{image.name}-") as folder:
            work = Path(folder)
            made = work / "made"
            made.mkdir()
            packages = self.newest(image)
            vmlinuz, contents = self.prepare(image, packages, work)
            if image.end == "live":
                shutil.copy(vmlinuz, made / "vmlinuz")
                contents.rename(made / "initramfs")
            else:
                with self.kept_if_it_fails(made / "serial.log", image):
                    self.boot(image, vmlinuz, contents, made)
                self.convert(image, made, work)
            (made / "made-from").write_text(f"kernel {packages}\nrecipe {recipe(image)}\n")
            shutil.rmtree(self.root / image.name, ignore_errors=True)
            made.rename(self.root / image.name)
        say(f"{image.name}: {packages}, in {time.monotonic() - start:.0f} s")

    def kernel(self, image: Image, packages: KernelPackages | built.KernelSource, work: Path) -> Kernel:
        if isinstance(packages, KernelPackages):
            with self.packages:
                return packages.unpack(work / "kernel")
        say(f"{image.name}: building a kernel, which takes some minutes and 3 GB")
        with self.packages:
            tree = packages.unpack(work / "source")
        return built.build(tree, packages.source, self.native, work / "build")

    def prepare(
        self, image: Image, packages: KernelPackages | built.KernelSource, work: Path
    ) -> tuple[Path, Path]:
        """The kernel to boot, and its initramfs."""
        unpacked = self.kernel(image, packages, work)
        with self.packages:
            tools = self.archive(replace(image.source, suite=TOOLS)).unpack(["busybox-static"], work / "tools")
        busybox = first(tools, "usr/bin/busybox", "bin/busybox")
        cast = initramfs.compile_cast(image.source.arch, self.native, work)
        contents = initramfs.build(unpacked, busybox.read_bytes(), cast)
        if image.end == "kexec":
            contents += initramfs.for_crash(contents, unpacked)
        (work / "initramfs").write_bytes(contents)
        return unpacked.image, work / "initramfs"

    def boot(self, image: Image, vmlinuz: Path, contents: Path, made: Path) -> None:
        disk = made / "elf.dump" if image.end == "kexec" else None
        if disk:
            disk.touch()
            os.truncate(disk, 1 << 30)  # more than any vmcore
        with Guest(image, vmlinuz, contents, made, disk) as guest:
            last_words = guest.wait()
            (made / "report.txt").write_text(guest.report())
            if disk:
                guest.process.wait()
                os.truncate(disk, int(last_words[1]))
            else:
                dumps.by_qemu(Monitor(guest), image, made)
        (made / "qmp").unlink(missing_ok=True)

    @contextmanager
    def kept_if_it_fails(self, log: Path, image: Image) -> Iterator[None]:
        """The guest's console; all else of an image that failed is removed."""
        try:
            yield
        except GuestError as error:
            kept = self.store / f"{image.name}.log"
            if log.exists():
                log.replace(kept)
            raise GuestError(f"{error}; its console is in {kept}") from error

    def convert(self, image: Image, made: Path, work: Path) -> None:
        wanted = [name for name in image.files if name in dumps.MAKEDUMPFILE]
        if wanted:
            with self.packages:
                tools = self.archive(replace(image.source, suite=TOOLS))
                tool = dumps.MakeDumpFile(tools, work / "makedumpfile", self.native)
            with dumps.headers_in_front(made / "elf.dump"):
                for name in wanted:
                    tool.run(name, made / "elf.dump")
        if "ram.img" not in image.files:
            (made / "ram.img").unlink()
        for path in made.glob("*.dump"):
            dumps.make_sparse(path)
            path.chmod(0o644)

    def made_from(self, image: Image) -> list[str]:
        """The lines of the file that says what an image was made from; none if there is no image."""
        stamp = self.root / image.name / "made-from"
        return stamp.read_text().splitlines() if stamp.exists() else []

    def make_debug(self, image: Image) -> None:
        """The debug file of the kernel that the image is of; none of one that was built here."""
        if isinstance(image.source, Built):
            return
        package = self.made_from(image)[0].split()[1]
        release = package.removeprefix("linux-image-")
        target = self.root / "debug" / f"vmlinux-{release}"
        with self.packages, tempfile.TemporaryDirectory(dir=self.bench) as folder:
            if not target.exists():
                unpack_debug(self.archive(image.source), release, Path(folder) / "vmlinux")
                target.parent.mkdir(exist_ok=True)
                (Path(folder) / "vmlinux").rename(target)


def recipe(image: Image) -> str:
    """Changes when something changes that the image is made by, its kernel aside: the guest's programs and its file
    system, the machine, the files. How packages are fetched, how long is waited and what is said do not count."""
    made_by: list[object] = [image.source, image.end]
    sources = {*initramfs.GUEST.iterdir(), HERE / "initramfs.py", HERE / "kernel.py"} - {initramfs.GUEST / "live"}
    if image.end != "live":  # what live.py puts around a guest is of the moment when it boots
        disk = Path("elf.dump") if image.end == "kexec" else None
        made_by += [Guest(image, Path("kernel"), Path("initramfs"), Path("made"), disk).command, image.files]
        sources |= {HERE / "dumps.py"}
    if isinstance(image.source, Built):
        sources |= {HERE / "built.py", *built.files(image.source)}
    digest = hashlib.sha256(repr(made_by).encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()
