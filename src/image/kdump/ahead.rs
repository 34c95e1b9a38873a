//! A second thread, which unpacks what a reader of one page after the other will want next.

use super::memory::Packed;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;

/// Pages that reader and helper unpack in turn: enough to pay for the helper's waking up.
const STRETCH: u64 = 32;

/// The helper, from when it is first needed.
#[derive(Default)]
pub(super) struct Ahead {
    /// The stretch of the last page that a reader had to unpack.
    last: AtomicU64,
    /// None inside where there is no second processor. It ends when this is dropped.
    helper: OnceLock<Option<SyncSender<u64>>>,
}

impl Ahead {
    /// Told of every page that takes a reader long to unpack. While it goes through a stretch, the helper does the next one:
    /// so the reader comes from the last one or, if the helper was quick, from the one before that.
    pub(super) fn unpacking(&self, number: u64, packed: &Arc<Packed>) {
        let stretch = number / STRETCH;
        let last = self.last.swap(stretch, Ordering::Relaxed);
        if !matches!(stretch.wrapping_sub(last), 1 | 2) {
            return;
        }
        if let Some(helper) = self.helper.get_or_init(|| start(packed.clone())) {
            let _ = helper.try_send(stretch + 1); // a busy helper would come too late
        }
    }
}

fn start(packed: Arc<Packed>) -> Option<SyncSender<u64>> {
    thread::available_parallelism().ok().filter(|count| count.get() > 1)?;
    let (sender, stretches) = mpsc::sync_channel::<u64>(1);
    let work = move || {
        let pages = stretches.into_iter().flat_map(|stretch| stretch * STRETCH..(stretch + 1) * STRETCH);
        pages.for_each(|number| packed.prepare(number));
    };
    thread::Builder::new().name("unpack ahead".into()).spawn(work).ok()?;
    Some(sender)
}
