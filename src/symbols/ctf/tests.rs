//! The sections are built from the format's description, with nothing of the parser's.

use super::super::compiled;
use super::super::types::declared::Prototype;
use super::super::types::{Bits, Member, Types};
use super::*;
use goblin::elf::sym::STT_OBJECT;
use std::io::Write;
use std::sync::Arc;

pub(crate) const ALL: [(u8, bool); 4] = [(2, false), (2, true), (3, false), (3, true)];

pub(crate) struct Builder {
    version: u8,
    big: bool,
    types: Vec<u8>,
    names: Vec<u8>,
    count: u32,
}

impl Builder {
    fn new((version, big): (u8, bool)) -> Self {
        Self { version, big, types: Vec::new(), names: vec![0], count: 0 }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.names.len() as u32;
        self.names.extend(name.bytes().chain([0]));
        if name.is_empty() { 0 } else { at }
    }

    fn half(&mut self, value: u32) {
        let value = value as u16;
        self.types.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn full(&mut self, value: u32) {
        self.types.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn narrow(&mut self, value: u32) {
        if self.version == 2 { self.half(value) } else { self.full(value) }
    }

    /// A type's head; its number.
    fn ty(&mut self, name: &str, kind: u32, count: u32, size: u32) -> u32 {
        let name = self.name(name);
        self.full(name);
        self.narrow(if self.version == 2 {
            kind * 2048 + 1024 + count
        } else {
            kind << 26 | 1 << 25 | count
        });
        self.narrow(size);
        self.count += 1;
        self.count
    }

    fn int(&mut self, name: &str, size: u32, encoding: u32, bits: u32) -> u32 {
        let ty = self.ty(name, 1, 0, size);
        self.full(encoding << 24 | bits);
        ty
    }

    fn array(&mut self, of: u32, count: u32) -> u32 {
        let ty = self.ty("", 4, 0, 0);
        self.narrow(of);
        self.narrow(of);
        self.full(count);
        ty
    }

    fn members(&mut self, members: &[(&str, u32, u32)]) {
        for (name, ty, bit) in members {
            let name = self.name(name);
            self.full(name);
            self.narrow(*ty);
            self.narrow(*bit);
        }
    }

    fn large_member(&mut self, name: &str, ty: u32, bit: u64) {
        let name = self.name(name);
        self.full(name);
        if self.version == 2 {
            self.half(ty);
            self.half(0);
        } else {
            self.full(ty);
        }
        self.full((bit >> 32) as u32);
        self.full(bit as u32);
    }

    fn enumerators(&mut self, values: &[(&str, i32)]) {
        for (name, value) in values {
            let name = self.name(name);
            self.full(name);
            self.full(value.cast_unsigned());
        }
    }

    fn build(&self, compressed: bool) -> Vec<u8> {
        let mut body = vec![0xee; 8]; // labels, objects, functions: not looked at
        body.extend(&self.types);
        let words = [0, 0, 0, 4, 4, 8, 8 + self.types.len() as u32, self.names.len() as u32];
        body.extend(&self.names);
        self.wrap(words, &body, compressed)
    }

    fn wrap(&self, words: [u32; 8], body: &[u8], compressed: bool) -> Vec<u8> {
        let mut out = if self.big { vec![0xcf, 0xf1] } else { vec![0xf1, 0xcf] };
        out.extend([self.version, compressed.into()]);
        for word in words {
            out.extend(if self.big { word.to_be_bytes() } else { word.to_le_bytes() });
        }
        if !compressed {
            out.extend(body);
            return out;
        }
        let mut encoder = flate2::write::ZlibEncoder::new(out, flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    pub(crate) fn graph(&self) -> Box<dyn Graph> {
        let target = Target { big_endian: self.big, ptr_bytes: 8 };
        Box::new(Ctf::parse(&self.build(false), target).unwrap())
    }

    fn parse(&self, bytes: &[u8]) -> Result<Types> {
        let target = Target { big_endian: self.big, ptr_bytes: 8 };
        Ctf::parse(bytes, target).map(|ctf| Types::of_graph("CTF", Arc::new(ctf)))
    }

    fn types(&self) -> Types {
        let plain = self.parse(&self.build(false)).unwrap();
        let packed = self.parse(&self.build(true)).unwrap();
        assert_eq!(plain.size_of("proc"), packed.size_of("proc"));
        packed
    }
}

/// What C would call:
/// ```c
/// typedef int pid_t;
/// enum state { EMBRYO, ZOMBIE = 5, GONE = -1 };
/// struct map { long *head; volatile pid_t users; };
/// struct proc { struct proc *next; const pid_t pid; union { int a; struct { char b[4]; }; };
///               unsigned flags : 5, low : 3; _Bool yes : 1; enum state state; int grid[3][4]; struct map map; pid_t none[]; };
/// ```
pub(crate) fn sample(form: (u8, bool)) -> Builder {
    let mut b = Builder::new(form);
    let five = b.int("unsigned int", 4, 0, 5);
    let three = b.int("unsigned int", 4, 0, 3);
    let int = b.int("int", 4, 1, 32);
    let bit = b.int("_Bool", 1, 5, 1);
    let char = b.int("char", 1, 3, 8);
    let pid = b.ty("pid_t", 10, 0, int);
    let constant = b.ty("", 12, 0, pid);
    let volatile = b.ty("", 11, 0, pid);
    let proc_ptr = b.ty("", 3, 0, 21);
    // Three arguments: an odd number of halves in version 2.
    b.ty("", 5, 3, int);
    (0..3).for_each(|_| b.narrow(int));
    if form.0 == 2 {
        b.half(0);
    }
    b.ty("map", 9, 0, 0);
    let map = b.ty("map", 6, 2, 16);
    b.members(&[("head", proc_ptr, 0), ("users", volatile, 64)]);
    let state = b.ty("state", 8, 3, 4);
    b.enumerators(&[("EMBRYO", 0), ("ZOMBIE", 5), ("GONE", -1)]);
    let chars = b.array(char, 4);
    let inner = b.ty("", 6, 1, 4);
    b.members(&[("b", chars, 0)]);
    let union = b.ty("", 7, 2, 4);
    b.members(&[("a", int, 0), ("", inner, 0)]);
    let row = b.array(int, 4);
    let grid = b.array(row, 3);
    let none = b.array(pid, 0);
    b.ty("", 0, 0, 0);
    let members = [
        ("next", proc_ptr, 0),
        ("pid", constant, 64),
        ("", union, 96),
        ("flags", five, 128),
        ("low", three, 133),
        ("yes", bit, 136),
        ("state", state, 160),
        ("grid", grid, 192),
        ("map", map, 576),
        ("none", none, 704),
    ];
    assert_eq!(b.ty("proc", 6, members.len() as u32, 88), 21);
    b.members(&members);
    b.ty("proc_t", 10, 0, 21);
    b
}

fn scalar(offset: u64, size: u64, signed: bool) -> Option<Member> {
    Some(Member { offset, size, bits: None, signed, elements: None, element_size: size })
}

/// What stands in the order of the file's symbols: a file's symbols come from a compiler here.
#[test]
fn functions_and_objects_are_those_of_the_symbols() {
    let dir = tempfile::tempdir().unwrap();
    let Some(file) = compiled::kernel(dir.path(), &["-g0"]) else { return };
    let objects: Vec<String> = file.symbols_of(STT_OBJECT).map(|symbol| symbol.name).collect();
    assert!(
        objects.iter().any(|name| name == "packed_bits") && !objects.iter().any(|name| name == "function")
    );
    for form in ALL {
        let b = sample(form);
        let (int, char) = (3, 5);
        let types = b.types.len() as u32;
        // Every object is an int but one; there is a function more than the file has.
        let mut before = Builder::new(form);
        objects.iter().for_each(|name| before.narrow(if name == "packed_bits" { char } else { int }));
        let first_function = before.types.len() as u32;
        // int function(int, ...)
        let info = if form.0 == 2 { 5 * 2048 + 2 } else { 5 << 26 | 2 };
        [info, char, int, 0].into_iter().for_each(|word| before.narrow(word));
        before.narrow(0);
        before.types.resize(before.types.len().next_multiple_of(4), 0);
        let first_type = before.types.len() as u32;
        let words = [0, 0, 0, 0, first_function, first_type, first_type + types, b.names.len() as u32];
        let body = [&before.types[..], &b.types, &b.names].concat();
        let target = Target { big_endian: b.big, ptr_bytes: 8 };
        let ctf = Ctf::parse(&b.wrap(words, &body, true), target).unwrap();
        let ctf = Ctf { file: KernelFile::open(file.source().clone()).ok(), ..ctf };
        let told: Vec<_> = objects.iter().cloned().zip(std::iter::repeat(u64::from(int))).collect();
        let told = told
            .into_iter()
            .map(|(name, ty)| if name == "packed_bits" { (name, char.into()) } else { (name, ty) });
        assert_eq!(ctf.variables(), told.collect::<Vec<_>>());
        let prototype = Prototype { returns: char.into(), parameters: vec![int.into(), 0] };
        assert_eq!(ctf.functions(), [("function".to_owned(), prototype)]);
    }
}

#[test]
fn members_are_found_in_every_version_and_byte_order() {
    for form in ALL {
        let types = sample(form).types();
        let member = |path| types.member("proc", path);
        assert_eq!(member("next"), scalar(0, 8, false));
        assert_eq!(member("pid"), scalar(8, 4, true));
        assert_eq!(member("a"), scalar(12, 4, true));
        assert_eq!(member("b").map(|m| (m.offset, m.size, m.elements)), Some((12, 4, Some(4))));
        assert_eq!(member("state"), scalar(20, 4, true));
        assert_eq!(member("map"), scalar(72, 16, false));
        assert_eq!(member("map.users"), scalar(80, 4, true));
        let array = |offset, size, elements| Member {
            elements: Some(elements),
            element_size: 4,
            ..scalar(offset, size, true).unwrap()
        };
        assert_eq!(member("grid"), Some(array(24, 48, 12)));
        assert_eq!(member("none"), Some(array(88, 0, 0)));
        assert_eq!(types.member("proc_t", "pid"), member("pid"));
        for missing in ["", ".", "map.", "nothing", "next.pid", "pid.x", "map.nothing", "grid.x"] {
            assert_eq!(member(missing), None, "{missing}");
        }
    }
}

#[test]
fn bit_fields_count_from_the_machines_first_bit() {
    for form in ALL {
        let types = sample(form).types();
        let (flags, low) = (types.member("proc", "flags").unwrap(), types.member("proc", "low").unwrap());
        let bits = |offset, width| Some(Bits { offset, width });
        let expected = if form.1 { (bits(3, 5), bits(0, 3)) } else { (bits(0, 5), bits(5, 3)) };
        assert_eq!((flags.bits, low.bits), expected);
        assert_eq!((flags.offset, flags.size, low.offset), (16, 1, 16));
        // flags = 0b10110, low = 0b101, as C stores them on either kind of machine
        let byte = if form.1 { 0b1011_0101 } else { 0b1011_0110 };
        assert_eq!(flags.value(&[byte], form.1), Some(0b10110));
        assert_eq!(low.value(&[byte], form.1), Some(0b101));
        let yes = types.member("proc", "yes").unwrap();
        assert_eq!((yes.offset, yes.value(&[if form.1 { 0x80 } else { 1 }], form.1)), (17, Some(1)));
    }
}

#[test]
fn sizes_and_enumerators() {
    for form in ALL {
        let types = sample(form).types();
        let sizes = ["proc", "proc_t", "pid_t", "map", "state", "int", "unsigned int", "nothing"];
        let expected = [Some(88), Some(88), Some(4), Some(16), Some(4), Some(4), None, None];
        assert_eq!(sizes.map(|name| types.size_of(name)), expected);
        let values = ["EMBRYO", "ZOMBIE", "GONE", "state"].map(|name| types.enumerator(name));
        assert_eq!(values, [Some(0), Some(5), Some(-1), None]);
        assert_eq!(types.source(), "CTF");
    }
}

#[test]
fn large_structures_have_wide_offsets() {
    for form in ALL {
        let mut b = Builder::new(form);
        let int = b.int("int", 4, 1, 32);
        // The last small one, the first large one, and one whose size needs 64 bits.
        let (edge, wide) = if form.0 == 2 { (1 << 13, 0xffff) } else { (1 << 29, 0xffff_ffff) };
        b.ty("small", 6, 1, edge - 1);
        b.members(&[("x", int, 4096)]);
        b.ty("large", 6, 2, edge);
        b.large_member("x", int, 32);
        b.large_member("y", int, u64::from(edge) * 8 - 32);
        b.ty("huge", 6, 1, wide);
        b.full(3);
        b.full(16);
        b.large_member("x", int, 3 << 35);
        let types = b.types();
        assert_eq!(types.member("small", "x"), scalar(512, 4, true));
        assert_eq!(types.member("large", "x"), scalar(4, 4, true));
        assert_eq!(types.member("large", "y"), scalar(u64::from(edge) - 4, 4, true));
        assert_eq!(types.member("huge", "x"), scalar(3 << 32, 4, true));
        assert_eq!(types.size_of("huge"), Some(3 << 32 | 16));
    }
}

#[test]
fn cycles_end() {
    for form in ALL {
        let mut b = Builder::new(form);
        b.ty("a", 10, 0, 2);
        b.ty("b", 10, 0, 1);
        b.ty("self", 6, 2, 8);
        b.members(&[("", 3, 0), ("", 3, 0)]);
        b.ty("array", 10, 0, 5);
        b.array(5, 1);
        b.ty("missing", 10, 0, 99);
        let types = b.types();
        for name in ["a", "b", "array", "missing"] {
            assert_eq!(types.size_of(name), None, "{name}");
            assert_eq!(types.member(name, "x"), None, "{name}");
        }
        assert_eq!(types.member("self", "x"), None);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for form in ALL {
        let b = sample(form);
        let refused = |bytes: &[u8]| b.parse(bytes).is_err();
        for bytes in [b.build(false), b.build(true)] {
            assert!((0..bytes.len()).all(|len| refused(&bytes[..len])), "a shorter one");
        }
        let other_order = Builder { big: !form.1, ..sample(form) }.build(false);
        assert!(refused(&other_order));
        for version in [0, 1, 4] {
            assert!(refused(&Builder { version, ..sample(form) }.build(false)));
        }
        assert!(refused(&b.wrap([0, 0, 0, 0, 0, 9, 8, 0], &[0; 8], false)), "types behind the names");
        assert!(refused(&b.wrap([0, 1, 0, 0, 0, 0, 0, 1], &[0; 8], false)), "a child");
        assert!(refused(&b.wrap([0, 0, 0, 0, 0, 0, u32::MAX, u32::MAX], &[0; 8], true)), "sizes");
        assert!(refused(&b.wrap([0, 0, 0, 0, 0, 0, 0, 1 << 10], &[0; 4 << 20], true)), "a bomb");

        let mut absurd = Builder::new(form);
        absurd.ty("x", 6, 1000, 8);
        assert!(b.parse(&absurd.build(false)).is_err(), "1000 members, none there");
        let mut unknown = Builder::new(form);
        unknown.ty("x", 14, 0, 8);
        assert!(b.parse(&unknown.build(false)).is_err(), "a kind that there is not");
    }
}

#[test]
fn damage_is_survived() {
    let mut state = 0x9e37_79b9_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    for form in ALL {
        let sound = sample(form).build(false);
        for _ in 0..1000 {
            let mut bytes = sound.clone();
            for _ in 0..4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            let Ok(types) = sample(form).parse(&bytes) else { continue };
            for path in ["next", "b", "flags", "grid", "map.users"] {
                let _ = types.member("proc", path);
            }
            let _ = (types.size_of("proc_t"), types.enumerator("GONE"));
        }
    }
}
