//! What lldb wants to know of the machine: `qHostInfo` and `qProcessInfo`.

use super::encode;
use super::front::{Reply, Session};

/// `qHostInfo`.
pub(super) fn host(session: &mut Session, _: &[u8]) -> Reply {
    let kvm = &session.target.kvm;
    let page = 1u64 << kvm.image().page_shift;
    // Without it lldb shows signed return addresses as they are, and goes no further.
    let bits = kvm.pac_mask().map(|mask| format!("addressing_bits:{};", mask.address_bits()));
    let bits = bits.unwrap_or_default();
    Reply::Packet(format!("{}vm-page-size:{page};{bits}", machine(session)).into_bytes())
}

/// `qProcessInfo`. lldb loads the host's own executable of a real process number, so it is always 1.
pub(super) fn process(session: &mut Session, _: &[u8]) -> Reply {
    Reply::Packet(format!("pid:1;{}", machine(session)).into_bytes())
}

fn machine(session: &Session) -> String {
    let machine = session.target.kvm.space().machine;
    let triple = format!("{}-unknown-{}", machine.lldb_name(), operating_system(session));
    let endian = if machine.big_endian { "big" } else { "little" };
    let triple = String::from_utf8_lossy(&encode::hex(triple.as_bytes())).into_owned();
    format!("triple:{triple};endian:{endian};ptrsize:{};", machine.ptr_bytes)
}

/// lldb drops a kernel file whose brand is not the triple's operating system. A file without a brand goes with any.
fn operating_system(session: &Session) -> &'static str {
    const LINUX: u8 = 3;
    const FREEBSD: u8 = 9;
    let kvm = &session.target.kvm;
    match kvm.symbols().file().map(|file| file.os_abi()) {
        Some(FREEBSD) => "freebsd",
        Some(LINUX) => "linux",
        _ if kvm.image().format.starts_with("FreeBSD") => "freebsd",
        _ => "linux",
    }
}
