//! Dumps that the kernel encrypted on their way to the dump device, decrypted as they are read.
//!
//! Both ciphers run as one stream over the whole dump and can begin anywhere, so nothing is unpacked and no clear text
//! reaches a disk.

use super::Source;
use super::facts::sibling;
use super::keys::{Cipher, KeyBlock};
use super::wrapped::{Layers, Wrapper};
use crate::{Error, Result};
use aes::Aes256;
use aes::cipher::array::Array;
use aes::cipher::{BlockModeDecrypt, InnerIvInit, KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20::ChaCha20Legacy;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) const NAME: &str = "encrypted";

/// What a header says to be encrypted.
pub(super) const TOLD: Wrapper =
    Wrapper { name: NAME, probe: |_, layers| layers.key_block.is_some() && !layers.decrypted(), open };

/// What a file's name, or a key given with it, says to be encrypted.
pub(super) const NAMED: Wrapper = Wrapper {
    name: NAME,
    probe: |source, layers| {
        !layers.decrypted() && (layers.settings.key.is_some() || is_named_so(source.path()))
    },
    open,
};

/// savecore(8) saves to `vmcore_encrypted.N`.
fn is_named_so(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmcore_encrypted"))
}

fn open(source: Arc<dyn Source>, layers: &mut Layers<'_>) -> Result<Arc<dyn Source>> {
    let path = source.path().to_owned();
    let (block, from) = match &layers.key_block {
        Some(block) => (block.clone(), path.clone()),
        None => {
            let file = key_file(&path, layers)?;
            (read_small(&file)?, file)
        }
    };
    let block = KeyBlock::parse(&block).map_err(|what| Error::Corrupt {
        format: "key of an encrypted dump",
        offset: 0,
        what: format!("{}: {what}", from.display()),
    })?;
    let private_key = layers.settings.private_key.as_deref().ok_or_else(|| {
        let path = path.display();
        Error::Unsupported(format!(
            "{path}: an encrypted dump: its RSA private key is needed (--private-key FILE, PEM)"
        ))
    })?;
    let key = block.unlock(private_key)?;
    let iv = block.iv;
    Ok(match block.cipher {
        Cipher::Aes256Cbc => {
            let (iv, _) = iv.split_at(BLOCK);
            let iv = iv.try_into().unwrap_or_default();
            Arc::new(Chained { source, cipher: Aes256::new((&*key).into()), iv })
        }
        Cipher::ChaCha20 => {
            let nonce = iv.first_chunk().copied().unwrap_or_default();
            Arc::new(Keystream { source, key, nonce })
        }
    })
}

/// The file with the key block: the one that was named, or `key.N` beside the image.
fn key_file(image: &Path, layers: &Layers<'_>) -> Result<PathBuf> {
    if let Some(key) = &layers.settings.key {
        return Ok(key.clone());
    }
    let beside = sibling(image, "key");
    beside.clone().filter(|key| key.is_file()).ok_or_else(|| {
        let looked =
            beside.map_or("no number in its name".into(), |key| format!("no file {}", key.display()));
        Error::Unsupported(format!(
            "{}: its key file is needed as well ({looked}; --key FILE)",
            image.display()
        ))
    })
}

fn read_small(path: &Path) -> Result<Vec<u8>> {
    const LIMIT: u64 = 64 << 10;
    let len = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if len > LIMIT {
        return Err(Error::Unsupported(format!("{}: too large for a key file", path.display())));
    }
    std::fs::read(path).map_err(Error::io(path))
}

/// Bytes of an AES block.
const BLOCK: usize = 16;

/// AES-256-CBC: a block is decrypted with the encrypted block before it.
struct Chained {
    source: Arc<dyn Source>,
    cipher: Aes256,
    iv: [u8; BLOCK],
}

impl Chained {
    /// The whole blocks that begin at block `first`, decrypted; as many as fit in `bytes` and exist.
    fn blocks(&self, first: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut before = self.iv;
        let at = first.saturating_mul(BLOCK as u64);
        if let Some(previous) = at.checked_sub(BLOCK as u64) {
            self.source.read_exact_at(previous, &mut before)?;
        }
        let got = self.source.read_at(at, bytes)? / BLOCK * BLOCK;
        let (blocks, _) = bytes.get_mut(..got).unwrap_or_default().as_chunks_mut::<BLOCK>();
        let mut mode = cbc::Decryptor::inner_iv_init(self.cipher.clone(), &before.into());
        mode.decrypt_blocks(Array::cast_slice_from_core_mut(blocks));
        Ok(got)
    }
}

impl Source for Chained {
    fn path(&self) -> &Path {
        self.source.path()
    }

    fn len(&self) -> u64 {
        self.source.len() / BLOCK as u64 * BLOCK as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if offset >= self.len() {
            return Ok(0);
        }
        let mut clear = [0; 4096];
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (first, within) = (at / BLOCK as u64, usize::try_from(at % BLOCK as u64).unwrap_or(0));
            let rest = buf.get_mut(done..).unwrap_or_default();
            let wanted = (within + rest.len()).next_multiple_of(BLOCK).min(clear.len());
            let got = self.blocks(first, clear.get_mut(..wanted).unwrap_or_default())?;
            let usable = clear.get(within..got).unwrap_or_default();
            let count = usable.len().min(rest.len());
            if count == 0 {
                break;
            }
            rest.iter_mut().zip(usable).for_each(|(to, from)| *to = *from);
            done += count;
        }
        Ok(done)
    }
}

/// ChaCha20 as it was first published, with a block counter of 64 bits and a nonce of 64: dumps outgrow the 256 GiB
/// that RFC 8439's counter reaches.
struct Keystream {
    source: Arc<dyn Source>,
    key: Zeroizing<[u8; 32]>,
    nonce: [u8; 8],
}

impl Source for Keystream {
    fn path(&self) -> &Path {
        self.source.path()
    }

    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read_at(offset, buf)?;
        let mut stream = ChaCha20Legacy::new((&*self.key).into(), &self.nonce.into());
        stream.try_seek(offset).map_err(io::Error::other)?;
        stream.try_apply_keystream(buf.get_mut(..got).unwrap_or_default()).map_err(io::Error::other)?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More zeros than fit on a disk.
    struct Zeros;

    impl Source for Zeros {
        fn path(&self) -> &Path {
            Path::new("zeros")
        }

        fn len(&self) -> u64 {
            1 << 40
        }

        fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(0);
            Ok(buf.len())
        }
    }

    /// `openssl enc -chacha20 -K 000102..1f -iv 00000000010000000102030405060708` of zeros: block 2^32.
    #[test]
    fn the_keystream_goes_on_behind_256_gib() {
        let key = Zeroizing::new(std::array::from_fn(|at| at as u8));
        let stream = Keystream { source: Arc::new(Zeros), key, nonce: [1, 2, 3, 4, 5, 6, 7, 8] };
        let mut bytes = [0; 12];
        stream.read_at((1 << 38) - 4, &mut bytes).unwrap();
        assert_eq!(bytes, [0x6d, 0x5f, 0x6c, 0x43, 0x04, 0x22, 0x0a, 0x59, 0x61, 0x51, 0x0e, 0x72]);
    }
}
