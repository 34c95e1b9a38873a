"""The images there are: which kernel, on which machine, and the files that are made of it."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Machine:
    """How one of Debian's architectures is compiled for, emulated, and dumped."""

    qemu: str
    """The emulator's program, and its options apart from the CPU."""
    options: tuple[str, ...]
    package: str
    """The Debian package of the emulator, as scripts/install takes it."""
    append: str
    """For the kernel's command line."""
    compiler: str
    """The prefix of the cross compiler, which is also part of its package's name."""
    user_emulator: str = ""
    """Runs programs of this architecture on another (for makedumpfile, which knows only its own)."""
    loader: str = ""
    """The dynamic loader, which runs a program with the libraries of a folder."""


VMCOREINFO = ("-device", "vmcoreinfo")  # where there is fw_cfg, through which the guest hands it on

X86 = Machine(
    "qemu-system-x86_64",
    ("-M", "q35,memory-backend=ram", *VMCOREINFO),
    "qemu-system-x86",
    # On a busy host an emulated timer may not tick within the time that Linux gives it.
    "console=ttyS0 no_timer_check",
    "x86_64-linux-gnu",
    "qemu-x86_64",
    "ld-linux-x86-64.so.2",
)

MACHINES = {
    "amd64": X86,
    "arm64": Machine(
        "qemu-system-aarch64",
        ("-M", "virt,memory-backend=ram,gic-version=3", *VMCOREINFO),
        "qemu-system-arm",
        "console=ttyAMA0",
        "aarch64-linux-gnu",
        "qemu-aarch64",
        "ld-linux-aarch64.so.1",
    ),
    "i386": replace(X86, compiler="i686-linux-gnu"),
    "armhf": Machine(
        "qemu-system-arm",
        ("-M", "virt,memory-backend=ram,highmem=off", *VMCOREINFO),
        "qemu-system-arm",
        "console=ttyAMA0",
        "arm-linux-gnueabihf",
    ),
    "riscv64": Machine(
        "qemu-system-riscv64",
        ("-M", "virt,memory-backend=ram"),
        "qemu-system-riscv|qemu-system-misc",
        "console=ttyS0",
        "riscv64-linux-gnu",
    ),
    "ppc64el": Machine(
        "qemu-system-ppc64",
        # The emulated processor has no workarounds for what it does not suffer from.
        ("-M", "pseries,memory-backend=ram,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"),
        "qemu-system-ppc",
        "console=hvc0",
        "powerpc64le-linux-gnu",
    ),
    "s390x": Machine(
        "qemu-system-s390x",
        ("-M", "s390-ccw-virtio,memory-backend=ram"),
        "qemu-system-s390x|qemu-system-misc",
        "console=ttysclp0",
        "s390x-linux-gnu",
    ),
}


@dataclass(frozen=True)
class Source:
    """Where a kernel comes from: the newest that the meta package of a suite (which says how old it is) depends on."""

    arch: str
    suite: str
    package: str


@dataclass(frozen=True)
class Built(Source):
    """A kernel that is built here, of a package with its source."""

    config: tuple[str, ...]
    """What it has: files of kernels/, without their suffix."""


@dataclass(frozen=True)
class Image:
    """One run of a guest, and the files that come of it."""

    name: str
    about: str
    source: Source
    cpu: str
    files: tuple[str, ...]
    """Names of dumps.QEMU and dumps.MAKEDUMPFILE."""
    memory: str = "256M"
    append: str = ""
    end: str = "alive"
    """How the guest is when the image is taken: alive; dead of a "crash"; or that, and in the hands of another kernel,
    "kexec", which saves /proc/vmcore as elf.dump. Of one that is "live" no image is taken: its kernel and its initramfs
    are kept, and `live.py` boots it."""


RAW = ("ram.img",)
PLAIN = ("elf.dump", "kdump-zlib.dump") + RAW
PARTIAL = ("md-zstd-d31.dump", "md-elf-d31.dump")
SOME = ("md-lzo-d0.dump", "md-zstd-d0.dump", "md-zlib-d31.dump", "md-elf-d31.dump", "md-flat-lzo-d31.dump", "split")
EVERY = (
    *("md-none-d0.dump", "md-zlib-d0.dump", "md-lzo-d0.dump", "md-zstd-d0.dump", "md-zlib-d31.dump", "md-lzo-d31.dump"),
    *PARTIAL,
    *("md-flat-zlib-d0.dump", "md-flat-lzo-d31.dump", "md-flat-elf-d31.dump", "split"),
)

