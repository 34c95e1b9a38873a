//! AVML's compressed images: LiME with every range as a snappy stream of its own.
//!
//! ```text
//! header: 32 bytes | snappy frames | their size: 8 bytes | header | ...
//! ```
//!
//! The header is LiME's but for the magic and the version, and always little endian (src/image.rs of AVML).

use super::lime;
use super::packed::{self, Codec};
use super::wrapped::Wrapper;
use snap::read::FrameDecoder;
use std::io::{self, BufRead, Cursor, ErrorKind, Read};

pub(super) const WRAPPER: Wrapper = Wrapper {
    name: "AVML",
    probe: |source, _| packed::begins(source, 0, &AVML.magic).unwrap_or(false),
    open: |source, layers| packed::open(source, layers, &AVML),
};

static AVML: Codec<4> = Codec {
    name: "AVML image",
    magic: *b"AVML",
    member: |input| {
        Ok(Box::new(Ranges { frames: Some(FrameDecoder::new(input)), header: Cursor::default(), left: 0 }))
    },
};

/// Magic and version.
const KIND: [u8; 8] = *b"AVML\x02\0\0\0";

/// All ranges, as LiME has them.
struct Ranges<'a> {
    /// None behind the last range.
    frames: Option<FrameDecoder<&'a mut dyn BufRead>>,
    /// The header of the range that is being read.
    header: Cursor<Vec<u8>>,
    /// Bytes of that range that are still to come.
    left: u64,
}

impl Ranges<'_> {
    /// Goes on to the next range; false at the end of the file.
    fn next(&mut self) -> io::Result<bool> {
        // Each gets a decoder of its own: that of the last range may hold more than the range had.
        let Some(input) = self.frames.take().map(FrameDecoder::into_inner) else { return Ok(false) };
        if input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut words = [[0; 8]; 4];
        input.read_exact(words.as_flattened_mut())?;
        let [kind, first, last, _] = words;
        let bad = |text: &str| io::Error::new(ErrorKind::InvalidData, text);
        if kind != KIND {
            return Err(bad("no header of version 2"));
        }
        let len = u64::from_le_bytes(last).checked_sub(u64::from_le_bytes(first));
        let len = len.and_then(|len| len.checked_add(1));
        self.left = len.ok_or_else(|| bad("a range that ends before it begins"))?;
        self.header = Cursor::new([lime::LITTLE, first, last, [0; 8]].concat());
        self.frames = Some(FrameDecoder::new(input));
        Ok(true)
    }
}

impl Read for Ranges<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.next()? {
            return Ok(0);
        }
        let got = self.header.read(buf)?;
        if got > 0 || buf.is_empty() {
            return Ok(got);
        }
        let Some(frames) = &mut self.frames else { return Ok(0) };
        // No further: behind the last byte the decoder would look for another frame.
        let got = frames.by_ref().take(self.left).read(buf)?;
        self.left -= got as u64;
        match (got, self.left) {
            (0, _) => Err(ErrorKind::UnexpectedEof.into()),
            (_, 0) => frames.get_mut().read_exact(&mut [0; 8]).map(|()| got),
            _ => Ok(got),
        }
    }
}
