//! gimli's reader and our own are the oracles, and the compiler.

mod text;

use super::globals::globals;
use super::*;
use crate::image::Store;
use crate::symbols::btf;
use crate::symbols::btf::tests::build::{Builder, FLAG};
use crate::symbols::btf::tests::{STRUCTURES, sample};
use crate::symbols::types::Graph;
use crate::symbols::{KernelFile, Kind, Symbol, Types, compiled, ctf, dwarf};
use std::process::Command;
use std::sync::Arc;

fn machine(big_endian: bool) -> Machine {
    let arch = kgdbserver_arch::ALL.iter().find(|arch| arch.name == "aarch64").unwrap();
    Machine { arch, big_endian, ptr_bytes: 8 }
}

fn graph(bytes: Vec<u8>) -> Box<dyn Graph> {
    btf::parse(bytes).unwrap()
}

fn made(graph: &dyn Graph, globals: &[Global]) -> DebugInfo {
    writer::write(graph.declarations().unwrap(), "BTF", globals, machine(graph.big_endian())).unwrap()
}

/// All that gimli reads, in lines like C.
fn lines(graph: &dyn Graph, globals: &[Global]) -> Vec<String> {
    text::lines(&made(graph, globals), graph.big_endian())
}

fn symbol(name: &str, va: u64, kind: Kind, global: bool) -> Symbol {
    Symbol { name: name.into(), va: Va(va), size: 0x10, kind, function: kind == Kind::Text, global }
}

#[test]
fn every_type_is_told() {
    for big in [false, true] {
        let graph = graph(sample(big).build());
        let expected = [
            "long int: base 8 DW_ATE_signed",
            "int: base 4 DW_ATE_signed",
            "unsigned int: base 4 DW_ATE_unsigned",
            "char: base 1 DW_ATE_signed_char",
            "_Bool: base 1 DW_ATE_boolean",
            "double: base 8 DW_ATE_float",
            "pid_t: typedef int",
            "declared: struct declared only",
            "map: struct declared only",
            "map: struct 16 { *long int head @0; volatile pid_t users @8 }",
            "state: enum int 4 { EMBRYO = 0; ZOMBIE = 5; GONE = -1 }",
            "large: enum unsigned int 4 { LARGE = 2147483648 }",
            "huge: enum 8 { HUGE = 1099511627776 }",
            "minus: enum long int 8 { MINUS = -2 }",
            "task: struct 96 { *task next @0; const pid_t pid @8; \
             union 4 { int a @0; struct 4 { char[4] b @0 } @0 } @12; \
             unsigned int flags @128 bits 5; unsigned int low @133 bits 3; _Bool yes @136 bits 1; state state @20; \
             int[4][3] grid @24; map map @72; double real @88; pid_t[] none @96 }",
            "task_t: typedef task",
        ];
        assert_eq!(lines(&*graph, &[]), expected);
    }
}

#[test]
fn ctf_tells_the_same() {
    for form in ctf::tests::ALL {
        let expected = [
            "unsigned int: base 4 DW_ATE_unsigned",
            "unsigned int: base 4 DW_ATE_unsigned",
            "int: base 4 DW_ATE_signed",
            "_Bool: base 1 DW_ATE_boolean",
            "char: base 1 DW_ATE_signed_char",
            "pid_t: typedef int",
            "map: struct declared only",
            "map: struct 16 { *proc head @0; volatile pid_t users @8 }",
            "state: enum int 4 { EMBRYO = 0; ZOMBIE = 5; GONE = -1 }",
            "proc: struct 88 { *proc next @0; const pid_t pid @8; \
             union 4 { int a @0; struct 4 { char[4] b @0 } @0 } @12; \
             unsigned int flags @128 bits 5; unsigned int low @133 bits 3; _Bool yes @136 bits 1; state state @20; \
             int[4][3] grid @24; map map @72; pid_t[] none @88 }",
            "proc_t: typedef proc",
        ];
        assert_eq!(lines(&*ctf::tests::sample(form).graph(), &[]), expected, "{form:?}");
    }
}

