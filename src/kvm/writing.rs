//! Memory that is written: in the image itself, or in an overlay that only this handle sees.

use super::Kvm;
use crate::image::overlay::Overlay;
use crate::image::{Addr, Image};
use crate::patch::{Identity, Patch};
use crate::space::{Place, Space};
use crate::{Error, Result};
use kgdbserver_arch::{Rights, Va};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a line of the log.
const LOGGED: usize = 32;

impl Kvm {
    /// kvm_write(3): writes kernel memory, and returns how many bytes could be written, as a read returns how many could
    /// be read. What was written is in the log, and was read again: it is there. It is no atomic store: who reads meanwhile
    /// may see a part of it.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], in libkvm's words, for a dump, and for raw memory that was not opened for writing
    /// ([`super::Options::write`]); [`Error::Usage`] for the running kernel, if it was not; [`Error::Fault`] if not even the
    /// first byte can be written; [`Error::Unwritten`] for what the running kernel keeps from being written (its code, its
    /// constants), and for what reads otherwise than it was written.
    pub fn write(&self, va: usize, data: &[u8]) -> Result<usize> {
        self.noted(self.write_in(&self.space, Va(va as u64), data, "kvm_write"))
    }

    /// Whether writes go into the image itself.
    pub fn is_writable(&self) -> bool {
        self.writable && self.overlay.is_none()
    }

    /// Writes memory of the kernel or of a process; of what goes into the image itself the log tells who wrote it.
    pub(crate) fn write_in(&self, space: &Space, va: Va, data: &[u8], who: &str) -> Result<usize> {
        if self.overlay.is_some() {
            return space.write(va, data);
        }
        match (self.writable, self.own.is_some()) {
            (true, _) => {}
            (false, true) => {
                let why = "kvm_write: the kernel that runs was opened for reading only (kvm_open: O_RDWR)";
                return Err(Error::Usage(why.into()));
            }
            (false, false) => return Err(Error::ReadOnly),
        }
        let data = if space.memory().obeys_rights() { unprotected(space, va, data)? } else { data };
        let mut was = vec![0; data.len()];
        let _ = space.read_prefix(va, &mut was); // what cannot be read is not written below
        let written = space.write(va, data)?;
        let changed = data.chunks(LOGGED).zip(was.chunks(LOGGED)).zip((0u64..).step_by(LOGGED));
        for ((now, was), offset) in changed.take(written.div_ceil(LOGGED)) {
            let at = Va(va.0.wrapping_add(offset));
            log::warn!("written by {who}: {at}: {} -> {}", digits(was), digits(now));
        }
        confirm(space, va, data.get(..written).unwrap_or(data))?;
        Ok(written)
    }

    /// The same image, seen through an overlay of its own: writes change what this handle reads, and nothing else. It
    /// takes at most about `limit` bytes of changes.
    #[must_use]
    pub fn with_overlay(&self, limit: usize) -> Self {
        let overlay = Arc::new(Overlay::new(self.image.memory.clone(), limit));
        let image = Arc::new(Image { memory: overlay.clone(), ..Image::clone(&self.image) });
        let space = Space::new(self.space.machine, self.space.regions().to_vec(), image.memory.clone());
        Self { image, space: Arc::new(space), overlay: Some(overlay), ..self.again() }
    }

    /// The same image, overlay and names, with nothing else remembered: what was found by reading memory is read again.
    #[must_use]
    pub fn again(&self) -> Self {
        let other = Self::new(
            self.image.clone(),
            self.space.clone(),
            self.symbols.clone(),
            self.found.clone(),
            self.hints.clone(),
            self.verdict.clone(),
        );
        other.set_user_registers(self.user_registers.load(Ordering::Relaxed));
        other.set_strict(self.strict.load(Ordering::Relaxed));
        Self {
            overlay: self.overlay.clone(),
            own: self.own.clone(),
            writable: self.writable,
            qmp: self.qmp.clone(),
            pause: self.pause,
            held: self.held.clone(),
            ..other
        }
    }

    /// The overlay, if there is one.
    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_deref()
    }

    /// What tells this image from others.
    fn identity(&self) -> Identity {
        let release = || Some(self.linux()?.info.release().to_owned());
        let build_id = || Some(digits(&self.linux()?.info.build_id()?));
        Identity::of(&self.image, self.image.facts.version.clone().or_else(release), build_id())
    }

    /// The overlay's changes, as a file keeps them.
    ///
    /// # Errors
    /// There is no overlay.
    pub fn patch(&self) -> Result<Patch> {
        let overlay = self.overlay().ok_or_else(no_overlay)?;
        Ok(Patch::new(self.identity(), &overlay.changes()))
    }

    /// Makes a patch's changes, all or none; returns how many bytes that are.
    ///
    /// # Errors
    /// There is no overlay, or it has no room; the patch is another image's; the image does not have what the patch
    /// replaces.
    pub fn apply(&self, patch: &Patch) -> Result<usize> {
        let overlay = self.overlay().ok_or_else(no_overlay)?;
        let changes = patch.changes_of(&self.identity())?;
        if let Some(change) = changes.iter().find(|change| !overlay.is_below(change.at, &change.was)) {
            return Err(Error::Usage(format!(
                "the patch is another image's: it replaces {} at {}, where this image has something else",
                digits(&change.was),
                show(change.at)
            )));
        }
        overlay.make(&changes)
    }
}

