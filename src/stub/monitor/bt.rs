use super::{Done, KernelTarget, usage};
use crate::kernel::Thread;
use crate::kernel::frames::Frame;
use crate::stub::console::Console;
use kgdbserver_arch::Va;

pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    match arguments {
        [] => target.shown().map_or(Ok(()), |thread| Ok(console.print(&one(target, thread))?)),
        ["all"] => Ok(target.threads().iter().try_for_each(|thread| console.print(&one(target, thread)))?),
        [tid] => {
            let tid = tid.parse().map_err(|_| format!("{tid}: not a thread id"))?;
            let (_, thread) = target.thread(tid).ok_or_else(|| format!("{tid}: no such thread"))?;
            Ok(console.print(&one(target, thread))?)
        }
        _ => usage("bt"),
    }
}

fn one(target: &KernelTarget, thread: &Thread) -> String {
    let heading = format!("thread {} (pid {}) {}\n", thread.tid, thread.pid, thread.name);
    let trace = target.kvm.backtrace(&target.registers(thread));
    if trace.is_empty() {
        let why = match thread.saved {
            crate::kernel::Saved::Nowhere(why) => why,
            _ => "they cannot be read",
        };
        return format!("{heading}  no registers: {why}\n");
    }
    let line = |(number, frame): (usize, &Frame)| {
        format!("#{number:<3} {:#018x}{}\n", frame.pc.0, name(target, frame))
    };
    heading + &trace.iter().enumerate().map(line).collect::<String>()
}

/// ` in panic+0x43`, ` in nfsd+0xdd [nfsd]`. A return address is behind the call, which may be the last instruction of its
/// function.
fn name(target: &KernelTarget, frame: &Frame) -> String {
    let code = Va(frame.pc.0.saturating_sub(u64::from(frame.called)));
    let module = target.kvm.loaded_at(code).map(|loaded| format!(" [{}]", loaded.module.name));
    let module = module.unwrap_or_default();
    match target.kvm.symbol_at(code) {
        Some((symbol, distance)) => {
            format!(" in {}+{:#x}{module}", symbol.name, distance + (frame.pc.0 - code.0))
        }
        None => module,
    }
}
