//! Lists that change while they are walked.

use super::*;
use crate::image::Memory;
use crate::image::ram::Ram;
use crate::image::running::Running;
use kgdbserver_arch::x86_64::ARCH;
use kgdbserver_arch::{Machine, Pa, Region, Via};
use std::sync::Arc;

const HEAD: u64 = 0x100;

/// What a walk finds, where links lead on and back as told: `(link, next, prev)`.
fn walked(live: bool, links: &[(u64, u64, u64)]) -> (Vec<u64>, Vec<String>) {
    let mut bytes = vec![0; 0x1000];
    for (link, next, prev) in links {
        let at = *link as usize;
        bytes[at..at + 8].copy_from_slice(&next.to_le_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&prev.to_le_bytes());
    }
    let machine = Machine { arch: &ARCH, big_endian: false, ptr_bytes: 8 };
    let all = Region { first: Va(0), last: Va(0xfff), via: Via::Linear(Pa(0)) };
    let dump: Arc<dyn Memory> = Arc::new(Ram::at_zero(bytes));
    let mem = Space::new(machine, vec![all], if live { Arc::new(Running(dump)) } else { dump });
    let found = Listing::from_results(list(&mem, "task", Va(HEAD), 0));
    let items = found.items.iter().map(|va| va.0).collect();
    (items, found.problems.iter().map(ToString::to_string).collect())
}

const SOUND: [(u64, u64, u64); 3] = [(HEAD, 0x200, 0x300), (0x200, 0x300, HEAD), (0x300, HEAD, 0x200)];

#[test]
fn a_list_that_stays_is_walked_to_its_end() {
    assert_eq!(walked(true, &SOUND), (vec![0x200, 0x300], vec![]));
}

#[test]
fn a_task_that_became_another_one_does_not_end_the_list_unseen() {
    // The first task has ended, and its memory is the newest task's: behind it the list ends.
    let reused = [(HEAD, 0x200, 0x300), (0x200, HEAD, 0x300), (0x300, 0x200, HEAD)];
    let (tasks, problems) = walked(true, &reused);
    assert_eq!(tasks, [0_u64; 0]);
    assert!(problems[0].contains("left the list"), "{problems:?}");
}

#[test]
fn in_a_dump_a_link_need_not_lead_back() {
    // A CPU was just about to add a task when the kernel crashed.
    let halfway = [(HEAD, 0x200, 0x300), (0x200, 0x300, HEAD), (0x300, HEAD, HEAD)];
    assert_eq!(walked(false, &halfway), (vec![0x200, 0x300], vec![]));
    assert_eq!(walked(true, &halfway).1.len(), 1);
}