/// What of the bytes lies in front of the first page that is read-only.
fn unprotected<'a>(space: &Space, va: Va, data: &'a [u8]) -> Result<&'a [u8]> {
    let mut done = 0;
    while done < data.len() {
        let at = Va(va.0.wrapping_add(done as u64));
        match space.translate(at) {
            Ok(Place { rights: Some(Rights { write: true, .. }), bytes, .. }) => {
                done = done.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX)).min(data.len());
            }
            Ok(Place { rights, .. }) if done == 0 => {
                let why = match rights {
                    Some(_) => "the kernel that runs has made this page read-only",
                    None => {
                        "whether the kernel that runs has made this page read-only is known by virtual addresses only"
                    }
                };
                return Err(Error::Unwritten { va, source: io::Error::other(why) });
            }
            Err(why) if done == 0 => return Err(Error::Fault { va, why }),
            _ => break,
        }
    }
    Ok(data.get(..done).unwrap_or(data))
}

/// Reads again what was written.
fn confirm(space: &Space, va: Va, data: &[u8]) -> Result<()> {
    let mut now = vec![0; data.len()];
    let (got, _) = space.read_prefix(va, &mut now);
    if got == now.len() && now == data {
        return Ok(());
    }
    let now = now.get(..got.min(LOGGED)).unwrap_or_default();
    let why = format!(
        "it reads as {} now: either the write was not taken, or something else has written there since",
        digits(now)
    );
    Err(Error::Unwritten { va, source: io::Error::other(why) })
}

fn no_overlay() -> Error {
    Error::Usage("there is no overlay: start the server with --overlay".into())
}

/// A place, for people.
pub(crate) fn show(at: Addr) -> String {
    match at {
        Addr::Phys(pa) => format!("physical {pa}"),
        Addr::Virt(va) => va.to_string(),
        Addr::File(offset) => format!("byte {offset:#x} of the file"),
    }
}

/// Two digits a byte.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ram::Ram;
    use kgdbserver_arch::{Machine, Pa, Region, Via, x86_64};

    const MACHINE: Machine = Machine { arch: &x86_64::ARCH, big_endian: false, ptr_bytes: 8 };

    /// A page of zeros, at the address 0x1000.
    fn space() -> Space {
        let region = Region { first: Va(0x1000), last: Va(0x1fff), via: Via::Linear(Pa(0)) };
        Space::new(MACHINE, vec![region], Arc::new(Ram::at_zero(vec![0; 0x1000])))
    }

    #[test]
    fn a_write_that_was_not_taken_is_an_error() {
        let said = |data: &[u8]| confirm(&space(), Va(0x1ffe), data).map_err(|error| error.to_string());
        assert_eq!(said(&[0, 0]), Ok(()));
        let error = said(&[0, 1]).unwrap_err();
        assert!(error.contains("1ffe: not written: it reads as 0000 now"), "{error}");
        assert!(said(&[0, 0, 0]).is_err(), "what cannot be read was not confirmed");
    }

    /// Page tables at 0, and what they map from 0 on: a page that may be written, and one that may not.
    fn protected() -> Space {
        let mut tables = vec![0; 0x6000];
        for (at, entry) in
            [(0, 0x1063_u64), (0x1000, 0x2063), (0x2000, 0x3063), (0x3000, 0x4063), (0x3008, 0x5061)]
        {
            tables[at..at + 8].copy_from_slice(&entry.to_le_bytes());
        }
        let region = Region {
            first: Va(0),
            last: Va(0x1fff),
            via: Via::Tables { form: x86_64::FOUR_LEVEL, root: Pa(0) },
        };
        Space::new(MACHINE, vec![region], Arc::new(Ram::at_zero(tables)))
    }

    #[test]
    fn what_is_read_only_is_not_written() {
        let first = |va| unprotected(&protected(), Va(va), &[1; 16]).map(<[u8]>::len);
        assert_eq!((first(0).unwrap(), first(0xff8).unwrap()), (16, 8));
        let error = first(0x1000).unwrap_err().to_string();
        assert!(error.contains("the kernel that runs has made this page read-only"), "{error}");
    }

    #[test]
    fn of_the_own_kernel_only_what_page_tables_say_is_known() {
        let error = unprotected(&space(), Va(0x1000), &[1]).unwrap_err().to_string();
        assert!(error.contains("known by virtual addresses only"), "{error}");
        let error = unprotected(&space(), Va(0x3000), &[1]).unwrap_err();
        assert!(matches!(error, Error::Fault { va: Va(0x3000), .. }), "{error}");
    }
}
