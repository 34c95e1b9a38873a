//! Shows a kernel image to a debugger over the GDB remote protocol.
//!
//! gdbstub is the protocol's core; the front answers what gdbstub does not, keeps from it what it would fall over, and
//! builds it anew if it falls all the same. Many packets have a row in `front`; the rest is gdbstub's.

mod arch;
mod brand;
mod client;
mod connection;
mod console;
mod describe;
mod encode;
mod errno;
mod files;
mod front;
mod gdbstub_core;
mod host;
mod libraries;
mod listener;
mod lldb_threads;
mod memory;
mod monitor;
mod offsets;
mod osdata;
mod patience;
mod pauth;
mod physical;
mod quiet;
mod regions;
mod registers;
mod resolve;
mod resume;
mod search;
pub mod serve;
mod spaces;
mod stats;
mod target;
mod threads;
mod transport;
mod vmcoreinfo;
mod writes;
