//! A minidump as it is: out of a compressed or encrypted file, or from its dump device.

use super::{Job, Written};
use crate::Result;
use crate::image::{Addr, Census};
use kgdbserver_arch::Pa;
use std::os::unix::fs::FileExt;

pub(super) fn write(job: &Job<'_>) -> Result<Written> {
    let size = job.image.size;
    job.copy(&(0..size), 0)?;
    put_changes(job)?;
    job.file.set_len(size).map_err(|error| job.io(error))?;
    job.tell(size, size)?;
    let Census { dumped, cut_off } = job.kvm.census();
    let bytes = |pages: u64| pages << job.image.page_shift;
    Ok(Written { memory: bytes(dumped.saturating_sub(cut_off)), lost: bytes(cut_off), file: size })
}

/// An overlay changes memory; where that lies in the file, the pages tell.
fn put_changes(job: &Job<'_>) -> Result<()> {
    let page = 1 << job.image.page_shift;
    let changes = job.kvm.overlay().map(crate::image::Overlay::changes).unwrap_or_default();
    for change in &changes {
        let Addr::Phys(Pa(first)) = change.at else { continue };
        let mut done = 0;
        while let Some(rest) = change.now.get(done..).filter(|rest| !rest.is_empty()) {
            let pa = first + done as u64;
            let len = rest.len().min((page - pa % page) as usize);
            // What an overlay holds could be read, so the file has it.
            if let Ok(at) = job.image.memory.locate(Pa(pa)) {
                let bytes = rest.get(..len).unwrap_or_default();
                job.file.write_all_at(bytes, at).map_err(|error| job.io(error))?;
            }
            done += len;
        }
    }
    Ok(())
}
