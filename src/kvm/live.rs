//! The kernel that runs on this machine.

use super::given::Names;
use super::{Kvm, Options};
use crate::Result;
use crate::image::Settings;
use crate::image::live::{self, Device, Live};
use crate::kernel::{Hints, Kernel, Listing};
use crate::space::Space;
use std::path::Path;

/// How often a list is walked that changes all the while.
const WALKS: usize = 8;

impl Kvm {
    /// Opens the kernel that runs on this machine.
    ///
    /// # Errors
    /// [`crate::Error::Denied`], with the reason and what to do; those of [`Self::openfiles`].
    pub fn open_live(device: Device, options: Options) -> Result<Self> {
        let given = Names::read(&options)?;
        let Live { image, hints: told } = live::open(device)?;
        let Hints { vmcoreinfo, vmcoreinfo_at, .. } = options.hints;
        let hints = Hints { vmcoreinfo, vmcoreinfo_at, ..told };
        let settings = Settings { force: options.force, ..options.image };
        Self::assemble(image, given, hints, Path::new(&device.path()), &settings)
    }

    /// Whether this is the kernel of a machine that runs.
    pub fn is_live(&self) -> bool {
        self.space.is_live()
    }

    /// One question to the kernel.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&dyn Kernel, &Space) -> Result<T>) -> Result<T> {
        question(self.kernel()?, &self.space.moment())
    }

    /// A list that the kernel keeps. That of a running kernel may change while it is walked: then it is walked again, a few
    /// times, and what the best walk could not read is told.
    pub(super) fn list<T>(
        &self,
        walk: impl Fn(&dyn Kernel, &Space) -> Result<Listing<T>>,
    ) -> Result<Listing<T>> {
        let mut best = self.ask(&walk);
        for _ in 1..if self.is_live() { WALKS } else { 1 } {
            let lost =
                |list: &Result<Listing<T>>| list.as_ref().map_or(usize::MAX, |list| list.problems.len());
            if lost(&best) == 0 {
                break;
            }
            let next = self.ask(&walk);
            if lost(&next) < lost(&best) {
                best = next;
            }
        }
        best
    }
}
