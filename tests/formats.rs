//! Image files, good, odd and broken: what opening and reading them says.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod support;
mod synth;
mod text;

use kgdbserver::image::Addr;
use kgdbserver::{Kvm, Result, describe};
use kgdbserver_arch::{Pa, Va};
use std::fmt::Write;
use std::path::Path;
use support::{UNKNOWN, open};
use synth::minidump::{DMAP, Layout, Minidump, PAGE, Rights, SUPERPAGE};
use synth::{System, put};
use text::{hex, lines, same_lines};

const TEXT: u64 = 0xffff_ffff_8020_0000;

/// Physical pages that are dumped; each begins with its own address.
const DUMPED: [u64; 8] = [
    0x1000,
    0x2000,
    0x9_e000, // the last page before the hole of a PC
    0x10_0000,
    0x20_0000, // in the kernel's text
    0x20_1000,
    0x1_0000_0000, // above 4 GiB
    0x1_0000_1000,
];

/// A dump whose pages say where they are. Below the text, three pages of kernel address space:
/// the first leads to 0x2000, the second to a page that was not dumped, the third to 0x1000.
fn dump(version: u32) -> (Vec<u8>, Layout) {
    let mut dump = Minidump::new(version);
    dump.msgbuf = b"<118>hello".to_vec();
    dump.map(TEXT, 0x20_0000, SUPERPAGE, Rights::Execute);
    for (page, pa) in (0..).zip([0x2000, 0x3000, 0x1000]) {
        dump.map(TEXT - SUPERPAGE + page * PAGE, pa, PAGE, Rights::Write);
    }
    for pa in DUMPED {
        dump.write_physical(pa, format!("page {pa:x}").as_bytes());
        dump.write_physical(pa + PAGE - 4, b"end.");
    }
    dump.build()
}

/// Header fields: name, offset, bytes.
const FIELDS: &[(&str, usize, usize)] = &[
    ("version", 24, 4),
    ("msgbufsize", 28, 4),
    ("bitmapsize", 32, 4),
    ("pmapsize", 36, 4),
    ("kernbase", 40, 8),
    ("dmapbase", 48, 8),
    ("dmapend", 56, 8),
    ("dumpavailsize", 64, 4),
];

/// Does what a line says to the file; false if the line is a question instead.
fn edit(file: &mut Vec<u8>, layout: &Layout, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Some((_, offset, bytes)) = FIELDS.iter().find(|(name, ..)| *name == words[0]) {
        put(file, *offset, &hex(words[1]).to_le_bytes()[..*bytes]);
        return true;
    }
    match words.as_slice() {
        ["magic", text @ ..] => put(file, 0, text.join(" ").as_bytes()),
        ["byte", offset, value] => file[hex(offset) as usize] = hex(value) as u8,
        // A range of physical memory, by its number in dump_avail.
        ["range", number, start, end] => {
            let at = layout.dump_avail.start + hex(number) as usize * 16;
            put(file, at, &hex(start).to_le_bytes());
            put(file, at + 8, &hex(end).to_le_bytes());
        }
        ["clear", "dump_avail"] => file[layout.dump_avail.clone()].fill(0),
        ["cut", "pages", offset] => file.truncate(layout.sparse.start + hex(offset) as usize),
        ["cut", offset] => file.truncate(hex(offset) as usize),
        ["append", bytes] => file.resize(file.len() + hex(bytes) as usize, 0xee),
        _ => return false,
    }
    true
}

/// The answer to a question: `read`, `physical` or `pages`.
fn ask(kvm: &Kvm, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["read", va, length] => {
            let mut bytes = vec![0xaa; hex(length) as usize];
            match kvm.read2(address(va), &mut bytes) {
                Ok(got) => show(&bytes[..got]),
                Err(error) => error.to_string(),
            }
        }
        ["physical", pa] => {
            let mut bytes = [0xaa; 16];
            match kvm.image().memory.read(Addr::Phys(Pa(hex(pa))), &mut bytes) {
                Ok(got) => show(&bytes[..got]),
                Err(why) => describe(why),
            }
        }
        ["pages"] => {
            let census = kvm.census();
            format!("{} dumped, {} missing", census.dumped, census.cut_off)
        }
        ["walk"] => {
            let (mut all, mut held) = (0, 0);
            kvm.walk_pages(|page| {
                all += 1;
                held += usize::from(page.offset.is_some());
                true
            });
            format!("{all} pages, {held} in the file")
        }
        _ => panic!("{line}: not understood"),
    }
}

