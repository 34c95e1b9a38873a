//! `qMemoryRegionInfo`.

use crate::conversation::check;
use crate::rsp::{Server, digits};
use crate::support::Saved;

#[test]
fn stretches_and_the_gaps_between_them() {
    let files = Saved::small();
    let (direct_map, text) = (digits("direct map"), digits("text"));
    check(
        &mut Server::of(&files).connect(),
        &format!(
            "-> qMemoryRegionInfo:0
            <- start:0;size:fffff80000000000;
            -> qMemoryRegionInfo:fffff80000001234
            <- start:fffff80000000000;size:40000000000;permissions:r;name:{direct_map};
            -> qMemoryRegionInfo:ffffffff80201c25
            <- start:ffffffff80200000;size:5000;permissions:rx;name:{text};
            -> qMemoryRegionInfo:ffffffff80410000
            <- start:ffffffff80400000;size:200000;permissions:rw;
            // up to the highest address, which lldb takes for none
            -> qMemoryRegionInfo:ffffffffffffffff
            <- start:ffffffff80600000;size:7f9fffff;
            -> qMemoryRegionInfo:nonsense
            <- E16
            -> qMemoryRegionInfo:
            <- E16
            // there are no stretches of physical memory
            -> Qqemu.PhyMemMode:1
            <- OK
            -> qMemoryRegionInfo:0
            <-"
        ),
    );
}
