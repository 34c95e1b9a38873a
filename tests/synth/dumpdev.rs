//! What a BSD kernel writes around a dump: its headers, and where these stand on a dump device.
//!
//! Integers of a header are big endian on every machine. Version 1 is FreeBSD's until 11 and DragonFly's; 4 is FreeBSD's
//! since 12.0; 2 and 3 lived in between, in 12-CURRENT.

use super::bytes::{Endian, put, round_up};

/// `struct kerneldumpheader`.
#[derive(Clone, Debug)]
pub struct DumpHeader {
    pub magic: &'static str,
    pub architecture: &'static str,
    pub version: u32,
    pub dumplength: u64,
    pub dumpextent: u64,
    pub dumptime: u64,
    pub dumpkeysize: u32,
    pub blocksize: u32,
    pub hostname: &'static str,
    pub versionstring: String,
    pub panicstring: &'static str,
    /// 0 none, 1 gzip, 2 zstd.
    pub compression: u8,
}

impl DumpHeader {
    /// A header of version 4 before that many bytes.
    pub fn new(dumplength: usize) -> Self {
        Self {
            magic: "FreeBSD Kernel Dump",
            architecture: "amd64",
            version: 4,
            dumplength: dumplength as u64,
            dumpextent: dumplength as u64,
            dumptime: 1_583_020_799, // 2020-02-29 23:59:59
            dumpkeysize: 0,
            blocksize: 512,
            hostname: "beastie.example.org",
            versionstring: "FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC".into(),
            panicstring: "kdb_sysctl_panic",
            compression: 0,
        }
    }

    pub fn build(&self) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let e = Endian::Big;
        put(&mut bytes, 0, self.magic.as_bytes());
        put(&mut bytes, 20, self.architecture.as_bytes());
        put(&mut bytes, 32, &e.u32(self.version));
        put(&mut bytes, 36, &e.u32(2));
        put(&mut bytes, 40, &e.u64(self.dumplength));
        match self.version {
            1 => self.texts(&mut bytes, [48, 56, 60, 124, 316]),
            2 => self.texts(&mut bytes, [48, 60, 64, 128, 320]),
            3 => self.texts(&mut bytes, [56, 68, 73, 137, 329]),
            _ => self.texts(&mut bytes, [48, 60, 64, 128, 320]),
        }
        match self.version {
            1 => {}
            2 => put(&mut bytes, 56, &e.u32(self.dumpkeysize)),
            3 => {
                put(&mut bytes, 48, &e.u64(self.dumpextent));
                put(&mut bytes, 64, &e.u32(self.dumpkeysize));
                bytes[72] = self.compression;
            }
            _ => {
                put(&mut bytes, 56, &e.u32(self.dumpkeysize));
                bytes[495] = self.compression;
                put(&mut bytes, 496, &e.u64(self.dumpextent));
            }
        }
        let mut parity = [0; 4];
        bytes.chunks(4).for_each(|word| (0..4).for_each(|i| parity[i] ^= word[i]));
        put(&mut bytes, 508, &parity);
        bytes
    }

    /// At these offsets: time, block size, host, version, panic.
    fn texts(&self, bytes: &mut [u8], at: [usize; 5]) {
        put(bytes, at[0], &Endian::Big.u64(self.dumptime));
        put(bytes, at[1], &Endian::Big.u32(self.blocksize));
        put(bytes, at[2], self.hostname.as_bytes());
        let version = self.versionstring.as_bytes();
        put(bytes, at[3], &version[..version.len().min(191)]);
        put(bytes, at[4], self.panicstring.as_bytes());
    }
}

/// A dump device, filled with what swapping left there.
#[derive(Clone, Debug)]
pub struct Device {
    pub media: usize,
    /// Written before and after the dump; its `blocksize` is the device's.
    pub header: DumpHeader,
    pub key: Vec<u8>,
    pub dump: Vec<u8>,
}

impl Device {
    /// A device of 512-byte blocks, somewhat larger than the dump on it.
    pub fn with(dump: &[u8]) -> Self {
        let dump_bytes = round_up(dump.len(), 4096);
        let mut dump = dump.to_vec();
        dump.resize(dump_bytes, 0);
        let header = DumpHeader::new(dump.len());
        Self { media: dump.len() + (1 << 20), header, key: Vec::new(), dump }
    }

    /// Where on the device stand: the leading header, the key block, the dump, the trailing header.
    pub fn places(&self) -> [usize; 4] {
        let block = self.header.blocksize as usize;
        let trailing = self.media - block;
        let dump = trailing - self.header.dumpextent as usize;
        let key = dump - round_up(self.key.len(), block);
        [key - block, key, dump, trailing]
    }

    pub fn build(&self) -> Vec<u8> {
        let mut media: Vec<u8> = (0..self.media).map(|at| (at % 251) as u8 | 1).collect();
        let mut header = self.header.build();
        header.resize(self.header.blocksize as usize, 0);
        let [leading, key, dump, trailing] = self.places();
        put(&mut media, leading, &header);
        put(&mut media, key, &self.key);
        put(&mut media, dump, &self.dump);
        put(&mut media, trailing, &header);
        media
    }
}

/// `struct kerneldumpkey`: cipher 1 is AES-256-CBC, 2 is ChaCha20.
pub fn key_block(cipher: u8, iv: &[u8; 32], locked: &[u8]) -> Vec<u8> {
    let mut block = vec![cipher];
    block.extend(iv);
    block.extend(Endian::Big.u32(locked.len() as u32));
    block.extend(locked);
    block
}

/// Blocks of 512 bytes, the last one first: how the kernel writes a textdump.
pub fn backwards(archive: &[u8]) -> Vec<u8> {
    assert!(archive.len().is_multiple_of(512), "an archive has whole blocks");
    archive.chunks(512).rev().flatten().copied().collect()
}
