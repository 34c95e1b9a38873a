//! `qSearch:memory`: gdb's `find`, without the memory going over the wire.

use super::encode;
use super::front::{Reply, Session};
use super::target::KernelTarget;
use crate::Error;
use kgdbserver_arch::Fault;
use memchr::memmem::Finder;
use std::time::{Duration, Instant};

/// Bytes looked at in one go.
const CHUNK: usize = 256 << 10;
/// gdb waits two seconds for a reply, unless it was told otherwise, and does not say that its user has pressed ^C.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How a search ended.
enum Outcome {
    Found(u64),
    /// Nothing in what could be read; what could not be read, and how many bytes of that there are.
    Nothing(Option<(Error, u64)>),
    /// No time was left to go on from here.
    Unfinished(u64),
}

/// `ADDRESS;LENGTH;PATTERN`.
///
/// What is not in the image is passed over. gdb says nothing of an error here but that nothing was found, so what it must not
/// conceal is a reply that it does not know: it prints that.
pub(super) fn memory(session: &mut Session, arguments: &[u8]) -> Reply {
    let Some((start, length, pattern)) = parse(arguments) else {
        return Reply::malformed("ADDRESS;LENGTH;PATTERN");
    };
    // gdb goes on behind what was found, until nothing is.
    let goes_on = session.found.take().is_some_and(|found| found.checked_add(1) == Some(start));
    let reply = match search(&session.target, start, length, &pattern, Instant::now() + PATIENCE) {
        Outcome::Found(at) => {
            session.found = Some(at);
            format!("1,{at:x}")
        }
        Outcome::Nothing(Some((error, bytes))) if !goes_on => {
            format!("not found, but {bytes:#x} bytes could not be read: {error}")
        }
        Outcome::Nothing(_) => "0".into(),
        Outcome::Unfinished(at) => {
            format!("the search takes long: not found below {at:#x}, go on from there")
        }
    };
    Reply::Packet(reply.into_bytes())
}

fn parse(arguments: &[u8]) -> Option<(u64, u64, Vec<u8>)> {
    let mut parts = arguments.splitn(3, |byte| *byte == b';');
    let (start, length) = (encode::number(parts.next()?)?, encode::number(parts.next()?)?);
    Some((start, length, encode::unescape(parts.next()?)?)).filter(|(.., pattern)| !pattern.is_empty())
}

fn search(target: &KernelTarget, start: u64, length: u64, pattern: &[u8], until: Instant) -> Outcome {
    let finder = Finder::new(pattern);
    let (mut at, mut left) = (start, length);
    // The first `kept` bytes are those before `at` that may begin a match.
    let (mut window, mut kept) = (vec![0; pattern.len() + CHUNK], 0);
    let (mut lacks, mut unmapped, mut read) = (None::<(Error, u64)>, None, false);
    while left > 0 {
        if Instant::now() > until {
            return Outcome::Unfinished(at);
        }
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let step = match target.read(at, window.get_mut(kept..kept + wanted).unwrap_or_default()) {
            Ok(got) => {
                let filled = kept + got;
                if let Some(found) = finder.find(window.get(..filled).unwrap_or_default()) {
                    return Outcome::Found((at - kept as u64).wrapping_add(found as u64));
                }
                kept = filled.min(pattern.len() - 1);
                window.copy_within(filled - kept..filled, 0);
                read = true;
                got as u64
            }
            Err(error) => {
                kept = 0;
                let step = target.gap(at).min(left);
                if is_void(&error) {
                    unmapped.get_or_insert((error, length));
                } else {
                    lacks.get_or_insert((error, 0)).1 += step;
                }
                step
            }
        };
        left -= step;
        at = match at.checked_add(step) {
            Some(next) => next,
            None => break,
        };
    }
    // Where nothing is mapped there is nothing to be found, unless that is all there is.
    Outcome::Nothing(lacks.or(unmapped.filter(|_| !read)))
}

/// Whether the address is none, rather than one whose memory the image lacks.
fn is_void(error: &Error) -> bool {
    matches!(error, Error::Fault { why: Fault::NoRegion | Fault::NotMapped, .. })
}
