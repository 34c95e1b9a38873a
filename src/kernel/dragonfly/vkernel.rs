//! A vkernel: a DragonFly kernel that runs as a process of another one.

use crate::image::Image;
use crate::kernel::{Found, Hints};
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::Machine;

/// A vkernel's memory image (`/var/vkernel/memimg.NNNNNN`) has what it allocated, but none of its variables: these are
/// in the process, and with them every way to the lists of processes and to the page tables (init_kern_memory() in
/// vkernel64/platform/init.c). So nothing in the image could prove that this kernel ran in it.
pub(crate) fn locate(_: &Image, _: Option<Machine>, symbols: &Symbols, _: &Hints) -> Option<Result<Found>> {
    // The file descriptor of the memory image: only a vkernel has one.
    symbols.address("MemImageFd")?;
    Some(Err(Error::Unsupported(
        "the kernel file is a vkernel, whose variables are in the process that ran it and not in its memory image"
            .into(),
    )))
}
