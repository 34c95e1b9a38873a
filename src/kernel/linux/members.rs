//! Where the members of structures lie that every walk over tasks reads.

use crate::symbols::{Member, Types};
use crate::{Error, Result};

/// Members that were renamed: the structure, its names for the same thing newest first, and the release that changed it.
const RENAMED: &[(&str, &[&str])] = &[
    ("task_struct", &["__state", "state"]),             // 5.14
    ("task_struct", &["thread_info.cpu", "cpu"]), // where thread_info is not in the task; x86 moved it in 4.9, others until 5.16
    ("module", &["mem", "core_layout", "module_core"]), // 6.4, 4.5
];

/// The members of a task, found once.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) tasks: u64,
    pub(super) pid: u64,
    pub(super) tgid: u64,
    pub(super) comm: u64,
    pub(super) comm_bytes: usize,
    pub(super) signal: u64,
    pub(super) thread_node: u64,
    pub(super) real_parent: u64,
    pub(super) state: Member,
    pub(super) exit_state: Member,
    pub(super) on_cpu: Option<Member>,
    pub(super) cpu: Option<u64>,
    /// In `signal_struct`: the list of a process's threads.
    pub(super) thread_head: u64,
}

impl Task {
    pub(super) fn find(types: &Types) -> Result<Self> {
        let task = |name| Ok::<u64, Error>(types.require("task_struct", name)?.offset);
        let comm = types.require("task_struct", "comm")?;
        Ok(Self {
            tasks: task("tasks")?,
            pid: task("pid")?,
            tgid: task("tgid")?,
            comm: comm.offset,
            comm_bytes: usize::try_from(comm.size.min(64)).unwrap_or_default(),
            signal: task("signal")?,
            thread_node: task("thread_node")?,
            real_parent: task("real_parent")?,
            state: renamed(types, "task_struct", "__state")?,
            exit_state: types.require("task_struct", "exit_state")?,
            on_cpu: types.member("task_struct", "on_cpu"),
            cpu: renamed(types, "task_struct", "thread_info.cpu").ok().map(|member| member.offset),
            thread_head: types.require("signal_struct", "thread_head")?.offset,
        })
    }
}

/// A member by its newest name, whatever this release calls it.
pub(super) fn renamed(types: &Types, structure: &str, newest: &str) -> Result<Member> {
    let row = RENAMED.iter().find(|(of, names)| *of == structure && names.first() == Some(&newest));
    types.first_of(structure, row.map_or(&[newest], |(_, names)| names))
}
