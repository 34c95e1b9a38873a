//! Dumps as they lie about: compressed, encrypted, between their headers, on a dump device, in a crash directory.
//!
//! What is wrapped is a synthetic minidump, and what wraps it is the real tool: gzip, zstd, openssl, tar. Each is read
//! page by page and compared with the plain dump.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod synth;

use kgdbserver::Kvm;
use kgdbserver::crashdir::{self, Found, Which};
use kgdbserver::image::{Addr, Settings};
use kgdbserver::kvm::Options;
use kgdbserver::report::translation::Translation;
use kgdbserver::verify::Verdict;
use kgdbserver_arch::Va;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use synth::dumpdev::{backwards, key_block};
use synth::{Built, Device, DumpHeader, System};
use tempfile::TempDir;

static SYSTEM: LazyLock<Built> = LazyLock::new(|| System::small().build());

/// A folder of the test's own, with the plain dump, its kernel, and a cache.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        SYSTEM.save(folder.path());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn settings(&self) -> Settings {
        Settings { cache: Some(self.path("cache")), ..Settings::default() }
    }

    /// Runs a tool in the folder; stdout. `None`, and a line that says so, if the tool is not installed.
    fn run(&self, line: &str) -> Option<Vec<u8>> {
        let mut words = line.split(' ');
        let tool = words.next().unwrap();
        let output = Command::new(tool).args(words).current_dir(&self.folder).output();
        let Ok(output) = output else {
            eprintln!("skipped: {tool} is not installed");
            return None;
        };
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Some(output.stdout)
    }

    fn open(&self, name: &str, settings: Settings) -> kgdbserver::Result<Kvm> {
        let options = Options { image: settings, ..Options::default() };
        Kvm::open_with(&self.path(name), options)
    }

    /// The file is the plain dump, wrapped in these layers.
    fn check(&self, name: &str, layers: &str) -> Kvm {
        self.check_with(name, layers, self.settings())
    }

    fn check_with(&self, name: &str, layers: &str, settings: Settings) -> Kvm {
        let kvm = self.open(name, settings).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(kvm.image().facts.layers.join(" "), layers, "{name}");
        assert!(
            pages(&kvm) == pages(&self.open("vmcore", self.settings()).unwrap()),
            "{name} has other contents"
        );
        kvm
    }

    /// The file cannot be opened, and the reason has these words in it.
    fn refused(&self, name: &str, words: &str) {
        self.refused_with(name, words, self.settings());
    }

    fn refused_with(&self, name: &str, words: &str, settings: Settings) {
        let error = self.open(name, settings).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert!(error.to_string().contains(words), "{name}: {error}");
    }

    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache")).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Every page that can be read, and its contents.
fn pages(kvm: &Kvm) -> Vec<(u64, Vec<u8>)> {
    let memory = &kvm.image().memory;
    let read = |pa| {
        let mut page = vec![0; 4096];
        let got = memory.read(Addr::Phys(pa), &mut page).ok()?;
        page.truncate(got);
        Some((pa.0, page))
    };
    memory.pages().filter_map(read).collect()
}

fn kernel_dump() -> Device {
    Device::with(&SYSTEM.vmcore)
}

// Compression

