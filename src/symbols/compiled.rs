//! A kernel whose types the compiler tells twice: in debugging information, and by `offsetof` and `sizeof` as data in the
//! same file. `KGDBSERVER_CC=s390x-linux-gnu-gcc cargo test compiler` asks another compiler, for another machine.

use super::{Bits, KernelFile, Member, Types};
use crate::image::Store;
use kgdbserver_arch::Va;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const FIRST: &str = r"
    struct only_declared;
    typedef struct opaque opaque_t;
    struct opaque *pointer_to_what_the_other_file_defines;
    int function(int argument) { struct local { int x; } y = { argument }; return y.x; }
";

const SECOND: &str = r"
    #include <stddef.h>
    struct only_declared;
    typedef int pid_t;
    enum state { EMBRYO, ZOMBIE = 5, GONE = -1 };
    enum { ANONYMOUS = 200, LARGE = 0x80000000u };
    struct map { long *head; volatile pid_t users; };
    struct opaque { short s; struct map map; };
    typedef struct { char c; long l; } anonymous_t;
    struct proc {
        struct proc *next;
        const pid_t pid;
        union { int a; struct { char b[4]; }; };
        unsigned flags : 5, low : 3;
        int signed_bits : 7;
        unsigned long long across : 50;
        enum state state;
        enum state narrow_state : 4;
        short grid[3][4];
        struct map map;
        anonymous_t anonymous;
        _Bool yes : 1;
        void (*call)(struct only_declared *);
        pid_t none[];
    };
    struct packed { char c; unsigned long long wide : 63; int last : 9; } __attribute__((packed));
    struct large { char space[1 << 20]; int end; };
    struct proc proc;
    struct packed packed;
    struct large large;
    enum state state;
    int anonymous_enum = ANONYMOUS + (LARGE != 0);
    struct opaque opaque;
    struct proc bits = { .flags = 0x16, .low = 5, .signed_bits = -3, .across = 0x2345678912345, .narrow_state = 5, .yes = 1 };
    struct packed packed_bits = { 1, 0x7654321012345678, -200 };
";

/// Members whose place C can tell.
pub(super) const PLACES: &[(&str, &str)] = &[
    ("proc", "next"),
    ("proc", "pid"),
    ("proc", "a"),
    ("proc", "b"),
    ("proc", "state"),
    ("proc", "grid"),
    ("proc", "map"),
    ("proc", "map.head"),
    ("proc", "map.users"),
    ("proc", "anonymous"),
    ("proc", "anonymous.l"),
    ("proc", "call"),
    ("opaque", "map.users"),
    ("large", "end"),
];

/// Compiles both files into what looks like a kernel; none if there is no compiler.
pub(super) fn kernel(dir: &Path, flags: &[&str]) -> Option<Arc<KernelFile>> {
    let mut table = String::from("unsigned long long places[] = {\n");
    for (structure, path) in PLACES {
        let name = format!("struct {structure}");
        writeln!(table, "offsetof({name}, {path}), sizeof((({name} *)0)->{path}),").unwrap();
    }
    table.push_str("};\nunsigned long long proc_size = sizeof(struct proc);\n");
    let source = SECOND.to_owned() + &table;
    let paths = ["first.c", "second.c", "kernel"].map(|name| dir.join(name));
    std::fs::write(&paths[0], FIRST).unwrap();
    std::fs::write(&paths[1], source).unwrap();
    let mut cc = Command::new(std::env::var_os("KGDBSERVER_CC").unwrap_or_else(|| "cc".into()));
    cc.args(["-ffreestanding", "-nostdlib", "-static", "-no-pie", "-Wl,-e,0", "-o"]).arg(&paths[2]);
    let Ok(status) = cc.args(flags).args(&paths[..2]).status() else {
        eprintln!("skipped: no C compiler");
        return None;
    };
    assert!(status.success(), "cc {flags:?}");
    Some(Arc::new(KernelFile::open(Arc::new(Store::open(&paths[2]).unwrap())).unwrap()))
}

