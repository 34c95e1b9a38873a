//! Kernel memory, and processes' own.

use super::Kvm;
use crate::kernel::Thread;
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::sync::atomic::Ordering;

/// No string of a kernel is longer.
const STRING_LIMIT: usize = 1 << 20;
/// Read at a time.
const CHUNK: usize = 4096;

impl Kvm {
    /// With `true` a read that cannot be satisfied whole fails, as in libkvm, instead of returning what could be read.
    pub fn set_strict(&self, strict: bool) {
        self.strict.store(strict, Ordering::Relaxed);
    }

    /// kvm_read2(3): reads kernel memory, and returns how many bytes could be read.
    ///
    /// # Errors
    /// [`Error::Fault`] if not even the first byte can be read, or, in strict mode, not the last.
    pub fn read2(&self, va: u64, buf: &mut [u8]) -> Result<usize> {
        let va = Va(va);
        let result = match self.strict.load(Ordering::Relaxed) {
            true => self.space.read_exact(va, buf).map(|()| buf.len()),
            false => self.space.read(va, buf),
        };
        self.noted(result)
    }

    /// kvm_read(3): [`Self::read2`] for addresses as wide as the host's.
    ///
    /// # Errors
    /// Those of [`Self::read2`].
    pub fn read(&self, va: usize, buf: &mut [u8]) -> Result<usize> {
        self.read2(va as u64, buf)
    }

    /// kvm_readstr(3): the bytes of a NUL-terminated string in kernel memory, without the NUL.
    ///
    /// # Errors
    /// Memory ends before the string does, or the string does not end within a MiB.
    pub fn readstr(&self, va: u64) -> Result<Vec<u8>> {
        self.noted(self.string_at(Va(va)))
    }

    fn string_at(&self, va: Va) -> Result<Vec<u8>> {
        let mut string = Vec::new();
        while string.len() < STRING_LIMIT {
            let at = Va(va.0.wrapping_add(string.len() as u64));
            let mut chunk = [0; CHUNK];
            let got = self.space().read(at, &mut chunk)?;
            let piece = chunk.get(..got).unwrap_or_default();
            if let Some(end) = memchr::memchr(0, piece) {
                string.extend_from_slice(piece.get(..end).unwrap_or_default());
                return Ok(string);
            }
            string.extend_from_slice(piece);
        }
        Err(Error::BadStructure {
            what: "string",
            va,
            why: format!("it has no end within {STRING_LIMIT} bytes"),
        })
    }

    /// kvm_uread(3): reads memory of a process, and returns how many bytes could be read.
    ///
    /// # Errors
    /// No such process, or its page tables or the page are not in the image, as in most minidumps.
    pub fn uread(&self, pid: u32, va: u64, buf: &mut [u8]) -> Result<usize> {
        self.process_space(pid).and_then(|space| self.noted(space.read(Va(va), buf)))
    }

    /// The address space that a process has beside the kernel's. Its pages need not be in the image.
    ///
    /// # Errors
    /// No such process, or its page tables are not in the image, as in most minidumps.
    pub fn process_space(&self, pid: u32) -> Result<Space> {
        self.noted(self.process(pid).and_then(|proc| self.kernel()?.user_space(self.space(), proc)))
    }

    /// The address space that a thread has beside the kernel's. Its pages need not be in the image.
    ///
    /// # Errors
    /// A kernel thread has none, nor has a process that is exiting; those of [`Self::uread`].
    pub fn thread_space(&self, thread: &Thread) -> Result<Space> {
        self.noted(self.kernel().and_then(|kernel| kernel.thread_space(self.space(), thread)))
    }
}
