//! A running Linux kernel.

use super::denial::{self, Observed};
use super::kcore::Kcore;
use super::page_flags::PageFlags;
use super::proc::Proc;
use super::{Device, Live, NAME, descriptor, iomem};
use crate::image::{self, Addr, Image, Memory, Settings, Source, Store, raw};
use crate::kernel::Hints;
use crate::{Error, Result};
use kgdbserver_arch::{Fault, Pa};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::sync::Arc;

/// Bytes of an ELF note in front of VMCOREINFO's text: three words, and the name.
const NOTE_HEADER: u64 = 24;
const KCORE: &str = "/proc/kcore";
const MEM: &str = "/dev/mem";
const IOMEM: &str = "/proc/iomem";
/// The bit of CAP_SYS_RAWIO.
const CAP_SYS_RAWIO: u32 = 17;

pub(super) fn open(device: Device, write: bool) -> Result<Live> {
    if device == Device::Null {
        let why = "only FreeBSD and DragonFly tell of their processes without memory (sysctl(3))";
        return Err(Error::Unsupported(format!("{}: {why}", device.path())));
    }
    let exists = |path: &&str| Path::new(path).exists();
    if device == Device::Kcore && !exists(&KCORE) && [MEM, IOMEM].iter().all(exists) {
        return open(Device::Mem, write);
    }
    let file = file(device).map_err(|error| denied(device, false, error.raw_os_error(), false))?;
    if device != Device::Mem && file.metadata().is_ok_and(|meta| meta.file_type().is_char_device()) {
        return Err(denied(device, false, None, true));
    }
    let path = device.path();
    let source: Arc<dyn Source> = Arc::new(Store::device(file, Path::new(&path), false));
    let image = if device == Device::Mem { mem(source)? } else { kcore(source, device)? };
    let flags = File::open("/proc/kpageflags").ok().map(PageFlags::new);
    let writer = if write { Some(writer(&*image.memory)?) } else { None };
    let memory = Arc::new(Kcore { memory: image.memory, flags, writer });
    let image = Image { format: NAME, memory, ..image };
    Ok(Live { hints: hints(), own: Some(Arc::new(Proc)), writable: write, ..Live::of(image) })
}

fn file(device: Device) -> io::Result<File> {
    match device {
        Device::Descriptor(number) => descriptor::file(number),
        _ => File::open(device.path()),
    }
}

fn kcore(source: Arc<dyn Source>, device: Device) -> Result<Image> {
    if let Err(error) = source.read_at(0, &mut [0; 64]) {
        return Err(denied(device, false, error.raw_os_error(), true));
    }
    image::open(source, &Settings::default())
}

/// The memory in /dev/mem. That it cannot be read shows where it is tried.
fn mem(source: Arc<dyn Source>) -> Result<Image> {
    let text = fs::read_to_string(IOMEM).map_err(Error::io(IOMEM))?;
    let hidden =
        || Error::Unsupported("/proc/iomem: hides from us where memory is: only root sees it".into());
    let image = raw::open(source.clone(), &iomem::ranges(&text).ok_or_else(hidden)?)?;
    let first = image.memory.pages().next().unwrap_or(Pa(0));
    match image.memory.read(Addr::Phys(first), &mut [0; 8]) {
        Err(Fault::Unreadable(_)) => {
            let why = source.read_at(first.0, &mut [0; 8]).err().and_then(|error| error.raw_os_error());
            Err(denied(Device::Mem, false, why, true))
        }
        _ => Ok(image),
    }
}

/// /dev/mem, to be written at physical addresses. That the kernel permits it is tried with a read, which is judged as a write
/// is, of the first page of `memory` behind a PC's first MiB: for that one the kernel gives zeros, and takes writes that it
/// does not do.
fn writer(memory: &dyn Memory) -> Result<File> {
    let refused = |errno, opened| denied(Device::Mem, true, errno, opened);
    let device = File::options().read(true).write(true).open(MEM);
    let device = device.map_err(|error| refused(error.raw_os_error(), false))?;
    let Pa(page) = memory.pages().find(|pa| pa.0 >= iomem::LOWEST).unwrap_or(Pa(0));
    match device.read_at(&mut [0], page) {
        Ok(0) => Err(refused(None, true)),
        Ok(_) => Ok(device),
        Err(error) => Err(refused(error.raw_os_error(), true)),
    }
}

fn denied(device: Device, write: bool, errno: Option<i32>, opened: bool) -> Error {
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").ok();
    let observed = Observed {
        device,
        kcore: Path::new(KCORE).exists(),
        write,
        errno,
        opened,
        root: rustix::process::geteuid().is_root(),
        rawio: capable(CAP_SYS_RAWIO),
        lockdown: lockdown.as_deref(),
    };
    Error::Denied { path: device.path().into(), why: denial::explain(&observed) }
}

/// Whether we have a capability.
fn capable(bit: u32) -> Option<bool> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(effective.trim(), 16).ok().map(|set| set >> bit & 1 == 1)
}

/// What the system tells beside memory. /proc/kcore itself has VMCOREINFO since 4.19.
fn hints() -> Hints {
    let note = fs::read_to_string("/sys/kernel/vmcoreinfo").ok();
    let note = note.as_deref().and_then(|text| text.split_whitespace().next());
    let at = note.and_then(|digits| u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok());
    Hints {
        noted_at: at.filter(|at| *at != 0).and_then(|at| at.checked_add(NOTE_HEADER)).map(Pa),
        btf: Some("/sys/kernel/btf/vmlinux".into()),
        kallsyms: Some("/proc/kallsyms".into()),
        ..Hints::default()
    }
}
