//! Encrypted.

use super::*;

const SECRET: [u8; 64] = [0x5a; 64];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Bench {
    /// Makes `rsa.pem` and locks the symmetric key with it.
    fn lock(&self, padding: &str) -> Option<Vec<u8>> {
        if !self.path("rsa.pem").exists() {
            self.run("openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem")?;
        }
        self.write("secret", &SECRET);
        self.run(&format!(
            "openssl pkeyutl -encrypt -inkey rsa.pem -in secret -pkeyopt rsa_padding_mode:{padding}"
        ))
    }

    /// Encrypts a file as the kernel does: 1 is AES-256-CBC, 2 ChaCha20.
    fn encrypt(&self, cipher: u8, name: &str) -> Vec<u8> {
        let (key, iv) = (hex(&SECRET[..32]), iv());
        let how = match cipher {
            1 => format!("-aes-256-cbc -nopad -K {key} -iv {}", hex(&iv[..16])),
            // openssl takes the block counter, which begins at 0, and then the nonce.
            _ => format!("-chacha20 -K {key} -iv {}{}", hex(&[0; 8]), hex(&iv[..8])),
        };
        self.run(&format!("openssl enc {how} -in {name}")).unwrap()
    }

    fn with_key(&self, name: &str) -> Settings {
        Settings { private_key: Some(self.path(name)), ..self.settings() }
    }
}

fn iv() -> [u8; 32] {
    std::array::from_fn(|at| at as u8 * 7 + 1)
}

#[test]
fn saved_encrypted() {
    let bench = Bench::new();
    for (cipher, padding) in [(1, "oaep"), (2, "oaep"), (1, "pkcs1")] {
        let Some(locked) = bench.lock(padding) else { return };
        bench.write("vmcore_encrypted.3", &bench.encrypt(cipher, "vmcore"));
        bench.write("key.3", &key_block(cipher, &iv(), &locked));
        bench.check_with("vmcore_encrypted.3", "encrypted", bench.with_key("rsa.pem"));
        // Under another name: the key file must be named.
        fs::rename(bench.path("vmcore_encrypted.3"), bench.path("strange")).unwrap();
        bench.refused("strange", "not a kernel image that this build knows");
        let settings = Settings { key: Some(bench.path("key.3")), ..bench.with_key("rsa.pem") };
        bench.check_with("strange", "encrypted", settings);
    }
    bench.run("openssl rsa -traditional -in rsa.pem -out old.pem").unwrap();
    bench.write("vmcore_encrypted.3", &bench.encrypt(1, "vmcore"));
    bench.check_with("vmcore_encrypted.3", "encrypted", bench.with_key("old.pem"));
}

#[test]
fn encrypted_and_compressed() {
    let bench = Bench::new();
    let Some(locked) = bench.lock("oaep") else { return };
    if bench.run("zstd -q vmcore").is_none() {
        return;
    }
    bench.write("vmcore_encrypted.0", &bench.encrypt(2, "vmcore.zst"));
    bench.write("key.0", &key_block(2, &iv(), &locked));
    bench.check_with("vmcore_encrypted.0", "encrypted zstd", bench.with_key("rsa.pem"));
    assert_eq!(bench.cached(), [""; 0], "the clear text is not left on the disk");
}

#[test]
fn all_of_it_at_once() {
    let bench = Bench::new();
    let Some(locked) = bench.lock("oaep") else { return };
    if bench.run("zstd -q vmcore").is_none() {
        return;
    }
    let packed = bench.encrypt(2, "vmcore.zst");
    for block in [512, 4096] {
        let mut device = Device::with(&packed);
        device.key = key_block(2, &iv(), &locked);
        let dumpkeysize = device.key.len() as u32;
        device.header = DumpHeader {
            dumpkeysize,
            dumpextent: device.dump.len() as u64,
            blocksize: block,
            compression: 2,
            ..device.header
        };
        device.media = device.media.next_multiple_of(4096);
        bench.write("disk", &device.build());
        if bench.run("gzip -kf disk").is_some() {
            bench.check_with("disk.gz", "gzip dump device encrypted zstd", bench.with_key("rsa.pem"));
        }
        bench.refused("disk", "its RSA private key is needed (--private-key FILE");
    }
}

#[test]
fn wrong_keys() {
    let bench = Bench::new();
    let Some(locked) = bench.lock("oaep") else { return };
    bench.write("vmcore_encrypted.3", &bench.encrypt(1, "vmcore"));
    bench.refused("vmcore_encrypted.3", "its key file is needed as well (no file");
    let good = key_block(1, &iv(), &locked);
    bench.write("key.3", &good);
    bench.refused("vmcore_encrypted.3", "its RSA private key is needed (--private-key FILE");
    let refused = |key, words| bench.refused_with("vmcore_encrypted.3", words, bench.with_key(key));
    refused("absent.pem", "absent.pem: No such file");
    bench.run("openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.pem").unwrap();
    refused("other.pem", "not the private half of the key");
    bench.run("openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out short.pem").unwrap();
    refused("short.pem", "an RSA key of 1024 bits, but the dump's was of 2048");
    bench.run("openssl rsa -in rsa.pem -pubout -out public.pem").unwrap();
    refused("public.pem", "a public key; the dump is opened by the private one");
    bench.run("openssl rsa -in rsa.pem -aes128 -passout pass:beastie -out locked.pem").unwrap();
    refused("locked.pem", "locked by a passphrase");
    refused("vmcore", "too large for a private key");
    bench.write("garbage.pem", b"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n");
    refused("garbage.pem", "not an RSA private key in PEM form");
    let mut other_iv = iv();
    other_iv[0] ^= 1;
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (bytes, words) in [
        (&good[..100], "the key block ends early: 100 bytes"),
        (&[], "the key block ends early: 0 bytes"),
        (&key_block(9, &iv(), &locked), "cipher number 9"),
        (&flipped, "not the private half of the key"),
        (&key_block(2, &iv(), &locked), "is the key file that of another dump?"),
        (&key_block(1, &other_iv, &locked), "is the key file that of another dump?"),
    ] {
        bench.write("key.3", bytes);
        refused("rsa.pem", words);
    }
}