/// `dmap+1000`, `low+1000` (the small pages below the text), `text+0`, or a plain number.
fn address(text: &str) -> u64 {
    let bases = [("dmap+", DMAP.start), ("low+", TEXT - SUPERPAGE), ("text+", TEXT)];
    let base = bases.iter().find_map(|(name, base)| Some(base + hex(text.strip_prefix(name)?)));
    base.unwrap_or_else(|| hex(text))
}

/// The text that bytes begin with, and how many bytes there are.
fn show(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    format!("{:?}, {:#x} bytes", String::from_utf8_lossy(text), bytes.len())
}

/// Opens a file; the answers to the questions, below the warnings; or why it cannot be opened.
fn opened(path: &Path, questions: &[&str]) -> String {
    let kvm = match open(None, path, false) {
        Ok(kvm) => kvm,
        Err(error) => return error.to_string().replace(&path.display().to_string(), "FILE"),
    };
    let mut out = String::new();
    for warning in &kvm.image().warnings {
        writeln!(out, "warning: {warning}").unwrap();
    }
    for question in questions {
        writeln!(out, "{question}: {}", ask(&kvm, question)).unwrap();
    }
    out
}

/// Makes a dump of a version, edits it and asks as the script says, and compares what comes out.
#[track_caller]
fn check(version: u32, script: &str, expected: &str) {
    let (mut file, layout) = dump(version);
    let questions: Vec<&str> = lines(script).filter(|line| !edit(&mut file, &layout, line)).collect();
    let saved = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(saved.path(), file).unwrap();
    same_lines(&opened(saved.path(), &questions), expected);
}

/// A rule of the header that is broken, in every version.
#[track_caller]
fn refused(script: &str, expected: &str) {
    for version in 1..=3 {
        check(version, script, expected);
    }
}

#[test]
fn every_version_is_read_by_content() {
    for version in 1..=3 {
        let tables = u64::from(version > 1); // since version 2 a page table is a dumped page too
        check(
            version,
            "pages
            read low+0 10
            read low+2000 10
            read low+ffc 4
            read text+0 10
            read text+1000 10
            read dmap+1000 10
            read dmap+9e000 10
            read dmap+100000000 10
            read dmap+100000ffc 4
            physical 100001000",
            &format!(
                "pages: {} dumped, 0 missing
                read low+0 10: \"page 2000\", 0x10 bytes
                read low+2000 10: \"page 1000\", 0x10 bytes
                read low+ffc 4: \"end.\", 0x4 bytes
                read text+0 10: \"page 200000\", 0x10 bytes
                read text+1000 10: \"page 201000\", 0x10 bytes
                read dmap+1000 10: \"page 1000\", 0x10 bytes
                read dmap+9e000 10: \"page 9e000\", 0x10 bytes
                read dmap+100000000 10: \"page 100000000\", 0x10 bytes
                read dmap+100000ffc 4: \"end.\", 0x4 bytes
                physical 100001000: \"page 100001000\", 0x10 bytes",
                DUMPED.len() as u64 + tables
            ),
        );
    }
}

#[test]
fn the_header_is_told_as_it_is() {
    for version in 1..=3 {
        let (file, _) = dump(version);
        let saved = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(saved.path(), &file).unwrap();
        let kvm = open(None, saved.path(), false).unwrap();
        let image = kvm.image();
        assert_eq!((image.format, image.version), ("FreeBSD minidump", Some(version)));
        assert_eq!((image.size, image.page_shift), (file.len() as u64, 12));
        assert_eq!(image.machine.unwrap().arch.name, "x86_64");
    }
}

// The numbers are those of a list of inputs that were seen to break other readers. 28 (the walk over all pages) and
// 31 (broken lists of processes and threads) are in tests/kvm.rs.

