//! Processes, and what belongs to them.

use super::Kvm;
use crate::image::live::own::Told;
use crate::kernel::kinfo::{KinfoProc, Op};
use crate::kernel::state::OpenFile;
use crate::kernel::{Kernel, Listing, Process};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;

impl Kvm {
    /// kvm_getprocs(3): `op` is one of [`Op`], with [`Op::INC_THREAD`] for a row per thread.
    ///
    /// # Errors
    /// No process list in the image, or a selection by what the image cannot tell.
    pub fn getprocs(&self, op: i32, arg: u32) -> Result<Listing<KinfoProc>> {
        self.noted(self.select_procs(op, arg))
    }

    fn select_procs(&self, op: i32, arg: u32) -> Result<Listing<KinfoProc>> {
        let (op, threads) =
            Op::parse(op).ok_or_else(|| Error::Usage(format!("bad getprocs operation {op:#x}")))?;
        self.rows(op, arg, threads || op == Op::All)
    }

    fn rows(&self, op: Op, arg: u32, threads: bool) -> Result<Listing<KinfoProc>> {
        self.own_or(|own| own.getprocs(op, arg, threads), || self.rows_in_memory(op, arg, threads))
    }

    fn rows_in_memory(&self, op: Op, arg: u32, threads: bool) -> Result<Listing<KinfoProc>> {
        let mut rows = self.list(|kernel, mem| kernel.getprocs(mem, threads))?;
        let selected: Option<Vec<bool>> = rows.items.iter().map(|row| row.selected(op, arg)).collect();
        let selected = selected.ok_or_else(|| {
            Error::Unsupported(format!(
                "cannot select by {op:?}: the kernel file has no type information (CTF or DWARF) that tells it"
            ))
        })?;
        let mut selected = selected.into_iter();
        rows.items.retain(|_| selected.next().unwrap_or(false));
        Ok(rows)
    }

    /// kvm_getargv(3): the arguments of a process, at most `nchr` bytes of them (0: all). Unlike libkvm we have them of
    /// a dump where the kernel keeps a copy, which it does of short ones, or where the process's memory is in the image.
    /// Where some of that is missing, these are the arguments before it; of the system that we run on, what it tells itself.
    ///
    /// # Errors
    /// "cannot read user space from dead kernel", and why; or what type information is missing.
    pub fn getargv(&self, proc: &KinfoProc, nchr: usize) -> Result<Listing<String>> {
        self.own_or(
            |own| listing(own.args(proc, nchr)),
            || self.ask(|kernel, mem| kernel.args(mem, proc.paddr, nchr)),
        )
    }

    /// kvm_getenvv(3): the environment of a process, at most `nchr` bytes of it (0: all).
    ///
    /// # Errors
    /// Those of [`Self::getargv`]. The kernel keeps no copy, so minidumps rarely have it.
    pub fn getenvv(&self, proc: &KinfoProc, nchr: usize) -> Result<Listing<String>> {
        self.own_or(
            |own| listing(own.env(proc, nchr)),
            || self.ask(|kernel, mem| kernel.env(mem, proc.paddr, nchr)),
        )
    }

    /// kvm_getfiles(3): the files that processes have open; of one process where `pid` is given.
    ///
    /// # Errors
    /// No such process, no process list, or what type information is missing.
    pub fn getfiles(&self, pid: Option<u32>) -> Result<Listing<OpenFile>> {
        self.own_or(|own| own.files(pid), || self.list(|kernel, mem| files_in_memory(kernel, mem, pid)))
    }

    /// The files that some processes have open, one process after the other.
    ///
    /// # Errors
    /// What type information is missing.
    pub fn files_of(&self, mut owners: impl Iterator<Item = Process>) -> Result<Listing<OpenFile>> {
        self.noted(self.ask(|kernel, mem| kernel.files(mem, &mut owners)))
    }

    /// The row of a process.
    ///
    /// # Errors
    /// No such process, or no process list.
    pub fn proc(&self, pid: u32) -> Result<KinfoProc> {
        let rows = self.rows(Op::Pid, pid, false)?.items;
        rows.into_iter().next().ok_or_else(|| no_process(pid))
    }

    /// The address of a process's structure.
    pub(super) fn process(&self, pid: u32) -> Result<Va> {
        let found = self.processes()?.items.into_iter().find(|process| process.pid == pid);
        found.map(|process| process.va).ok_or_else(|| no_process(pid))
    }
}

fn listing<T>(told: Told<Vec<T>>) -> Told<Listing<T>> {
    told.map(|told| told.map(Listing::from))
}

fn files_in_memory(kernel: &dyn Kernel, mem: &Space, pid: Option<u32>) -> Result<Listing<OpenFile>> {
    let mut owners = kernel.processes(mem)?;
    owners.items.retain(|process| pid.is_none_or(|pid| process.pid == pid));
    if let (Some(pid), true) = (pid, owners.items.is_empty()) {
        return Err(no_process(pid));
    }
    let mut files = kernel.files(mem, &mut owners.items.into_iter())?;
    files.problems.extend(owners.problems);
    Ok(files)
}

pub(crate) fn no_process(pid: u32) -> Error {
    Error::Usage(format!("no process has the number {pid}"))
}