AMD64_61 = Source("amd64", "bookworm", "linux-image-cloud-amd64")
AMD64_612 = Source("amd64", "trixie", "linux-image-cloud-amd64")
AMD64_NEW = Source("amd64", "trixie-backports", "linux-image-cloud-amd64")
ARM64_61 = Source("arm64", "bookworm", "linux-image-cloud-arm64")
ARM64_16K = Source("arm64", "trixie", "linux-image-arm64-16k")
ARM64_NEW = Source("arm64", "trixie-backports", "linux-image-cloud-arm64")
I386 = Source("i386", "bookworm", "linux-image-686")
I386_PAE = Source("i386", "bookworm", "linux-image-686-pae")
ARMHF = Source("armhf", "bookworm", "linux-image-armmp")
ARMHF_LPAE = Source("armhf", "bookworm", "linux-image-armmp-lpae")
RISCV64 = Source("riscv64", "trixie", "linux-image-riscv64")
PPC64EL = Source("ppc64el", "bookworm", "linux-image-powerpc64le")
PPC64EL_4K = Source("ppc64el", "trixie", "linux-image-powerpc64le")
S390X = Source("s390x", "bookworm", "linux-image-s390x")

# No kernel of Debian's lets its memory be written.
SOURCE_61 = ("bookworm", "linux-source-6.1")
AMD64_DEVMEM = Built("amd64", *SOURCE_61, ("guest", "amd64", "devmem"))
ARM64_DEVMEM = Built("arm64", *SOURCE_61, ("guest", "arm64", "devmem"))

LA48 = "max,la57=off"
PAC = "max,pauth-impdef=on"

DEFAULT = (
    Image("amd64", "6.1, 5-level paging", AMD64_61, "max", PLAIN + ("elf-paging.dump",)),
    # An emulated CPU has no Meltdown: the second page table of each process must be asked for.
    Image("amd64l4", "6.1, 4-level paging, pti", AMD64_61, LA48, PLAIN + EVERY, append="pti=on"),
    Image("amd64panic", "6.1, kexec after a crash", AMD64_61, LA48, PARTIAL, "512M", end="kexec"),
    # What is above 2 GiB of RAM starts at 4 GiB.
    Image("amd64-612", "6.12, RAM with a hole", AMD64_612, LA48, ("kdump-zlib.dump", *RAW), "3G"),
    Image("amd64-new", "the newest in backports", AMD64_NEW, LA48, PLAIN),
    Image("arm64", "6.1, signed return addresses", ARM64_61, PAC, PLAIN + SOME),
    Image("live-amd64", "6.1, to be looked at while it runs", AMD64_61, LA48, (), "512M", end="live"),
    Image("live-arm64", "6.1, the same", ARM64_61, PAC, (), "512M", end="live"),
)

MORE = (
    # No kexec: Debian's kernels for arm64 are without kexec_file_load.
    Image("arm64panic", "6.1, after a crash", ARM64_61, PAC, PLAIN, end="crash"),
    Image("arm64-16k", "6.12, 16 KiB pages, 52 bits", ARM64_16K, PAC, PLAIN, "512M"),
    Image("arm64-new", "the newest in backports, 52 bits", ARM64_NEW, PAC, PLAIN),
    Image("i386", "6.1, 2-level paging", I386, "max", PLAIN),
    Image("i386-pae", "6.1, 3-level paging", I386_PAE, "max", PLAIN),
    Image("armhf", "6.1, 2-level paging", ARMHF, "cortex-a15", PLAIN),
    Image("armhf-lpae", "6.1, 3-level paging", ARMHF_LPAE, "cortex-a15", PLAIN),
    Image("riscv64", "6.12, Sv57", RISCV64, "rv64", PLAIN),
    Image("riscv64-sv48", "6.12, Sv48", RISCV64, "rv64", PLAIN, append="no5lvl"),
    Image("riscv64-sv39", "6.12, Sv39", RISCV64, "rv64", PLAIN, append="no4lvl"),
    Image("ppc64el", "6.1, radix, 64 KiB pages", PPC64EL, "power9", PLAIN, "1G"),
    Image("ppc64el-hash", "6.1, hash, 64 KiB pages", PPC64EL, "power8", PLAIN, "1G"),
    Image("ppc64el-4k", "6.12, radix, 4 KiB pages", PPC64EL_4K, "power9", PLAIN, "1G"),
    Image("s390x", "6.1", S390X, "max", PLAIN, "512M"),
    Image("live-amd64-devmem", "6.1 built here, to be written while it runs", AMD64_DEVMEM, LA48, (), "512M", end="live"),
    Image("live-arm64-devmem", "6.1, the same", ARM64_DEVMEM, PAC, (), "512M", end="live"),
)
