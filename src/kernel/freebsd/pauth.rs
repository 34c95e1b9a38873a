//! Pointer authentication: arm64 kernels since 14 sign return addresses where the processor can.

use crate::space::Space;
use crate::symbols::Symbols;
use kgdbserver_arch::PacMask;

/// The mask follows from the width of addresses, as the top byte counts in the kernel's half. `enable_ptrauth` is set at
/// boot; where the image lacks it, the kernel may sign.
pub(super) fn mask(symbols: &Symbols, mem: &Space) -> Option<PacMask> {
    let enabled = symbols.address("enable_ptrauth")?;
    if mem.uint(enabled, 1).is_ok_and(|enabled| enabled == 0) {
        return None;
    }
    let form = mem.form()?;
    PacMask::above(form.shift(form.index_bits.len()))
}
