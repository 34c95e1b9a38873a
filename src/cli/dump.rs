use super::files::Files;
use super::{Failure, Named, Outcome, ending, wrapping};
use clap::{Args, ValueEnum};
use kgdbserver::dump::{self, Abi, Format, Packing, Settings, Written};
use kgdbserver::image::overlay;
use kgdbserver::patch::Patch;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Write the image as a dump that other tools open.
#[derive(Args)]
#[command(
    after_help = "What the image left out stays left out. FILE appears when it is complete; ^C leaves nothing behind."
)]
pub(super) struct Dump {
    #[command(flatten)]
    named: Named,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The format.
    #[arg(long, value_enum, default_value_t = Name::Elf)]
    format: Name,
    /// Replace a FILE that is there.
    #[arg(long)]
    replace: bool,
    /// With the changes that a debugger made and saved there.
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// ELF core; pages of zeros are holes of the file
    Elf,
    /// the same; that of a FreeBSD minidump is for a gdb that does not know FreeBSD
    ElfLinux,
    /// makedumpfile's format, packed by zstd
    KdumpZstd,
    /// the same, packed by zlib
    KdumpZlib,
    /// a FreeBSD minidump as it is, unpacked and decrypted
    Minidump,
}

impl Name {
    fn format(self) -> Format {
        match self {
            Self::Elf => Format::Elf(Abi::FreeBsd),
            Self::ElfLinux => Format::Elf(Abi::Linux),
            Self::KdumpZstd => Format::Kdump(Packing::Zstd),
            Self::KdumpZlib => Format::Kdump(Packing::Zlib),
            Self::Minidump => Format::Minidump,
        }
    }
}

impl Dump {
    pub(super) fn run(self) -> Outcome {
        let files = Files::only(&self.named, &self.arguments)?;
        let inputs = files.image.iter().chain(&files.parts).chain(&files.kernel);
        if let Some(same) = inputs.into_iter().find(|input| dump::is_same_file(input, &self.output)) {
            return Err(Failure::Usage(format!("{}: that is what is read", same.display())));
        }
        let mut kvm = files.open(&self.named)?;
        if let Some(file) = &self.overlay {
            kvm = kvm.with_overlay(overlay::LIMIT);
            kvm.apply(&Patch::load(file)?)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        ending::on_signal(move || stopped.store(true, Ordering::Relaxed))?;
        let progress = wrapping::progress("writing");
        let progress = |done, total| progress(done, total);
        let format = self.format.format();
        let settings = Settings { format, replace: self.replace, progress: &progress, stop: &stop };
        let Written { memory, lost, file } = dump::write(&kvm, &self.output, &settings)?;
        if lost > 0 {
            log::warn!("{} KiB of memory could not be read, and are not in the dump", lost >> 10);
        }
        eprintln!("{}: {} MiB of memory in {} MiB", self.output.display(), memory >> 20, file >> 20);
        Ok(ExitCode::SUCCESS)
    }
}
