//! kvm(3), portable: the same answers from every image, on any host.
//!
//! The functions are libkvm's, in libkvm's words, with two differences: a read returns the readable prefix instead of
//! nothing ([`Kvm::set_strict`] gives libkvm's way), and one process that cannot be read loses that process, not the
//! list. All state is the handle's.

mod areas;
mod given;
mod guest;
mod live;
mod loaded;
mod locate;
mod machine;
mod memory;
mod names;
mod percpu;
mod procs;
mod writing;

pub use machine::SWIF_DEV_PREFIX;
pub use names::{Nlist, number};
pub(crate) use procs::no_process;
pub(crate) use writing::{digits, show};

use given::{Imaged, Names};

use crate::image::live::own::Own;
use crate::image::live::{DEFAULT, Device};
use crate::image::running::Running;
use crate::image::{self, Census, Image, Overlay, RawMemory, Source, Store, raw};
use crate::kernel::frames::{self, Frame, Rules, Traps};
use crate::kernel::{self, Evidence, Found, Hints, Kernel, Listing, Process, Thread, unwind};
use crate::pages::{self, Page};
use crate::qmp::{Paused, Qmp};
use crate::space::Space;
use crate::symbols::loaded::Loaded;
use crate::symbols::{Resolver, Symbols};
use crate::verify::Verdict;
use crate::{Error, Result};
use kgdbserver_arch::{Located, Machine, PacMask, Registers, TrapFrame, Va};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What to open, and how.
#[derive(Clone, Default)]
pub struct Options {
    /// The kernel file; without one an image still serves its memory. Of Linux also its names alone (System.map, a copy
    /// of `/proc/kallsyms`) or its types alone (BTF), recognised by content.
    pub kernel: Option<std::path::PathBuf>,
    /// A Linux kernel's types: a copy of `/sys/kernel/btf/vmlinux`.
    pub btf: Option<std::path::PathBuf>,
    /// Finds symbols; asked before the kernel file.
    pub resolver: Option<Resolver>,
    /// Goes on although the kernel file does not match the image, or the image's headers contradict each other.
    pub force: bool,
    /// How a wrapped image is opened; its own `force` is replaced by the one above.
    pub image: image::Settings,
    /// The file is raw memory of this layout, whatever it looks like. Without it a file that no format recognises is
    /// raw memory if the kernel file's kernel is found in it, with offsets as physical addresses.
    pub raw_memory: Option<RawMemory>,
    /// What the image does not tell, or tells wrongly.
    pub hints: Hints,
    /// Raw memory may be written, or that of the kernel that runs. A dump's may not: [`Kvm::with_overlay`] changes what is
    /// seen of it.
    pub write: bool,
    /// The raw memory is that of a guest that runs, and this QEMU is asked for its registers.
    pub qmp: Option<Arc<Qmp>>,
    /// That guest is stopped for the time of each question ([`Kvm::still`]).
    pub pause: bool,
}

/// A kernel image, opened.
pub struct Kvm {
    image: Arc<Image>,
    space: Arc<Space>,
    symbols: Symbols,
    found: Arc<Option<Result<Found>>>,
    hints: Hints,
    verdict: Verdict,
    /// The system that we run on, where the image is of that.
    own: Option<Arc<dyn Own>>,
    /// Writes go into the image itself, unless there is an overlay.
    writable: bool,
    overlay: Option<Arc<Overlay>>,
    qmp: Option<Arc<Qmp>>,
    pause: bool,
    /// Keeps the guest still as long as the handle lives.
    held: Option<Arc<Paused>>,
    /// Registers of threads that run, by the addresses of their structures.
    running: OnceLock<HashMap<Va, Registers>>,
    kernel: OnceLock<Result<Box<dyn Kernel>>>,
    loaded: OnceLock<Vec<Loaded>>,
    strict: AtomicBool,
    user_registers: AtomicBool,
    /// Whose copy a dynamic per-CPU name means.
    dpcpu: AtomicU32,
    last_error: Mutex<String>,
}

