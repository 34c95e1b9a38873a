//! kvm(3), portable: the same answers from every image, on any host.
//!
//! The functions are libkvm's, in libkvm's words, with two differences: a read returns the readable prefix instead of
//! nothing ([`Kvm::set_strict`] gives libkvm's way), and one process that cannot be read loses that process, not the
//! list. All state is the handle's.

use crate::image::{self, Census, Image, RawMemory, Source, Store, raw};
use crate::kernel::kinfo::{KinfoProc, Op};
use crate::kernel::{self, Kernel, Listing, Process, Thread};
use crate::pages::{self, Page};
use crate::space::Space;
use crate::symbols::{KernelFile, Resolver, Symbol, Symbols};
use crate::verify::{self, Verdict};
use crate::{Error, Result};
use kgdbserver_arch::{By, Located, Machine, Registers, Va};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What to open, and how.
#[derive(Clone, Default)]
pub struct Options {
    /// The kernel file; without one an image still serves its memory.
    pub kernel: Option<std::path::PathBuf>,
    /// Finds symbols; asked before the kernel file.
    pub resolver: Option<Resolver>,
    /// Goes on although the kernel file does not match the image, or the image's headers contradict each other.
    pub force: bool,
    /// How a wrapped image is opened; its own `force` is replaced by the one above.
    pub image: image::Settings,
    /// The file is raw memory of this layout, whatever it looks like. Without it a file that no format recognises is
    /// raw memory if the kernel file's kernel is found in it, with offsets as physical addresses.
    pub raw_memory: Option<RawMemory>,
}

/// A kernel image, opened.
pub struct Kvm {
    image: Arc<Image>,
    space: Arc<Space>,
    symbols: Symbols,
    located: Option<Result<Located>>,
    verdict: Verdict,
    kernel: OnceLock<Result<Box<dyn Kernel>>>,
    strict: AtomicBool,
    last_error: Mutex<String>,
}

/// One name of kvm_nlist(3), and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nlist {
    /// The name; an empty one ends the list.
    pub n_name: String,
    /// nlist(3)'s type; 0 if the name was not found.
    pub n_type: u8,
    /// The address; 0 if the name was not found.
    pub n_value: u64,
}

