//! Where FreeBSD keeps what.

use crate::space::Space;
use crate::symbols::Symbols;
use crate::{Error, Result};

/// Offsets in bytes into `struct proc` and `struct thread`, and the size of `struct pcb`.
///
/// Kernels since 11 export them for debuggers as variables (`proc_off_p_pid`, `thread_off_td_tid`, `pcb_size`); type
/// information gives the rest.
#[derive(Debug)]
pub(super) struct Offsets {
    pub(super) p_list: u64,
    pub(super) p_threads: u64,
    pub(super) p_pid: u64,
    pub(super) p_comm: u64,
    /// Exported since 13; the list of a bucket of `pidhashtbl`.
    pub(super) p_hash: Option<u64>,
    pub(super) td_plist: u64,
    pub(super) td_tid: u64,
    pub(super) td_name: u64,
    pub(super) td_oncpu: u64,
    pub(super) td_pcb: u64,
    pub(super) pcb_size: u64,
}

impl Offsets {
    pub(super) fn find(symbols: &Symbols, mem: &Space) -> Result<Self> {
        let proc = |member| offset(symbols, mem, "proc", member);
        let thread = |member| offset(symbols, mem, "thread", member);
        let pcb_size = variable(symbols, mem, "pcb_size").or_else(|| symbols.types().size_of("pcb"));
        Ok(Self {
            p_list: proc("p_list")?,
            p_threads: proc("p_threads")?,
            p_pid: proc("p_pid")?,
            p_comm: proc("p_comm")?,
            p_hash: proc("p_hash").ok(),
            td_plist: thread("td_plist")?,
            td_tid: thread("td_tid")?,
            td_name: thread("td_name")?,
            td_oncpu: thread("td_oncpu")?,
            td_pcb: thread("td_pcb")?,
            pcb_size: pcb_size.ok_or_else(|| missing("pcb_size", "the size of struct pcb"))?,
        })
    }
}

fn offset(symbols: &Symbols, mem: &Space, structure: &str, member: &str) -> Result<u64> {
    exported(symbols, mem, &format!("{structure}_off_{member}"), structure, member)
}

/// A member's offset by the variable that exports it, or else by the types.
pub(super) fn exported(
    symbols: &Symbols,
    mem: &Space,
    exported: &str,
    structure: &str,
    member: &str,
) -> Result<u64> {
    let typed = || symbols.types().member(structure, member).map(|member| member.offset);
    let found = variable(symbols, mem, exported).or_else(typed);
    found.ok_or_else(|| missing(exported, &format!("{structure}.{member}")))
}

fn missing(symbol: &str, what: &str) -> Error {
    Error::Unsupported(format!(
        "cannot find {what}: the kernel exports no {symbol} that the image holds, and the kernel file has no type \
         information (CTF or DWARF) about it"
    ))
}

/// An exported `int`: from the image or, where the image lacks the page, from the kernel file. The variables are
/// constants, so both say the same. A value that no structure has is not believed.
fn variable(symbols: &Symbols, mem: &Space, name: &str) -> Option<u64> {
    let va = symbols.address(name)?;
    let in_file = || {
        let bytes = symbols.file()?.contents(va, 4)?;
        Some(mem.machine.uint(&bytes))
    };
    let value = mem.uint(va, 4).ok().or_else(in_file)?;
    (value < 1 << 20).then_some(value)
}
