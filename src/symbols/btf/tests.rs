pub(crate) mod build;

use super::super::types::{Bits, Member, Types};
use super::super::{KernelFile, compiled, dwarf};
use super::*;
use crate::image::Store;
use build::{Builder, FLAG};
use std::process::Command;

pub(crate) const ORDERS: [bool; 2] = [false, true];

pub(super) fn parse_all(bytes: Vec<u8>) -> Result<Types> {
    parse(bytes).map(|btf| Types::of_graph(NAME, Arc::from(btf)))
}

fn types(builder: &Builder) -> Types {
    parse_all(builder.build()).unwrap()
}

/// What C would call:
/// ```c
/// typedef int pid_t;
/// enum state { EMBRYO, ZOMBIE = 5, GONE = -1 };
/// enum large { LARGE = 0x80000000 };
/// enum huge { HUGE = 1 << 40 };
/// struct declared;
/// struct map { long *head; volatile pid_t users; };
/// struct task { struct task *next; const pid_t pid; union { int a; struct { char b[4]; }; };
///               unsigned flags : 5, low : 3; _Bool yes : 1; enum state state; int grid[3][4]; struct map map;
///               double real; pid_t none[]; };
/// ```
pub(crate) fn sample(big: bool) -> Builder {
    let mut b = Builder::new(big);
    let long = b.int("long int", 8, 1, 0, 64);
    let int = b.int("int", 4, 1, 0, 32);
    let unsigned = b.int("unsigned int", 4, 0, 0, 32);
    let char = b.int("char", 1, 1, 0, 8);
    let bool = b.int("_Bool", 1, 4, 0, 8);
    let double = b.ty("double", 16, 0, 8);
    let pid = b.ty("pid_t", 8, 0, int);
    let constant = b.ty("", 10, 0, pid);
    let volatile = b.ty("", 9, 0, pid);
    let tagged = b.ty("user", 18, 0, long);
    let long_ptr = b.ty("", 2, 0, tagged);
    b.ty("declared", 7, 0, 0);
    b.ty("map", 7, 0, 0);
    let map = b.composite("map", 4, 16, &[("head", long_ptr, 0), ("users", volatile, 64)]);
    let state = b.enumeration("state", 6 | FLAG, 4, &[("EMBRYO", 0), ("ZOMBIE", 5), ("GONE", 0xffff_ffff)]);
    b.enumeration("large", 6, 4, &[("LARGE", 0x8000_0000)]);
    b.enumeration("huge", 19, 8, &[("HUGE", 1 << 40)]);
    b.enumeration("minus", 19 | FLAG, 8, &[("MINUS", u64::MAX - 1)]);
    let chars = b.array(char, 4);
    let inner = b.composite("", 4, 4, &[("b", chars, 0)]);
    let union = b.composite("", 5, 4, &[("a", int, 0), ("", inner, 0)]);
    let row = b.array(int, 4);
    let grid = b.array(row, 3);
    let none = b.array(pid, 0);
    // A function with two parameters, a variable and its section, a mark on a member: nothing that has a size.
    let proto = b.ty("", 13, 2, int);
    b.words(&[0, int, 0, 0]);
    b.ty("main", 12, 1, proto);
    let variable = b.ty("init_task", 14, 0, int);
    b.words(&[1]);
    b.ty(".data", 15, 1, 8);
    b.words(&[variable, 0, 8]);
    b.ty("mark", 17, 0, map);
    b.words(&[0]);
    let task_ptr = b.ty("", 2, 0, b.last + 2);
    let members = [
        ("next", task_ptr, 0),
        ("pid", constant, 64),
        ("", union, 96),
        ("flags", unsigned, 5 << 24 | 128),
        ("low", unsigned, 3 << 24 | 133),
        ("yes", bool, 1 << 24 | 136),
        ("state", state, 160),
        ("grid", grid, 192),
        ("map", map, 576),
        ("real", double, 704),
        ("none", none, 768),
    ];
    b.composite("task", 4 | FLAG, 96, &members);
    b.ty("task_t", 8, 0, b.last);
    b
}

fn scalar(offset: u64, size: u64, signed: bool) -> Option<Member> {
    Some(Member { offset, size, bits: None, signed, elements: None, element_size: size })
}

