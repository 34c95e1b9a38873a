//! A guest that is held still.

use super::{Connection, Qmp};
use crate::{Error, Result};
use serde_json::json;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Who holds the guest still.
#[derive(Debug, Default)]
pub(super) struct Held {
    holders: usize,
    /// It ran before the first of them came.
    stopped: bool,
    /// Nobody may hold it any more.
    ended: bool,
}

/// As long as it lives, the guest does not run.
#[derive(Debug)]
pub struct Paused(Arc<Qmp>);

impl Qmp {
    /// Stops the guest until all that this returned is dropped. A guest that does not run as it is stays so afterwards.
    ///
    /// # Errors
    /// QEMU does not answer, or refuses; [`Self::let_go`] was called.
    pub fn pause(self: &Arc<Self>) -> Result<Paused> {
        let mut held = self.held();
        if held.ended {
            return Err(Error::Unsupported("the guest was let go".into()));
        }
        if held.holders == 0 {
            let mut connection = Connection::open(&self.path)?;
            let status = connection.run("query-status", &json!({}))?;
            if status.get("running").and_then(serde_json::Value::as_bool) == Some(true) {
                // Before the answer: an error may come of a guest that did stop.
                held.stopped = true;
                if let Err(error) = connection.run("stop", &json!({})) {
                    drop(connection);
                    self.resume(&mut held);
                    return Err(error);
                }
            }
        }
        held.holders += 1;
        Ok(Paused(self.clone()))
    }

    /// Lets the guest run, whoever holds it, and keeps all from holding it again: for who is about to end.
    pub fn let_go(&self) {
        let mut held = self.held();
        held.ended = true;
        self.resume(&mut held);
    }

    fn resume(&self, held: &mut Held) {
        if !std::mem::take(&mut held.stopped) {
            return;
        }
        let go = || Connection::open(&self.path)?.run("cont", &json!({}));
        if let Err(error) = go() {
            log::error!("the guest is still stopped ({error}): let it go on by `cont` in QEMU's monitor");
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let mut held = self.0.held();
        held.holders -= 1;
        if held.holders == 0 {
            self.0.resume(&mut held);
        }
    }
}