#[test]
fn functions_and_variables_are_told_where_there_is_one_symbol() {
    for big in [false, true] {
        let mut b = sample(big);
        let int = 2;
        b.int("unsigned long", 8, 0, 0, 64);
        let chars = b.ty("", 2, 0, 4);
        let proto = b.ty("", 13, 3, 0);
        b.words(&[0, int, 0, chars, 0, 0]); // void f(int, char *, ...)
        for name in ["printk", "alias", "twice", "data", "absent"] {
            b.ty(name, 12, 1, proto);
        }
        let graph = graph(b.build());
        let symbols = [
            symbol("main", 0x1000, Kind::Text, false),
            symbol("printk", 0x2000, Kind::Text, true),
            symbol("printk", 0x2800, Kind::Text, false),
            symbol("alias", 0x1000, Kind::Text, false),
            symbol("twice", 0x3000, Kind::Text, false),
            symbol("twice", 0x4000, Kind::Text, false),
            symbol("data", 0x5000, Kind::Data, true),
            symbol("init_task", 0x6000, Kind::Data, true),
            symbol("init_task", 0x7000, Kind::Text, false),
            symbol("linux_banner", 0x8000, Kind::Data, false),
            symbol("saved_command_line", 0x9000, Kind::Bss, true),
            Symbol { size: 24, ..symbol("avenrun", 0xa000, Kind::Data, true) },
            Symbol { size: 1 << 20, ..symbol("__per_cpu_offset", 0xb000, Kind::Data, true) },
            symbol("init_mm", 0xc000, Kind::Data, true), // of a type that this kernel does not have
        ];
        let types = graph.declarations().unwrap();
        let told = Told {
            address: &|name| (name == "nr_threads").then_some(Va(0xd000)),
            text_size: &|va| (va == Va(0x8000)).then_some(14),
        };
        let all = globals(types, symbols.into_iter(), Some(&told));
        let expected = [
            "alias: 0x1000+0x10 void (int, *char, ...)",
            "printk: 0x2000+0x10 void (int, *char, ...)",
            "init_task: 0x6000 int",
            "linux_banner: 0x8000 char[14]",
            "saved_command_line: 0x9000 *char",
            "avenrun: 0xa000 unsigned long[3]",
            "__per_cpu_offset: 0xb000 unsigned long[]",
            "nr_threads: 0xd000 int",
        ];
        let found = lines(&*graph, &all);
        let found: Vec<_> = found.iter().filter(|line| line.contains(": 0x")).collect();
        assert_eq!(found, expected);
    }
}