#[test]
fn members_are_found_in_either_byte_order() {
    for big in ORDERS {
        let types = types(&sample(big));
        assert_eq!(types.source(), "BTF");
        let member = |path| types.member("task", path);
        assert_eq!(member("next"), scalar(0, 8, false));
        assert_eq!(member("pid"), scalar(8, 4, true));
        assert_eq!(member("a"), scalar(12, 4, true));
        assert_eq!(member("b").map(|m| (m.offset, m.size, m.elements)), Some((12, 4, Some(4))));
        assert_eq!(member("state"), scalar(20, 4, true));
        assert_eq!(member("map"), scalar(72, 16, false));
        assert_eq!(member("map.head"), scalar(72, 8, false));
        assert_eq!(member("map.users"), scalar(80, 4, true));
        assert_eq!(member("real"), scalar(88, 8, false));
        let array = |offset, size, elements| Member {
            elements: Some(elements),
            element_size: 4,
            ..scalar(offset, size, true).unwrap()
        };
        assert_eq!(member("grid"), Some(array(24, 48, 12)));
        assert_eq!(member("none"), Some(array(96, 0, 0)));
        assert_eq!(types.member("task_t", "pid"), member("pid"));
        for missing in ["", ".", "map.", "nothing", "next.pid", "pid.x", "map.nothing", "grid.x"] {
            assert_eq!(member(missing), None, "{missing}");
        }
    }
}

#[test]
fn bit_fields_count_from_the_machines_first_bit() {
    for big in ORDERS {
        let types = types(&sample(big));
        let (flags, low) = (types.member("task", "flags").unwrap(), types.member("task", "low").unwrap());
        let bits = |offset, width| Some(Bits { offset, width });
        let expected = if big { (bits(3, 5), bits(0, 3)) } else { (bits(0, 5), bits(5, 3)) };
        assert_eq!((flags.bits, low.bits), expected);
        // flags = 0b10110, low = 0b101, as C stores them on either kind of machine
        let byte = if big { 0b1011_0101 } else { 0b1011_0110 };
        assert_eq!(flags.value(&[byte], big), Some(0b10110));
        assert_eq!(low.value(&[byte], big), Some(0b101));
        let yes = types.member("task", "yes").unwrap();
        assert_eq!((yes.offset, yes.value(&[if big { 0x80 } else { 1 }], big)), (17, Some(1)));
    }
}

#[test]
fn old_bit_fields_are_integers_of_fewer_bits() {
    for big in ORDERS {
        let mut b = Builder::new(big);
        let five = b.int("unsigned int", 4, 0, 0, 5);
        let three = b.int("int", 4, 1, 5, 3);
        b.composite("old", 4, 8, &[("flags", five, 32), ("low", three, 32), ("wide", five, 1 << 25)]);
        let types = types(&b);
        let (flags, low) = (types.member("old", "flags").unwrap(), types.member("old", "low").unwrap());
        assert_eq!((flags.offset, flags.size, low.offset, low.size), (4, 1, 4, 1));
        let byte = if big { 0b1011_0101 } else { 0b1011_0110 };
        assert_eq!(flags.value(&[byte], big), Some(0b10110));
        assert_eq!(low.value(&[byte], big).map(u64::cast_signed), Some(-3));
        // Such a structure's offsets have all 32 bits.
        assert_eq!(types.member("old", "wide").map(|m| m.offset), Some(1 << 22));
    }
}

#[test]
fn sizes_and_enumerators() {
    for big in ORDERS {
        let types = types(&sample(big));
        let sizes = ["task", "task_t", "pid_t", "map", "state", "huge", "int", "double"];
        assert_eq!(sizes.map(|name| types.size_of(name)), [96, 96, 4, 16, 4, 8, 4, 8].map(Some),);
        for missing in ["declared", "main", "init_task", ".data", "mark", "user", "", "nothing"] {
            assert_eq!(types.size_of(missing), None, "{missing}");
        }
        let values = ["EMBRYO", "ZOMBIE", "GONE", "LARGE", "HUGE", "MINUS", "state"];
        assert_eq!(
            values.map(|name| types.enumerator(name)),
            [Some(0), Some(5), Some(-1), Some(0x8000_0000), Some(1 << 40), Some(-2), None],
        );
    }
}