impl Nlist {
    /// A name to look up.
    pub fn new(name: impl Into<String>) -> Self {
        Self { n_name: name.into(), ..Self::default() }
    }
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
        let live = || {
            Error::Unsupported("/dev/mem: live kernels cannot be opened by this build; name a dump".into())
        };
        Self::open_with(corefile.ok_or_else(live)?, options)
    }

    /// Opens an image file. Reads headers only.
    ///
    /// # Errors
    /// Those of [`Self::openfiles`].
    pub fn open_with(corefile: &Path, options: Options) -> Result<Self> {
        let settings = image::Settings { force: options.force, ..options.image };
        let source: Arc<dyn Source> = Arc::new(Store::open(corefile)?);
        let file = options
            .kernel
            .as_deref()
            .map(|path| KernelFile::open(Arc::new(Store::open(path)?)))
            .transpose()?;
        let symbols = Symbols::new(file.map(Arc::new), options.resolver);
        let image = match &options.raw_memory {
            Some(layout) => raw::open(source, layout),
            None => {
                image::open(source.clone(), &settings).or_else(|error| recognise_raw(error, source, &symbols))
            }
        };
        Self::assemble(image?, symbols, options.force)
    }

    fn assemble(mut image: Image, symbols: Symbols, force: bool) -> Result<Self> {
        let machine = image.machine.or_else(|| symbols.file()?.machine());
        let machine = machine.ok_or_else(|| {
            Error::Unsupported("the image does not tell its machine; give the kernel file as well".into())
        })?;
        let located = locate(&image, machine, &symbols);
        image.warnings.extend(located.as_ref().and_then(doubt));
        let space = space(&image, machine, located.as_ref());
        let verdict = match symbols.file() {
            None => Verdict::Unverified,
            Some(file) => match verify::compare(file, &space, image.facts.version.as_deref()) {
                Err(error @ Error::Mismatch { .. }) if force => Verdict::Forced(error.to_string()),
                other => other?,
            },
        };
        Ok(Self::new(Arc::new(image), space, symbols, located, verdict))
    }

    fn new(
        image: Arc<Image>,
        space: Space,
        symbols: Symbols,
        located: Option<Result<Located>>,
        verdict: Verdict,
    ) -> Self {
        let (space, kernel, strict, last_error) =
            (Arc::new(space), OnceLock::new(), AtomicBool::new(false), Mutex::default());
        Self { image, space, symbols, located, verdict, kernel, strict, last_error }
    }

    /// The same image, with other names: those that `resolver` finds come first.
    pub fn with_resolver(&self, resolver: Resolver) -> Self {
        let symbols = Symbols::new(self.symbols.file().cloned(), Some(resolver));
        let machine = self.space.machine;
        let located = locate(&self.image, machine, &symbols);
        let space = space(&self.image, machine, located.as_ref());
        Self::new(self.image.clone(), space, symbols, located, self.verdict.clone())
    }

    /// kvm_close(3). Dropping the handle does the same.
    ///
    /// # Errors
    /// None at present: an image is only read.
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

    /// With `true` a read that cannot be satisfied whole fails, as in libkvm, instead of returning what could be read.
    pub fn set_strict(&self, strict: bool) {
        self.strict.store(strict, Ordering::Relaxed);
    }

    /// kvm_read2(3): reads kernel memory, and returns how many bytes could be read.
    ///
    /// # Errors
    /// [`Error::Fault`] if not even the first byte can be read, or, in strict mode, not the last.
    pub fn read2(&self, va: u64, buf: &mut [u8]) -> Result<usize> {
        let va = Va(va);
        let result = match self.strict.load(Ordering::Relaxed) {
            true => self.space.read_exact(va, buf).map(|()| buf.len()),
            false => self.space.read(va, buf),
        };
        self.noted(result)
    }

    /// kvm_read(3): [`Self::read2`] for addresses as wide as the host's.
    ///
    /// # Errors
    /// Those of [`Self::read2`].
    pub fn read(&self, va: usize, buf: &mut [u8]) -> Result<usize> {
        self.read2(va as u64, buf)
    }

    /// kvm_write(3).
    ///
    /// # Errors
    /// Always, in libkvm's words: a dump cannot be written.
    pub fn write(&self, va: usize, data: &[u8]) -> Result<usize> {
        let _ = (va, data);
        self.noted(Err(Error::ReadOnly))
    }

    /// kvm_nlist2(3): looks up every name up to the first empty one, and returns how many were not found.
    ///
    /// # Errors
    /// None for an image.
    pub fn nlist2(&self, list: &mut [Nlist]) -> Result<usize> {
        let mut unresolved = 0;
        for entry in list.iter_mut().take_while(|entry| !entry.n_name.is_empty()) {
            let found = self.symbols.by_name(&entry.n_name);
            unresolved += usize::from(found.is_none());
            (entry.n_type, entry.n_value) = found.map_or((0, 0), |symbol| (symbol.n_type(), symbol.va.0));
        }
        Ok(unresolved)
    }

    /// kvm_nlist(3), whose values are as wide as the host's `long`.
    ///
    /// # Errors
    /// For an image of another architecture; use [`Self::nlist2`].
    pub fn nlist(&self, list: &mut [Nlist]) -> Result<usize> {
        if !self.native() {
            return self.noted(Err(Error::Usage("kvm_nlist of non-native vmcore".into())));
        }
        self.nlist2(list)
    }

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
        let mut rows = self.kernel()?.getprocs(&self.space, threads || op == Op::All)?;
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
        self.located.as_ref().map(Result::as_ref)
    }

    /// The nearest symbol at or below an address, and the distance to it in bytes.
    pub fn symbol_at(&self, va: Va) -> Option<(Symbol, u64)> {
        self.symbols.by_address(Va(va.0.wrapping_sub(self.image.kerndisp)))
    }

    /// kvm_kerndisp(3): by how much the kernel's addresses are higher than its file's. Both can be read.
    pub fn kerndisp(&self) -> i64 {
        self.image.kerndisp.cast_signed()
    }

    /// The kernel in the image.
    ///
    /// # Errors
    /// Not a kernel that this build knows, or one whose structures cannot be found; says what is missing.
    pub fn kernel(&self) -> Result<&dyn Kernel> {
        let found = self.kernel.get_or_init(|| kernel::find(&self.symbols, &self.space));
        found.as_deref().map_err(|error| Error::Unsupported(error.to_string()))
    }

    /// All processes.
    ///
    /// # Errors
    /// Those of [`Self::kernel`], or no list to begin with.
    pub fn processes(&self) -> Result<Listing<Process>> {
        self.kernel()?.processes(&self.space)
    }

    /// All threads, the crashed one first.
    ///
    /// # Errors
    /// Those of [`Self::kernel`], or no list to begin with.
    pub fn threads(&self) -> Result<Listing<Thread>> {
        self.kernel()?.threads(&self.space)
    }

    /// A thread's registers, as far as they were saved.
    ///
    /// # Errors
    /// The save area cannot be read.
    pub fn registers(&self, thread: &Thread) -> Result<Registers> {
        self.kernel()?.saved_registers(&self.space, thread)
    }

    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| self.note(error))
    }

    #[cold]
    fn note(&self, error: &Error) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
    }
}

/// What no format recognised is raw memory if a kernel is found in it.
fn recognise_raw(error: Error, source: Arc<dyn Source>, symbols: &Symbols) -> Result<Image> {
    let Error::UnknownFormat { path, tried } = error else { return Err(error) };
    let Some(machine) = symbols.file().and_then(|file| file.machine()) else {
        return Err(Error::UnknownFormat { path, tried });
    };
    let image = raw::open(source, &RawMemory::default())?;
    match kernel::locate(&image, machine, symbols) {
        Ok(_) => Ok(image),
        Err(why) => Err(Error::UnknownFormat { path, tried: format!("{tried}; {}: {why}", raw::NAME) }),
    }
}

/// Finds the kernel in an image that tells nothing of virtual addresses.
fn locate(image: &Image, machine: Machine, symbols: &Symbols) -> Option<Result<Located>> {
    let unknown = image.plain.is_some() && image.regions.is_empty();
    unknown.then(|| kernel::locate(image, machine, symbols))
}

fn space(image: &Image, machine: Machine, located: Option<&Result<Located>>) -> Space {
    let regions = match located {
        Some(Ok(located)) => &located.regions,
        _ => &image.regions,
    };
    Space::new(machine, regions.clone(), image.memory.clone())
}

/// What is to be said about a kernel that was not where it was told to be.
fn doubt(located: &Result<Located>) -> Option<String> {
    match located {
        Err(why) => Some(format!("only physical memory can be read: {why}")),
        Ok(Located { at, by: By::Search(others), .. }) => {
            let mut text = format!("the kernel was found at physical {at} by its page tables");
            if let Some(other) = others.first() {
                text +=
                    &format!("; there is another one at {other}, so this may be what an earlier boot left");
            }
            Some(text)
        }
        Ok(_) => None,
    }
}
