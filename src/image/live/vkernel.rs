//! A kernel that is a process: DragonFly's vkernel(7). It maps itself as a process does, so what is at its addresses is what
//! /proc/PID/mem has there.

use super::kmem::Kmem;
use super::{Device, Live, NAME};
use crate::image::{Facts, Image, Store};
use crate::{Error, Result};
use kgdbserver_arch::{Region, Va, Via};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Opens the process. Which kernel it is only its file tells.
pub(super) fn open(pid: u32, write: bool) -> Result<Live> {
    let path = Device::Process(pid).path();
    let file = File::options().read(true).write(write).open(&path);
    let file = file.map_err(|error| Error::Denied { path: path.clone().into(), why: why(&error) })?;
    let process = Arc::new(Store::device(file, Path::new(&path), write));
    let memory = Arc::new(Kmem { virtual_memory: process, physical_memory: None, page: 4096 });
    let image = Image {
        format: NAME,
        shared_with: None,
        version: None,
        machine: None,
        page_shift: 12,
        size: 0,
        memory,
        regions: vec![Region { first: Va(0), last: Va(u64::MAX), via: Via::Stored }],
        direct_map: None,
        facts: Facts::default(),
        kerndisp: 0,
        warnings: Vec::new(),
        plain: None,
        kept: None,
    };
    Ok(Live { writable: write, ..Live::of(image) })
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "no such process, or /proc is not mounted (mount -t procfs proc /proc)".into()
        }
        io::ErrorKind::PermissionDenied => "only the vkernel's own user and root may open it".into(),
        _ => error.to_string(),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::image::Addr;
    use kgdbserver_arch::Fault;

    #[test]
    fn a_process_is_read_at_its_own_addresses() {
        let live = open(std::process::id(), false).unwrap();
        let word = 0x1234_5678_9abc_def0_u64;
        let at = Va(std::ptr::from_ref(&word).addr() as u64);
        let mut bytes = [0; 8];
        assert_eq!(live.image.memory.read(Addr::Virt(at), &mut bytes), Ok(8));
        assert_eq!(u64::from_ne_bytes(bytes), word);
        assert_eq!(live.image.memory.read(Addr::Virt(Va(0)), &mut bytes), Err(Fault::NotMapped));
        assert!(live.image.memory.is_live() && !live.writable);
    }

    #[test]
    fn a_process_that_is_none_is_said() {
        let error = open(u32::MAX, false).err().unwrap().to_string();
        assert!(error.contains("no such process"), "{error}");
    }
}
