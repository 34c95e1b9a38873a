//! Which machine was dumped, and in which pages it counts.

use super::header::{Header, SubHeader};
use super::{File, TEXT_LIMIT};
use crate::image::Source;
use kgdbserver_arch::{Arch, Machine, uint};

/// ELF's numbers of machines.
const I386: u16 = 3;
const MIPS: u16 = 8;
const PPC: u16 = 20;
const PPC64: u16 = 21;
const S390: u16 = 22;
const ARM: u16 = 40;
const X86_64: u16 = 62;
const AARCH64: u16 = 183;
const RISCV: u16 = 243;
const LOONGARCH: u16 = 258;

/// Bytes of a CPU's note of registers; where they are the same, the byte order.
static PRSTATUS: &[(u64, Option<bool>, u16)] = &[
    (336, Some(false), X86_64),
    (336, Some(true), S390),
    (392, None, AARCH64),
    (504, None, PPC64),
    (376, None, RISCV),
    (480, None, LOONGARCH),
    (144, None, I386),
    (148, None, ARM),
    (268, None, PPC),
];

/// What uname(2) calls a machine, up to the digits and letters that vary, with a `long` of 64 and of 32 bits.
static NAMES: &[(&str, u16, u16)] = &[
    ("x86_64", X86_64, I386),
    ("i386", X86_64, I386),
    ("i486", X86_64, I386),
    ("i586", X86_64, I386),
    ("i686", X86_64, I386),
    ("aarch64", AARCH64, ARM),
    ("arm", AARCH64, ARM),
    ("ppc", PPC64, PPC),
    ("riscv", RISCV, RISCV),
    ("s390", S390, S390),
    ("loongarch", LOONGARCH, LOONGARCH),
    ("mips", MIPS, MIPS),
];

/// The machine. Its notes know better than its name: QEMU calls most machines `Unknown`, and names itself where it is
/// x86_64 and runs a kernel of 32 bits. None where neither tells of one that this build knows.
pub(super) fn machine(File { source, header, sub }: &File) -> Option<Machine> {
    let number = by_notes(&**source, header, sub).or_else(|| by_name(header))?;
    let arch: &Arch = kgdbserver_arch::ALL.iter().find(|arch| arch.elf_machine == number)?;
    Some(Machine { arch, big_endian: header.big_endian, ptr_bytes: arch.ptr_bytes() })
}

/// By the first note, which is a CPU's registers: three numbers (bytes of the name, bytes of the contents, 1), and `CORE`.
fn by_notes(source: &dyn Source, header: &Header, sub: &SubHeader) -> Option<u16> {
    let note = source.bytes(sub.notes.clone()?.start, 16).ok()?;
    let (numbers, name) = note.split_at_checked(12)?;
    let mut numbers = numbers.chunks(4).map(|number| uint(number, header.big_endian));
    let (_, size, kind) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let is = |order: &Option<bool>| order.is_none_or(|big_endian| big_endian == header.big_endian);
    let row = PRSTATUS.iter().find(|(bytes, order, _)| *bytes == size && is(order));
    row.filter(|_| kind == 1 && name == b"CORE").map(|(.., number)| *number)
}

fn by_name(header: &Header) -> Option<u16> {
    let name = header.uts.machine.to_ascii_lowercase(); // QEMU writes S390X
    let (_, wide, narrow) = NAMES.iter().find(|(prefix, ..)| name.starts_with(prefix))?;
    Some(if header.long == 8 { *wide } else { *narrow })
}

/// The page of the bitmaps' first bit: on 32-bit ARM makedumpfile counts from where memory begins, and QEMU from 0 as
/// everywhere else.
pub(super) fn first_page(header: &Header, sub: &SubHeader, machine: Option<Machine>) -> u64 {
    let is_arm = machine.is_some_and(|machine| machine.arch.elf_machine == ARM);
    if is_arm && !is_of_qemu(header) { sub.phys_base >> header.page_shift } else { 0 }
}

/// log2 of the machine's page size. QEMU dumps arm64 and powerpc64 in blocks of their largest page, whatever the kernel
/// uses. That may tell its own; if not, each page that there may be counts.
pub(super) fn page_shift(File { source, header, sub }: &File) -> u8 {
    const SMALLEST: u64 = 4096;
    let told = || {
        let range = sub.vmcoreinfo.clone()?;
        let text = source.bytes(range.start, (range.end - range.start).min(TEXT_LIMIT)).ok()?;
        let text = crate::kernel::text(&text);
        text.lines().find_map(|line| line.strip_prefix("PAGESIZE="))?.trim().parse().ok()
    };
    let block = 1 << header.page_shift;
    let size = told().filter(|size: &u64| size.is_power_of_two() && (SMALLEST..=block).contains(size));
    size.unwrap_or(if is_of_qemu(header) { SMALLEST } else { block }).trailing_zeros() as u8
}

/// QEMU does not know what the kernel calls itself.
fn is_of_qemu(header: &Header) -> bool {
    header.uts.sysname.is_empty()
}
