//! Options about dumps as savecore leaves them: in a crash directory, compressed, encrypted.

use super::Failure;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kgdbserver::crashdir::{self, Found, Which};
use kgdbserver::image::Settings;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[derive(Args)]
pub(super) struct Wrapping {
    /// Open dump number N of the crash directory, or the last one; finds its kernel too.
    #[arg(short = 'n', long, value_name = "N|last", conflicts_with = "core")]
    dump: Option<Which>,
    /// The crash directory.
    #[arg(short, long, value_name = "CRASHDIR", default_value = crashdir::DEFAULT, requires = "dump")]
    dir: PathBuf,
    /// The RSA private key (PEM) that opens an encrypted dump.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// The key file of an encrypted dump [default: key.N beside vmcore_encrypted.N]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Disk space for unpacked dumps, in bytes or as 500M, 20G [default: what is free but 1 GiB].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    cache_limit: Option<u64>,
}

impl Wrapping {
    /// The dump of the crash directory that was asked for.
    pub(super) fn find(&self) -> Result<Option<Found>, Failure> {
        let find = |which| crashdir::find(&self.dir, which, Path::new("/boot"));
        Ok(self.dump.map(find).transpose()?)
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            key: self.key.clone(),
            private_key: self.private_key.clone(),
            cache_limit: self.cache_limit,
            progress: Some(progress("reading")),
            ..Settings::default()
        }
    }
}

/// A bar on stderr, if that is a terminal; drawn when there is something to wait for.
pub(super) fn progress(what: &'static str) -> Arc<dyn Fn(u64, u64) + Send + Sync> {
    let bar: OnceLock<ProgressBar> = OnceLock::new();
    Arc::new(move |done, total| {
        let bar = bar.get_or_init(|| ProgressBar::new(total).with_style(style()).with_message(what));
        bar.set_length(total);
        bar.set_position(done);
        if done == total {
            bar.finish_and_clear();
        }
    })
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes} of {total_bytes}, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// A number of bytes, perhaps with a unit.
fn size(text: &str) -> Result<u64, String> {
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let unit =
        |(letter, shift)| Some((text.strip_suffix([letter, char::to_ascii_lowercase(&letter)])?, shift));
    let (digits, shift) = units.into_iter().find_map(unit).unwrap_or((text, 0));
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "a number of bytes, perhaps with K, M, G or T".into())
}
