//! Memory that changes while it is read, pages of it that Linux does not give away, and where it is written.

use super::page_flags::{Few, PageFlags};
use crate::image::zeros::is_zero;
use crate::image::{Addr, Census, Memory, Unwritten};
use kgdbserver_arch::{Fault, Pa, Va};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// As small as pages are.
const PAGE: u64 = 4096;
/// Bytes that tell most pages from zeros.
const GLANCE: usize = 64;

/// The memory of a running kernel.
///
/// /proc/kcore answers for some pages with zeros that are not there: those that a balloon took or that were unplugged
/// (since 5.10), whose memory has failed, or that a hypervisor has yet to hand over. What the kernel says of its pages in
/// /proc/kpageflags tells these zeros from true ones. It is only asked of pages that begin with zeros.
pub(super) struct Kcore {
    pub(super) memory: Arc<dyn Memory>,
    /// None where it may not be read.
    pub(super) flags: Option<PageFlags>,
    /// /dev/mem, as /proc/kcore is only read; none where nothing is to be written.
    pub(super) writer: Option<File>,
}

impl Kcore {
    /// How many of the bytes read at an address may be believed.
    fn believed(&self, Pa(pa): Pa, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(flags) = &self.flags else { return Ok(bytes.len()) };
        let (mut done, mut few) = (0, None);
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = pa + done as u64;
            let len = rest.len().min((flags.page_bytes - at % flags.page_bytes) as usize);
            let page = rest.get(..len).unwrap_or_default();
            // A look at all bytes of a page costs more than its flags, and a few tell that most pages are not zeros.
            if is_zero(page.get(..GLANCE).unwrap_or(page)) {
                let withheld = |few: &Few| few.is_withheld(at / flags.page_bytes);
                let known = few.as_ref().and_then(withheld);
                let known = known.or_else(|| withheld(few.insert(flags.of(Pa(at), rest.len()))));
                if known == Some(true) && is_zero(page) {
                    return if done == 0 { Err(Fault::Excluded(Pa(pa))) } else { Ok(done) };
                }
            }
            done += len;
        }
        Ok(done)
    }
}

impl Memory for Kcore {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let got = self.memory.read(at, buf)?;
        match at {
            Addr::Phys(pa) => self.believed(pa, buf.get(..got).unwrap_or_default()),
            _ => Ok(got),
        }
    }

    fn write(&self, at: Addr, data: &[u8], _: Va) -> Result<usize, Unwritten> {
        let (Some(writer), Addr::Phys(Pa(pa))) = (&self.writer, at) else { return Err(Unwritten::ReadOnly) };
        let mut was = [0; PAGE as usize];
        let len = data.len().min((PAGE - pa % PAGE) as usize);
        let readable = self.read(at, was.get_mut(..len).unwrap_or_default())?;
        writer.write_at(data.get(..readable).unwrap_or_default(), pa).map_err(Unwritten::Io)
    }

    /// /dev/mem knows of no protection, and writes where the kernel maps all memory. On arm64 what is read-only there is a fault
    /// of the kernel's own ("Unable to handle kernel write to read-only memory"), and the end of whoever asked for it.
    fn obeys_rights(&self) -> bool {
        true
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        self.memory.locate(pa)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        self.memory.pages()
    }

    fn left_out(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        self.memory.left_out()
    }

    fn census(&self) -> Census {
        self.memory.census()
    }

    fn is_live(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Source;
    use crate::image::extents::{Extent, Stretches};
    use crate::image::odd;
    use crate::image::store::Store;
    use std::io::Write;
    use std::path::Path;

    const OFFLINE: u64 = 1 << 23;

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// Three pages: one of sevens, one of zeros that are withheld, one of true zeros.
    fn running() -> Kcore {
        let bytes = [vec![7; 4096], vec![0; 8192]].concat();
        let source: Arc<dyn Source> = Arc::new(Store::device(file(&bytes), Path::new("kcore"), false));
        let all = Extent { start: 0, len: 0x3000, offset: 0 };
        let flags: Vec<u8> = [OFFLINE, OFFLINE, 0].iter().flat_map(|flags| flags.to_ne_bytes()).collect();
        let flags = Some(PageFlags { file: file(&flags), page_bytes: PAGE });
        Kcore { memory: Arc::new(Stretches::new(source, &[all])), flags, writer: None }
    }

    #[test]
    fn it_hides_nothing() {
        odd::check(&Kcore { memory: Arc::new(odd::Odd), flags: None, writer: None });
    }

    #[test]
    fn zeros_of_a_withheld_page_are_none() {
        let memory = running();
        let read = |pa, len| memory.read(Addr::Phys(Pa(pa)), &mut vec![0; len]);
        assert_eq!(read(0, 8), Ok(8), "no zeros");
        assert_eq!(read(0x1008, 8), Err(Fault::Excluded(Pa(0x1008))));
        assert_eq!(read(0x2000, 8), Ok(8));
        assert_eq!(read(0, 0x3000), Ok(0x1000), "up to the page that is withheld");
        assert!(memory.is_live());
    }

    #[test]
    fn a_page_that_only_begins_with_zeros_is_believed() {
        let mut bytes = vec![0; PAGE as usize];
        let believed = |bytes: &[u8]| running().believed(Pa(0x1000), bytes);
        assert_eq!(believed(&bytes), Err(Fault::Excluded(Pa(0x1000))));
        bytes[GLANCE] = 1;
        assert_eq!(believed(&bytes), Ok(PAGE as usize));
    }

    #[test]
    fn without_flags_zeros_are_zeros() {
        let memory = Kcore { flags: None, ..running() };
        assert_eq!(memory.read(Addr::Phys(Pa(0x1008)), &mut [1; 8]), Ok(8));
    }

    #[test]
    fn what_is_read_is_written_elsewhere_a_page_at_a_time() {
        let device = file(&[0; 0x3000]);
        let memory = Kcore { writer: Some(device.try_clone().unwrap()), ..running() };
        let write = |pa, data: &[u8]| memory.write(Addr::Phys(Pa(pa)), data, Va(0));
        assert_eq!(write(0xffe, b"abcd").unwrap(), 2, "up to the page's end");
        assert_eq!(write(0x2ffe, b"efgh").unwrap(), 2);
        assert!(memory.obeys_rights());
        let refused = write(0x1008, b"ij").unwrap_err();
        assert!(matches!(refused, Unwritten::Fault(Fault::Excluded(Pa(0x1008)))), "{refused:?}");
        let refused = write(0x3000, b"k").unwrap_err();
        assert!(matches!(refused, Unwritten::Fault(Fault::NotInImage(Pa(0x3000)))), "{refused:?}");
        let mut bytes = vec![1; 0x3000];
        device.read_exact_at(&mut bytes, 0).unwrap();
        let expected = [&[0; 0xffe][..], b"ab", &[0; 0x1ffe], b"ef"].concat();
        assert!(bytes == expected, "something else was written");
    }

    #[test]
    fn without_a_writer_nothing_is_written() {
        let refused = running().write(Addr::Phys(Pa(0)), b"a", Va(0)).unwrap_err();
        assert!(matches!(refused, Unwritten::ReadOnly), "{refused:?}");
    }
}
