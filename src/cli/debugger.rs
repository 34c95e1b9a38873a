//! Starts a debugger that is connected already: `--gdb` and `--lldb`.

use super::Failure;
use kgdbserver::Kvm;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// A kind of debugger.
#[derive(Debug, Clone, Copy)]
pub(super) enum Debugger {
    Gdb,
    Lldb,
}

impl Debugger {
    /// Its programs' names, the preferred first: a gdb for all architectures opens any image.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Gdb => &["gdb-multiarch", "gdb"],
            Self::Lldb => {
                &["lldb", "lldb-22", "lldb-21", "lldb-20", "lldb-19", "lldb-16", "lldb-15", "lldb-14"]
            }
        }
    }

    /// The first of its programs in `PATH`.
    pub(super) fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<PathBuf> =
            std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
        let places =
            self.programs().iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        places.into_iter().find(|program| program.is_file())
    }

    fn arguments(self, kvm: &Kvm, port: u16) -> Vec<OsString> {
        match self {
            // gdb gets the kernel's symbols from the server.
            Self::Gdb => {
                let connect = format!("target remote 127.0.0.1:{port}");
                let commands = before(kvm).map(str::to_owned).into_iter().chain([connect]);
                std::iter::once("-q".into())
                    .chain(commands.flat_map(|command| ["-ex".into(), command.into()]))
                    .collect()
            }
            Self::Lldb => {
                let kernel = kvm.symbols().file().map(|file| file.source().path().into());
                kernel
                    .into_iter()
                    .chain(["-o".into(), format!("gdb-remote 127.0.0.1:{port}").into()])
                    .collect()
            }
        }
    }

    /// Runs it in the foreground to its end; returns its exit status.
    pub(super) fn run(self, program: &str, kvm: &Kvm, port: u16) -> Result<ExitCode, Failure> {
        let named = [program];
        let candidates = if program.is_empty() { self.programs() } else { &named };
        for name in candidates {
            match Command::new(name).args(self.arguments(kvm, port)).status() {
                Ok(status) => {
                    return Ok(ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::Usage(format!("{name}: {error}"))),
            }
        }
        Err(Failure::Usage(format!(
            "no debugger found (tried {}); install one, or name it",
            candidates.join(", ")
        )))
    }
}

/// What gdb must be told before it connects. gdb 16 numbers a PowerPC's registers in one way for Linux, which it takes for the
/// system of every file that does not say, and in another for none, which we announce: return addresses get lost between.
pub(super) fn before(kvm: &Kvm) -> Option<&'static str> {
    kvm.space().machine.arch.name.starts_with("powerpc").then_some("set osabi none")
}