impl Kvm {
    /// kvm_open(3): opens `corefile`, with the names of `execfile`. On failure the message is also printed on stderr
    /// behind `errstr`, if there is one.
    ///
    /// # Errors
    /// Those of [`Self::openfiles`].
    pub fn open(
        execfile: Option<&Path>,
        corefile: Option<&Path>,
        swapfile: Option<&Path>,
        flags: i32,
        errstr: Option<&str>,
    ) -> Result<Self> {
        let print = |error: &Error| {
            if let Some(prefix) = errstr {
                eprintln!("{prefix}: {error}");
            }
        };
        Self::openfiles(execfile, corefile, swapfile, flags).inspect_err(print)
    }

    /// kvm_openfiles(3): as [`Self::open`], and prints nothing. `swapfile` is ignored, as it is by libkvm.
    ///
    /// # Errors
    /// A file that cannot be opened, that no format recognises or that breaks its format's rules; a kernel file that does
    /// not belong to the image; flags other than an access mode.
    pub fn openfiles(
        execfile: Option<&Path>,
        corefile: Option<&Path>,
        swapfile: Option<&Path>,
        flags: i32,
    ) -> Result<Self> {
        let _ = swapfile;
        Self::open_core(
            corefile,
            flags,
            Options { kernel: execfile.map(Path::to_owned), ..Options::default() },
        )
    }

    /// kvm_open2(3): `resolver` finds the names, so that no kernel file is needed.
    ///
    /// # Errors
    /// Those of [`Self::openfiles`].
    pub fn open2(
        execfile: Option<&Path>,
        corefile: Option<&Path>,
        flags: i32,
        resolver: Resolver,
    ) -> Result<Self> {
        let kernel = execfile.map(Path::to_owned);
        Self::open_core(corefile, flags, Options { kernel, resolver: Some(resolver), ..Options::default() })
    }

    fn open_core(corefile: Option<&Path>, flags: i32, options: Options) -> Result<Self> {
        if flags & !libc::O_ACCMODE != 0 {
            return Err(Error::Usage("bad flags arg".into()));
        }
        let write = flags & libc::O_ACCMODE != libc::O_RDONLY;
        Self::open_with(corefile.unwrap_or(Path::new(DEFAULT)), Options { write, ..options })
    }

    /// Opens an image file, or a folder that holds one image and nothing else that looks like one. Reads headers only. What
    /// [`Device::named`] knows is the running kernel.
    ///
    /// # Errors
    /// Those of [`Self::openfiles`].
    pub fn open_with(corefile: &Path, options: Options) -> Result<Self> {
        if let Some(device) = Device::named(corefile) {
            return Self::open_live(device, options);
        }
        let given = Names::read(&options)?;
        let (corefile, mut parts) = image::files_of(corefile)?;
        parts.extend(options.image.parts);
        let settings = image::Settings { force: options.force, parts, ..options.image };
        let open = if options.write { Store::open_writable } else { Store::open };
        let source: Arc<dyn Source> = Arc::new(open(&corefile)?);
        let image = match &options.raw_memory {
            Some(layout) => raw::open(source, layout),
            None => image::open(source.clone(), &settings)
                .or_else(|error| locate::recognise_raw(error, source, &given.symbols, &options.hints)),
        };
        let mut image = image?;
        let is_raw = image.format == RawMemory::NAME;
        let qmp = options.qmp;
        if qmp.is_some() {
            if !is_raw {
                return Err(Error::Usage(format!("a {} is no memory of a guest that runs", image.format)));
            }
            image.memory = Arc::new(Running(image.memory));
        }
        let paused = qmp.as_ref().filter(|_| options.pause).map(Qmp::pause).transpose()?;
        let kvm = Self::assemble(image, given, options.hints, &corefile, &settings)?;
        drop(paused);
        Ok(Self { writable: options.write && is_raw, qmp, pause: options.pause, ..kvm })
    }

