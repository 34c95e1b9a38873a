//! Physical memory as QEMU's gdbstub shows it: after `Qqemu.PhyMemMode:1` every address is a physical one, for this
//! connection (docs/system/gdb.rst of QEMU). In gdb that is `maintenance packet Qqemu.PhyMemMode:1`.

use super::encode;
use super::front::{Reply, Session};
use crate::image::Addr;
use crate::{Error, Kvm, Result, describe};
use kgdbserver_arch::{Pa, Region, Va, Via};

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
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let Some(at) = pa.checked_add(done as u64) else { break };
        match kvm.space().memory().read(Addr::Phys(Pa(at)), rest) {
            Ok(got) => done += got,
            Err(why) if done == 0 => return Err(Error::Unsupported(describe(why))),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Writes physical memory; short at what cannot be written.
pub(super) fn write(kvm: &Kvm, pa: u64, data: &[u8], who: &str) -> Result<usize> {
    let all = Region { first: Va(0), last: Va(u64::MAX), via: Via::Linear(Pa(0)) };
    kvm.write_in(&kvm.space().over(vec![all]), Va(pa), data, who)
}

/// The rest of a page that cannot be read.
pub(super) fn gap(kvm: &Kvm, pa: u64) -> u64 {
    let page = 1 << kvm.image().page_shift;
    page - pa % page
}
