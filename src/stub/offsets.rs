//! `qOffsets`: where the kernel runs, if that is not where its file says.

use super::front::{Reply, Session};

/// gdb moves all of a Linux kernel's file by where its first segment lies (`TextSeg`); told of offsets it would move three
/// sections only. lldb takes these for the offset of the whole file. What gdbstub answers is right where no kernel was
/// moved by KASLR.
pub(super) fn offsets(session: &mut Session, packet: &[u8]) -> Reply {
    session.target.client.has_file = true;
    let symbols = session.target.kvm.symbols();
    let slide = symbols.slide();
    let first = symbols.first_segment();
    Reply::Packet(
        match first {
            _ if slide == 0 => return Reply::Pass([b"qOffsets", packet].concat()),
            Some(first) if !session.target.client.lldb => {
                format!("TextSeg={:x}", first.0.wrapping_add(slide))
            }
            _ => format!("Text={slide:x};Data={slide:x};Bss={slide:x}"),
        }
        .into_bytes(),
    )
}
