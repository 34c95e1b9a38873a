//! Memory at one moment, as far as a kernel that runs on can be held still.
//!
//! To list a kernel's tasks means to follow thousands of pointers. Here each page that is touched is read once, as a whole:
//! what stands in one page fits together, and a question about a live kernel costs one system call for each page, not for
//! each pointer. It lasts for one question; the next one reads again.

use super::{Addr, Census, Memory, Unwritten};
use kgdbserver_arch::{Fault, Pa, Va};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const PAGE: u64 = 4096;
/// What is kept at most: 64 MiB. A question that touches more goes on with fresh pages.
const PAGES: usize = 16 << 10;

/// The pages that were read so far; none of one that cannot be read as a whole.
type Pages = HashMap<Addr, Option<Box<[u8]>>>;

/// Memory whose pages are read once.
pub(crate) struct Moment {
    memory: Arc<dyn Memory>,
    pages: Mutex<Pages>,
}

impl Moment {
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Self { memory, pages: Mutex::default() }
    }

    /// Copies from one page; none if it cannot be had as a whole.
    fn copy(&self, at: Addr, buf: &mut [u8]) -> Option<usize> {
        let (first, offset) = page_of(at)?;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= PAGES {
            pages.clear();
        }
        let page = pages.entry(first).or_insert_with(|| {
            let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
            (self.memory.read(first, &mut bytes) == Ok(PAGE as usize)).then_some(bytes)
        });
        let rest = page.as_ref()?.get(offset..)?;
        let len = rest.len().min(buf.len());
        buf.get_mut(..len)?.copy_from_slice(rest.get(..len)?);
        Some(len)
    }
}

/// The page that a place in memory lies in, and how far into it.
fn page_of(at: Addr) -> Option<(Addr, usize)> {
    match at {
        Addr::Phys(Pa(pa)) => Some((Addr::Phys(Pa(pa - pa % PAGE)), (pa % PAGE) as usize)),
        Addr::Virt(Va(va)) => Some((Addr::Virt(Va(va - va % PAGE)), (va % PAGE) as usize)),
        Addr::File(_) => None,
    }
}

impl Memory for Moment {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        // What is long is not a structure: it would only push structures out.
        let short = buf.len() < 4 * PAGE as usize;
        let copied = if short { self.copy(at, buf) } else { None };
        copied.map_or_else(|| self.memory.read(at, buf), Ok)
    }

    /// What is written in a moment is not seen in it.
    fn write(&self, at: Addr, data: &[u8], va: Va) -> Result<usize, Unwritten> {
        self.memory.write(at, data, va)
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
        self.memory.is_live()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::odd::{Odd, check, check_write};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Memory of two pages and a half whose bytes tell how often it was read.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Memory for Counting {
        fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
            let (Addr::Phys(Pa(pa)) | Addr::Virt(Va(pa))) = at else { return Err(Fault::NoRegion) };
            let left =
                0x2800_u64.checked_sub(pa).filter(|left| *left > 0).ok_or(Fault::NotInImage(Pa(pa)))?;
            let len = buf.len().min(left as usize);
            let count = self.0.fetch_add(1, Ordering::Relaxed) as u8;
            buf[..len].fill(count);
            Ok(len)
        }

        fn locate(&self, pa: Pa) -> Result<u64, Fault> {
            Ok(pa.0)
        }

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

    fn byte(memory: &Moment, pa: u64) -> Result<u8, Fault> {
        let mut byte = [0xff];
        memory.read(Addr::Phys(Pa(pa)), &mut byte).map(|_| byte[0])
    }

    #[test]
    fn it_hides_nothing() {
        let moment = Moment::new(Arc::new(Odd));
        check(&moment);
        check_write(&moment);
    }

    #[test]
    fn a_page_is_read_once_and_only_for_its_moment() {
        let memory: Arc<dyn Memory> = Arc::new(Counting::default());
        let moment = Moment::new(memory.clone());
        assert_eq!([0x10, 0x20, 0x1010, 0xff0].map(|pa| byte(&moment, pa)), [Ok(0), Ok(0), Ok(1), Ok(0)]);
        assert_eq!(byte(&Moment::new(memory), 0x10), Ok(2));
        assert!(moment.is_live());
        let mut bytes = [0xff];
        assert_eq!(moment.read(Addr::Virt(Va(0x10)), &mut bytes), Ok(1));
        assert_eq!(bytes, [3], "a virtual address is another page");
    }

    #[test]
    fn a_read_ends_with_its_page_and_what_is_cut_off_is_read_as_it_is() {
        let moment = Moment::new(Arc::new(Counting::default()));
        assert_eq!(moment.read(Addr::Phys(Pa(0xff8)), &mut [0; 16]), Ok(8));
        assert_eq!(moment.read(Addr::Phys(Pa(0x27f8)), &mut [0; 16]), Ok(8), "half a page");
        assert_eq!(byte(&moment, 0x2800), Err(Fault::NotInImage(Pa(0x2800))));
    }
}
