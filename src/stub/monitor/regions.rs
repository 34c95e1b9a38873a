use super::{Done, KernelTarget, usage};
use crate::cells::Access;
use crate::report::translation::letters;
use crate::stub::console::Console;
use kgdbserver_arch::Va;

/// Lines of one answer, unless all are asked for.
const LINES: usize = 40;

pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    match arguments {
        [] => areas(target, console),
        ["all"] => mapped(target, Va(0), usize::MAX, console),
        [address] => mapped(target, target.kvm.evaluate(address)?, LINES, console),
        _ => usage("regions"),
    }
}

/// QEMU's `info mem`.
pub(super) fn all(target: &KernelTarget, console: &mut Console<'_>) -> Done {
    mapped(target, Va(0), usize::MAX, console)
}

/// What parts of the address space are for.
fn areas(target: &KernelTarget, console: &mut Console<'_>) -> Done {
    let mut areas = target.view(|view| view.areas.to_vec());
    areas.sort_by_key(|area| (area.first, std::cmp::Reverse(area.last)));
    for area in areas {
        console.print(&format!("{:#018x}-{:#018x}  {}\n", area.first.0, area.last.0, area.name))?;
    }
    Ok(())
}

/// What is mapped from an address on, piece by piece; one that goes on in the next answer is one line.
fn mapped(target: &KernelTarget, va: Va, lines: usize, console: &mut Console<'_>) -> Done {
    target.view(|view| {
        let mut pieces = view.from(va).peekable();
        let mut left = lines;
        while let Some(mut piece) = pieces.next() {
            console.poll()?;
            let alike =
                |next: &crate::regions::Stretch| (next.access, &next.name) == (piece.access, &piece.name);
            let mut last = piece.last;
            while let Some(next) = pieces.next_if(alike) {
                console.poll()?;
                last = next.last;
            }
            piece.last = last;
            let Access::Mapped(rights) = piece.access else { continue };
            if left == 0 {
                return Ok(console.print("...\n")?);
            }
            left -= 1;
            let name = piece.name.map(|name| format!("  {name}")).unwrap_or_default();
            console.print(&format!(
                "{:#018x}-{:#018x}  {}{name}\n",
                piece.first.0,
                piece.last.0,
                letters(rights)
            ))?;
        }
        Ok(())
    })
}
