//! Memory that devices answer for: /dev/kmem by virtual address, /dev/mem by physical address; a process's /proc/PID/mem.

use crate::image::{Addr, Census, Memory, Source, Unwritten};
use kgdbserver_arch::{Fault, Pa, Va};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The memory of a running kernel, which translates its virtual addresses itself. Nothing is kept of it.
pub(super) struct Kmem {
    /// Read at virtual addresses.
    pub(super) virtual_memory: Arc<dyn Source>,
    /// Read at physical ones; none of a process that is a kernel.
    pub(super) physical_memory: Option<Arc<dyn Source>>,
    /// Bytes of a page.
    pub(super) page: u64,
}

impl Kmem {
    /// The device that answers for a place, where there, and the fault if nothing is there.
    fn place(&self, at: Addr) -> Result<(&dyn Source, u64, Fault), Fault> {
        match at {
            Addr::Virt(Va(va)) => Ok((&*self.virtual_memory, va, Fault::NotMapped)),
            Addr::Phys(pa) => {
                let device = self.physical_memory.as_deref().ok_or(Fault::NotInImage(pa))?;
                Ok((device, pa.0, Fault::NotInImage(pa)))
            }
            Addr::File(_) => Err(Fault::NotMapped),
        }
    }

    /// How many of `len` bytes lie in the page that begins them.
    fn within_page(&self, at: u64, len: usize) -> usize {
        usize::try_from(self.page - at % self.page).map_or(len, |rest| rest.min(len))
    }
}

/// Does with all bytes what can be done, or else with those of the first page: on some machines one page that is not mapped
/// fails the whole system call (FreeBSD's arm64).
fn as_far_as<T>(
    whole: T,
    first_page: T,
    mut transfer: impl FnMut(T) -> io::Result<usize>,
) -> io::Result<usize> {
    transfer(whole).or_else(|_| transfer(first_page))
}

impl Memory for Kmem {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let (device, offset, fault) = self.place(at)?;
        let (all, page) = (buf.len(), self.within_page(offset, buf.len()));
        match as_far_as(all, page, |len| device.read_at(offset, buf.get_mut(..len).unwrap_or_default())) {
            Ok(0) if all > 0 => Err(fault),
            Ok(got) => Ok(got),
            Err(error) => {
                log::debug!("{} at {offset:#x}: {error}", device.path().display());
                Err(fault)
            }
        }
    }

    fn write(&self, at: Addr, data: &[u8], _: Va) -> Result<usize, Unwritten> {
        let (device, offset, fault) = self.place(at)?;
        let file = device.writer().ok_or(Unwritten::ReadOnly)?;
        let (all, page) = (data.len(), self.within_page(offset, data.len()));
        match as_far_as(all, page, |len| file.write_at(data.get(..len).unwrap_or_default(), offset)) {
            Ok(0) if all > 0 => Err(Unwritten::Fault(fault)),
            Ok(written) => Ok(written),
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Err(Unwritten::Fault(fault)),
            Err(error) => Err(Unwritten::Io(error)),
        }
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        Ok(pa.0)
    }

    /// The devices do not tell where there is memory.
    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(std::iter::empty())
    }

    fn census(&self) -> Census {
        Census { dumped: 0, cut_off: 0 }
    }

    fn is_live(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Store;
    use std::path::Path;

    const PAGE: u64 = 4096;

    /// A device with one page at 0x1000, which refuses what is not all there as a whole.
    struct OnePage;

    impl Source for OnePage {
        fn path(&self) -> &Path {
            Path::new("/dev/kmem")
        }

        fn len(&self) -> u64 {
            u64::MAX
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            match offset >= PAGE && offset + buf.len() as u64 <= 2 * PAGE {
                true => {
                    buf.fill(7);
                    Ok(buf.len())
                }
                false => Err(io::Error::from_raw_os_error(libc::EFAULT)),
            }
        }
    }

    fn kmem(source: Arc<dyn Source>) -> Kmem {
        Kmem { virtual_memory: source, physical_memory: None, page: PAGE }
    }

    fn file(bytes: &[u8], writable: bool) -> Arc<dyn Source> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Arc::new(Store::device(file, Path::new("/dev/mem"), writable))
    }

    #[test]
    fn a_page_that_is_not_mapped_fails_itself_and_no_other() {
        let memory = kmem(Arc::new(OnePage));
        let read = |va, len| memory.read(Addr::Virt(Va(va)), &mut vec![0; len]);
        assert_eq!(read(0x1800, 16), Ok(16));
        assert_eq!(read(0x1ff8, 0x2000), Ok(8), "up to the page that is not there");
        assert_eq!(read(0x2000, 8), Err(Fault::NotMapped));
        assert_eq!(read(0xffff_f000, 8), Err(Fault::NotMapped));
        assert!(memory.is_live());
    }

    #[test]
    fn virtual_and_physical_addresses_are_two_devices() {
        let memory =
            Kmem { physical_memory: Some(file(b"physical", false)), ..kmem(file(b"virtual.", false)) };
        let text = |at| {
            let mut bytes = [0; 8];
            memory.read(at, &mut bytes).map(|_| bytes)
        };
        assert_eq!(text(Addr::Virt(Va(0))), Ok(*b"virtual."));
        assert_eq!(text(Addr::Phys(Pa(0))), Ok(*b"physical"));
        assert_eq!(text(Addr::Phys(Pa(8))), Err(Fault::NotInImage(Pa(8))), "behind its end");
        assert_eq!(kmem(file(b"", false)).read(Addr::Phys(Pa(0)), &mut [0]), Err(Fault::NotInImage(Pa(0))));
    }

    #[test]
    fn what_was_opened_for_reading_is_not_written() {
        let read_only = kmem(file(b"abcdefgh", false));
        assert!(matches!(read_only.write(Addr::Virt(Va(0)), b"x", Va(0)), Err(Unwritten::ReadOnly)));
        let memory = kmem(file(b"abcdefgh", true));
        assert_eq!(memory.write(Addr::Virt(Va(2)), b"XY", Va(2)).unwrap(), 2);
        let mut bytes = [0; 8];
        memory.read(Addr::Virt(Va(0)), &mut bytes).unwrap();
        assert_eq!(&bytes, b"abXYefgh");
    }
}
