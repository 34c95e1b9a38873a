use super::{Done, KernelTarget, pid, with_problems};
use crate::kernel::Listing;
use crate::kernel::kinfo::Op;
use crate::report::Which;
use crate::stub::console::Console;

pub(super) fn args(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    run(target, arguments, console, Which::Arguments)
}

pub(super) fn env(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    run(target, arguments, console, Which::Environment)
}

fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>, which: Which) -> Done {
    let rows = match pid(arguments)? {
        Some(pid) => which.collect(&target.kvm, Some(pid))?,
        None => {
            let procs = target.kvm.getprocs(Op::Proc as i32, 0)?;
            let procs_until_told = procs.items.iter().take_while(|_| console.poll().is_ok());
            let items = procs_until_told.map(|proc| which.of(&target.kvm, proc)).collect();
            Listing { items, problems: procs.problems }
        }
    };
    Ok(console.print(&with_problems(&rows, |rows| which.text(rows)))?)
}
