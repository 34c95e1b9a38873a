//! What gdbstub asks of a target: registers, memory, the list of threads.

use super::arch::{AnyArch, AnyRegisters};
use super::client::Client;
use super::pauth::Masks;
use super::spaces::Spaces;
use super::stats::Count;
use super::writes::Writes;
use super::{describe, errno, physical};
use crate::cells::Access;
use crate::image::Addr;
use crate::kernel::{Saved, Thread};
use crate::regions::View;
use crate::space::Space;
use crate::symbols::served::SymbolFile;
use crate::{Error, Kvm};
use gdbstub::common::Tid;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::MultiThreadBase;
use gdbstub::target::ext::exec_file::{ExecFile, ExecFileOps};
use gdbstub::target::ext::section_offsets::{Offsets, SectionOffsets, SectionOffsetsOps};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use kgdbserver_arch::{Pa, Registers, Va};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// A kernel image, as one debugger sees it.
pub(super) struct KernelTarget {
    pub(super) kvm: Arc<Kvm>,
    pub(super) client: Client,
    threads: Vec<Thread>,
    by_tid: HashMap<u64, usize>,
    /// The thread that the debugger has selected, as a position in the list; none if it selected one that is not there.
    pub(super) selected: Option<usize>,
    /// The number of the thread that the next step is asked of (`Hc`).
    pub(super) stepping: Option<u64>,
    spaces: Spaces,
    /// Addresses are physical ones.
    pub(super) physical: bool,
    /// Whether the image's file is; found out when it matters.
    cut_off: OnceCell<bool>,
    xml: String,
    /// Described at the session's start, so they stay what they were then.
    masks: Masks,
    pub(super) symbol_file: Arc<SymbolFile>,
    pub(super) writes: Writes,
    pub(super) count: Count,
}

impl KernelTarget {
    pub(super) fn new(kvm: Arc<Kvm>, symbol_file: Arc<SymbolFile>, writes: Writes) -> Self {
        let masks = Masks::of(&kvm);
        let xml = describe::target_xml(kvm.space().machine.arch, masks.registers());
        let (client, threads, by_tid) = (Client::default(), Vec::new(), HashMap::new());
        let mut target = Self {
            kvm: kvm.clone(),
            client,
            threads,
            by_tid,
            selected: None,
            stepping: None,
            spaces: Spaces::default(),
            physical: false,
            cut_off: OnceCell::new(),
            xml,
            masks,
            symbol_file,
            writes,
            count: Count::default(),
        };
        target.show(kvm);
        target
    }

    /// Shows another view of the same image.
    pub(super) fn show(&mut self, kvm: Arc<Kvm>) {
        self.threads = list_threads(&kvm);
        let positions = self.threads.iter().enumerate();
        self.by_tid = positions.map(|(position, thread)| (thread.tid, position)).collect();
        self.selected = Some(0);
        self.spaces = Spaces::default();
        self.kvm = kvm;
    }

    /// Looks at a running kernel anew: which threads and modules there are, and what runs.
    pub(super) fn look_anew(&mut self) {
        if self.kvm.is_live() {
            self.look_again();
            self.symbol_file = Arc::new(self.symbol_file.anew(self.kvm.clone()));
        }
    }

    /// Reads again what was found in memory, which has changed. The threads that were selected and chosen stay so, if
    /// they are still there.
    pub(super) fn look_again(&mut self) {
        let tid = |at: Option<usize>| at.and_then(|at| Some(self.threads.get(at)?.tid));
        let (selected, chosen) = (tid(self.selected), tid(self.spaces.chosen.get()));
        self.show(Arc::new(self.kvm.again()));
        let position = |tid: Option<u64>| tid.and_then(|tid| self.by_tid.get(&tid).copied());
        self.selected = position(selected);
        self.spaces.chosen.set(position(chosen));
    }

    /// All threads, the crashed one first; never empty.
    pub(super) fn threads(&self) -> &[Thread] {
        &self.threads
    }

    /// A thread and its position.
    pub(super) fn thread(&self, tid: u64) -> Option<(usize, &Thread)> {
        let position = *self.by_tid.get(&tid)?;
        Some((position, self.threads.get(position)?))
    }

    /// The thread that the debugger has selected, or else the first.
    pub(super) fn current(&self) -> Option<&Thread> {
        self.threads.get(self.selected.unwrap_or(0))
    }

    /// The thread that the user means by none, or else the first.
    pub(super) fn shown(&self) -> Option<&Thread> {
        self.threads.get(self.told().unwrap_or(0))
    }

    /// The position of the thread that the user has selected. lldb does not tell, so there it is the first: lldb names a
    /// thread whenever it reads registers, lldb 14 those of all threads as it connects.
    fn told(&self) -> Option<usize> {
        if self.client.lldb { Some(0) } else { self.selected }
    }