#[test]
fn compressed_by_the_real_tools() {
    let bench = Bench::new();
    for (line, name, layer) in [
        ("gzip -k vmcore", "vmcore.gz", "gzip"),
        ("zstd -q vmcore", "vmcore.zst", "zstd"),
        ("zstd -q -19 --no-check vmcore -o high", "high", "zstd"),
    ] {
        if bench.run(line).is_some() {
            let kvm = bench.check(name, layer);
            let warnings = &kvm.image().warnings;
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }
}

#[test]
fn a_member_that_begins_where_a_buffer_ends_is_not_lost() {
    const END: usize = (256 << 10) - 2;
    let bench = Bench::new();
    let (first, rest) = SYSTEM.vmcore.split_at(5 * 1024);
    let mut file = Vec::new();
    // Comments in their headers make the first members so long that two bytes of the next one's magic fit.
    for (piece, end) in
        first.chunks(1024).chain([rest]).zip([END / 5, END / 5 * 2, END / 5 * 3, END / 5 * 4, END, 0])
    {
        bench.write("piece", piece);
        let Some(mut member) = bench.run("gzip -nc piece") else { return };
        if let Some(missing) = end.checked_sub(file.len() + member.len() + 1) {
            member[3] |= 0x10;
            member.splice(10..10, [vec![b'x'; missing], vec![0]].concat());
        }
        file.extend(member);
    }
    assert_eq!(file[END..END + 3], [0x1f, 0x8b, 8]);
    bench.write("vmcore.gz", &file);
    bench.check("vmcore.gz", "gzip");
}

#[test]
fn in_several_members_and_with_padding_behind() {
    let bench = Bench::new();
    let (front, back) = SYSTEM.vmcore.split_at(5_000_001);
    bench.write("front", front);
    bench.write("back", back);
    for (tool, layer) in [("gzip -c", "gzip"), ("zstd -q -c", "zstd")] {
        let Some(mut bytes) = bench.run(&format!("{tool} front")) else { continue };
        bytes.extend(bench.run(&format!("{tool} back")).unwrap());
        bytes.extend([0; 777]);
        bench.write("joined", &bytes);
        bench.check("joined", layer);
    }
}

#[test]
fn the_second_open_finds_it_unpacked() {
    let bench = Bench::new();
    let Some(bytes) = bench.run("zstd -q -c vmcore") else { return };
    bench.write("vmcore.zst", &bytes);
    let calls = Arc::new(AtomicUsize::new(0));
    let open = || {
        let seen = calls.clone();
        let count = move |done, total| {
            assert!(done <= total);
            seen.fetch_add(1, Ordering::Relaxed);
        };
        let settings = Settings { progress: Some(Arc::new(count)), ..bench.settings() };
        bench.check_with("vmcore.zst", "zstd", settings);
        calls.swap(0, Ordering::Relaxed)
    };
    assert!(open() > 0, "the first open unpacks");
    assert_eq!(open(), 0, "the second open does not");
    assert_eq!(bench.cached().len(), 1);
    let (on_disk, size) = size_of(&bench.path("cache").join(&bench.cached()[0]));
    assert_eq!(size, SYSTEM.vmcore.len() as u64);
    assert!(on_disk < size / 4, "{on_disk} of {size} bytes: zeros are holes");
    // Another dump under the same name, as after the next panic.
    let mut other = SYSTEM.vmcore.clone();
    let last = other.len() - 100;
    other[last] ^= 1;
    bench.write("vmcore", &other);
    bench.write("vmcore.zst", &bench.run("zstd -q -c vmcore").unwrap());
    assert!(open() > 0, "a changed file is unpacked anew");
}

fn size_of(path: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).unwrap();
    assert_eq!(meta.mode() & 0o077, 0, "memory may hold secrets: for the user only");
    (meta.blocks() * 512, meta.len())
}

