//! Shows a kernel image to a debugger over the GDB remote protocol.
//!
//! gdbstub is the protocol's core; the front answers what gdbstub does not, keeps from it what it would fall over, and
//! builds it anew if it falls all the same. Many packets have a row in `front`; the rest is gdbstub's.

mod arch;
mod client;
mod describe;
mod encode;
mod errno;
mod front;
mod gdbstub_core;
mod host;
mod libraries;
mod memory;
mod monitor;
mod offsets;
mod pauth;
mod resolve;
mod resume;
pub mod serve;
mod spaces;
mod target;
mod threads;
mod transport;
