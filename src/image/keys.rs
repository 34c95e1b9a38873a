//! The key of an encrypted dump: a symmetric one, made at boot, that only an RSA key's owner can open.
//!
//! `struct kerneldumpkey` of FreeBSD's sys/kerneldump.h, as it stands on the dump device and in `key.N`:
//! `encryption u8@0`, `iv[32]@1`, `encryptedkeysize u32@33` (big endian), `encryptedkey[]@37`.

use crate::{Error, Result};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;

use rsa::traits::PublicKeyParts;
use rsa::{Oaep, Pkcs1v15Encrypt, RsaPrivateKey};
use sha1::Sha1;
use std::path::Path;
use zeroize::Zeroizing;

/// What dumpon(8) encrypts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes256Cbc,
    ChaCha20,
}

/// A key block, its key still locked.
pub(super) struct KeyBlock {
    pub(super) cipher: Cipher,
    pub(super) iv: [u8; 32],
    locked: Vec<u8>,
}

/// The kernel encrypts 64 bytes and uses the first 32 of them.
const KEY_MAX: usize = 64;

/// No PEM file of an RSA key is larger.
const PEM_LIMIT: u64 = 64 << 10;

impl KeyBlock {
    /// Reads a key block; padding may follow it.
    ///
    /// # Errors
    /// In words: what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let short = || format!("the key block ends early: {} bytes", bytes.len());
        let (cipher, rest) = bytes.split_first().ok_or_else(short)?;
        let cipher = match cipher {
            1 => Cipher::Aes256Cbc,
            2 => Cipher::ChaCha20,
            other => {
                return Err(format!("cipher number {other}; known are 1 (AES-256-CBC) and 2 (ChaCha20)"));
            }
        };
        let (iv, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (size, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let size = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
        let locked = rest.get(..size).filter(|locked| !locked.is_empty()).ok_or_else(short)?;
        Ok(Self { cipher, iv: *iv, locked: locked.to_vec() })
    }

    /// The symmetric key, opened with the RSA key in a PEM file.
    ///
    /// # Errors
    /// The file cannot be read or is no RSA key, or it is not the key that dumpon(8) was given the public half of.
    pub(super) fn unlock(&self, private_key: &Path) -> Result<Zeroizing<[u8; 32]>> {
        let refuse = |what: String| Error::Unsupported(format!("{}: {what}", private_key.display()));
        let key = read_private_key(private_key)?;
        if key.size() != self.locked.len() {
            let (ours, theirs) = (key.size() * 8, self.locked.len() * 8);
            return Err(refuse(format!("an RSA key of {ours} bits, but the dump's was of {theirs}")));
        }
        // The rsa crate's decryption takes a time that depends on the key (RUSTSEC-2023-0071, "Marvin"). That gives a
        // key away to whoever can have millions of ciphertexts decrypted and measure each. Here the key's owner
        // decrypts one, on a machine of their own, and nobody is answered.
        //
        // OpenSSL's OAEP hashes with SHA-1 unless told otherwise, and dumpon(8) does not tell. Before OAEP it used
        // PKCS #1 v1.5.
        let padded = key.decrypt(Oaep::new::<Sha1>(), &self.locked);
        let opened = padded.or_else(|_| key.decrypt(Pkcs1v15Encrypt, &self.locked)).map(Zeroizing::new);
        let wrong = || {
            refuse(
                "does not open the dump's key: it is not the private half of the key that dumpon(8) had"
                    .into(),
            )
        };
        let opened = opened.ok().filter(|opened| opened.len() == KEY_MAX).ok_or_else(wrong)?;
        opened.first_chunk().copied().map(Zeroizing::new).ok_or_else(wrong)
    }
}

fn read_private_key(path: &Path) -> Result<RsaPrivateKey> {
    let refuse = |what: &str| Error::Unsupported(format!("{}: {what}", path.display()));
    let len = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if len > PEM_LIMIT {
        return Err(refuse("too large for a private key"));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(Error::io(path))?);
    let pem = std::str::from_utf8(&bytes).map_err(|_| refuse("not a PEM file"))?;
    if pem.contains("ENCRYPTED") {
        return Err(refuse("locked by a passphrase; openssl rsa -in LOCKED -out KEY writes it without one"));
    }
    if pem.contains("PUBLIC KEY") {
        return Err(refuse("a public key; the dump is opened by the private one"));
    }
    let key = RsaPrivateKey::from_pkcs8_pem(pem).or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem));
    key.map_err(|_| refuse("not an RSA private key in PEM form (PKCS #1 or PKCS #8)"))
}
