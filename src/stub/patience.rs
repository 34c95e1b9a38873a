//! Answers that take longer than gdb waits.
//!
//! gdb gives a packet up after `remotetimeout`, 2 seconds by default, and its user has no symbols then: "No executable has been
//! specified". A busy machine takes longer to write the symbol files of a large kernel. But whatever comes in before a reply
//! begins, gdb passes over, and waits anew.

use super::console::Wire;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Half of what gdb waits.
const SILENCE: Duration = Duration::from_secs(1);

/// What gdb passes over, in both modes of acknowledgement. lldb would take it for the reply.
const ALIVE: &[u8] = b"+";

/// Waits for work that is done beside it; meanwhile the client hears that we live.
pub(super) fn patiently(wire: &mut dyn Wire, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (done, ready) = mpsc::channel::<()>();
    std::thread::Builder::new().name("patience".into()).spawn(move || {
        work();
        drop(done);
    })?;
    while ready.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
        wire.send_now(ALIVE)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::console::Heard;

    #[derive(Default)]
    struct Line(Vec<u8>);

    impl Wire for Line {
        fn send_now(&mut self, packets: &[u8]) -> io::Result<()> {
            self.0.extend(packets);
            Ok(())
        }

        fn heard(&mut self) -> io::Result<Heard> {
            Ok(Heard::Nothing)
        }
    }

    #[test]
    fn only_what_takes_long_is_heard_of() {
        let mut line = Line::default();
        patiently(&mut line, || ()).unwrap();
        assert_eq!(line.0, b"");
        patiently(&mut line, || std::thread::sleep(SILENCE * 5 / 2)).unwrap();
        assert!(line.0.starts_with(b"++"), "{:?}", line.0);
    }
}