#[test]
fn case_2_a_bitmap_that_ends_within_a_word() {
    for size in ["1", "4", "c"] {
        let few = "corrupt FreeBSD minidump at byte 0x3000: the ranges of physical memory hold 20382 pages, \
                   the bitmap has fewer bits";
        check(3, &format!("bitmapsize {size}"), few);
    }
    // Before version 3 only the file's size tells that the bitmap is too small.
    check(
        2,
        "bitmapsize 4",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        warning: the file is 0x27000 bytes longer than its page bitmap says: if memory looks wrong, so is the header",
    );
    check(
        2,
        "bitmapsize 20ffc
        read dmap+100000000 10",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        read dmap+100000000 10: \"page 100000000\", 0x10 bytes",
    );
    check(
        3,
        "bitmapsize fff
        read dmap+100000000 10",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        read dmap+100000000 10: \"page 100000000\", 0x10 bytes",
    );
    // One byte more and the next section begins a page later.
    check(
        3,
        "bitmapsize 1001
        pages",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        warning: the file is cut off: 1 of 9 pages are missing
        pages: 9 dumped, 1 missing",
    );
}

#[test]
fn case_3_an_empty_bitmap() {
    refused("bitmapsize 0", "corrupt FreeBSD minidump at byte 0x0: the page bitmap is empty");
}

#[test]
fn case_4_holes_between_ranges_of_memory_are_errors() {
    // A reader that only looks for the end of the range gives another page's bytes here.
    check(
        3,
        "read dmap+a0000 10
        read dmap+9f000 10
        read dmap+fffff 1
        read dmap+0 10
        read dmap+4000000 10
        read dmap+101000000 10
        physical a0000",
        "read dmap+a0000 10: invalid address (0xfffff800000a0000): physical address 0xa0000 is not in the image
        read dmap+9f000 10: invalid address (0xfffff8000009f000): physical address 0x9f000 is not in the image
        read dmap+fffff 1: invalid address (0xfffff800000fffff): physical address 0xfffff is not in the image
        read dmap+0 10: invalid address (0xfffff80000000000): physical address 0x0 is not in the image
        read dmap+4000000 10: invalid address (0xfffff80004000000): physical address 0x4000000 is not in the image
        read dmap+101000000 10: invalid address (0xfffff80101000000): physical address 0x101000000 is not in the image
        physical a0000: physical address 0xa0000 is not in the image",
    );
}

#[test]
fn case_5_ranges_without_an_end() {
    check(3, "dumpavailsize 30", "corrupt FreeBSD minidump at byte 0x2000: dump_avail has no end");
    check(3, "dumpavailsize 8", "corrupt FreeBSD minidump at byte 0x2000: dump_avail has no end");
}

#[test]
fn case_6_ranges_that_cannot_be() {
    let list = |offset: u64| {
        format!(
            "corrupt FreeBSD minidump at byte {offset:#x}: dump_avail is not a sorted list of disjoint ranges"
        )
    };
    check(3, "range 0 9f000 1000", &list(0x2000));
    check(3, "range 0 1000 1000", &list(0x2000));
    check(3, "range 1 9e000 4000000", &list(0x2010)); // overlaps
    check(3, "range 1 100 200", &list(0x2010)); // unsorted
    check(3, "clear dump_avail", "corrupt FreeBSD minidump at byte 0x2000: dump_avail is empty");
    check(
        3,
        "range 2 100000000 ffffffffffffffff",
        "corrupt FreeBSD minidump at byte 0x3000: the ranges of physical memory hold 4503599626338205 pages, \
         the bitmap has fewer bits",
    );
}

#[test]
fn case_7_and_8_a_truncated_file_gives_what_it_has() {
    // Of the dumped pages in order of address the first two are whole, of the third a half is there. The walk: 512 pages
    // of text, and all others once; the page table of versions 2 and 3 is gone, so nothing is known below the text.
    for (version, dumped) in [(1, 8), (2, 9), (3, 9)] {
        check(
            version,
            "cut pages 2800
            pages
            read dmap+1000 10
            read dmap+9e000 10
            read dmap+9e7f0 20
            read dmap+9e800 10
            read dmap+100000 10
            walk",
            &format!(
                "warning: the file is cut off: {} of {dumped} pages are missing
                pages: {dumped} dumped, {} missing
                read dmap+1000 10: \"page 1000\", 0x10 bytes
                read dmap+9e000 10: \"page 9e000\", 0x10 bytes
                read dmap+9e7f0 20: \"\", 0x10 bytes
                read dmap+9e800 10: invalid address (0xfffff8000009e800): physical address 0x9e800 was dumped, but \
                the image file is cut off before it
                read dmap+100000 10: invalid address (0xfffff80000100000): physical address 0x100000 was dumped, but \
                the image file is cut off before it
                walk: 519 pages, 3 in the file",
                dumped - 2,
                dumped - 2,
            ),
        );
    }
}