    /// Reads memory as this debugger sees it; short at what cannot be read.
    pub(super) fn read(&self, va: u64, buf: &mut [u8]) -> crate::Result<usize> {
        let read = match self.physical {
            true => physical::read(&self.kvm, va, buf),
            false => self.spaces.read(&self.kvm, self.whose(), va, buf),
        };
        self.count.read(&read);
        read
    }

    /// How many bytes from an address that cannot be read on need not be tried; at least 1.
    pub(super) fn gap(&self, va: u64) -> u64 {
        match self.physical {
            true => physical::gap(&self.kvm, va),
            false => self.spaces.gap(&self.kvm, self.whose(), va),
        }
    }

    /// The thread's address space that an address means; none if it means the kernel's, or nothing.
    pub(super) fn own_space(&self, va: Va) -> Option<(&Thread, Arc<Space>)> {
        let thread = self.whose()?;
        let kernels = matches!(self.kvm.space().cell(va).access, Access::Mapped(_));
        self.spaces.beside(&self.kvm, Some(thread), va).filter(|_| !kernels).map(|space| (thread, space))
    }

    /// Asks what addresses mean to this debugger.
    pub(super) fn view<T>(&self, ask: impl FnOnce(&View<'_>) -> T) -> T {
        let thread = self.whose();
        let own = thread.and_then(|thread| Some((thread, self.spaces.of(&self.kvm, thread)?)));
        let process = own
            .as_ref()
            .map(|(thread, space)| (&**space, format!("memory of {} (pid {})", thread.comm, thread.pid)));
        ask(&View { kernel: self.kvm.space(), process, areas: self.spaces.areas(&self.kvm) })
    }

    /// Writes memory as this debugger sees it; short at what cannot be written.
    pub(super) fn write(&self, va: u64, data: &[u8]) -> crate::Result<usize> {
        self.writes.changed.set(true);
        match self.physical {
            true => physical::write(&self.kvm, va, data, &self.writes.who),
            false => self.spaces.write(&self.kvm, self.whose(), va, data, &self.writes.who),
        }
    }

    /// Whether what maps an address of the kernel's may be missing. lldb goes no further from a function in memory that is not
    /// executable, which nobody can say then.
    pub(super) fn may_lack(&self, va: Va) -> bool {
        let of_kernel = self.kvm.space().regions().iter().any(|region| region.contains(va));
        of_kernel && *self.cut_off.get_or_init(|| self.kvm.census().cut_off > 0)
    }

    /// Where an address lies in the image.
    pub(super) fn place(&self, va: u64) -> Option<Addr> {
        match self.physical {
            true => Some(Addr::Phys(Pa(va))),
            false => self.spaces.place(&self.kvm, self.whose(), va),
        }
    }

    /// The thread whose process's memory user addresses mean.
    fn whose(&self) -> Option<&Thread> {
        self.threads.get(self.spaces.chosen.get().or(self.told())?)
    }

    /// From now on user addresses mean the memory of one process, by its number or by that of a thread; without a number,
    /// as the debugger selects.
    pub(super) fn choose(&self, number: Option<u64>) -> Result<&Thread, String> {
        let Some(number) = number else {
            self.spaces.chosen.set(None);
            return self.whose().ok_or_else(|| "no thread is selected".into());
        };
        let of_process = || {
            let position = self.threads.iter().position(|thread| u64::from(thread.pid) == number)?;
            Some((position, self.threads.get(position)?))
        };
        let found = of_process().or_else(|| self.thread(number));
        let (position, thread) = found.ok_or_else(|| format!("{number}: no such process or thread"))?;
        self.kvm.thread_space(thread).map_err(|error| error.to_string())?;
        self.spaces.chosen.set(Some(position));
        Ok(thread)
    }

    /// A thread's registers. A save area that cannot be read leaves them all unavailable.
    pub(super) fn registers(&self, thread: &Thread) -> Registers {
        let unknown = |error: Error| {
            log::debug!("registers of thread {}: {error}", thread.tid);
            Registers::unknown(self.kvm.space().machine)
        };
        self.kvm.registers(thread).unwrap_or_else(unknown)
    }

    /// A thread's registers as the packet `g` has them.
    pub(super) fn all_registers(&self, registers: &Registers) -> Vec<Option<u8>> {
        let masks = self.masks.bytes().iter().copied().map(Some);
        registers.bytes().iter().copied().chain(masks).collect()
    }

    /// The bytes of one register; none if it is unavailable.
    pub(super) fn register(&self, thread: &Thread, number: usize) -> Option<Vec<u8>> {
        match number.checked_sub(self.kvm.space().machine.arch.regs.len()) {
            None => self.registers(thread).raw(number),
            Some(mask) => self.masks.get(mask).map(<[u8]>::to_vec),
        }
    }

    fn by_gdbstub_tid(&self, tid: Tid) -> Result<&Thread, TargetError<Error>> {
        let thread = self.thread(tid.get() as u64).map(|(_, thread)| thread);
        thread.ok_or(TargetError::Errno(errno::NO_THREAD))
    }
}

/// The kernel's threads. A debugger wants at least one: where none can be found, one that stands for the image.
fn list_threads(kvm: &Kvm) -> Vec<Thread> {
    let why = match kvm.threads() {
        Ok(list) => {
            list.problems.iter().for_each(|problem| log::warn!("{problem}"));
            if !list.items.is_empty() {
                return list.items;
            }
            "the kernel's list of processes is empty or cannot be read".to_owned()
        }
        Err(error) => error.to_string(),
    };
    log::info!("no threads: {why}");
    vec![Thread {
        va: Va(0),
        tid: 1,
        pid: 0,
        comm: "image".into(),
        name: "image (threads not found)".into(),
        state: None,
        wait: None,
        on_cpu: None,
        crashed: false,
        saved: Saved::Nowhere("threads were not found"),
    }]
}

impl Target for KernelTarget {
    type Arch = AnyArch;
    type Error = Error;

