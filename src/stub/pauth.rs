//! Pointer authentication as debuggers are told of it: gdb has registers for the masks, lldb a number of bits (`host`).

use crate::Kvm;
use kgdbserver_arch::Reg;

/// The name that gdb 16 goes by and gdb 13 passes over, which is as well: by the first one (`pauth`) it takes the masks
/// for a program's addresses, and clears the bits that must be set in a kernel's.
const FEATURE: &str = "org.gnu.gdb.aarch64.pauth_v2";

/// For data and for code; of a program's addresses and of the kernel's.
static REGISTERS: [Reg; 4] =
    [mask("pauth_dmask"), mask("pauth_cmask"), mask("pauth_dmask_high"), mask("pauth_cmask_high")];

const fn mask(name: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type: "int", feature: FEATURE }
}

/// The masks, which come behind the machine's own registers and are the same in every thread.
pub(super) struct Masks(Option<[[u8; 8]; REGISTERS.len()]>);

impl Masks {
    /// None where the kernel signs no addresses.
    pub(super) fn of(kvm: &Kvm) -> Self {
        let big_endian = kvm.space().machine.big_endian;
        let stored = |value: u64| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let values = kvm.pac_mask().map(|mask| [mask.low(), mask.low(), mask.high(), mask.high()]);
        Self(values.map(|values| values.map(stored)))
    }

    /// What they are, in the order of the packet `g`.
    pub(super) fn registers(&self) -> &'static [Reg] {
        if self.0.is_some() { &REGISTERS } else { &[] }
    }

    /// Their bytes in the packet `g`.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |values| values.as_flattened())
    }

    /// The bytes of one of them.
    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        self.0.as_ref()?.get(number).map(<[u8; 8]>::as_slice)
    }
}
