//! How a page can be packed. Each page says it for itself: what did not shrink is stored as it is.

use super::lzo;
use libdeflater::Decompressor;
use std::sync::{Mutex, PoisonError};

/// One way.
pub(super) struct Codec {
    /// The bit of a page's flags, and of the file's status.
    pub(super) flag: u32,
    pub(super) name: &'static str,
    /// Unpacks into the second slice; returns how many bytes came out. None for what is not packed so, or does not fit.
    unpack: fn(&mut State, &[u8], &mut [u8]) -> Option<usize>,
    /// Whether it takes so long that a second thread pays. Measured on two processors, 4 KiB read in turn: zstd 4.6 us
    /// alone and 3.4 with a helper; lzo 1.9 and 1.8, and worse among pages of zeros. zlib takes half as long again as zstd.
    pub(super) slow: bool,
}

/// Every codec.
pub(super) static CODECS: [Codec; 4] = [
    Codec { flag: 1, name: "zlib", unpack: zlib, slow: true },
    Codec { flag: 2, name: "lzo", unpack: |_, packed, page| lzo::unpack(packed, page), slow: false },
    Codec { flag: 4, name: "snappy", unpack: snappy, slow: false },
    Codec { flag: 0x20, name: "zstd", unpack: zstd, slow: true },
];

/// What codecs keep from page to page.
struct State {
    zlib: Decompressor,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

/// Not by flate2, which takes half as long again: it can stop anywhere in a stream, and a page is whole.
fn zlib(state: &mut State, packed: &[u8], page: &mut [u8]) -> Option<usize> {
    state.zlib.zlib_decompress(packed, page).ok()
}

fn snappy(_: &mut State, packed: &[u8], page: &mut [u8]) -> Option<usize> {
    snap::raw::Decoder::new().decompress(packed, page).ok()
}

fn zstd(state: &mut State, packed: &[u8], page: &mut [u8]) -> Option<usize> {
    state.zstd.as_mut()?.decompress_to_buffer(packed, page).ok()
}

/// Room for a packed page, and the codecs' state.
pub(super) struct Unpacker {
    packed: Vec<u8>,
    state: State,
}

impl Unpacker {
    fn new() -> Self {
        let state = State { zlib: Decompressor::new(), zstd: zstd::bulk::Decompressor::new().ok() };
        Self { packed: Vec::new(), state }
    }

    /// Fills a page with what comes out of the `size` bytes that `fetch` fetches. False if that is not just a page.
    pub(super) fn unpack<E>(
        &mut self,
        codec: &Codec,
        size: usize,
        fetch: impl FnOnce(&mut [u8]) -> Result<(), E>,
        page: &mut [u8],
    ) -> Result<bool, E> {
        self.packed.resize(size, 0);
        fetch(&mut self.packed)?;
        Ok((codec.unpack)(&mut self.state, &self.packed, page) == Some(page.len()))
    }
}

/// Unpackers that nobody uses now: as many as there were readers at the same time.
#[derive(Default)]
pub(super) struct Unpackers(Mutex<Vec<Unpacker>>);

impl Unpackers {
    /// Lends one.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Unpacker) -> T) -> T {
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unpacker = idle().pop().unwrap_or_else(Unpacker::new);
        let done = work(&mut unpacker);
        idle().push(unpacker);
        done
    }
}
