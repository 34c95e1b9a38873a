//! The kernel that runs on this machine.

use super::given::Names;
use super::{Kvm, Options};
use crate::Result;
use crate::error::describe;
use crate::image::live::own::{Own, Told};
use crate::image::live::{self, Device, Live};
use crate::image::{Addr, Settings};
use crate::kernel::{Hints, Kernel, Listing};
use crate::space::Space;
use kgdbserver_arch::{Fault, Pa};
use std::path::Path;

/// How often a list is walked that changes all the while.
const WALKS: usize = 8;

impl Kvm {
    /// Opens the kernel that runs on this machine.
    ///
    /// # Errors
    /// [`crate::Error::Denied`], with the reason and what to do; those of [`Self::openfiles`].
    pub fn open_live(device: Device, options: Options) -> Result<Self> {
        Self::of_live(live::open(device, options.write)?, Path::new(&device.path()), options)
    }

    /// A running kernel, by what its system gave; `path` is its name in messages.
    pub(crate) fn of_live(live: Live, path: &Path, options: Options) -> Result<Self> {
        let Hints { vmcoreinfo, vmcoreinfo_at, .. } = options.hints.clone();
        let hints = Hints { vmcoreinfo, vmcoreinfo_at, ..live.hints.clone() };
        let settings = Settings { force: options.force, ..options.image.clone() };
        let open = |image, options: &Options| {
            let mut given = Names::read(options)?;
            given.symbols = given.symbols.moved_by(live.slide);
            Self::assemble(image, given, hints.clone(), path, &settings)
        };
        let kvm = match &live.file {
            Some(file) if options.kernel.is_none() => {
                let named = Options { kernel: Some(file.clone()), ..options.clone() };
                open(live.image.clone(), &named).or_else(|error| {
                    let mut image = live.image.clone();
                    image.warnings.push(format!(
                        "{}: {error}. Names are those that the system itself finds, and types are not known",
                        file.display()
                    ));
                    open(image, &Options { resolver: live.resolver.clone(), ..options })
                })
            }
            _ => open(live.image.clone(), &options),
        }?;
        Ok(Self { own: live.own.clone(), writable: live.writable, ..kvm })
    }

    /// What the system that we run on tells, if the image is of that, and it tells.
    pub(super) fn own<T>(&self, tell: impl FnOnce(&(dyn Own + 'static)) -> Told<T>) -> Told<T> {
        tell(self.own.as_deref()?)
    }

    /// What the system that we run on tells; where it has no answer, memory's. If neither has one, the reason is the
    /// system's.
    pub(super) fn own_or<T>(
        &self,
        tell: impl FnOnce(&(dyn Own + 'static)) -> Told<T>,
        memory: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.noted(match self.own(tell) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(why)) => memory().map_err(|_| why),
            None => memory(),
        })
    }

    /// Why there is no memory; none where there is.
    pub(super) fn without_memory(&self) -> Option<String> {
        let read = self.image.memory.read(Addr::Phys(Pa(0)), &mut [0]);
        (read == Err(Fault::NoMemory)).then(|| describe(Fault::NoMemory))
    }

    /// Whether this is the kernel of a machine that runs.
    pub fn is_live(&self) -> bool {
        self.space.is_live()
    }

    /// One question to the kernel.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&dyn Kernel, &Space) -> Result<T>) -> Result<T> {
        let _still = self.still()?;
        question(self.kernel()?, &self.space.moment())
    }

    /// A list that the kernel keeps. That of a running kernel may change while it is walked: then it is walked again, a few
    /// times, and what the best walk could not read is told.
    pub(super) fn list<T>(
        &self,
        walk: impl Fn(&dyn Kernel, &Space) -> Result<Listing<T>>,
    ) -> Result<Listing<T>> {
        let _still = self.still()?;
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
