//! What a reader must find.

use std::collections::BTreeMap;

/// The truth about a built system.
#[derive(Clone, Debug)]
pub struct Facts {
    /// In kernel order: the newest process first.
    pub pids: Vec<u32>,
    /// In kernel order: the newest process's threads first.
    pub threads: Vec<ThreadFacts>,
    /// The kernel file's symbols.
    pub symbols: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
pub struct ThreadFacts {
    pub tid: u32,
    pub pid: u32,
    /// At most 20 bytes, as `p_comm` holds.
    pub comm: String,
    pub name: String,
    pub on_cpu: Option<u32>,
    pub crashed: bool,
    /// Address of its `struct thread`.
    pub address: u64,
    /// Where its registers were saved; `None` if it ran on a CPU that did not stop.
    pub pcb: Option<u64>,
    /// By gdb's names; empty if nothing readable holds them.
    pub registers: Vec<(&'static str, u64)>,
    /// The pc, then the return addresses outwards; empty as the registers are.
    pub backtrace: Vec<u64>,
}

impl Facts {
    pub fn thread(&self, tid: u32) -> &ThreadFacts {
        self.threads.iter().find(|thread| thread.tid == tid).expect("no such thread")
    }

    pub fn symbol(&self, name: &str) -> u64 {
        *self.symbols.get(name).unwrap_or_else(|| panic!("no symbol {name}"))
    }
}

impl ThreadFacts {
    pub fn register(&self, name: &str) -> Option<u64> {
        self.registers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Whether on amd64 only `savectx` saves a register: the bases of segments, and what controls the CPU. In the pcb of a thread
/// that was switched out these places hold a user's values, or none.
pub fn only_of_stopped(register: &str) -> bool {
    register.ends_with("_base") || ["cr0", "cr2", "cr3", "cr4"].contains(&register)
}