#[test]
fn case_8_no_pages_at_all_and_no_tables() {
    check(
        3,
        "cut pages 0
        pages",
        "warning: the file is cut off: 9 of 9 pages are missing
        pages: 9 dumped, 9 missing",
    );
    let promise = "the header promises 0x803000 bytes before the first page, the file has";
    check(3, "cut 802fff", &format!("corrupt FreeBSD minidump at byte 0x802fff: {promise} 0x802fff"));
    check(3, "cut 1000", &format!("corrupt FreeBSD minidump at byte 0x1000: {promise} 0x1000"));
    check(3, "cut 30", "corrupt FreeBSD minidump at byte 0x40: the file ends within the header");
    check(3, "cut 10", &format!("FILE: {UNKNOWN}"));
}

#[test]
fn case_9_and_10_sizes_larger_than_the_file() {
    for (edit, promised) in [
        ("bitmapsize fffffff8", "0x100802000"),
        ("pmapsize fffff000", "0x100003000"),
        ("msgbufsize ffffffff", "0x100802000"),
        ("dumpavailsize fffff000", "0x100801000"),
    ] {
        let size = dump(3).0.len();
        check(
            3,
            edit,
            &format!(
                "corrupt FreeBSD minidump at byte {size:#x}: the header promises {promised} bytes before the first \
                 page, the file has {size:#x}"
            ),
        );
    }
}

#[test]
fn case_11_versions_that_do_not_exist() {
    for version in ["0", "4", "ffffffff"] {
        let text = format!(
            "corrupt FreeBSD minidump at byte 0x18: minidump version {}; supported are 1 to 3",
            hex(version)
        );
        refused(&format!("version {version}"), &text);
    }
}

#[test]
fn case_12_a_wrong_version_or_size_is_noticed() {
    // The sections move, and what is taken for the bitmap no longer fits the file's size.
    for script in ["version 2", "dumpavailsize 2000"] {
        let (mut file, layout) = dump(3);
        edit(&mut file, &layout, script);
        let saved = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(saved.path(), file).unwrap();
        let text = opened(saved.path(), &[]);
        assert!(text.starts_with("warning: the file is "), "{script}: {text}");
    }
    check(
        3,
        "append 2000",
        "warning: the file is 0x2000 bytes longer than its page bitmap says: if memory looks wrong, so is the header",
    );
}

#[test]
fn case_13_page_tables_that_cannot_be() {
    refused(
        "pmapsize c",
        "corrupt FreeBSD minidump at byte 0x0: the page-table section ends within an entry",
    );
    refused("kernbase 0", "corrupt FreeBSD minidump at byte 0x0: kernbase is 0");
    refused(
        "kernbase fffffe0000000001",
        "corrupt FreeBSD minidump at byte 0x0: kernbase is not page aligned",
    );
    refused("dmapend 1", "corrupt FreeBSD minidump at byte 0x0: the direct map ends before it begins");
    check(
        3,
        "pmapsize 0
        read text+0 10",
        "warning: the dump holds no page-table entries: only the direct map can be read
        warning: the file is 0x7ff000 bytes longer than its page bitmap says: if memory looks wrong, so is the header
        read text+0 10: invalid address (0xffffffff80200000): the image knows no mapping for this part of the address \
        space",
    );
}

#[test]
fn case_14_the_end_of_the_address_space() {
    for va in ["ffffffffffffffff", "ffffffffffffff00"] {
        let read = format!("read {va} 1000");
        let text = format!(
            "{read}: invalid address (0x{va}): the image knows no mapping for this part of the address space"
        );
        check(3, &read, &text);
    }
    // A direct map up to the last address: the sum of address and length wraps, the read does not.
    check(
        3,
        "dmapbase fffffffffffff000
        dmapend ffffffffffffffff
        read fffffffffffffffe 10",
        "read fffffffffffffffe 10: invalid address (0xfffffffffffffffe): physical address 0xffe is not in the image",
    );
}

