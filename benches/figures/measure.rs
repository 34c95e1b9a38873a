//! Time on a machine that others use too: the candidates take turns, so that a busy moment hits all of them, and what
//! counts is the quickest round and the median of the rounds' ratios.

use std::time::Instant;

/// Measures a thread without the time in which it could have gone on and others did: what it takes where nobody else wants
/// the processor. Time in which it waits for a disk counts.
pub(crate) struct Watch {
    start: Instant,
    kept_waiting: f64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), kept_waiting: kept_waiting() }
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        // The clock is read first and last: what is kept waiting between the two counts too much, and never too little.
        let kept_waiting = kept_waiting() - self.kept_waiting;
        self.start.elapsed().as_secs_f64() - kept_waiting
    }
}

/// Seconds that this thread was ready to run, and did not.
fn kept_waiting() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').nth(1).and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0.0) / 1e9
}

/// What one candidate took, in seconds per call, round by round.
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn of(rounds: Vec<f64>) -> Self {
        Self(rounds)
    }

    pub(crate) fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// How many times longer than `peer` a round took.
    pub(crate) fn ratio(&self, peer: &Self) -> f64 {
        median(self.0.iter().zip(&peer.0).map(|(ours, theirs)| ours / theirs).collect())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs the candidates in turn: `rounds` rounds of `calls` calls each, behind one round that warms up.
pub(crate) fn in_turn<const N: usize>(
    rounds: usize,
    calls: usize,
    mut candidates: [&mut dyn FnMut(); N],
) -> [Times; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=rounds {
        for (candidate, times) in candidates.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (0..calls).for_each(|_| candidate());
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() / calls as f64);
            }
        }
    }
    times.map(Times)
}
