//! LiME's format, and AVML's two forms of it.

use super::bytes::Endian;

/// Ranges of memory in the order of the file: first address, and bytes.
#[derive(Clone, Debug)]
pub struct Lime {
    pub endian: Endian,
    pub ranges: Vec<(u64, Vec<u8>)>,
}

impl Lime {
    pub fn new(ranges: &[(u64, &[u8])]) -> Self {
        let ranges = ranges.iter().map(|(start, bytes)| (*start, bytes.to_vec())).collect();
        Self { endian: Endian::Little, ranges }
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for (start, bytes) in &self.ranges {
            file.extend(header(self.endian, 0x4c69_4d45, 1, *start, start + bytes.len() as u64 - 1));
            file.extend(bytes);
        }
        file
    }

    /// With every range as a snappy stream, whose frames hold up to `frame` bytes.
    pub fn packed(&self, frame: usize) -> Vec<u8> {
        let mut file = Vec::new();
        for (start, bytes) in &self.ranges {
            file.extend(header(Endian::Little, 0x4c4d_5641, 2, *start, start + bytes.len() as u64 - 1));
            let stream = snappy(bytes, frame);
            file.extend(&stream);
            file.extend((stream.len() as u64).to_le_bytes());
        }
        file
    }
}

pub fn header(endian: Endian, magic: u32, version: u32, first: u64, last: u64) -> Vec<u8> {
    let mut header = [endian.u32(magic), endian.u32(version)].concat();
    [first, last, 0].iter().for_each(|word| header.extend(endian.u64(*word)));
    header
}

/// A stream of frames, which are stored and packed in turn; what is packed is one long literal.
pub fn snappy(bytes: &[u8], frame: usize) -> Vec<u8> {
    let mut stream = b"\xff\x06\x00\x00sNaPpY".to_vec();
    for (chunk, packed) in bytes.chunks(frame).zip([false, true].into_iter().cycle()) {
        let body = if packed { literal(chunk) } else { chunk.to_vec() };
        stream.push(u8::from(!packed));
        stream.extend(&(body.len() as u32 + 4).to_le_bytes()[..3]);
        stream.extend(masked_crc(chunk).to_le_bytes());
        stream.extend(body);
    }
    stream
}

/// The length as a variable-length integer, then a tag for a literal with two bytes of length.
fn literal(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    let mut packed = vec![len as u8 | 0x80, (len >> 7) as u8 | 0x80, (len >> 14) as u8, 61 << 2];
    packed.extend((len as u16 - 1).to_le_bytes());
    packed.extend(bytes);
    packed
}

/// CRC-32C, rotated and offset as the framing format wants it.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}