/// Its pointers lead to structures of the kernel's file; what lies inside its own has to be told.
#[test]
fn a_module_tells_what_it_adds_and_what_lies_inside_of_that() {
    for big in [false, true] {
        let mut kernel = sample(big);
        let int = 2;
        let part = kernel.composite("part", 4, 4, &[("n", int, 0)]);
        let inside = kernel.composite("inside", 4, 4, &[("part", part, 0)]);
        let pointed = kernel.composite("pointed", 4, 4, &[("n", int, 0)]);
        let pointer = kernel.ty("", 2, 0, pointed);
        let mut module = kernel.module();
        let proto = module.ty("", 13, 1, 0);
        module.words(&[0, pointer]);
        module.ty("ext4_iget", 12, 1, proto);
        module.composite("ext4", 4, 16, &[("p", pointer, 0), ("inside", inside, 64)]);
        let kernel = Types::of_graph("BTF", Arc::from(graph(kernel.build())));
        let types = kernel.of_module(module.build()).unwrap();
        let (_, declarations) = types.declarations().unwrap();
        let symbols = [
            symbol("ext4_iget", 0x1000, Kind::Text, false),
            symbol("init_task", 0x2000, Kind::Data, true), // not the kernel's
        ];
        let all = globals(declarations, symbols.into_iter(), None);
        let made = writer::write(declarations, "BTF", &all, machine(big)).unwrap();
        let mut found = text::lines(&made, big);
        found.sort_unstable();
        let expected = [
            "ext4: struct 16 { *pointed p @0; inside inside @8 }",
            "ext4_iget: 0x1000+0x10 void (*pointed)",
            "inside: struct 4 { part part @0 }",
            "int: base 4 DW_ATE_signed",
            "part: struct 4 { int n @0 }",
            "pointed: struct declared only",
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn what_contains_itself_is_not_told() {
    for big in [false, true] {
        let mut b = Builder::new(big);
        let int = b.int("int", 4, 1, 0, 32);
        b.int("long int", 8, 1, 0, 64);
        let one = b.last + 1;
        b.ty("one", 8, 0, one + 1); // typedef two one; typedef one two;
        b.ty("two", 8, 0, one);
        let own = b.last + 1;
        b.composite("own", 4, 8, &[("a", int, 0), ("inside", own, 32)]);
        let itself = b.ty("", 2, 0, b.last + 1);
        let pointer = b.ty("", 2, 0, itself);
        b.composite("user", 4, 32, &[("a", int, 0), ("one", one, 32), ("own", own, 64), ("p", pointer, 128)]);
        let mut last = int;
        for _ in 0..10_000 {
            last = b.ty("", 10, 0, last);
        }
        b.ty("deep", 8, 0, last);
        // What real structures do: they contain pointers to themselves.
        let node = b.last + 2;
        let next = b.ty("", 2, 0, node);
        b.composite("node", 4, 8, &[("next", next, 0)]);
        let found = lines(&*graph(b.build()), &[]);
        let expected = [
            "int: base 4 DW_ATE_signed",
            "long int: base 8 DW_ATE_signed",
            "one: typedef void",
            "own: struct declared only",
            "user: struct 32 { int a @0; *void p @16 }",
            "node: struct 8 { *node next @0 }",
        ];
        let found: Vec<_> = found.iter().filter(|line| !line.starts_with("deep")).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn members_that_cannot_be_are_left_out() {
    for big in [false, true] {
        let mut b = Builder::new(big);
        let int = b.int("int", 4, 1, 0, 32);
        let forward = b.ty("forward", 7, 0, 0);
        let members = [
            ("beyond", int, 32),
            ("between", int, 4),
            ("unknown", forward, 0),
            ("missing", 99, 0),
            ("nothing", 0, 0),
            ("last", int, 0),
        ];
        b.composite("odd", 4, 4, &members);
        let wide = [("wide", int, 30 << 24 | 8), ("fits", int, 24 << 24 | 8)];
        b.composite("bits", 4 | FLAG, 4, &wide);
        // Until pahole 1.13 the type of a bit field was an integer of fewer bits.
        let three = b.int("int", 4, 1, 0, 3);
        b.composite("old", 4, 4, &[("three", three, 5)]);
        let expected = [
            "int: base 4 DW_ATE_signed",
            "forward: struct declared only",
            "odd: struct 4 { int last @0 }",
            "bits: struct 4 { int fits @8 bits 24 }",
            "old: struct 4 { int three @5 bits 3 }",
        ];
        assert_eq!(lines(&*graph(b.build()), &[]), expected);
    }
}

/// The names and the structures of a graph, told as DWARF and read again.
fn again(graph: &dyn Graph) -> Types {
    let DebugInfo { info, abbreviations, strings } = made(graph, &[]);
    let other = |name: &str| match name {
        ".debug_abbrev" => Ok(abbreviations.clone()),
        ".debug_str" => Ok(strings.clone()),
        _ => Ok(Vec::new()),
    };
    Types::of_graph("DWARF", Arc::from(dwarf::of_sections(graph.big_endian(), info, other).unwrap()))
}

#[test]
fn our_own_reader_finds_what_the_compiler_says() {
    let dir = tempfile::tempdir().unwrap();
    let Some(plain) = compiled::kernel(dir.path(), &["-g"]) else { return };
    let path = plain.source().path();
    match Command::new("pahole").args(["-J", "--btf_gen_floats"]).arg(path).status() {
        Ok(status) => assert!(status.success()),
        Err(_) => return eprintln!("skipped: no pahole"),
    }
    let file = KernelFile::open(Arc::new(Store::open(path).unwrap())).unwrap();
    compiled::check(&plain, &again(&*graph(file.section(".BTF").unwrap())));
}

/// Kernels that `scripts/make-images --debug` fetched.
#[test]
fn real_kernels_say_the_same_as_their_own_dwarf() {
    for path in compiled::real_kernels() {
        eprintln!("{}", path.display());
        let file = Arc::new(KernelFile::open(Arc::new(Store::open(&path).unwrap())).unwrap());
        let theirs = Types::of_graph("DWARF", Arc::from(dwarf::open(&file).unwrap().unwrap()));
        let graph = graph(file.section(".BTF").unwrap());
        let ours = again(&*graph);
        let declared = graph.declarations().unwrap();
        for name in STRUCTURES {
            assert_eq!(ours.size_of(name), theirs.size_of(name), "{name}");
            let fields = declared.fields(graph.named(name).unwrap()).unwrap();
            for path in fields.iter().map(|field| std::str::from_utf8(field.name).unwrap()) {
                assert_eq!(ours.member(name, path), theirs.member(name, path), "{name}.{path}");
            }
        }
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
    for big in [false, true] {
        let sound = sample(big).build();
        for _ in 0..500 {
            let mut bytes = sound.clone();
            for _ in 0..4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            let Ok(graph) = btf::parse(bytes) else { continue };
            let types = again(&*graph);
            let _ = (types.member("task", "map.users"), types.enumerator("GONE"));
        }
    }
}