/// The files of real kernels that `scripts/make-images --debug` fetched; none, with a printed reason, where there are none.
pub(super) fn real_kernels() -> Vec<PathBuf> {
    let kept = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/kgdbserver/images"));
    let folder = std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).or_else(kept);
    let debug = folder.unwrap_or_default().join("debug");
    let Ok(entries) = std::fs::read_dir(&debug) else {
        eprintln!("skipped: no kernels in {}", debug.display());
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Compares what a file's types say with what the compiler said.
pub(super) fn check(file: &KernelFile, types: &Types) {
    places_are_where_the_compiler_puts_them(file, types);
    bit_fields_have_the_values_that_were_stored(file, types);
    members_say_what_they_are(file, types);
    names_are_looked_through(types);
}

fn places_are_where_the_compiler_puts_them(file: &KernelFile, types: &Types) {
    let expected = numbers(file, "places");
    for ((structure, path), place) in PLACES.iter().zip(expected.chunks(2)) {
        let member = types.member(structure, path).unwrap_or_else(|| panic!("{structure}.{path}"));
        assert_eq!([member.offset, member.size], place, "{structure}.{path}");
    }
    assert_eq!(types.size_of("proc"), Some(numbers(file, "proc_size")[0]));
}

fn bit_fields_have_the_values_that_were_stored(file: &KernelFile, types: &Types) {
    let (bits, packed) = (data(file, "bits"), data(file, "packed_bits"));
    let value = |bytes: &[u8], structure, name| {
        let member = types.member(structure, name).unwrap();
        let range = member.offset as usize..(member.offset + member.size) as usize;
        member.value(&bytes[range], file.is_big_endian()).map(u64::cast_signed)
    };
    let proc = |name| value(&bits, "proc", name);
    assert_eq!(proc("flags"), Some(0x16));
    assert_eq!(proc("low"), Some(5));
    assert_eq!(proc("signed_bits"), Some(-3));
    assert_eq!(proc("across"), Some(0x2345678912345));
    assert_eq!(proc("narrow_state"), Some(5));
    assert_eq!(proc("yes"), Some(1));
    assert_eq!(value(&packed, "packed", "wide"), Some(0x7654321012345678));
    assert_eq!(value(&packed, "packed", "last"), Some(-200));
}

fn members_say_what_they_are(file: &KernelFile, types: &Types) {
    let member = |name| types.member("proc", name).unwrap();
    let grid = member("grid");
    assert_eq!((grid.elements, grid.element_size, grid.signed), (Some(12), 2, true));
    let none = member("none");
    assert_eq!((none.elements, none.size, none.element_size), (Some(0), 0, 4));
    assert!(member("pid").signed && !member("next").signed && !member("flags").signed);
    let offset = if file.is_big_endian() { 0 } else { 5 };
    let low = Member { bits: Some(Bits { offset, width: 3 }), ..member("low") };
    assert_eq!(member("low"), low);
}

fn names_are_looked_through(types: &Types) {
    assert_eq!(types.size_of("pid_t"), Some(4));
    assert_eq!(types.size_of("anonymous_t"), types.member("proc", "anonymous").map(|m| m.size));
    assert_eq!(types.size_of("state"), Some(4));
    assert!(types.member("anonymous_t", "l").is_some());
    let names = ["ZOMBIE", "GONE", "ANONYMOUS", "LARGE", "state"];
    let values = [Some(5), Some(-1), Some(200), Some(0x8000_0000), None];
    assert_eq!(names.map(|name| types.enumerator(name)), values);
    for missing in ["only_declared", "nothing", "proc_size"] {
        assert_eq!(types.size_of(missing), None, "{missing}");
    }
    for missing in ["", "next.pid", "map.", "nothing", "grid.x", "call.x"] {
        assert_eq!(types.member("proc", missing), None, "{missing}");
    }
    let error = types.require("proc", "p_gone").unwrap_err().to_string();
    assert_eq!(
        error,
        format!("proc.p_gone is needed, and the kernel's {} has no such member", types.source())
    );
}

fn data(file: &KernelFile, name: &str) -> Vec<u8> {
    let symbol = file.by_name(name).unwrap();
    file.contents(Va(symbol.va.0), symbol.size).unwrap()
}

fn numbers(file: &KernelFile, name: &str) -> Vec<u64> {
    data(file, name).chunks(8).map(|chunk| number(chunk, file.is_big_endian())).collect()
}

fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let bytes = bytes.try_into().unwrap();
    if big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
}
