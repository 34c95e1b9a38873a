//! Whose memory an address means: the kernel's, or else that of a process.

use crate::image::Addr;
use crate::kernel::Thread;
use crate::regions::Area;
use crate::space::Space;
use crate::{Error, Kvm, Result};
use kgdbserver_arch::Va;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

/// The address spaces of threads, found when first asked for. None of a thread that has none.
#[derive(Default)]
pub(super) struct Spaces {
    /// The position of the thread whose memory user addresses mean, if the user chose one.
    pub(super) chosen: Cell<Option<usize>>,
    areas: OnceCell<Vec<Area>>,
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

    /// Writes the memory that a read of the same address reads; `who` does, for the log.
    pub(super) fn write(
        &self,
        kvm: &Kvm,
        thread: Option<&Thread>,
        va: u64,
        data: &[u8],
        who: &str,
    ) -> Result<usize> {
        let error = match kvm.write_in(kvm.space(), Va(va), data, who) {
            Err(error @ Error::Fault { .. }) => error,
            other => return other,
        };
        let space = self.beside(kvm, thread, Va(va));
        space.map_or(Err(error), |space| kvm.write_in(&space, Va(va), data, who))
    }

    /// Where an address lies in the image; none if it is not mapped.
    pub(super) fn place(&self, kvm: &Kvm, thread: Option<&Thread>, va: u64) -> Option<Addr> {
        let in_kernel = kvm.space().translate(Va(va)).ok();
        let place = in_kernel.or_else(|| self.beside(kvm, thread, Va(va))?.translate(Va(va)).ok());
        place.map(|place| place.at)
    }

    /// What the kernel uses its addresses for.
    pub(super) fn areas(&self, kvm: &Kvm) -> &[Area] {
        self.areas.get_or_init(|| kvm.areas())
    }

    pub(super) fn of(&self, kvm: &Kvm, thread: &Thread) -> Option<Arc<Space>> {
        let find = || {
            let why = |error: &Error| log::debug!("memory of thread {}: {error}", thread.tid);
            kvm.thread_space(thread).inspect_err(why).ok().map(Arc::new)
        };
        self.known.borrow_mut().entry(thread.tid).or_insert_with(find).clone()
    }
}
