use super::{Done, KernelTarget, pid, with_problems};
use crate::report;
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    let files = match pid(arguments)? {
        Some(pid) => target.kvm.getfiles(Some(pid))?,
        None => {
            let owners = target.kvm.processes()?;
            let owners_until_told = owners.items.into_iter().take_while(|_| console.poll().is_ok());
            let mut files = target.kvm.files_of(owners_until_told)?;
            files.problems.extend(owners.problems);
            files
        }
    };
    Ok(console.print(&with_problems(&files, report::files))?)
}
