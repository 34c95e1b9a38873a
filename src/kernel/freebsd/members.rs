//! Structure members that type information tells of, and the values behind them.

use super::text;
use crate::space::Space;
use crate::symbols::{Member, Types};
use kgdbserver_arch::Va;
use std::collections::HashMap;

/// Members by structure and name. What the kernel file has no types for is not here, and reads as absent.
#[derive(Debug, Default)]
pub(super) struct Members {
    found: HashMap<(&'static str, &'static str), Member>,
}

/// Every member that is read. A name that a release does not have is simply not found.
const WANTED: &[(&str, &[&str])] = &[
    (
        "proc",
        &[
            "p_pptr",
            "p_oppid",
            "p_state",
            "p_flag",
            "p_ucred",
            "p_pgrp",
            "p_vmspace",
            "p_sysent",
            "p_fd",
            "p_pd",
            "p_args",
            "p_textvp",
            "p_sigacts",
            "p_xexit",
            "p_xsig",
            "p_acflag",
            "p_lock",
            "p_traceflag",
            "p_numthreads",
            "p_nice",
            "p_swtick",
            "p_rux.rux_runtime",
        ],
    ),
    (
        "thread",
        &[
            "td_state",
            "td_inhibitors",
            "td_wmesg",
            "td_wchan",
            "td_lockname",
            "td_siglist",
            "td_sigmask",
            "td_pri_class",
            "td_priority",
            "td_base_pri",
            "td_user_pri",
            "td_lastcpu",
        ],
    ),
    (
        "ucred",
        &[
            "cr_uid",
            "cr_ruid",
            "cr_rgid",
            "cr_svuid",
            "cr_svgid",
            "cr_gid",
            "cr_groups",
            "cr_ngroups",
            "cr_flags",
            "cr_prison",
        ],
    ),
    ("prison", &["pr_id"]),
    ("pgrp", &["pg_id", "pg_session"]),
    ("session", &["s_sid", "s_login", "s_leader", "s_ttyp"]),
    ("tty", &["t_pgrp", "t_session"]),
    ("sigacts", &["ps_sigignore", "ps_sigcatch"]),
    (
        "vmspace",
        &["vm_map.size", "vm_pmap.pm_stats.resident_count", "vm_swrss", "vm_tsize", "vm_dsize", "vm_ssize"],
    ),
    ("sysentvec", &["sv_name"]),
];

impl Members {
    pub(super) fn find(types: &Types) -> Self {
        let pairs =
            WANTED.iter().flat_map(|(structure, members)| members.iter().map(move |m| (*structure, *m)));
        let found = pairs.filter_map(|pair| Some((pair, types.member(pair.0, pair.1)?)));
        Self { found: found.collect() }
    }

    /// Whether the kernel has such a member.
    pub(super) fn has(&self, structure: &'static str, name: &'static str) -> bool {
        self.found.contains_key(&(structure, name))
    }

    fn place(&self, base: Va, structure: &'static str, name: &'static str) -> Option<(Va, Member)> {
        let member = *self.found.get(&(structure, name))?;
        Some((base.checked_add(member.offset)?, member))
    }

    /// An integer member; a signed one is extended to 64 bits.
    pub(super) fn uint(
        &self,
        mem: &Space,
        base: Va,
        structure: &'static str,
        name: &'static str,
    ) -> Option<u64> {
        let (at, member) = self.place(base, structure, name)?;
        let mut bytes = [0; 16];
        let bytes = bytes.get_mut(..usize::try_from(member.size).ok()?)?;
        mem.read_exact(at, bytes).ok()?;
        member.value(bytes, mem.machine.big_endian)
    }

    /// An integer member of 32 bits; an `int` reads as its bits.
    pub(super) fn u32(
        &self,
        mem: &Space,
        base: Va,
        structure: &'static str,
        name: &'static str,
    ) -> Option<u32> {
        let value = self.uint(mem, base, structure, name)?;
        u32::try_from(value).ok().or_else(|| i32::try_from(value.cast_signed()).ok().map(i32::cast_unsigned))
    }

    /// A signed integer member.
    pub(super) fn int(
        &self,
        mem: &Space,
        base: Va,
        structure: &'static str,
        name: &'static str,
    ) -> Option<i32> {
        i32::try_from(self.uint(mem, base, structure, name)?.cast_signed()).ok()
    }

    /// A pointer member that is not null.
    pub(super) fn pointer(
        &self,
        mem: &Space,
        base: Va,
        structure: &'static str,
        name: &'static str,
    ) -> Option<Va> {
        self.uint(mem, base, structure, name).filter(|va| *va != 0).map(Va)
    }

    /// The bytes of a member of at most 4096 bytes.
    pub(super) fn bytes(
        &self,
        mem: &Space,
        base: Va,
        structure: &'static str,
        name: &'static str,
    ) -> Option<Vec<u8>> {
        let (at, member) = self.place(base, structure, name)?;
        let mut bytes = vec![0; usize::try_from(member.size).ok().filter(|size| *size <= 4096)?];
        mem.read_exact(at, &mut bytes).ok().map(|()| bytes)
    }

    /// A member that is an array of characters.
    pub(super) fn chars(
        &self,
        mem: &Space,
        base: Va,
        structure: &'static str,
        name: &'static str,
    ) -> Option<String> {
        let bytes = self.bytes(mem, base, structure, name)?;
        Some(text(bytes.split(|byte| *byte == 0).next()?))
    }

    /// The text that a pointer member leads to, cut after `limit` bytes.
    pub(super) fn string(
        &self,
        mem: &Space,
        base: Va,
        structure: &'static str,
        name: &'static str,
        limit: usize,
    ) -> Option<String> {
        let at = self.pointer(mem, base, structure, name)?;
        mem.string(at, limit).ok().map(|bytes| text(&bytes))
    }
}
