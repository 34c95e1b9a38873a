//! Physical memory as QEMU's gdbstub shows it: after `Qqemu.PhyMemMode:1` every address is a physical one, for this
//! connection (docs/system/gdb.rst of QEMU). In gdb that is `maintenance packet Qqemu.PhyMemMode:1`.

use super::encode;
use super::front::{Reply, Session};
use crate::{Kvm, Result};
use kgdbserver_arch::Va;

/// `qqemu.Supported`: which of QEMU's own packets there are.
pub(super) fn supported(_: &mut Session, _: &[u8]) -> Reply {
    Reply::Packet(b"PhyMemMode".to_vec())
}

/// `qqemu.PhyMemMode`.
pub(super) fn mode(session: &mut Session, _: &[u8]) -> Reply {
    Reply::Packet(if session.target.physical { b"1".to_vec() } else { b"0".to_vec() })
}

/// `Qqemu.PhyMemMode:1`, and 0 back again.
pub(super) fn set_mode(session: &mut Session, arguments: &[u8]) -> Reply {
    let Some(on) = encode::number(arguments) else { return Reply::malformed("0 or 1") };
    session.target.physical = on != 0;
    Reply::Ok
}

/// Reads physical memory; short at what cannot be read.
pub(super) fn read(kvm: &Kvm, pa: u64, buf: &mut [u8]) -> Result<usize> {
    kvm.space().physical().read(Va(pa), buf)
}

/// Writes physical memory; short at what cannot be written.
pub(super) fn write(kvm: &Kvm, pa: u64, data: &[u8], who: &str) -> Result<usize> {
    kvm.write_in(&kvm.space().physical(), Va(pa), data, who)
}

/// The rest of a page that cannot be read.
pub(super) fn gap(kvm: &Kvm, pa: u64) -> u64 {
    let page = 1 << kvm.image().page_shift;
    page - pa % page
}
