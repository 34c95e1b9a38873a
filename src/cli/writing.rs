use super::Failure;
use clap::Args;
use kgdbserver::image::overlay;
use kgdbserver::patch::Patch;
use kgdbserver::stub::serve::Writing;
use kgdbserver::{Error, Kvm};
use std::path::PathBuf;
use std::sync::Arc;

/// What debuggers may write.
#[derive(Args)]
pub(super) struct WritingArgs {
    /// Let each debugger change memory as it alone sees it; with FILE, begin with the changes that were saved there.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    overlay: Option<Option<PathBuf>>,
    /// How many MiB of changes an overlay may hold.
    #[arg(long, value_name = "MIB", default_value_t = overlay::LIMIT >> 20, requires = "overlay")]
    overlay_limit: usize,
    /// Let debuggers write the memory itself: of raw memory, or of the kernel that runs. Each must confirm it: monitor write on.
    #[arg(long, conflicts_with = "overlay")]
    pub(super) write: bool,
    /// The confirmation that --write asks for, for all debuggers.
    #[arg(long, requires = "write")]
    yes: bool,
}

impl WritingArgs {
    /// What is allowed, for an image that was opened as the arguments say.
    pub(super) fn allowed(&self, kvm: &Kvm) -> Result<Writing, Failure> {
        match (&self.overlay, self.write) {
            (Some(file), _) => {
                let patch = file.as_deref().map(Patch::load).transpose()?.map(Arc::new);
                Ok(Writing::Overlay { limit: self.overlay_limit.saturating_mul(1 << 20), patch })
            }
            (None, true) if !kvm.is_writable() => Err(Error::Usage(format!(
                "--write: this is {}, which is only read; use --overlay",
                match kvm.is_live() {
                    true => "a running kernel that this build does not write".to_owned(),
                    false => format!("no raw memory but a dump ({})", kvm.image().format),
                }
            ))
            .into()),
            (None, true) => Ok(Writing::Image { confirmed: self.yes }),
            (None, false) => Ok(Writing::Nothing),
        }
    }
}
