//! A gdb without FreeBSD support (Debian's) takes a kernel file with FreeBSD's brand for one of 32 bits. It rejects our
//! description of the machine, finds our registers too short, and leaves: with messages that nobody understands.

use super::front::Session;

/// Says what to do, where a connection ended as such a gdb ends it: it asked for registers, and then for nothing. A gdb that
/// has understood them reads the stack.
pub(super) fn explain(session: &Session) {
    let target = &session.target;
    let branded = target.kvm.symbols().file().is_some_and(|file| file.is_freebsds());
    if branded && target.client.at_registers && !target.client.lldb {
        log::warn!(
            "the debugger left when it had the registers. Did gdb load the FreeBSD kernel file without `set osabi none`? Start it \
             again, without a file or with\n  gdb -ex 'set osabi none' -ex 'file KERNEL' -ex 'target remote ...'"
        );
    }
}
