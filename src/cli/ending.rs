//! What happens when the process is told to end, by ^C or otherwise.

use super::Failure;
use std::sync::{Mutex, Once, PoisonError};

type Hook = Box<dyn FnMut() + Send>;

static HOOK: Mutex<Option<Hook>> = Mutex::new(None);

/// From now on that happens, in the place of what was said before, and the process goes on.
pub(super) fn on_signal(hook: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    static INSTALL: Once = Once::new();
    *HOOK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    let mut installed = Ok(());
    INSTALL.call_once(|| {
        installed = ctrlc::set_handler(|| {
            if let Some(hook) = HOOK.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                hook();
            }
        });
    });
    installed.map_err(|error| Failure::Usage(error.to_string()))
}
