//! `qOffsets`: where the kernel runs, if that is not where its file says.

use super::front::{Reply, Session};

/// gdb moves all of a file by where its first segment lies (`TextSeg`); told of offsets it would move three sections only.
/// lldb takes these for the offset of the whole file, and leaves a kernel that nothing is said of at no address at all.
pub(super) fn offsets(session: &mut Session, _: &[u8]) -> Reply {
    let symbols = session.target.kvm.symbols();
    let slide = symbols.slide();
    if session.target.client.lldb {
        return Reply::Packet(format!("Text={slide:x};Data={slide:x};Bss={slide:x}").into_bytes());
    }
    let first = symbols.file().and_then(|file| file.first_segment()).filter(|_| slide != 0);
    first.map_or(Reply::Unsupported, |first| {
        Reply::Packet(format!("TextSeg={:x}", first.0.wrapping_add(slide)).into_bytes())
    })
}
