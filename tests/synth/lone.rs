//! The least that a kernel can be: one process with one thread that sleeps, of any pointer size and byte order.

use super::bytes::{Endian, put};
use std::collections::HashMap;

pub const PID: u32 = 7;
pub const TID: u32 = 100_007;
pub const NAME: &str = "lone";

/// A page of the kernel's data, and the names in it.
#[derive(Clone, Debug)]
pub struct Lone {
    pub page: Vec<u8>,
    pub symbols: HashMap<String, u64>,
}

const ALLPROC: u64 = 0x100;
const PROC: u64 = 0x200;
const THREAD: u64 = 0x300;
const PCB: u64 = 0x400;
const PCB_SIZE: u64 = 0x100;

impl Lone {
    /// A page that lies at `va`. The pcb's words (as wide as a pointer) tell their own offset: see `saved`.
    pub fn at(va: u64, endian: Endian, ptr_bytes: usize) -> Self {
        let mut lone = Self { page: vec![0; 4096], symbols: HashMap::new() };
        let int = |value: u32| endian.u32(value).to_vec();
        let pointer =
            |value: u64| if ptr_bytes == 8 { endian.u64(value).to_vec() } else { int(value as u32) };
        let constants = [
            ("proc_off_p_list", 0),
            ("proc_off_p_threads", 0x10),
            ("proc_off_p_pid", 0x20),
            ("proc_off_p_comm", 0x28),
            ("thread_off_td_plist", 0),
            ("thread_off_td_tid", 0x10),
            ("thread_off_td_name", 0x18),
            ("thread_off_td_oncpu", 0x30),
            ("thread_off_td_pcb", 0x38),
            ("pcb_size", PCB_SIZE as u32),
            ("osreldate", 1_500_000),
        ];
        for ((name, value), at) in constants.into_iter().zip((0..).step_by(4)) {
            lone.symbols.insert(name.into(), va + at as u64);
            put(&mut lone.page, at, &int(value));
        }
        lone.symbols.insert("allproc".into(), va + ALLPROC);
        for (at, bytes) in [
            (ALLPROC, pointer(va + PROC)),
            (PROC + 0x10, pointer(va + THREAD)),
            (PROC + 0x20, int(PID)),
            (PROC + 0x28, NAME.into()),
            (THREAD + 0x10, int(TID)),
            (THREAD + 0x30, int(u32::MAX)),
            (THREAD + 0x38, pointer(va + PCB)),
        ] {
            put(&mut lone.page, at as usize, &bytes);
        }
        for offset in (0..PCB_SIZE).step_by(ptr_bytes) {
            put(&mut lone.page, (PCB + offset) as usize, &pointer(saved(offset)));
        }
        lone
    }
}

/// What the word of the pcb at this offset holds.
pub fn saved(offset: u64) -> u64 {
    0x00c0_0000 + offset
}
