//! A file's bytes: mapped where the system allows it, read with pread(2) elsewhere.
//!
//! Bytes are copied out, never lent: a live guest changes them under us. And someone else may cut a mapped file short;
//! touching what is gone raises SIGBUS, which would end the whole server. So a handler puts a page of zeros under the
//! faulting copy and notes where the file now ends; the copy finishes, the note is seen, and the zeros never leave
//! this file.

use super::Source;
use crate::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

/// A file (or a device) opened for reading, perhaps also for writing.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    bytes: Bytes,
    writable: bool,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Guarded, File),
    /// What cannot be mapped: a device, or a file larger than the host's address space.
    File(File, u64),
}

impl Store {
    /// Opens a regular file or a device.
    ///
    /// # Errors
    /// [`Error::Io`], also for a directory, a pipe or an empty file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, false)
    }

    /// The same, for writing too. What is written through [`Source::writer`] is read at once: a mapping is a shared one.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_writable(path: &Path) -> Result<Self> {
        Self::open_as(path, true)
    }

    fn open_as(path: &Path, writable: bool) -> Result<Self> {
        // A pipe without a writer would make open(2) wait for one; elsewhere the flag changes nothing.
        let nonblocking =
            File::options().read(true).write(writable).custom_flags(libc::O_NONBLOCK).open(path);
        let file = nonblocking.map_err(Error::io(path))?;
        Ok(Self { writable, ..Self::of(file, path)? })
    }

    /// A device that can be read at any offset, and has no end that it tells of. It is never mapped.
    pub(super) fn device(file: File, path: &Path, writable: bool) -> Self {
        Self { path: path.to_owned(), bytes: Bytes::File(file, i64::MAX.cast_unsigned()), writable }
    }

    /// A file that is open already; `path` is its name in messages.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub(super) fn of(file: File, path: &Path) -> Result<Self> {
        let meta = file.metadata().map_err(Error::io(path))?;
        let refuse = |text: &str| Error::io(path)(io::Error::new(io::ErrorKind::InvalidInput, text));
        if meta.is_dir() {
            return Err(refuse("is a directory, not an image"));
        }
        let device = meta.file_type().is_block_device() || meta.file_type().is_char_device();
        if !device && !meta.is_file() {
            return Err(refuse("is neither a file nor a device"));
        }
        let len = if device { device_length(&file).map_err(Error::io(path))? } else { meta.len() };
        if len == 0 {
            return Err(refuse("empty file"));
        }
        let bytes = match (device, Guarded::new(&file, len)) {
            (false, Some(mapped)) => Bytes::Mapped(mapped, file),
            _ => Bytes::File(file, len),
        };
        Ok(Self { path: path.to_owned(), bytes, writable: false })
    }
}

fn device_length(mut file: &File) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    match file.seek(SeekFrom::End(0)) {
        Ok(end @ 1..) => Ok(end),
        // bhyve's /dev/vmm/NAME cannot seek. It reads from 0 on without a gap, and fails behind the guest's memory.
        _ => Ok(length_by_trying(|offset| matches!(file.read_at(&mut [0], offset), Ok(1)))),
    }
}

/// The length of what can be read at every offset below it. 0 also for what never ends, as /dev/zero.
fn length_by_trying(readable: impl Fn(u64) -> bool) -> u64 {
    const LIMIT: u64 = 1 << 56;
    if !readable(0) || readable(LIMIT) {
        return 0;
    }
    let (mut inside, mut outside) = (0, LIMIT);
    while outside - inside > 1 {
        let middle = inside + (outside - inside) / 2;
        *(if readable(middle) { &mut inside } else { &mut outside }) = middle;
    }
    outside
}

impl Source for Store {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::Mapped(map, _) => map.map.len() as u64,
            Bytes::File(_, len) => *len,
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match &self.bytes {
            Bytes::Mapped(map, _) => map.copy(offset, buf),
            Bytes::File(file, _) => file.read_at(buf, offset),
        }
    }

    fn read_lone_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let (Bytes::Mapped(_, file) | Bytes::File(file, _)) = &self.bytes;
        file.read_at(buf, offset)
    }

    fn writer(&self) -> Option<&File> {
        let (Bytes::Mapped(_, file) | Bytes::File(file, _)) = &self.bytes;
        self.writable.then_some(file)
    }
}

/// A mapping whose loss of pages is an error instead of a signal.
#[derive(Debug)]
struct Guarded {
    map: Mmap,
    guard: &'static Guard,
}

