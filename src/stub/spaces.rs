//! Whose memory an address means: the kernel's, or else that of a process.

use crate::kernel::Thread;
use crate::space::Space;
use crate::{Error, Kvm, Result};
use kgdbserver_arch::Va;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

/// The address spaces of threads, found when first asked for. None of a thread that has none.
#[derive(Default)]
pub(super) struct Spaces {
    /// The position of the thread whose memory user addresses mean, if the user chose one.
    pub(super) chosen: Cell<Option<usize>>,
    known: RefCell<HashMap<u64, Option<Arc<Space>>>>,
}

impl Spaces {
    /// Reads kernel memory or, where the kernel has nothing, memory of a thread's process; short at what cannot be read.
    ///
    /// Where both begin at 0 (s390x) an address means the kernel's memory, as long as there is some.
    pub(super) fn read(&self, kvm: &Kvm, thread: Option<&Thread>, va: u64, buf: &mut [u8]) -> Result<usize> {
        let error = match kvm.space().read(Va(va), buf) {
            Err(error @ Error::Fault { .. }) => error,
            other => return other,
        };
        self.beside(kvm, thread, Va(va)).map_or(Err(error), |space| space.read(Va(va), buf))
    }

    /// The address space of a thread's process, if an address may lie in it.
    pub(super) fn beside(&self, kvm: &Kvm, thread: Option<&Thread>, va: Va) -> Option<Arc<Space>> {
        let space = thread.and_then(|thread| self.of(kvm, thread))?;
        space.regions().iter().any(|region| region.contains(va)).then_some(space)
    }

    /// How many bytes from an address that cannot be read on need not be tried.
    pub(super) fn gap(&self, kvm: &Kvm, thread: Option<&Thread>, va: u64) -> u64 {
        let of = |space: &Space| space.gap(Va(va), 1 << kvm.image().page_shift);
        let user = thread.and_then(|thread| self.of(kvm, thread)).map_or(u64::MAX, |space| of(&space));
        of(kvm.space()).min(user)
    }

    fn of(&self, kvm: &Kvm, thread: &Thread) -> Option<Arc<Space>> {
        let find = || {
            let why = |error: &Error| log::debug!("memory of thread {}: {error}", thread.tid);
            kvm.thread_space(thread).inspect_err(why).ok().map(Arc::new)
        };
        self.known.borrow_mut().entry(thread.tid).or_insert_with(find).clone()
    }
}
