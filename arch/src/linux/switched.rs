//! Where a task's registers are while it does not run.

/// Where a task that is not running has its registers.
#[derive(Debug)]
pub struct Switched {
    /// The member of `task_struct` that leads there; dots lead into members.
    pub member: &'static str,
    /// How it leads there.
    pub at: At,
    /// The registers.
    pub structure: Structure,
    /// The stack pointer is behind the structure.
    pub sp_behind: bool,
    /// Where the task goes on.
    pub goes: Goes,
}

/// How a member leads to registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// It holds them.
    Member,
    /// It points to them.
    Pointer,
    /// It points to a stack frame, whose first word points to the caller's frame. They lie right before that.
    FrameEnd,
}

/// Where a switched task goes on.
#[derive(Debug, Clone, Copy)]
pub enum Goes {
    /// At the program counter among its registers.
    Saved,
    /// At the address in a member of `task_struct`.
    Member(&'static str),
    /// Behind the place where the one function calls the other.
    BehindCall {
        /// The function that contains the call.
        caller: &'static str,
        /// The function called.
        callee: &'static str,
        /// Finds the address behind the call, in the code of the caller that begins at `at`.
        find: fn(code: &[u8], at: u64, callee: u64) -> Option<u64>,
    },
}

/// Registers in a structure that the kernel's types describe.
#[derive(Debug)]
pub struct Structure {
    /// Its tag.
    pub name: &'static str,
    /// What it holds.
    pub members: &'static [Named],
}

/// A register in a named member. The register may be narrower: then it is the member's low-order part.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Index into the register table.
    pub reg: usize,
    /// The member; dots lead into members.
    pub member: &'static str,
    /// Which element, if the member is an array.
    pub index: u64,
}

/// A register that is a member of its own.
pub(super) const fn named(reg: usize, member: &'static str) -> Named {
    Named { reg, member, index: 0 }
}

/// A register in an array.
pub(super) const fn element(reg: usize, member: &'static str, index: u64) -> Named {
    Named { reg, member, index }
}

/// Registers of consecutive numbers in an array's elements from one on, and others behind them: `N` in all.
#[allow(clippy::indexing_slicing, reason = "the compiler evaluates it, and refuses an index beyond the end")]
pub(super) const fn elements<const N: usize>(
    first: usize,
    member: &'static str,
    index: u64,
    others: &[Named],
) -> [Named; N] {
    let mut all = [element(first, member, index); N];
    let side_by_side = N - others.len();
    let mut nth = 0;
    while nth < N {
        all[nth] = match nth.checked_sub(side_by_side) {
            None => element(first + nth, member, index + nth as u64),
            Some(other) => others[other],
        };
        nth += 1;
    }
    all
}

/// The registers that a task had in user space when it entered the kernel.
#[derive(Debug)]
pub struct User {
    /// The registers.
    pub structure: Structure,
    /// Where they are.
    pub at: UserAt,
    /// Tells whether registers are of user space at all; none if an address does.
    pub mode: Option<UserMode>,
}

/// Where the kernel keeps a task's user registers.
#[derive(Debug, Clone, Copy)]
pub enum UserAt {
    /// So many bytes before the end of the task's stack they end. Where kernels differ, the first place counts whose
    /// registers are of user space.
    StackEnd(&'static [u64]),
    /// A member of `task_struct` points to them; a null pointer if the task has none.
    Member(&'static str),
}

/// Registers are of user space if one of them, masked, has a value.
#[derive(Debug, Clone, Copy)]
pub struct UserMode {
    /// Index into the register table.
    pub reg: usize,
    /// The bits that count.
    pub mask: u64,
    /// What they are in user space.
    pub value: u64,
}
