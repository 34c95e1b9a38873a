//! VMCOREINFO over the wire.

use crate::conversation::check;
use crate::rsp::{GDB, Server, document};
use crate::support::Saved;
use crate::synth::linux::{Linux, Shapes};

#[test]
fn as_the_kernel_wrote_it_in_pieces_or_at_once() {
    let Some(built) = Linux::new(Shapes::New) else { return };
    let server =
        Server::start([built.kernel().as_os_str(), built.save().as_os_str(), "-l".as_ref(), ":0".as_ref()]);
    let mut client = server.connect();
    assert!(client.ask(GDB).contains(";qXfer:vmcoreinfo:read+"));
    for piece in [1, 7, 4096] {
        assert_eq!(document(&mut client, "vmcoreinfo:read:", piece), built.info);
    }
    assert_eq!(client.ask_bytes(b"qlinux.vmcoreinfo"), format!("Q{}", built.info).into_bytes());
}

#[test]
fn a_kernel_without_it_says_so() {
    let files = Saved::small();
    let server = Server::of(&files);
    let mut client = server.connect();
    assert!(!client.ask(GDB).contains("vmcoreinfo"));
    check(
        &mut client,
        "-> qXfer:vmcoreinfo:read::0,1000
        <- E02
        -> qlinux.vmcoreinfo
        <- E02",
    );
}