#[test]
fn case_27_no_section_needs_the_hosts_page_alignment() {
    // Hosts with pages of 16 or 64 KiB map files at such offsets only; ours begin at multiples of 4 KiB.
    let (_, layout) = dump(3);
    assert_ne!(layout.sparse.start % 0x1_0000, 0);
    check(3, "read dmap+1000 10", "read dmap+1000 10: \"page 1000\", 0x10 bytes");
}

#[test]
fn case_29_a_read_into_a_hole_gives_what_comes_before_it() {
    for version in 1..=3 {
        check(
            version,
            "read low+ff0 20
            read dmap+1ff8 2000
            read low+1000 10
            read low+4000 10",
            "read low+ff0 20: \"\", 0x10 bytes
            read dmap+1ff8 2000: \"\", 0x1008 bytes
            read low+1000 10: invalid address (0xffffffff80001000): physical address 0x3000 is not in the image
            read low+4000 10: invalid address (0xffffffff80004000): the kernel's page tables map nothing here",
        );
    }
}

#[test]
fn magics_that_are_not_quite_right() {
    let unknown = &format!("FILE: {UNKNOWN}");
    refused("magic minidump FreeBSD/amd65", unknown);
    refused("magic MINIDUMP", unknown);
    refused("byte 16 41", unknown); // no NUL behind the name
    refused("byte 17 41", unknown); // the padding is not zero
}

/// What opening a path says that is not a dump at all.
#[track_caller]
fn not_a_dump(path: &Path, expected: &str) {
    same_lines(&opened(path, &[]), expected);
}

#[test]
fn case_33_things_that_are_no_image_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text"), "Dear diary,\n").unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
    std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
    let unknown = &format!("FILE: {UNKNOWN}");
    not_a_dump(&path("text"), unknown);
    not_a_dump(&path("empty"), "FILE: empty file");
    not_a_dump(folder.path(), "FILE: a folder without an image in it");
    not_a_dump(&path("nonexistent"), "FILE: No such file or directory (os error 2)");
    not_a_dump(&path("dangling"), "FILE: No such file or directory (os error 2)");
    not_a_dump(&path("loop"), "FILE: Too many levels of symbolic links (os error 40)");
    not_a_dump(Path::new("/dev/null"), "FILE: empty file");
}

#[test]
fn case_33_a_pipe_is_refused_and_does_not_wait_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated path.
    #[allow(unsafe_code)]
    let made = unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
    assert_eq!(made, 0);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(opened(&pipe, &[])));
    let text = told.recv_timeout(std::time::Duration::from_secs(10)).expect("it still waits");
    assert_eq!(text, "FILE: is neither a file nor a device");
}

#[test]
fn case_33_a_link_leads_to_the_file_and_growth_is_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("vmcore.0"), folder.path().join("vmcore.last"));
    let (bytes, _) = dump(3);
    std::fs::write(&file, &bytes[..bytes.len() - 4096]).unwrap();
    std::os::unix::fs::symlink("vmcore.0", &link).unwrap();
    let kvm = open(None, &link, false).unwrap();
    assert_eq!(ask(&kvm, "pages"), "9 dumped, 1 missing");
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(ask(&kvm, "pages"), "9 dumped, 1 missing");
    assert_eq!(ask(&kvm, "read dmap+1000 10"), "\"page 1000\", 0x10 bytes");
}

#[test]
fn a_sparse_file_is_read_as_a_full_one() {
    use std::os::unix::fs::MetadataExt;
    let (file, _) = dump(3);
    let saved = tempfile::NamedTempFile::new().unwrap();
    support::real::copy_sparse(&mut &*file, &mut saved.reopen().unwrap()).unwrap();
    let meta = saved.as_file().metadata().unwrap();
    assert_eq!(meta.len(), file.len() as u64);
    assert!(meta.blocks() * 512 < meta.len() / 10, "{} blocks: not a sparse file", meta.blocks());
    same_lines(
        &opened(saved.path(), &["read text+1000 10", "read dmap+100000000 10", "read low+1000 1"]),
        "read text+1000 10: \"page 201000\", 0x10 bytes
        read dmap+100000000 10: \"page 100000000\", 0x10 bytes
        read low+1000 1: invalid address (0xffffffff80001000): physical address 0x3000 is not in the image",
    );
}

