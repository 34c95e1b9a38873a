//! `qSymbol`: where no kernel file was given, the debugger's symbols find the kernel's structures.
//!
//! The client offers (`qSymbol::`), we ask for one name after another, it answers each. Which names are needed is found
//! by trying: the search for threads runs with the answers so far, and the first name that has none is asked next.

use super::encode;
use super::front::{Reply, Session};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// No kernel needs more names; a client that never knows one must come to an end.
const LIMIT: usize = 200;

/// The client's answers: an address, or that it has no such name.
#[derive(Default)]
pub(super) struct Answers {
    known: HashMap<String, Option<u64>>,
}

/// `qSymbol:VALUE:NAME`, or `qSymbol::` to begin.
pub(super) fn symbol(session: &mut Session, arguments: &[u8]) -> Reply {
    if !session.target.kvm.symbols().is_empty() {
        return Reply::Ok;
    }
    let mut parts = arguments.splitn(2, |byte| *byte == b':');
    let (Some(value), Some(name)) = (parts.next(), parts.next()) else {
        return Reply::malformed("VALUE:NAME");
    };
    if let Some(name) = encode::unhex(name).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(&name).into_owned();
        session.resolve.known.insert(name, encode::number(value));
    }
    let missing = Arc::new(Mutex::new(None));
    let kvm = session.target.kvm.with_resolver(resolver(&session.resolve, missing.clone()));
    let found = kvm.threads().is_ok_and(|list| !list.items.is_empty());
    let _ = kvm.kernel().map(|kernel| kernel.panic_message(kvm.space())); // for the names that it needs
    let next: Option<String> = missing.lock().unwrap_or_else(PoisonError::into_inner).take();
    match next.filter(|_| session.resolve.known.len() < LIMIT) {
        Some(name) => Reply::Packet([b"qSymbol:".to_vec(), encode::hex(name.as_bytes())].concat()),
        None => {
            if found {
                session.replace(kvm);
            }
            Reply::Ok
        }
    }
}

/// Answers from what is known, and notes the first name that is not.
fn resolver(answers: &Answers, missing: Arc<Mutex<Option<String>>>) -> crate::symbols::Resolver {
    let known = answers.known.clone();
    Arc::new(move |name| {
        known.get(name).copied().unwrap_or_else(|| {
            missing.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| name.to_owned());
            None
        })
    })
}