/// As pahole wrote them before 1.24.
#[test]
fn old_enums_have_the_sign_that_their_values_need() {
    for big in ORDERS {
        let mut b = Builder::new(big);
        let signed = b.enumeration("signed", 6, 4, &[("NONE", 0xffff_ffff), ("ONE", 1)]);
        let plain = b.enumeration("plain", 6, 4, &[("TWO", 2)]);
        b.composite("s", 4, 8, &[("signed", signed, 0), ("plain", plain, 32)]);
        let types = types(&b);
        assert_eq!(["NONE", "ONE", "TWO"].map(|name| types.enumerator(name)), [Some(-1), Some(1), Some(2)]);
        assert_eq!(["signed", "plain"].map(|name| types.member("s", name).unwrap().signed), [true, false]);
    }
}

#[test]
fn a_pointer_is_as_long_as_a_long() {
    for (name, size, expected) in [
        ("long int", 4, Some(4)),
        ("long unsigned int", 8, Some(8)),
        ("unsigned long", 4, Some(4)),
        ("int", 4, None),
    ] {
        let mut b = Builder::new(false);
        let int = b.int(name, size, 1, 0, size * 8);
        let ptr = b.ty("", 2, 0, int);
        b.composite("s", 4, size, &[("p", ptr, 0)]);
        assert_eq!(types(&b).member("s", "p").map(|member| member.size), expected, "{name}");
    }
}

#[test]
fn a_module_continues_its_kernel() {
    for big in ORDERS {
        let base = sample(big);
        let mut b = base.module();
        let task = base.last - 1;
        let inode = b.composite("inode", 4, 104, &[("owner", task, 0), ("pid", 7, 768)]);
        b.ty("inode_t", 8, 0, inode);
        // A name of the kernel's, by its offset there.
        b.words(&[1, 8 << 24, inode]);
        b.enumeration("", 6, 4, &[("MODULE", 0x9000_0000)]);
        let kernel = types(&base);
        let module = kernel.of_module(b.build()).unwrap();
        assert_eq!(module.size_of("inode_t"), Some(104));
        assert_eq!(module.member("inode", "owner.map.users"), scalar(80, 4, true));
        assert_eq!(module.member("inode", "pid"), scalar(96, 4, true));
        assert_eq!(module.size_of("long int"), Some(104), "the module's own comes first");
        assert_eq!(module.member("task", "state"), kernel.member("task", "state"));
        assert_eq!(["MODULE", "ZOMBIE"].map(|name| module.enumerator(name)), [Some(0x9000_0000), Some(5)]);
        assert_eq!((kernel.size_of("inode"), kernel.size_of("long int")), (None, Some(8)));

        let stranger = Builder::new(!big).build();
        assert!(kernel.of_module(stranger).is_err(), "in the other byte order");
        let error = Types::default().of_module(b.build()).err().unwrap().to_string();
        assert_eq!(error, "a module's BTF is of no use without the kernel's");
    }
}

#[test]
fn types_of_unknown_kinds_are_passed_over_where_their_length_is_told() {
    for big in ORDERS {
        let mut b = Builder::new(big);
        b.int("int", 4, 1, 0, 32);
        b.ty("new", 20, 2, 0);
        b.words(&[1, 2, 3, 4, 5]);
        b.int("char", 1, 1, 0, 8);
        let cut = types(&b);
        assert_eq!(["int", "char"].map(|name| cut.size_of(name)), [Some(4), None]);
        b.layout(20, 4, 8);
        let told = types(&b);
        assert_eq!(["int", "char"].map(|name| told.size_of(name)), [Some(4), Some(1)]);
        // A module has no layouts of its own.
        let mut module = b.module();
        module.ty("new", 20, 1, 0);
        module.words(&[1, 2, 3]);
        module.int("short", 2, 1, 0, 16);
        assert_eq!(told.of_module(module.build()).unwrap().size_of("short"), Some(2));
    }
}

