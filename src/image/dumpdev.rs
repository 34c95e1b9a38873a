//! A dump between the headers that the kernel writes: on its dump device, an image of that disk, or in a file that
//! begins with a header.
//!
//! ```text
//! ... | header | key block | extent, with the dump at its front | header |
//!                                                                ^ the device's last block
//! ```

use super::header::{self, Header, Kind};
use super::part::{Backwards, Part};
use super::wrapped::{Layers, Wrapper};
use super::{Source, textdump};
use crate::{Error, Result};
use std::sync::Arc;

/// A dump whose header comes first: fetched by TFTP, netdump, or copied from the device starting at the header.
pub(super) const LEADING: Wrapper = Wrapper {
    name: "kernel dump header",
    probe: |source, _| header_at(source, 0).is_some_and(|bytes| header::has_magic(&bytes)),
    open: open_leading,
};

/// A whole dump device.
pub(super) const DEVICE: Wrapper =
    Wrapper { name: "dump device", probe: |source, _| trailer(source).is_some(), open: open_device };

/// The kernel's limit is the block size of a medium; a key block holds one RSA ciphertext.
const KEY_LIMIT: u64 = 64 << 10;

fn header_at(source: &dyn Source, at: u64) -> Option<[u8; header::LEN]> {
    let mut bytes = [0; header::LEN];
    source.read_exact_at(at, &mut bytes).ok().map(|()| bytes)
}

/// Where the trailing header stands. It begins the last block, and the size of a block is the medium's.
fn trailer(source: &dyn Source) -> Option<(u64, [u8; header::LEN])> {
    let places = [512, 4096].into_iter().filter_map(|block| source.len().checked_sub(block));
    places.filter_map(|at| Some((at, header_at(source, at)?))).find(|(_, bytes)| header::has_magic(bytes))
}

fn open_leading(source: Arc<dyn Source>, layers: &mut Layers<'_>) -> Result<Arc<dyn Source>> {
    let bytes = header_at(&*source, 0).ok_or_else(|| corrupt(0, "the file ends within the header"))?;
    let header = checked(&bytes, 0, layers)?;
    let key = header.dumpkeysize.next_multiple_of(header.blocksize);
    let data = header.blocksize + key;
    take(source, layers, header, data - key, data)
}

fn open_device(source: Arc<dyn Source>, layers: &mut Layers<'_>) -> Result<Arc<dyn Source>> {
    let (at, bytes) = trailer(&*source).ok_or_else(|| corrupt(0, "no header"))?;
    let header = checked(&bytes, at, layers)?;
    let block = source.len() - at;
    let key = header.dumpkeysize.next_multiple_of(block);
    let data = at.checked_sub(header.dumpextent);
    let places = data.and_then(|data| Some((data, data.checked_sub(key)?.checked_sub(block)?)));
    let (data, leading) = places.ok_or_else(|| {
        let what = format!(
            "the dump takes {} bytes and its key {key}, more than lie before the header",
            header.dumpextent
        );
        corrupt(at, what)
    })?;
    if header_at(&*source, leading) != Some(bytes) {
        let what = "the headers before and after the dump differ: it was overwritten in part (by swapping, \
                    perhaps), or never finished; --force opens it all the same";
        layers.insist(corrupt(leading, what))?;
    }
    take(source, layers, header, data - key, data)
}

fn checked(bytes: &[u8; header::LEN], at: u64, layers: &mut Layers<'_>) -> Result<Header> {
    let header = Header::parse(bytes, at)?;
    if !header::parity_holds(bytes) {
        layers.insist(corrupt(
            at,
            "the parity is wrong: the header was damaged; --force opens it all the same",
        ))?;
    }
    if header.dumpkeysize > KEY_LIMIT {
        return Err(corrupt(at, format!("a key block of {} bytes is not plausible", header.dumpkeysize)));
    }
    if header.kind == Kind::Cleared {
        layers.warn("savecore has marked this dump as fetched: the device may have been written to since");
    }
    Ok(header)
}

/// The dump itself, which begins at byte `data`; its key block, if it has one, stands at byte `key`.
fn take(
    source: Arc<dyn Source>,
    layers: &mut Layers<'_>,
    header: Header,
    key: u64,
    data: u64,
) -> Result<Arc<dyn Source>> {
    if header.dumpkeysize != 0 {
        let block = source.bytes(key, header.dumpkeysize);
        layers.key_block = Some(block.map_err(|_| corrupt(key, "the file ends within the key block"))?);
    }
    layers.extent = layers.extent.max(header.dumpextent);
    layers.tell(header.facts);
    let part = || Part::new(source.clone(), data, header.dumplength);
    let backwards = Backwards(part());
    let text = header.kind == Kind::Text || header.kind == Kind::Cleared && textdump::probe(&backwards);
    Ok(if text { Arc::new(backwards) } else { Arc::new(part()) })
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: header::NAME, offset, what: what.into() }
}
