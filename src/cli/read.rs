use super::files::Files;
use super::{Failure, Named, Outcome, evaluate};
use clap::Args;
use kgdbserver::describe;
use kgdbserver::kvm::number;
use kgdbserver::space::Space;
use kgdbserver_arch::Va;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

/// Bytes read at a time.
const CHUNK: u64 = 1 << 20;

/// Print memory.
#[derive(Args)]
#[command(
    after_help = "The last two arguments are ADDRESS and LENGTH; numbers are decimal, or hexadecimal after 0x.\n\
                        Where memory ends early, what could be read is printed, then the reason, and the exit status is 1."
)]
pub(super) struct Read {
    #[command(flatten)]
    named: Named,
    /// ADDRESS is a physical address.
    #[arg(long)]
    physical: bool,
    /// Write just the bytes.
    #[arg(long)]
    raw: bool,
    /// The kernel file and the image, in any order; then an address or SYMBOL[+OFFSET], and a number of bytes.
    #[arg(value_name = "[KERNEL] IMAGE ADDRESS LENGTH", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Read {
    pub(super) fn run(self) -> Outcome {
        let (files, rest) = Files::take(&self.named, &self.arguments, 2)?;
        let [address, length] = rest.as_slice() else {
            return Err(Failure::Usage("read takes [KERNEL] IMAGE ADDRESS LENGTH".into()));
        };
        let kvm = files.open(&self.named)?;
        let address = evaluate(&kvm, address)?.0;
        let length = number(&length.to_string_lossy())
            .ok_or_else(|| Failure::Usage(format!("{}: not a number of bytes", length.display())))?;
        match self.physical {
            true => self.print(&kvm.space().physical(), address, length),
            false => self.print(kvm.space(), address, length),
        }
    }

    fn print(&self, space: &Space, address: u64, length: u64) -> Outcome {
        let mut out = std::io::stdout().lock();
        // std looks for ends of lines in all that goes to standard output: bytes go past it.
        let mut bare = File::from(out.as_fd().try_clone_to_owned()?);
        let mut done = 0;
        let mut buf = vec![0; usize::try_from(length.min(CHUNK)).unwrap_or_default()];
        while done < length {
            let wanted = usize::try_from((length - done).min(CHUNK)).unwrap_or_default();
            let at = address.wrapping_add(done);
            let (got, fault) = space.read_prefix(Va(at), buf.get_mut(..wanted).unwrap_or_default());
            let bytes = buf.get(..got).unwrap_or_default();
            if self.raw {
                bare.write_all(bytes)?
            } else {
                hex_dump(&mut out, at, bytes)?
            }
            done += got as u64;
            if let Some(why) = fault {
                out.flush()?;
                eprintln!("kgdbserver: {:#x}: {}", address.wrapping_add(done), describe(why));
                return Ok(ExitCode::FAILURE);
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Lines of 16 bytes, as hexdump -C prints them.
fn hex_dump(out: &mut impl Write, first: u64, bytes: &[u8]) -> std::io::Result<()> {
    for (line, at) in bytes.chunks(16).zip((0..).step_by(16)) {
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let printable = |byte: &u8| if matches!(byte, 0x20..0x7f) { char::from(*byte) } else { '.' };
        let text: String = line.iter().map(printable).collect();
        writeln!(out, "{:016x}  {hex:<48} |{text}|", first.wrapping_add(at))?;
    }
    Ok(())
}