    fn assemble(
        mut image: Image,
        given: Names,
        hints: Hints,
        corefile: &Path,
        settings: &image::Settings,
    ) -> Result<Self> {
        let found = locate::locate(&image, &given.symbols, &hints);
        image.warnings.extend(found.as_ref().and_then(locate::doubt));
        let machine = locate::machine(&image, &given.symbols, found.as_ref())?;
        let space = Arc::new(locate::space(&image, machine, found.as_ref()));
        let linux = found.as_ref().and_then(|found| found.as_ref().ok()?.linux.as_ref());
        let version = image.facts.version.as_deref();
        let imaged = Imaged { path: corefile, space: &space, version, linux, hints: &hints };
        let (symbols, verdict) = given.complete(&imaged, settings)?;
        Ok(Self::new(Arc::new(image), space, symbols, Arc::new(found), hints, verdict))
    }

    fn new(
        image: Arc<Image>,
        space: Arc<Space>,
        symbols: Symbols,
        found: Arc<Option<Result<Found>>>,
        hints: Hints,
        verdict: Verdict,
    ) -> Self {
        let kernel = OnceLock::new();
        let (strict, user_registers) = (AtomicBool::new(false), AtomicBool::new(false));
        let (dpcpu, last_error) = (AtomicU32::new(0), Mutex::default());
        Self {
            image,
            space,
            symbols,
            found,
            hints,
            verdict,
            own: None,
            writable: false,
            overlay: None,
            qmp: None,
            pause: false,
            held: None,
            running: OnceLock::new(),
            kernel,
            loaded: OnceLock::new(),
            strict,
            user_registers,
            dpcpu,
            last_error,
        }
    }

    /// The same image, with other names: those that `resolver` finds come first.
    pub fn with_resolver(&self, resolver: Resolver) -> Self {
        let symbols = self.symbols.with_resolver(resolver);
        let found = locate::locate(&self.image, &symbols, &self.hints);
        let space = Arc::new(locate::space(&self.image, self.space.machine, found.as_ref()));
        Self { space, symbols, found: Arc::new(found), ..self.again() }
    }

    /// kvm_close(3). Dropping the handle does the same.
    ///
    /// # Errors
    /// None at present: what is written is written at once.
    pub fn close(self) -> Result<()> {
        Ok(())
    }

