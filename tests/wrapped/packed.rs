//! Compressed, and kept unpacked.

use super::*;

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