impl Guarded {
    /// Maps a whole file; none where that is not possible.
    fn new(file: &File, len: u64) -> Option<Self> {
        usize::try_from(len).ok()?;
        // SAFETY: the bytes are only ever copied out through `copy`, with no reference to them held, so changes made
        // by others are just other bytes; a file cut short is handled by the guard.
        let map = unsafe { Mmap::map(file) }.ok()?;
        let guard = Guard::claim(map.as_ptr() as usize, map.len())?;
        Some(Self { map, guard })
    }

    fn copy(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.map.len());
        let wanted = buf.len().min(self.map.len() - offset);
        // SAFETY: `offset + wanted` lies within the mapping, `buf` holds at least `wanted` bytes and is not part of it.
        unsafe { std::ptr::copy_nonoverlapping(self.map.as_ptr().add(offset), buf.as_mut_ptr(), wanted) };
        // The handler runs on this thread, within the copy: only the compiler could move the look before it.
        compiler_fence(Ordering::SeqCst);
        let end = self.guard.end.load(Ordering::Relaxed);
        if offset + wanted <= end {
            return Ok(wanted);
        }
        log::warn!("the image file was cut short to {end:#x} bytes or less while it was served");
        Ok(end.saturating_sub(offset).min(wanted))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.guard.start.store(0, Ordering::Release);
    }
}

/// One mapped range, as the signal handler sees it.
#[derive(Debug)]
struct Guard {
    /// First address; 0: not in use.
    start: AtomicUsize,
    /// Bytes of the mapping.
    len: AtomicUsize,
    /// Bytes of the mapping that can still be believed.
    end: AtomicUsize,
}

/// A signal handler may not lock or allocate, so the table is fixed. A file that finds no place is read by pread(2).
static GUARDS: [Guard; 256] =
    [const { Guard { start: AtomicUsize::new(0), len: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; 256];

impl Guard {
    fn claim(start: usize, len: usize) -> Option<&'static Self> {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(install_handler);
        // 1 marks a place as taken before its length is known: no mapping begins there.
        let take =
            |guard: &&Self| guard.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let guard = GUARDS.iter().find(take)?;
        guard.len.store(len, Ordering::Relaxed);
        guard.end.store(len, Ordering::Relaxed);
        guard.start.store(start, Ordering::Release);
        Some(guard)
    }

    fn holds(&self, address: usize) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start > 1
            && address.checked_sub(start).is_some_and(|offset| offset < self.len.load(Ordering::Relaxed))
    }
}

fn install_handler() {
    // SAFETY: the handler only touches atomics and calls mmap(2) and sigaction(2); all other fields are valid as zeros.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
}

extern "C" fn on_sigbus(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the system hands a valid siginfo to a SA_SIGINFO handler.
    let address = unsafe { (*info).si_addr() } as usize;
    let mended =
        GUARDS.iter().find(|guard| guard.holds(address)).is_some_and(|guard| put_zeros(guard, address));
    if !mended {
        // Not ours: the default action, at the instruction that runs again when we return.
        // SAFETY: as in `install_handler`.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    }
}

/// Notes that the file ends at the page of `address`, and puts a page of zeros there.
fn put_zeros(guard: &Guard, address: usize) -> bool {
    // SAFETY: sysconf(3) has no preconditions.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let at = address & !(page - 1);
    guard.end.fetch_min(at - guard.start.load(Ordering::Acquire), Ordering::Relaxed);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page belongs to a mapping of ours, which holds no reference to it.
    let zeros = unsafe { libc::mmap(at as *mut libc::c_void, page, libc::PROT_READ, flags, -1, 0) };
    zeros != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_short_is_an_error_not_a_signal() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let store = Store::open(file.path()).unwrap();
        let mut buf = [1; 16];
        assert_eq!(store.read_at(0x8_0000, &mut buf).unwrap(), 16);
        file.as_file().set_len(0x1_0000).unwrap();
        assert_eq!(store.read_at(0x8_0000, &mut buf).unwrap(), 0);
        assert_eq!(store.read_at(0, &mut buf).unwrap(), 16);
    }

    #[test]
    fn a_device_that_cannot_seek_is_measured() {
        for len in [0, 1, 4096, 0x1_4000_0000] {
            assert_eq!(length_by_trying(|offset| offset < len), len);
        }
        assert_eq!(length_by_trying(|_| true), 0);
        let endless = Store::open(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(endless.contains("empty file"), "{endless}");
    }

    #[test]
    fn the_end_is_short_and_an_empty_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Store::open(file.path()).unwrap_err().to_string().contains("empty file"));
        file.as_file().set_len(10).unwrap();
        let store = Store::open(file.path()).unwrap();
        assert_eq!(store.read_at(4, &mut [0; 16]).unwrap(), 6);
        assert_eq!(store.read_at(u64::MAX, &mut [0; 16]).unwrap(), 0);
    }
}
