//! Linux images that no tool makes here, each made of one that a tool made: an ELF core of x86-64.

use super::synth::kdump::Packing;
use super::synth::{Flattened, Kdump};
use super::{GIB, made};
use kgdbserver::image::Addr;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver_arch::Va;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const PAGE: usize = 4096;
/// What the vast image has more of.
pub const HOLE: u64 = 64 * GIB;

/// The file that is made of an image, and kept as long as the image stays what it is.
fn made_of(name: &str, elf: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> PathBuf {
    let original = elf.metadata().unwrap();
    let name = format!("{name}-{:x}-{:x}", original.len(), original.mtime());
    made(&name, |files| make(&files.vmcore).unwrap()).vmcore
}

/// The same core with 64 GiB more of memory, which is a hole of the file.
pub fn vast(elf: &Path) -> PathBuf {
    // Elf64_Ehdr has e_phoff and e_phnum there; an Elf64_Phdr is so large.
    const OFFSET: u64 = 32;
    const COUNT: u64 = 56;
    const SIZE: usize = 56;
    made_of("vast", elf, |path| {
        fs::copy(elf, path)?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let end = file.metadata()?.len().next_multiple_of(PAGE as u64);
        let (mut offset, mut count) = ([0; 8], [0; 2]);
        file.read_exact_at(&mut offset, OFFSET)?;
        file.read_exact_at(&mut count, COUNT)?;
        let count = u16::from_le_bytes(count);
        let mut headers = vec![0; usize::from(count) * SIZE];
        file.read_exact_at(&mut headers, u64::from_le_bytes(offset))?;
        // PT_LOAD, readable and writable; offset, virtual and physical address, sizes in file and memory, alignment.
        let load = [6 << 32 | 1, end + PAGE as u64, 0, HOLE, HOLE, HOLE, 0];
        headers.extend(load.into_iter().flat_map(u64::to_le_bytes));
        file.write_all_at(&headers, end)?;
        file.write_all_at(&end.to_le_bytes(), OFFSET)?;
        file.write_all_at(&(count + 1).to_le_bytes(), COUNT)?;
        file.set_len(end + PAGE as u64 + HOLE)
    })
}

/// The same core in a million records. Two buffers are emptied in turn: no record continues the one before it.
pub fn flattened(elf: &Path) -> PathBuf {
    const RECORD: usize = 256;
    made_of("flattened", elf, |path| {
        let core = fs::read(elf)?;
        let half = (core.len() / 2).next_multiple_of(RECORD);
        let starts = (0..half).step_by(RECORD).flat_map(|at| [at, at + half]);
        let piece = |at: usize| Some((at as i64, core.get(at..)?.chunks(RECORD).next()?.to_vec()));
        let pieces = starts.filter_map(piece).collect();
        fs::write(path, Flattened { kind: [1, 1], pieces, ended: true }.build())
    })
}

/// A kdump of all its memory packed by snappy, which Debian's makedumpfile cannot do.
pub fn snappy(elf: &Path) -> PathBuf {
    made_of("snappy", elf, |path| {
        let kvm = Kvm::open_with(elf, Options::default()).unwrap();
        let memory = &kvm.image().memory;
        let mut dump = Kdump::new(memory.pages().last().unwrap().0 / PAGE as u64 + 1);
        dump.vmcoreinfo = kvm.linux().unwrap().info.text().into();
        // libkdumpfile wants it as a note as well.
        let sizes = [11, dump.vmcoreinfo.len() as u32, 0].map(u32::to_le_bytes);
        dump.notes = [sizes.as_flattened(), b"VMCOREINFO\0\0", &dump.vmcoreinfo].concat();
        dump.notes.resize(dump.notes.len().next_multiple_of(4), 0);
        for pa in memory.pages() {
            let mut page = vec![0; PAGE];
            assert_eq!(memory.read(Addr::Phys(pa), &mut page), Ok(PAGE));
            // What does not shrink is stored as it is.
            let packing =
                if Packing::Snappy.pack(&page).len() < PAGE { Packing::Snappy } else { Packing::Stored };
            dump.pages.insert(pa.0 / PAGE as u64, (page, packing));
        }
        fs::write(path, dump.build().0)
    })
}

/// The same core with so many modules: the list goes through copies of those that there are, which have the originals'
/// code and symbols.
pub fn modules(elf: &Path, count: usize) -> PathBuf {
    made_of("modules", elf, |path| {
        fs::copy(elf, path)?;
        let file = OpenOptions::new().write(true).open(path)?;
        let kvm = Kvm::open_with(elf, Options::default()).unwrap();
        let (space, types) = (kvm.space(), kvm.symbols().types());
        let write = |va: Va, bytes: &[u8]| {
            let Addr::Phys(pa) = space.translate(va).unwrap().at else { panic!("{va} is not in memory") };
            file.write_all_at(bytes, kvm.image().memory.locate(pa).unwrap())
        };
        let member = |name| types.require("module", name).unwrap().offset as usize;
        let (list, name) = (member("list"), member("name"));
        let size = types.size_of("module").unwrap() as usize;
        assert!(size <= PAGE);
        let head = kvm.symbols().address("modules").unwrap();
        let mut next = space.pointer(head).unwrap();
        let originals = kvm.loaded();
        let copies = (originals.len()..count).zip(originals.iter().cycle()).zip(empty_pages(&kvm));
        for ((number, original), page) in copies {
            let mut module = vec![0; size];
            space.read_exact(original.module.va, &mut module).unwrap();
            module[list..list + 8].copy_from_slice(&next.0.to_le_bytes());
            let text = format!("copy{number}_{}\0", original.module.name);
            module[name..name + text.len()].copy_from_slice(text.as_bytes());
            write(page, &module)?;
            next = Va(page.0 + list as u64);
        }
        write(head, &next.0.to_le_bytes())
    })
}

/// The addresses of the pages of memory, in the map that has all of it.
pub fn pages(kvm: &Kvm) -> impl Iterator<Item = Va> {
    let base = kvm.symbols().address("page_offset_base").and_then(|at| kvm.space().pointer(at).ok()).unwrap();
    kvm.image()
        .memory
        .pages()
        .map(move |pa| Va(base.0 + pa.0))
        .filter(|va| kvm.space().translate(*va).is_ok())
}

fn empty_pages(kvm: &Kvm) -> impl Iterator<Item = Va> {
    pages(kvm).filter(|va| {
        let mut page = [1; PAGE];
        kvm.space().read_exact(*va, &mut page).is_ok() && page == [0; PAGE]
    })
}
