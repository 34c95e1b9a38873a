//! What a session has done so far.

use std::cell::Cell;
use std::time::Instant;

/// A number that only grows.
#[derive(Default)]
pub(super) struct Counter(Cell<u64>);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.set(self.0.get().saturating_add(more));
    }

    fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What a session counts.
pub(super) struct Count {
    since: Instant,
    /// Packets that came in.
    pub(super) packets: Counter,
    reads: Counter,
    bytes: Counter,
    failed: Counter,
}

impl Default for Count {
    fn default() -> Self {
        let zero = Counter::default;
        Self { since: Instant::now(), packets: zero(), reads: zero(), bytes: zero(), failed: zero() }
    }
}

impl Count {
    /// Counts a read of memory.
    pub(super) fn read(&self, read: &crate::Result<usize>) {
        self.reads.add(1);
        match read {
            Ok(bytes) => self.bytes.add(*bytes as u64),
            Err(_) => self.failed.add(1),
        }
    }

    /// A line each.
    pub(super) fn text(&self) -> String {
        let Self { since, packets, reads, bytes, failed } = self;
        format!(
            "connected    {:.1} s\npackets      {}\nreads        {}, of which {} failed\nbytes read   {}\n",
            since.elapsed().as_secs_f64(),
            packets.get(),
            reads.get(),
            failed.get(),
            bytes.get(),
        )
    }
}