    fn base_ops(&mut self) -> BaseOps<'_, AnyArch, Error> {
        BaseOps::MultiThread(self)
    }

    // Breakpoints never reach gdbstub (see `resume`), but it refuses to start without this.
    fn guard_rail_implicit_sw_breakpoints(&self) -> bool {
        true
    }

    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }

    fn support_section_offsets(&mut self) -> Option<SectionOffsetsOps<'_, Self>> {
        Some(self)
    }

    fn support_exec_file(&mut self) -> Option<ExecFileOps<'_, Self>> {
        if self.symbol_file.is_possible() { Some(self) } else { None }
    }
}

impl MultiThreadBase for KernelTarget {
    fn read_registers(&mut self, registers: &mut AnyRegisters, tid: Tid) -> TargetResult<(), Self> {
        let read = self.registers(self.by_gdbstub_tid(tid)?);
        *registers = AnyRegisters { pc: read.pc().unwrap_or(0), bytes: self.all_registers(&read) };
        Ok(())
    }

    fn write_registers(&mut self, _: &AnyRegisters, _: Tid) -> TargetResult<(), Self> {
        Err(TargetError::Errno(errno::READ_ONLY))
    }

    fn read_addrs(&mut self, va: u64, buf: &mut [u8], _: Tid) -> TargetResult<usize, Self> {
        self.read(va, buf).map_err(|_| TargetError::Errno(errno::FAULT))
    }

    fn write_addrs(&mut self, _: u64, _: &[u8], _: Tid) -> TargetResult<(), Self> {
        Err(TargetError::Errno(errno::READ_ONLY))
    }

    fn list_active_threads(&mut self, each: &mut dyn FnMut(Tid)) -> Result<(), Error> {
        let tids = self.threads.iter().filter_map(|thread| Tid::new(usize::try_from(thread.tid).ok()?));
        tids.for_each(each);
        Ok(())
    }

    fn is_thread_alive(&mut self, tid: Tid) -> Result<bool, Error> {
        Ok(self.by_tid.contains_key(&(tid.get() as u64)))
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for KernelTarget {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Error> {
        let text = self.thread(tid.get() as u64).map(|(_, thread)| super::threads::extra_info(thread));
        Ok(copy(text.unwrap_or_default().as_bytes(), 0, buf.len(), buf))
    }
}

impl TargetDescriptionXmlOverride for KernelTarget {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::Errno(errno::NO_ENTRY));
        }
        Ok(copy(self.xml.as_bytes(), offset, length, buf))
    }
}

impl SectionOffsets for KernelTarget {
    // Most kernels run at the addresses that they were linked for. The answer must still be given: without it lldb leaves
    // a kernel of an operating system that it knows unloaded.
    fn get_section_offsets(&mut self) -> Result<Offsets<u64>, Error> {
        let moved = self.kvm.image().kerndisp;
        Ok(Offsets::Sections { text: moved, data: moved, bss: Some(moved) })
    }
}

impl ExecFile for KernelTarget {
    fn get_exec_file(
        &self,
        _: Option<gdbstub::common::Pid>,
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let path = self.symbol_file.path().ok_or(TargetError::Errno(errno::NO_ENTRY))?;
        Ok(copy(path.as_os_str().as_bytes(), offset, length, buf))
    }
}

/// The part of `data` from `offset` on that fits into `length` bytes and into `buf`.
fn copy(data: &[u8], offset: u64, length: usize, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)).unwrap_or_default();
    let wanted = rest.len().min(length).min(buf.len());
    if let (Some(to), Some(from)) = (buf.get_mut(..wanted), rest.get(..wanted)) {
        to.copy_from_slice(from);
    }
    wanted
}