/// Other sources are asked for what lies behind a type that is not known, and only then.
#[test]
fn whole_btf_has_the_last_word() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let other = || {
        ASKED.fetch_add(1, Ordering::Relaxed);
        let mut b = Builder::new(false);
        b.int("char", 1, 1, 0, 8);
        Some(b.build())
    };
    let mut b = Builder::new(false);
    b.int("int", 4, 1, 0, 32);
    let whole = types(&b).with_btf(other);
    assert_eq!(["int", "char"].map(|name| whole.size_of(name)), [Some(4), None]);
    assert_eq!(ASKED.load(Ordering::Relaxed), 0);
    b.ty("new", 21, 0, 0);
    let cut = types(&b).with_btf(other);
    assert_eq!(cut.size_of("int"), Some(4));
    assert_eq!(ASKED.load(Ordering::Relaxed), 0);
    assert_eq!(["char", "short"].map(|name| cut.size_of(name)), [Some(1), None]);
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    for useless in [None, Some(vec![0; 64])] {
        let types = Types::default().with_btf(move || useless);
        assert_eq!((types.source(), types.size_of("int")), ("none", None));
    }
}

#[test]
fn renamed_members_are_found_by_either_name() {
    let types = types(&sample(false));
    assert_eq!(types.first_of("task", &["__state", "state"]).ok(), types.member("task", "state"));
    assert_eq!(types.first_of("task", &["pid", "state"]).ok(), types.member("task", "pid"));
    let error = types.first_of("task", &["tid", "lwp"]).unwrap_err().to_string();
    assert_eq!(error, "task.tid or lwp is needed, and the kernel's BTF has no such member");
}

