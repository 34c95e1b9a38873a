//! What a dump can be wrapped in. A wrapper makes of a source another one; each is a row.
//!
//! They nest: a disk image holds a header, which holds an encrypted dump, which is compressed. So layers are taken off
//! one by one until a format recognises what is left.

use super::facts::Facts;
use super::{Source, avml, dumpdev, encrypted, flattened, packed};
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// How wrapped images are opened.
#[derive(Clone, Default)]
pub struct Settings {
    /// Further files of the image, where it was split into several; each may be wrapped.
    pub parts: Vec<PathBuf>,
    /// `key.N` of an encrypted dump; without it the file of that name beside the image is taken.
    pub key: Option<PathBuf>,
    /// The RSA key that opens `key.N`: PEM, PKCS#1 or PKCS#8.
    pub private_key: Option<PathBuf>,
    /// Where compressed images are unpacked to; without it, the user's cache folder.
    pub cache: Option<PathBuf>,
    /// Bytes of disk that unpacked images may take; without it, what is free but for a reserve.
    pub cache_limit: Option<u64>,
    /// Goes on although the headers of a dump device contradict each other, or a compressed stream is damaged or unpacks
    /// to more than a dump does.
    pub force: bool,
    /// Told how far a compressed image is unpacked, or a large flattened one indexed: bytes of it that were read, and all of
    /// them. Called last with both equal.
    pub progress: Option<Arc<dyn Fn(u64, u64) + Send + Sync>>,
}

type Open = fn(Arc<dyn Source>, &mut Layers<'_>) -> Result<Arc<dyn Source>>;

/// One kind of wrapping.
pub(super) struct Wrapper {
    /// Its name, as `info` prints it.
    pub(super) name: &'static str,
    /// Whether the source is wrapped so, at a glance.
    pub(super) probe: fn(&dyn Source, &Layers<'_>) -> bool,
    /// Takes it off.
    pub(super) open: Open,
}

/// Every wrapper, in the order in which they are tried. A header that tells of encryption is right about it; then comes
/// what is known by its beginning, then by its end; encrypted bytes themselves look like nothing, so a file's name
/// comes last: somebody may have run gzip on `vmcore_encrypted.3`.
pub(super) static WRAPPERS: &[Wrapper] = &[
    encrypted::TOLD,
    dumpdev::LEADING,
    packed::GZIP,
    packed::ZSTD,
    flattened::WRAPPER,
    avml::WRAPPER,
    dumpdev::DEVICE,
    encrypted::NAMED,
];

/// No sensible dump is wrapped more often; a file made to be its own contents would be unwrapped for ever.
const DEPTH: usize = 6;

/// The layers taken off so far, and what they told.
pub(super) struct Layers<'a> {
    pub(super) settings: &'a Settings,
    pub(super) facts: Facts,
    pub(super) warnings: Vec<String>,
    /// The key block that stood beside the dump on its device.
    pub(super) key_block: Option<Vec<u8>>,
    /// Bytes that the kernel set aside for the dump: its size before compression, where that fitted.
    pub(super) extent: u64,
}

impl<'a> Layers<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, facts: Facts::default(), warnings: Vec::new(), key_block: None, extent: 0 }
    }

    /// Takes off the outermost layer; none if no wrapper knows the source.
    pub(super) fn take_off(&mut self, source: &Arc<dyn Source>) -> Result<Option<Arc<dyn Source>>> {
        let wrapper = WRAPPERS.iter().find(|wrapper| (wrapper.probe)(&**source, self));
        let Some(wrapper) = wrapper else { return Ok(None) };
        if self.facts.layers.len() >= DEPTH {
            let layers = self.facts.layers.join(", ");
            return Err(Error::Unsupported(format!("wrapped more than {DEPTH} times: {layers}")));
        }
        log::debug!("{}: {}", source.path().display(), wrapper.name);
        self.facts.layers.push(wrapper.name);
        (wrapper.open)(source.clone(), self).map(Some)
    }

    /// Whether the dump was encrypted, and is no more.
    pub(super) fn decrypted(&self) -> bool {
        self.facts.layers.contains(&encrypted::NAME)
    }

    pub(super) fn tell(&mut self, facts: Facts) {
        self.facts = std::mem::take(&mut self.facts).or(facts);
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Fails, or only warns where the user said to go on.
    pub(super) fn insist(&mut self, error: Error) -> Result<()> {
        if !self.settings.force {
            return Err(error);
        }
        self.warn(format!("forced: {error}"));
        Ok(())
    }
}

/// Whether a source is wrapped in something, as far as it tells itself.
pub(super) fn is_wrapped(source: &dyn Source) -> bool {
    let settings = Settings::default();
    let layers = Layers::new(&settings);
    WRAPPERS.iter().any(|wrapper| (wrapper.probe)(source, &layers))
}