#[test]
fn what_a_killed_process_left_is_not_believed() {
    let bench = Bench::new();
    if bench.run("zstd -q vmcore").is_none() {
        return;
    }
    bench.check("vmcore.zst", "zstd");
    let whole = bench.path("cache").join(&bench.cached()[0]);
    let writing = whole.with_extension("writing");
    fs::rename(&whole, &writing).unwrap();
    fs::File::options().write(true).open(&writing).unwrap().set_len(1 << 20).unwrap();
    bench.check("vmcore.zst", "zstd");
    assert_eq!(bench.cached().len(), 2);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    fs::File::open(&writing).unwrap().set_modified(long_ago).unwrap();
    bench.check("vmcore.zst", "zstd");
    assert_eq!(bench.cached(), [whole.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn cut_off_it_is_usable_up_to_there() {
    let bench = Bench::new();
    for (tool, layer) in [("gzip -c", "gzip"), ("zstd -q -c", "zstd")] {
        // Noise in the pages, so that a prefix of the stream holds some of them.
        let mut dump = SYSTEM.vmcore.clone();
        for (at, byte) in dump[SYSTEM.layout.sparse.clone()].iter_mut().enumerate() {
            *byte = (at.wrapping_mul(2_654_435_761) >> 13) as u8;
        }
        bench.write("vmcore", &dump);
        let Some(bytes) = bench.run(&format!("{tool} vmcore")) else { continue };
        bench.write("cut", &bytes[..bytes.len() * 3 / 4]);
        let whole = pages(&bench.open("vmcore", bench.settings()).unwrap());
        for time in ["first", "second"] {
            let kvm = bench.open("cut", bench.settings()).unwrap();
            let here = pages(&kvm);
            let missing = kvm.census().cut_off;
            assert!(
                missing > 0 && !here.is_empty() && here.len() < whole.len(),
                "{layer}: {missing} missing"
            );
            assert!(
                here.iter()
                    .all(|page| whole.iter().any(|(pa, bytes)| *pa == page.0 && bytes.starts_with(&page.1)))
            );
            let warnings = kvm.image().warnings.join("\n");
            assert!(warnings.contains("stream is cut off"), "{time}: {warnings}");
        }
    }
}

#[test]
fn damaged_it_is_refused_unless_forced() {
    let bench = Bench::new();
    for (tool, words) in [("gzip -c", "corrupt gzip stream"), ("zstd -q -c", "corrupt zstd stream")] {
        let Some(mut bytes) = bench.run(&format!("{tool} vmcore")) else { continue };
        let checksum = bytes.len() - if tool.starts_with("gzip") { 8 } else { 4 };
        bytes[checksum] ^= 1;
        bench.write("damaged", &bytes);
        bench.refused("damaged", words);
        assert_eq!(bench.cached(), [""; 0], "nothing is kept of it");
        let options = Options { force: true, image: bench.settings(), ..Options::default() };
        let kvm = Kvm::open_with(&bench.path("damaged"), options).unwrap();
        assert!(kvm.image().warnings.join("").contains("damaged"));
        fs::remove_dir_all(bench.path("cache")).unwrap();
    }
}

#[test]
fn a_bomb_is_stopped() {
    let bench = Bench::new();
    let bomb = bench.path("bomb");
    fs::File::create(&bomb).unwrap().set_len(700 << 20).unwrap();
    if bench.run("zstd -q -1 bomb").is_some() {
        bench.refused("bomb.zst", "not a dump");
        assert_eq!(bench.cached(), [""; 0], "nothing is kept of it");
    }
}

#[test]
fn the_disk_limit_holds_and_the_oldest_makes_room() {
    let bench = Bench::new();
    let Some(bytes) = bench.run("gzip -c vmcore") else { return };
    for name in ["a.gz", "b.gz", "c.gz"] {
        bench.write(name, &bytes);
    }
    let limited = |limit| Settings { cache_limit: Some(limit), ..bench.settings() };
    bench.refused_with("a.gz", "--cache-limit allows 4096 bytes", limited(4096));
    assert_eq!(bench.cached(), [""; 0]);
    bench.check_with("a.gz", "gzip", limited(1 << 30));
    let (one, _) = size_of(&bench.path("cache").join(&bench.cached()[0]));
    for name in ["b.gz", "a.gz", "c.gz"] {
        std::thread::sleep(std::time::Duration::from_millis(20));
        bench.check_with(name, "gzip", limited(one * 5 / 2));
    }
    let names: Vec<_> = bench.cached().iter().map(|name| name[..4].to_owned()).collect();
    assert_eq!(names, ["a.gz", "c.gz"], "b was used least recently");
}

#[test]
fn wrapped_for_ever() {
    let bench = Bench::new();
    let mut bytes = SYSTEM.vmcore[..4096].to_vec();
    for _ in 0..8 {
        bench.write("layers", &bytes);
        let Some(packed) = bench.run("gzip -c layers") else { return };
        bytes = packed;
    }
    bench.write("layers", &bytes);
    bench.refused("layers", "wrapped more than 6 times");
}

#[test]
fn what_is_wrapped_is_no_dump() {
    let bench = Bench::new();
    bench.write("text", b"Dear diary");
    if bench.run("gzip text").is_some() {
        bench.refused("text.gz", "what is wrapped in it (gzip) is not a kernel image");
    }
    bench.write("empty", b"\x1f\x8b\x08");
    bench.refused("empty", "");
}

// Headers and devices

#[test]
fn on_its_dump_device() {
    let bench = Bench::new();
    for (version, block) in [(1, 512), (2, 512), (3, 512), (4, 512), (4, 4096), (3, 4096)] {
        let mut device = kernel_dump();
        device.header.version = version;
        device.header.blocksize = block;
        device.media = device.media.next_multiple_of(block as usize);
        bench.write("disk", &device.build());
        let kvm = bench.check("disk", "dump device");
        let facts = &kvm.image().facts;
        assert_eq!(facts.hostname.as_deref(), Some("beastie.example.org"), "version {version}");
        assert_eq!(facts.dump_time, Some(1_583_020_799));
        assert_eq!(facts.version.as_deref(), Some("FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC"));
        assert_eq!(facts.panic.as_deref(), Some("kdb_sysctl_panic"));
        assert_eq!(facts.architecture.as_deref(), Some("amd64"));
        assert!(kvm.image().warnings.is_empty(), "{:?}", kvm.image().warnings);
    }
}

#[test]
fn dragonflys_header() {
    let bench = Bench::new();
    let mut device = kernel_dump();
    device.header = DumpHeader { magic: "DragonFly Kern Dump", version: 1, blocksize: 0, ..device.header };
    let dump = device.dump.clone();
    let header = device.header.build();
    let mut disk = vec![7; 70_000];
    [&header, &dump, &header].into_iter().for_each(|part| disk.extend(part));
    bench.write("disk", &disk);
    bench.check("disk", "dump device");
}

#[test]
fn behind_its_header() {
    let bench = Bench::new();
    for (version, block) in [(1, 512), (4, 512), (4, 4096)] {
        let mut header =
            DumpHeader { version, blocksize: block, ..DumpHeader::new(SYSTEM.vmcore.len()) }.build();
        header.resize(block as usize, 0);
        header.extend(&SYSTEM.vmcore);
        bench.write("fetched", &header);
        bench.check("fetched", "kernel dump header");
        header.truncate(header.len() - 3 * 4096);
        bench.write("fetched", &header);
        let kvm = bench.open("fetched", bench.settings()).unwrap();
        assert_eq!(kvm.census().cut_off, 3);
    }
}

#[test]
fn compressed_by_the_kernel() {
    let bench = Bench::new();
    for (tool, layer, compression) in [("gzip -c", "gzip", 1), ("zstd -q -c", "zstd", 2)] {
        let Some(packed) = bench.run(&format!("{tool} vmcore")) else { continue };
        let mut device = Device::with(&packed);
        // The extent is the size before compression: the dump lies at its front, far from the header behind it.
        let extent = SYSTEM.vmcore.len();
        device.media = extent + (1 << 20);
        device.header = DumpHeader {
            dumplength: packed.len() as u64,
            dumpextent: extent as u64,
            compression,
            ..device.header
        };
        bench.write("disk", &device.build());
        bench.check("disk", &format!("dump device {layer}"));
        device.header.dumplength = extent as u64 + 1;
        bench.write("disk", &device.build());
        bench.refused("disk", "bytes of dump in an extent of");
    }
}

#[test]
fn cleared_by_savecore() {
    let bench = Bench::new();
    let mut device = kernel_dump();
    device.header.magic = "Cleared Kernel Dump";
    bench.write("disk", &device.build());
    let kvm = bench.check("disk", "dump device");
    assert!(kvm.image().warnings[0].contains("marked this dump as fetched"));
}

/// What is wrong with a device, what the refusal says, and whether --force opens it.
type Damage = (fn(&mut Vec<u8>, [usize; 4]), &'static str, bool);

#[test]
fn damaged_devices_are_refused() {
    let bench = Bench::new();
    let damages: [Damage; 4] = [
        (|disk, [.., trailing]| disk[trailing + 70] ^= 1, "the parity is wrong", true),
        (|disk, [leading, ..]| disk[leading + 70] ^= 1, "the headers before and after the dump differ", true),
        (
            |disk, [leading, ..]| disk[leading..leading + 512].fill(0),
            "the headers before and after the dump differ",
            true,
        ),
        (|disk, _| drop(disk.drain(..disk.len() / 2)), "more than lie before the header", false),
    ];
    for (damage, words, forcible) in damages {
        let device = kernel_dump();
        let mut disk = device.build();
        damage(&mut disk, device.places());
        bench.write("disk", &disk);
        bench.refused("disk", words);
        let options = Options { force: true, image: bench.settings(), ..Options::default() };
        let forced = Kvm::open_with(&bench.path("disk"), options);
        assert_eq!(forced.is_ok(), forcible, "{words}");
        assert!(forced.map_or(true, |kvm| kvm.image().warnings[0].contains("forced")));
    }
}

/// What is changed in a header, and what the refusal says.
type Change = (fn(&mut DumpHeader), &'static str);

#[test]
fn impossible_headers_are_refused() {
    let bench = Bench::new();
    let changes: [Change; 6] = [
        (|header| header.version = 0, "version 0; supported are 1 to 4"),
        (|header| header.version = 5, "version 5; supported are 1 to 4"),
        (|header| header.dumpextent = u64::MAX, "more than lie before the header"),
        (|header| header.dumpextent = 5, "bytes of dump in an extent of 5"),
        (|header| header.dumpkeysize = u32::MAX, "is not plausible"),
        (|header| header.blocksize = 700, "blocks of 700 bytes"),
    ];
    for (change, words) in changes {
        let mut header = DumpHeader::new(SYSTEM.vmcore.len());
        change(&mut header);
        let header = header.build();
        bench.write(
            "disk",
            &[&vec![1; 4096], &header, &SYSTEM.vmcore, &header].map(|part| &part[..]).concat(),
        );
        bench.refused("disk", words);
    }
}

// Encryption

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

// Textdumps

impl Bench {
    fn textdump(&self) -> Option<Vec<u8>> {
        self.write("version.txt", b"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC\n");
        self.write("panic.txt", b"kdb_sysctl_panic\n");
        self.write("msgbuf.txt", b"---<<BOOT>>---\nCopyright (c)\npanic: kdb_sysctl_panic\n\0");
        self.write("config.txt", b"options\tSMP\nident\tGENERIC\nmachine\tamd64\ncpu\tHAMMER\n");
        self.write("ddb.txt", b"db:0:kdb.enter.panic>  bt\n");
        self.run(
            "tar --format=ustar -b 1 -cf textdump.tar.4 ddb.txt config.txt msgbuf.txt panic.txt version.txt",
        )?;
        Some(fs::read(self.path("textdump.tar.4")).unwrap())
    }
}

#[test]
fn textdumps_show_their_texts() {
    let bench = Bench::new();
    let Some(archive) = bench.textdump() else { return };
    let mut device = Device::with(&archive);
    device.header = DumpHeader { magic: "FreeBSD Text Dump", ..DumpHeader::new(archive.len()) };
    device.dump = backwards(&archive);
    bench.write("disk", &device.build());
    device.header.magic = "Cleared Kernel Dump";
    bench.write("cleared", &device.build());
    bench.run("gzip -k textdump.tar.4").unwrap();
    for (name, layers) in [
        ("textdump.tar.4", ""),
        ("textdump.tar.4.gz", "gzip"),
        ("disk", "dump device"),
        ("cleared", "dump device"),
    ] {
        let kvm = bench.open(name, bench.settings()).unwrap();
        let (image, facts) = (kvm.image(), &kvm.image().facts);
        assert_eq!((image.format, facts.layers.join(" ").as_str()), ("FreeBSD textdump", layers));
        assert_eq!(facts.version.as_deref(), Some("FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC"));
        assert_eq!(facts.panic.as_deref(), Some("kdb_sysctl_panic"));
        assert_eq!(facts.log.as_deref(), Some("---<<BOOT>>---\nCopyright (c)\npanic: kdb_sysctl_panic"));
        let error = kvm.read2(0xffff_ffff_8100_0000, &mut [0; 8]).unwrap_err().to_string();
        assert!(error.contains("holds no memory"), "{error}");
        assert!(kvm.walk_pages(|_| panic!("a textdump has no pages")));
        let way = Translation::of(&kvm, kvm.space(), Va(0xffff_ffff_8100_0000)).text();
        assert_eq!(way, "address   0xffffffff81000000\nfault     this image holds no memory\n");
    }
}

#[test]
fn damaged_textdumps() {
    let bench = Bench::new();
    let Some(archive) = bench.textdump() else { return };
    bench.write("cut", &archive[..archive.len() / 2 - 500]);
    let kvm = bench.open("cut", bench.settings()).unwrap();
    assert!(kvm.image().warnings[1].contains("damaged or cut off"), "{:?}", kvm.image().warnings);
    assert_eq!(kvm.image().facts.version, None);
    let mut checksum = archive.clone();
    checksum[150] ^= 1;
    bench.write("checksum", &checksum);
    bench.refused("checksum", "corrupt FreeBSD textdump");
    bench.run("tar --format=ustar -cf other.tar kernel").unwrap();
    bench.refused("other.tar", "an archive with none of a textdump's files");
}

// What is told beside the memory

#[test]
fn the_kernel_is_checked_by_what_the_header_tells() {
    let bench = Bench::new();
    // A dump with none of the kernel's own pages.
    let dump = synth::Minidump::new(3).build().0;
    let mut device = Device::with(&dump);
    let mut check = |version: &str| {
        device.header.versionstring = version.into();
        bench.write("disk", &device.build());
        let options =
            Options { kernel: Some(bench.path("kernel")), image: bench.settings(), ..Options::default() };
        Kvm::open_with(&bench.path("disk"), options)
            .map(|kvm| kvm.verdict().clone())
            .map_err(|error| error.to_string())
    };
    assert_eq!(check(""), Ok(Verdict::Unverified));
    for version in
        ["FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC", "FreeBSD 15.0-RELEASE releng/15.0 SYNTH"]
    {
        assert_eq!(
            check(version),
            Ok(Verdict::Verified(vec!["the version that the dump's header tells".into()]))
        );
    }
    for version in
        ["FreeBSD 14.3-RELEASE releng/14.3 GENERIC", "FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC 2"]
    {
        let error = check(version).unwrap_err();
        assert!(error.contains("the kernel file does not belong to this image: the version"), "{error}");
    }
}

#[test]
fn savecores_info_is_read() {
    let bench = Bench::new();
    fs::rename(bench.path("vmcore"), bench.path("vmcore.7")).unwrap();
    bench.write("info.7", INFO.as_bytes());
    let kvm = bench.open("vmcore.7", bench.settings()).unwrap();
    let facts = &kvm.image().facts;
    assert_eq!(facts.hostname.as_deref(), Some("beastie.example.org"));
    assert_eq!(facts.panic.as_deref(), Some("page fault"));
    assert_eq!(facts.version.as_deref(), Some("FreeBSD 15.0-RELEASE\nreleng/15.0 SYNTHETIC GENERIC"));
}

const INFO: &str = "Dump header from device: /dev/ada0p3
  Architecture: amd64
  Architecture Version: 2
  Dump Length: 1048576
  Blocksize: 512
  Compression: none
  Dumptime: 2020-02-29 23:59:59 +0000
  Hostname: beastie.example.org
  Magic: FreeBSD Kernel Dump
  Version String: FreeBSD 15.0-RELEASE
    releng/15.0 SYNTHETIC GENERIC
  Panic String: page fault
  Dump Parity: 123456
  Bounds: 7
  Dump Status: good
";

// The crash directory

#[test]
fn dumps_are_found_by_number() {
    let bench = Bench::new();
    let crash = bench.path("crash");
    let boot = bench.path("boot");
    for folder in [&crash, &boot.join("kernel"), &boot.join("kernel.old")] {
        fs::create_dir_all(folder).unwrap();
    }
    let mut other = System::small();
    other.version = "FreeBSD 14.3-RELEASE releng/14.3 SYNTHETIC GENERIC".into();
    fs::write(boot.join("kernel/kernel"), other.build().kernel).unwrap();
    fs::write(boot.join("kernel.old/kernel"), &SYSTEM.kernel).unwrap();
    for name in [
        "vmcore.0",
        "vmcore.1.zst",
        "vmcore_encrypted.2",
        "textdump.tar.3",
        "livecore.4.gz",
        "vmcore.10",
        "kernel.0",
        "bounds",
    ] {
        fs::write(crash.join(name), b"").unwrap();
    }
    let info = INFO.replace("15.0-RELEASE\n", "15.0-RELEASE\n  ");
    for number in [1, 10] {
        fs::write(crash.join(format!("info.{number}")), &info).unwrap();
    }
    let find = |which: &str| {
        crashdir::find(&crash, which.parse::<Which>().unwrap(), &boot).map_err(|error| error.to_string())
    };
    let found = |image: &str, kernel: Option<PathBuf>| Ok(Found { image: crash.join(image), kernel });
    let old = Some(boot.join("kernel.old/kernel"));
    assert_eq!(find("0"), found("vmcore.0", Some(crash.join("kernel.0"))));
    assert_eq!(find("1"), found("vmcore.1.zst", old.clone()));
    assert_eq!(find("2"), found("vmcore_encrypted.2", None));
    assert_eq!(find("3"), found("textdump.tar.3", None));
    assert_eq!(find("4"), found("livecore.4.gz", None));
    assert_eq!(find("last"), found("vmcore.10", old.clone()), "without links, the highest number");
    std::os::unix::fs::symlink("vmcore.1.zst", crash.join("vmcore.last.zst")).unwrap();
    assert_eq!(find("last"), found("vmcore.1.zst", old));
    std::os::unix::fs::symlink("info.3", crash.join("info.last")).unwrap();
    assert_eq!(find("last"), found("textdump.tar.3", None), "savecore's newest link is info.last");
    let error = find("99").unwrap_err();
    assert!(error.contains("no dump 99; looked for vmcore.99[.zst|.gz], vmcore_encrypted.99"), "{error}");
    assert!("first".parse::<Which>().is_err());
    assert!(crashdir::find(&bench.path("nowhere"), Which::Last, &boot).is_err());
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    assert!(crashdir::find(&empty, Which::Last, &boot).unwrap_err().to_string().contains("no dump last"));
}

/// The command, as a user types it.
fn kgdbserver(bench: &Bench, line: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kgdbserver"))
        .args(line.split(' '))
        .current_dir(&bench.folder)
        .env("XDG_CACHE_HOME", bench.path("cache"))
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn the_command_line() {
    let bench = Bench::new();
    let Some(bytes) = bench.run("gzip -c vmcore") else { return };
    let mut device = Device::with(&bytes);
    device.header.compression = 1;
    device.header.dumpextent = device.dump.len() as u64;
    bench.write("vmcore.3", &device.build());
    bench.write("kernel.3", &SYSTEM.kernel);
    let check = |line: &str, words: &[&str]| {
        let (done, text) = kgdbserver(&bench, line);
        assert!(done, "{line}: {text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{line}: no {word:?} in {text}"));
        assert!(!text.contains('\u{1b}'), "no progress bar without a terminal: {text}");
    };
    let facts = [
        "dump device, gzip",
        "beastie.example.org",
        "2020-02-29 23:59:59 UTC",
        "kdb_sysctl_panic",
        "verified by",
    ];
    check("info -n 3 -d .", &facts);
    check("info -n last -d .", &facts);
    check("info kernel vmcore.3", &facts);
    check("info vmcore.3 kernel --cache-limit 1G", &facts);
    check("info -n 3 -d . --json", &["\"dump_time\": 1583020799", "\"layers\": [", "\"gzip\""]);
    check("read -n 3 -d . version 20", &["FreeBSD 15.0-REL"]);
    check("nlist -n 3 -d . allproc", &["allproc"]);
    check("ps -n 3 -d .", &["sysctl"]);
    for (line, words) in [
        ("info -n 4 -d .", "no dump 4; looked for vmcore.4"),
        ("info -n 3 -c vmcore", "cannot be used with"),
        ("info -n first", "a number, or: last"),
        ("info -d . vmcore", "required"),
        ("info --cache-limit 3X vmcore", "a number of bytes"),
        ("info vmcore.3 --cache-limit 1K", "--cache-limit allows 1024 bytes"),
    ] {
        fs::remove_dir_all(bench.path("cache")).ok();
        let (done, text) = kgdbserver(&bench, line);
        assert!(!done && text.contains(words), "{line}: {text}");
    }
}
