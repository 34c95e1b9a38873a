//! Sections that are compressed.

use std::io::Read;

/// What zlib made of exactly `size` bytes; none if it is not that, or if the size is above the limit.
pub(in crate::symbols) fn inflate(compressed: &[u8], size: u64, limit: u64) -> Option<Vec<u8>> {
    let decoder = flate2::read::ZlibDecoder::new(compressed);
    // Memory grows with what arrives, not with what was promised; one byte more shows a broken promise.
    let mut decoder = decoder.take(size.checked_add(1).filter(|_| size <= limit)?);
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == size).then_some(bytes)
}
