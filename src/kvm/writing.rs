//! Memory that is written: in the image itself, or in an overlay that only this handle sees.

use super::Kvm;
use crate::image::overlay::Overlay;
use crate::image::{Addr, Image};
use crate::patch::{Identity, Patch};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a line of the log.
const LOGGED: usize = 32;

impl Kvm {
    /// kvm_write(3): writes kernel memory, and returns how many bytes could be written, as a read returns how many could
    /// be read.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], in libkvm's words, for a dump, and for what was not opened for writing
    /// ([`super::Options::write`]); [`Error::Fault`] if not even the first byte can be written.
    pub fn write(&self, va: usize, data: &[u8]) -> Result<usize> {
        self.noted(self.write_in(&self.space, Va(va as u64), data, "kvm_write"))
    }

    /// Whether writes go into the image itself.
    pub fn is_writable(&self) -> bool {
        self.writable && self.overlay.is_none()
    }

    /// Writes memory of the kernel or of a process; of what goes into the image itself the log tells who wrote it.
    pub(crate) fn write_in(&self, space: &Space, va: Va, data: &[u8], who: &str) -> Result<usize> {
        if self.overlay.is_none() && !self.writable {
            return Err(Error::ReadOnly);
        }
        let logged = if self.overlay.is_none() { data.len() } else { 0 };
        let mut was = vec![0; logged];
        let _ = space.read_prefix(va, &mut was); // what cannot be read is not written below
        let written = space.write(va, data)?;
        let changed = data.chunks(LOGGED).zip(was.chunks(LOGGED)).zip((0u64..).step_by(LOGGED));
        for ((now, was), offset) in changed.take(written.div_ceil(LOGGED)) {
            let at = Va(va.0.wrapping_add(offset));
            log::warn!("written by {who}: {at}: {} -> {}", digits(was), digits(now));
        }
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