/// Opens a good image with a kernel file whose section header of `section` has another value in one of its fields.
fn with_kernel(section: &str, field: usize, value: u64) -> Result<Kvm> {
    let mut built = System::small().build();
    let at = section_header(&built.kernel, section) + field;
    let bytes = if matches!(field, 16 | 24 | 32 | 56) { 8 } else { 4 };
    put(&mut built.kernel, at, &value.to_le_bytes()[..bytes]);
    support::Saved::new(built).open()
}

/// The offset of a section's header: the sections of the builder's kernel have a fixed order.
fn section_header(kernel: &[u8], section: &str) -> usize {
    let order = ["", ".text", ".data", ".bss", ".note.gnu.build-id", ".symtab", ".strtab", ".shstrtab"];
    let headers = u64::from_le_bytes(kernel[40..48].try_into().unwrap()) as usize;
    headers + 64 * order.iter().position(|name| *name == section).unwrap()
}

const SH_OFFSET: usize = 24;
const SH_SIZE: usize = 32;
const SH_LINK: usize = 40;
const SH_ENTSIZE: usize = 56;

#[test]
fn case_15_and_16_broken_symbol_tables() {
    let outside = "the symbol table does not lie in the file";
    for (section, field, value, expected) in [
        (".symtab", SH_ENTSIZE, 0, "symbols of 0 bytes"),
        (".symtab", SH_ENTSIZE, 23, "symbols of 23 bytes"),
        (".symtab", SH_LINK, 0xffff_ffff, "the symbol table has no names"),
        (".symtab", SH_SIZE, u64::MAX, outside),
        (".symtab", SH_OFFSET, u64::MAX - 8, outside),
        (".strtab", SH_OFFSET, 1 << 40, outside),
        (".strtab", SH_SIZE, u64::MAX, outside),
    ] {
        let error = with_kernel(section, field, value).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("{section}: {expected}: was opened"));
        assert!(error.starts_with("corrupt ELF kernel file at byte "), "{error}");
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn case_16_names_that_do_not_lie_among_the_names() {
    let mut built = System::small().build();
    let header = section_header(&built.kernel, ".symtab");
    let symtab = u64::from_le_bytes(built.kernel[header + 24..header + 32].try_into().unwrap()) as usize;
    put(&mut built.kernel, symtab + 24, &u32::MAX.to_le_bytes()); // the first symbol is kernbase
    let hz = built.facts.symbol("hz");
    let saved = support::Saved::new(built);
    let kvm = saved.open().unwrap();
    let names = kvm.symbols();
    assert_eq!(names.address("kernbase"), None);
    assert_eq!(names.address("hz"), Some(Va(hz)));
    for _ in 0..10 {
        assert_eq!(names.address("no_such_name"), None); // the index, built after some look-ups, survives it too
    }
    assert_eq!(names.by_address(Va(hz + 1)).unwrap().0.name, "hz");
}

#[test]
fn kernels_that_are_not() {
    let saved = support::Saved::small();
    let mut relocatable = saved.built.kernel.clone();
    relocatable[16] = 1;
    let mut cut = saved.built.kernel.clone();
    cut.truncate(100);
    for (name, contents, expected) in [
        ("text", b"Dear diary,\n".to_vec(), "kernel is not an ELF file"),
        ("object", relocatable, "an ELF file of type 1, not a kernel"),
        ("cut", cut, "the section headers do not lie in the file"),
        ("short", b"\x7fELF".to_vec(), "corrupt ELF kernel file"),
    ] {
        let path = saved.write(name, &contents);
        let error = open(Some(&path), &saved.vmcore, false).err().expect(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let error = open(Some(&saved.path("nowhere")), &saved.vmcore, false).err().unwrap().to_string();
    assert!(error.ends_with("nowhere: No such file or directory (os error 2)"), "{error}");
}

/// A second, independent writer of minidumps, which is not part of this project: its pages hold their own address.
/// `KGDBSERVER_MKMINIDUMP` says where it is.
mod oracle {
    use super::*;
    use std::process::Command;

    fn words(path: &Path) -> Vec<u64> {
        let bytes = std::fs::read(path).unwrap();
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
    }

    /// Writes a small dump; none, with a printed reason, where that cannot be done.
    fn write(out: &Path, version: u32) -> Option<()> {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/mkminidump.py");
        let tool = std::env::var_os("KGDBSERVER_MKMINIDUMP").map_or(tool, Into::into);
        if !tool.exists() {
            eprintln!("skipped: no {}", tool.display());
            return None;
        }
        let mut command = Command::new("python3");
        command.arg(&tool).arg("--out").arg(out).args(["--version", &version.to_string()]);
        command.args(["--gib", "0.25", "--kva-gib", "0.05", "--text-mib", "4", "--procs", "20"]);
        match command.output() {
            Ok(output) if output.status.success() => Some(()),
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                eprintln!("skipped: python3: {error}");
                None
            }
        }
    }

    /// Whether a page repeats a physical address and that address's mask; this one, where it is known.
    fn pattern(kvm: &Kvm, va: u64, pa: Option<u64>) -> bool {
        let mut page = [0; 4096];
        assert_eq!(kvm.read2(va, &mut page).unwrap(), page.len(), "{va:#x}");
        let first = u64::from_le_bytes(page[..8].try_into().unwrap());
        let pair: Vec<u8> =
            [first, first ^ 0x5a5a_5a5a_5a5a_5a5a].iter().flat_map(|word| word.to_le_bytes()).collect();
        pa.is_none_or(|pa| pa == first) && page.chunks_exact(16).all(|chunk| chunk == pair)
    }

    #[test]
    fn another_writers_dumps_are_read_alike() {
        for version in 1..=3 {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("mk");
            let Some(()) = write(&out, version) else { return };
            let file = |end: &str| folder.path().join(format!("mk.{end}"));
            let facts: serde_json::Value =
                serde_json::from_slice(&std::fs::read(file("json")).unwrap()).unwrap();
            let kvm = open(Some(&file("kernel")), &file("vmcore"), false).unwrap();
            assert_eq!(kvm.image().warnings, [""; 0], "v{version}");
            assert_eq!(kvm.census().dumped, facts["dumped_pages"].as_u64().unwrap());
            let kva = words(&file("kva.bin"));
            assert!(kva.iter().all(|va| pattern(&kvm, *va, None)), "v{version}: a mapped page");
            // The last pages are page tables and structures, which have no pattern.
            let dmap = words(&file("dmap.bin"));
            let plain = &dmap[..dmap.len() - 500];
            let wrong = plain.iter().filter(|va| !pattern(&kvm, **va, Some(**va - DMAP.start))).count();
            assert_eq!(wrong, 0, "v{version}: pages of the direct map");
            threads(&kvm, &facts);
        }
    }

    fn threads(kvm: &Kvm, facts: &serde_json::Value) {
        let threads = kvm.threads().unwrap();
        assert_eq!(threads.problems.len(), 0);
        assert_eq!(threads.items.len() as u64, facts["threads"].as_u64().unwrap());
        for (thread, expected) in threads.items.iter().zip(facts["first_threads"].as_array().unwrap()) {
            let (tid, cpu) = (expected[0].as_u64().unwrap(), expected[4].as_i64().unwrap());
            assert_eq!((thread.tid, u64::from(thread.pid)), (tid, expected[1].as_u64().unwrap()));
            assert_eq!(thread.comm, expected[3].as_str().unwrap());
            assert_eq!(thread.on_cpu.map_or(-1, i64::from), cpu);
            // Registers are made from a seed: the thread's number, or its CPU's where that saved them.
            let seed = if thread.crashed || cpu < 0 { tid } else { cpu.cast_unsigned() + 1 };
            let registers = kvm.registers(thread).unwrap();
            assert_eq!(registers.pc(), Some(0xffff_ffff_8020_1000 + seed * 16), "{tid}");
        }
    }
}
