//! The memory of processes, on machines whose page tables differ.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod synth;

use kgdbserver::Kvm;
use kgdbserver::kernel::kinfo::Op;
use kgdbserver::kvm::Options;
use synth::Compiled;
use synth::machine::{self, Machine};

/// A kernel's tables for its one process.
struct Case {
    machine: &'static Machine,
    /// The members of `struct pmap`, and the one that leads to the tables.
    pmap: &'static str,
    root: &'static str,
    /// The process's page.
    user: u64,
    /// log2 of what an entry of each table maps, the top one first.
    shifts: &'static [u32],
    /// Entries for a table and for a page, by their physical addresses.
    table: fn(u64) -> Vec<u8>,
    page: fn(u64) -> Vec<u8>,
}

const RUN_TIME_PAE: &str = "u32 *pm_pdir_nopae; void *pm_pdir_pae, *pm_pdpt_pae;";
const ARM64: &str = "void *pm_l0;";

const CASES: &[Case] = &[
    Case {
        machine: &machine::I386,
        pmap: RUN_TIME_PAE,
        root: "pm_pdir_nopae",
        user: 0xbfbf_e000,
        shifts: &[22, 12],
        table: |pa| bytes32(pa | 7),
        page: |pa| bytes32(pa | 7),
    },
    Case {
        machine: &machine::I386_PAE,
        pmap: RUN_TIME_PAE,
        root: "pm_pdpt_pae",
        user: 0xffbf_e000,
        shifts: &[30, 21, 12],
        table: |pa| bytes64(pa | 1),
        page: |pa| bytes64(pa | 7 | 1 << 63),
    },
    Case {
        machine: &machine::I386,
        pmap: "u32 *pm_pdir;",
        root: "pm_pdir",
        user: 0x0804_8000,
        shifts: &[22, 12],
        table: |pa| bytes32(pa | 7),
        page: |pa| bytes32(pa | 7),
    },
    Case {
        machine: &machine::I386_PAE,
        pmap: "void *pm_pdir, *pm_pdpt;",
        root: "pm_pdpt",
        user: 0xbfbf_e000,
        shifts: &[30, 21, 12],
        table: |pa| bytes64(pa | 1),
        page: |pa| bytes64(pa | 7),
    },
    Case {
        machine: &machine::ARM,
        pmap: "void *pm_pt1, *pm_pt2tab;",
        root: "pm_pt1",
        user: 0xbfff_e000,
        shifts: &[20, 12],
        table: |pa| bytes32(pa | 1),
        page: |pa| bytes32(pa | 0x32),
    },
    Case {
        machine: &machine::ARM64,
        pmap: ARM64,
        root: "pm_l0",
        user: 0x7fff_ffff_e000,
        shifts: &[39, 30, 21, 12],
        table: |pa| bytes64(pa | 3),
        page: |pa| bytes64(pa | 0x743),
    },
    Case {
        machine: &machine::RISCV64,
        pmap: "void *pm_top;",
        root: "pm_top",
        user: 0x3f_ffff_e000,
        shifts: &[30, 21, 12],
        table: |pa| bytes64(pa >> 12 << 10 | 1),
        page: |pa| bytes64(pa >> 12 << 10 | 0xdf),
    },
    Case {
        machine: &machine::PPC64LE_RADIX,
        pmap: "union { struct { void *pm_slb; }; struct { void *pm_pml1; }; };",
        root: "pm_pml1",
        user: 0x000f_ffff_ffff_e000,
        shifts: &[39, 30, 21, 12],
        table: |pa| (1 << 63 | pa | 9).to_be_bytes().to_vec(),
        page: |pa| (3 << 62 | pa | 0x18f).to_be_bytes().to_vec(),
    },
];

fn bytes32(value: u64) -> Vec<u8> {
    u32::try_from(value).expect("32 bits").to_le_bytes().to_vec()
}

fn bytes64(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

impl Case {
    fn compiled(&self) -> Option<Compiled> {
        let defines = [
            format!("-DPMAP={}", self.pmap),
            format!("-DROOT={}", self.root),
            format!("-DUSER={:#x}UL", self.user),
        ];
        Compiled::on(self.machine, "process.c", &defines.each_ref().map(String::as_str))
    }

    /// Fills in the tables on the way to the process's page. Without `last` the lowest one stays empty.
    fn map(&self, built: &mut Compiled, last: bool) {
        const TABLE: u64 = 65536;
        let tables = built.physical("tables");
        let mut above = 64; // bits of the address that the tables above have used up
        for (number, shift) in (0..).zip(self.shifts) {
            let index = self.user >> shift & ((1 << (above - shift)) - 1);
            let entry = match *shift {
                12 if last => (self.page)(built.physical("user_stack")),
                12 => vec![0],
                _ => (self.table)(tables + (number + 1) * TABLE),
            };
            let width = if self.machine.word == 4 && self.shifts.len() == 2 { 4 } else { 8 };
            built.poke("tables", number * TABLE + index * width, &entry);
            above = *shift;
        }
    }
}

/// The arguments and the environment of the only process.
fn strings(built: &Compiled) -> (Result<Vec<String>, String>, Result<Vec<String>, String>) {
    let options = Options { kernel: Some(built.file("kernel")), ..Options::default() };
    let kvm = Kvm::open_with(&built.save(), options).expect("open");
    let rows = kvm.getprocs(Op::Proc as i32, 0).expect("getprocs");
    assert!(rows.problems.is_empty(), "{:?}", rows.problems);
    let rows = rows.items;
    let said = |error: kgdbserver::Error| error.to_string();
    let argv = kvm.getargv(&rows[0], 0).map(|list| list.items).map_err(said);
    (argv, kvm.getenvv(&rows[0], 0).map(|list| list.items).map_err(said))
}

#[test]
fn every_machines_tables_are_walked() {
    for case in CASES {
        let what = format!("{} by {}", case.machine.name, case.root);
        let Some(mut built) = case.compiled() else { return };
        case.map(&mut built, true);
        let (argv, env) = strings(&built);
        assert_eq!(argv, Ok(vec!["init".into(), "-x".into()]), "{what}");
        assert_eq!(env, Ok(vec!["A=b".into()]), "{what}");
    }
}

#[test]
fn a_page_that_is_not_mapped_is_an_error() {
    for case in CASES {
        let Some(mut built) = case.compiled() else { return };
        case.map(&mut built, false);
        let error = strings(&built).0.expect_err("not mapped");
        assert!(error.contains("page tables map nothing here"), "{}: {error}", case.machine.name);
    }
}

#[test]
fn tables_that_cannot_be_walked_say_why() {
    let hashed = Case { machine: &machine::PPC64LE, ..CASES[7] };
    let v4 = Case { machine: &machine::ARM_V4, pmap: "void *pm_l1;", root: "pm_l1", ..CASES[4] };
    for (case, why) in [
        (hashed, "the machine has a hashed page table, in which this build finds only the kernel's pages"),
        (v4, "the kernel's types know no top page table in struct pmap"),
    ] {
        let Some(built) = case.compiled() else { return };
        let (argv, env) = strings(&built);
        let expected = format!("cannot read user space from dead kernel: {why}");
        assert_eq!((argv, env), (Err(expected.clone()), Err(expected)), "{}", case.machine.name);
    }
}
