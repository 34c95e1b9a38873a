//! The state of the machine as a whole.

use super::Kvm;
use crate::image::live::own::Own;
use crate::kernel::Listing;
use crate::kernel::state::{CpuTime, Log, Module, Swap};
use crate::{Error, Result};

/// A flag of [`Kvm::getswapinfo`]: the names of devices begin with `/dev/`.
pub const SWIF_DEV_PREFIX: i32 = 2;

impl Kvm {
    /// kvm_getloadavg(3): the load average of the last 1, 5 and 15 minutes.
    ///
    /// # Errors
    /// The kernel has no `averunnable`, or it cannot be read or believed.
    pub fn getloadavg(&self) -> Result<[f64; 3]> {
        self.own_or(Own::loadavg, || self.ask(|kernel, mem| kernel.loadavg(mem)))
    }

    /// kvm_getswapinfo(3): the swap devices; sizes are in pages. `flags` may be [`SWIF_DEV_PREFIX`]. libkvm's last entry,
    /// the sum, is [`Self::swap_total`].
    ///
    /// # Errors
    /// The kernel has no `swtailq`, or what type information is missing.
    pub fn getswapinfo(&self, flags: i32) -> Result<Listing<Swap>> {
        let mut devices = self.own_or(Own::swap, || self.list(|kernel, mem| kernel.swap(mem)))?;
        if flags & SWIF_DEV_PREFIX != 0 {
            // A path is that of a swap file.
            let named = |device: &&mut Swap| !device.name.is_empty() && !device.name.starts_with('/');
            devices.items.iter_mut().filter(named).for_each(|device| device.name.insert_str(0, "/dev/"));
        }
        Ok(devices)
    }

    /// The sum of swap devices, without a name.
    pub fn swap_total(devices: &[Swap]) -> Swap {
        let add = |sum: Swap, device: &Swap| Swap {
            used: sum.used.saturating_add(device.used),
            total: sum.total.saturating_add(device.total),
            ..sum
        };
        devices.iter().fold(Swap::default(), add)
    }

    /// kvm_getcptime(3): what all CPUs together spent their time on. Of the system that we run on, as it tells itself.
    ///
    /// # Errors
    /// Neither `cp_time` nor the type information to add up `pc_cp_time`; memory that the image lacks.
    pub fn getcptime(&self) -> Result<CpuTime> {
        self.own_or(Own::cptime, || self.ask(|kernel, mem| kernel.cptime(mem)))
    }

    /// The modules that were loaded, the kernel itself left out.
    ///
    /// # Errors
    /// Those of [`Self::kernel`], or no list to begin with.
    pub fn modules(&self) -> Result<Listing<Module>> {
        self.noted(self.list(|kernel, mem| kernel.modules(mem)))
    }

    /// The message buffer: from memory, or as the image keeps it beside memory (a textdump has nothing else).
    ///
    /// # Errors
    /// Those of [`Self::kernel`], but for Linux; no `msgbufp`, or it cannot be read or believed.
    pub fn log(&self) -> Result<Log> {
        if let Some(text) = &self.image().facts.log {
            return Ok(Log { text: text.clone(), unread: String::new() });
        }
        let read = match self.linux() {
            Some(linux) => linux.log(self.space(), &self.symbols),
            None => self.ask(|kernel, mem| kernel.log(mem)),
        };
        let read = read.or_else(|why| self.own(Own::log).unwrap_or(Err(why)));
        self.noted(read.map_err(|error| match error {
            Error::NoSymbol(name) => {
                Error::Unsupported(format!("{name}: no such symbol, so no message buffer"))
            }
            other => other,
        }))
    }
}