    /// kvm_geterr(3): the message of the last failure on this handle; empty before the first.
    pub fn geterr(&self) -> String {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// kvm_native(3): whether the image is of the host's own architecture.
    pub fn native(&self) -> bool {
        let Machine { arch, big_endian, ptr_bytes } = self.space.machine;
        let host = (std::env::consts::ARCH, cfg!(target_endian = "big"), size_of::<usize>());
        (arch.name, big_endian, usize::from(ptr_bytes)) == host
    }

    /// kvm_walk_pages(3): calls `each` with every mapped page once, then with every page that is in the image and mapped
    /// nowhere. `false` from `each` stops the walk; returns whether it went to its end.
    pub fn walk_pages(&self, each: impl FnMut(&Page) -> bool) -> bool {
        pages::walk(&self.image, &self.space, each)
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// How many pages the image has, and lacks. Counts them all.
    pub fn census(&self) -> Census {
        self.image.memory.census()
    }

    /// Kernel memory.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The kernel's names.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// How far the kernel file can be trusted.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Where the kernel was found, in an image that does not store its page tables apart; none in one that does.
    ///
    /// # Errors
    /// Why it was not found. Then only physical memory can be read.
    pub fn located(&self) -> Option<Result<&Located, &Error>> {
        self.found.as_ref().as_ref().map(|found| found.as_ref().map(|found| &found.located))
    }

    /// What the image tells of its Linux kernel; none if there is none.
    pub fn linux(&self) -> Option<&Arc<kernel::linux::Told>> {
        self.found.as_ref().as_ref()?.as_ref().ok()?.linux.as_ref()
    }

    /// kvm_kerndisp(3): by how much the kernel's addresses are higher than its file's.
    pub fn kerndisp(&self) -> i64 {
        self.image.kerndisp.wrapping_add(self.symbols.slide()).cast_signed()
    }

    /// The kernel in the image.
    ///
    /// # Errors
    /// Not a kernel that this build knows, or one whose structures cannot be found; says what is missing.
    pub fn kernel(&self) -> Result<&dyn Kernel> {
        let found = self.kernel.get_or_init(|| {
            let linux = self.linux();
            kernel::find(&Evidence { symbols: &self.symbols, mem: &self.space.moment(), linux })
        });
        found
            .as_deref()
            .map_err(|error| Error::Unsupported(self.without_memory().unwrap_or_else(|| error.to_string())))
    }

    /// Which bits of the kernel's addresses may hold a pointer authentication code; none if it signs no addresses, or
    /// is not known.
    pub fn pac_mask(&self) -> Option<PacMask> {
        self.kernel().ok()?.pac_mask()
    }

    /// All processes.
    ///
    /// # Errors
    /// Those of [`Self::kernel`], or no list to begin with.
    pub fn processes(&self) -> Result<Listing<Process>> {
        let memory = self.list(|kernel, mem| kernel.processes(mem));
        // Without the kernel's types that is little more than numbers and names, and the system tells more.
        if memory.as_ref().is_ok_and(|list| list.items.iter().any(|process| process.ppid.is_some())) {
            return memory;
        }
        match self.own(Own::processes) {
            Some(Ok(told)) => Ok(told),
            Some(Err(why)) => memory.or(Err(why)),
            None => memory,
        }
    }

    /// All threads, the crashed one first.
    ///
    /// # Errors
    /// Those of [`Self::kernel`], or no list to begin with.
    pub fn threads(&self) -> Result<Listing<Thread>> {
        self.list(|kernel, mem| kernel.threads(mem)).or_else(|why| self.own(Own::threads).unwrap_or(Err(why)))
    }

    /// The frames of a stack, by the kernel's own unwind table or else by frame pointers, innermost first.
    pub fn backtrace(&self, registers: &Registers) -> Vec<Frame> {
        if let Some(table) = self.kernel().ok().and_then(Kernel::unwind_table) {
            return unwind::backtrace(&self.space, registers, table);
        }
        let frame = self.kernel().ok().and_then(Kernel::trap_frame);
        let is_entry = |va: Va| {
            let named = |frame: &TrapFrame| self.symbol_at(Va(va.0.checked_add_signed(frame.name_at)?));
            frame.is_some_and(|frame| named(frame).is_some_and(|(symbol, _)| (frame.entry)(&symbol.name)))
        };
        let traps = frame.map(|frame| Traps { frame, is_entry: &is_entry });
        frames::backtrace(&self.space, registers, &Rules { codes: self.pac_mask(), traps })
    }

    /// Whether a thread's registers are those that it had in user space when it last entered the kernel.
    pub fn set_user_registers(&self, on: bool) {
        self.user_registers.store(on, Ordering::Relaxed);
    }

    /// A thread's registers, as far as they were saved.
    ///
    /// # Errors
    /// The save area cannot be read.
    pub fn registers(&self, thread: &Thread) -> Result<Registers> {
        if let Some(registers) = self.running_registers(thread) {
            return Ok(registers);
        }
        let kernel = self.kernel()?;
        match self.user_registers.load(Ordering::Relaxed) {
            true => kernel.user_registers(&self.space, thread),
            false => kernel.saved_registers(&self.space, thread),
        }
    }

    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| self.note(error))
    }

    #[cold]
    fn note(&self, error: &Error) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
    }
}