#[test]
fn cycles_end() {
    for big in ORDERS {
        let mut b = Builder::new(big);
        b.ty("a", 8, 0, 2);
        b.ty("b", 10, 0, 1);
        b.composite("self", 4, 8, &[("", 3, 0), ("", 3, 0)]);
        b.ty("array", 8, 0, 5);
        b.array(5, 1);
        b.ty("missing", 8, 0, 99);
        b.ty("void", 8, 0, 0);
        b.ty("last", 8, 0, u32::MAX);
        let types = types(&b);
        for name in ["a", "b", "array", "missing", "void", "last"] {
            assert_eq!(types.size_of(name), None, "{name}");
            assert_eq!(types.member(name, "x"), None, "{name}");
        }
        assert_eq!(types.member("self", "x"), None);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for big in ORDERS {
        let bytes = sample(big).build();
        assert!((0..bytes.len()).all(|len| parse(bytes[..len].to_vec()).is_err()), "a shorter one");
        let mut longer = bytes.clone();
        longer.extend([0; 100]);
        assert!(parse(longer).is_ok(), "pages are filled up");
        for (at, byte) in [(0, 0), (1, 0), (2, 2), (3, 1)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert!(parse(other).is_err(), "byte {at}");
        }
        let b = Builder::new(big);
        for (len, parts) in [
            (23, [0; 6]),
            (u32::MAX, [0; 6]),
            (24, [0, u32::MAX, 0, 0, 0, 0]),
            (24, [u32::MAX, u32::MAX, 0, 0, 0, 0]),
            (24, [0, 0, u32::MAX, 1, 0, 0]),
            (32, [0, 0, 0, 0, u32::MAX, u32::MAX]),
        ] {
            assert!(parse(b.header(len, &parts)).is_err(), "{len} {parts:?}");
        }
        assert!(parse(b.header(24, &[0; 4])).is_ok(), "nothing in it");
        let mut large = b.header(24, &[0, 0, 0, SIZE_LIMIT as u32]);
        large.resize(24 + SIZE_LIMIT as usize, 0);
        assert!(parse(large).is_err(), "larger than any");
    }
}

#[test]
fn what_is_absurd_ends_the_types_there() {
    for big in ORDERS {
        for kind in [0, 4, 5, 6, 13, 15, 19, 127] {
            let mut b = Builder::new(big);
            b.int("int", 4, 1, 0, 32);
            b.ty("absurd", kind, 0xff_ffff, 8);
            b.int("char", 1, 1, 0, 8);
            let types = types(&b);
            assert_eq!(["int", "absurd", "char"].map(|name| types.size_of(name)), [Some(4), None, None]);
        }
        let mut many = Builder::new(big);
        let int = many.int("int", 4, 1, 0, 32);
        many.composite("many", 4, 8, &vec![("x", int, 0); MEMBER_LIMIT + 1]);
        assert_eq!(types(&many).member("many", "x"), None);
        let mut unnamed = Builder::new(big);
        let int = unnamed.int("int", 4, 1, 0, 32);
        unnamed.words(&[0x7fff_ffff, 4 << 24 | 1, 4]);
        unnamed.words(&[u32::MAX, int, 0]);
        assert_eq!(types(&unnamed).size_of("int"), Some(4));
    }
}

#[test]
fn names_end() {
    for big in ORDERS {
        let mut b = Builder::new(big);
        let names = ["long".repeat(127), "long".repeat(128)];
        for name in &names {
            b.int(name, 4, 1, 0, 32);
        }
        let types = types(&b);
        assert_eq!(names.each_ref().map(|name| types.size_of(name)), [Some(4), None]);
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
    for big in ORDERS {
        let sound = sample(big).layout(20, 4, 4).build();
        for _ in 0..2000 {
            let mut bytes = sound.clone();
            for _ in 0..4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            let Ok(types) = parse_all(bytes.clone()) else { continue };
            for path in ["next", "b", "flags", "grid", "map.users", "none"] {
                let _ = types.member("task", path);
            }
            let _ = (types.size_of("task_t"), types.enumerator("GONE"));
            let _ = types.of_module(bytes).map(|module| module.member("task", "pid"));
        }
    }
}

/// pahole, which makes the kernel's BTF as well, and the compiler are the oracles.
#[test]
fn it_says_what_the_compiler_says() {
    let dir = tempfile::tempdir().unwrap();
    let Some(plain) = compiled::kernel(dir.path(), &["-g"]) else { return };
    let path = plain.source().path();
    match Command::new("pahole").args(["-J", "--btf_gen_floats"]).arg(path).status() {
        Ok(status) => assert!(status.success()),
        Err(_) => return eprintln!("skipped: no pahole"),
    }
    let file = KernelFile::open(Arc::new(Store::open(path).unwrap())).unwrap();
    let types = Types::of(Arc::new(file));
    assert_eq!(types.source(), "BTF");
    compiled::check(&plain, &types);
}

/// Structures of which a kernel has one each.
#[rustfmt::skip]
pub(crate) const STRUCTURES: [&str; 53] = [
    "task_struct", "mm_struct", "module", "signal_struct", "sighand_struct", "files_struct",
    "fs_struct", "thread_struct", "thread_info", "rq", "cfs_rq", "sched_entity", "pt_regs", "dentry",
    "inode", "super_block", "file", "vfsmount", "path", "page", "zone", "pglist_data", "cred", "pid",
    "pid_namespace", "nsproxy", "vm_area_struct", "kobject", "kset", "device", "device_driver",
    "bus_type", "gendisk", "request_queue", "bio", "net", "net_device", "sk_buff", "sock", "socket",
    "inet_sock", "tcp_sock", "list_head", "hlist_node", "rb_node", "mutex", "rw_semaphore",
    "work_struct", "workqueue_struct", "timer_list", "hrtimer", "irq_desc", "cpumask",
];

/// Kernels that `scripts/make-images --debug` fetched.
#[test]
fn real_kernels_say_the_same_in_dwarf() {
    for path in compiled::real_kernels() {
        eprintln!("{}", path.display());
        let file = Arc::new(KernelFile::open(Arc::new(Store::open(&path).unwrap())).unwrap());
        let dwarf = Types::of_graph("DWARF", Arc::from(dwarf::open(&file).unwrap().unwrap()));
        let btf = Btf::parse(file.section(SECTION).unwrap(), None).unwrap();
        assert!(btf.whole);
        let members = |name| match btf.shape(btf.named(name).unwrap()) {
            Some(Shape::Composite { fields, .. }) => fields.iter().map(|field| field.name.to_vec()).collect(),
            other => panic!("{name}: {other:?}"),
        };
        let members: Vec<Vec<Vec<u8>>> = STRUCTURES.into_iter().map(members).collect();
        let types = Types::of(Arc::clone(&file));
        assert_eq!(types.source(), NAME);
        for (name, members) in STRUCTURES.iter().zip(members) {
            assert_eq!(types.size_of(name), dwarf.size_of(name), "{name}");
            for path in members.iter().map(|path| std::str::from_utf8(path).unwrap()) {
                assert_eq!(types.member(name, path), dwarf.member(name, path), "{name}.{path}");
            }
        }
    }
}
