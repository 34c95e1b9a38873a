//! Packets that change nothing.

use crate::conversation::check;
use crate::rsp::Server;
use crate::support::Saved;

#[test]
fn what_would_matter_if_something_ran_is_accepted() {
    let files = Saved::small();
    check(
        &mut Server::of(&files).connect(),
        &format!(
            "-> QPassSignals:e;10;14
            <- OK
            -> QProgramSignals:0;1;3
            <- OK
            -> QCatchSyscalls:1
            <- OK
            -> QThreadEvents:1
            <- OK
            -> QNonStop:0
            <- OK
            // what it cannot be
            -> QNonStop:1
            <-
            -> vMustReplyEmpty
            <-
            -> qGDBServerVersion
            <- name:kgdbserver;version:{};",
            env!("CARGO_PKG_VERSION")
        ),
    );
}
