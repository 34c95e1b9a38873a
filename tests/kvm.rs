//! The facade: kvm(3)'s functions, on synthetic images and on a real one.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod support;
mod synth;

use kgdbserver::kernel::Thread;
use kgdbserver::kvm::{Nlist, Options};
use kgdbserver::pages::Page;
use kgdbserver::verify::Verdict;
use kgdbserver::{Error, Kvm, Result};
use kgdbserver_arch::Va;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use support::{Saved, known_registers, open, replace, shown_name, stack_top};
use synth::freebsd::{ListEnd, StopPcbs, ThreadFacts};
use synth::{System, put};

/// The text of the error; the good case must not be.
#[track_caller]
fn error<T>(result: Result<T>) -> String {
    result.err().expect("an error was to be expected").to_string()
}

mod opening {
    use super::*;

    #[test]
    fn by_every_door() {
        let saved = Saved::small();
        let (kernel, vmcore) = (Some(saved.kernel.as_path()), Some(saved.vmcore.as_path()));
        let hz = saved.built.facts.symbol("hz");
        let resolver: kgdbserver::symbols::Resolver = Arc::new(move |name| (name == "hz").then_some(hz));
        for kvm in [
            Kvm::open(kernel, vmcore, None, libc::O_RDONLY, Some("test")),
            Kvm::openfiles(kernel, vmcore, None, libc::O_RDWR),
            Kvm::open2(None, vmcore, libc::O_RDONLY, resolver.clone()),
            Kvm::open2(kernel, vmcore, libc::O_RDONLY, resolver.clone()),
        ] {
            let kvm = kvm.unwrap();
            let mut value = [0; 4];
            assert_eq!(kvm.read2(hz, &mut value).unwrap(), 4);
            assert_eq!(u32::from_le_bytes(value), 100);
            assert_eq!(kvm.symbols().address("hz"), Some(Va(hz)));
            assert_eq!(kvm.geterr(), "");
            kvm.close().unwrap();
        }
    }

    #[test]
    fn with_flags_that_are_no_access_mode() {
        let saved = Saved::small();
        let vmcore = Some(saved.vmcore.as_path());
        for flags in [libc::O_CREAT, libc::O_RDONLY | libc::O_EXCL, -1] {
            assert_eq!(error(Kvm::openfiles(None, vmcore, None, flags)), "bad flags arg");
        }
    }

    #[test]
    fn without_an_image_is_the_running_kernel_or_why_it_is_denied() {
        match Kvm::openfiles(None, None, None, libc::O_RDONLY) {
            Ok(kvm) => assert!(kvm.is_live()),
            Err(error @ Error::Denied { .. }) => {
                let text = error.to_string();
                assert!(text.starts_with("/proc/kcore: ") || text.starts_with("/dev/mem: "), "{text}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_resolver_comes_before_the_file_and_no_file_is_needed_for_threads() {
        let saved = Saved::small();
        let symbols = saved.built.facts.symbols.clone();
        let kvm = Kvm::open2(
            None,
            Some(&saved.vmcore),
            libc::O_RDONLY,
            Arc::new(move |name| symbols.get(name).copied()),
        )
        .unwrap();
        assert_eq!(kvm.verdict(), &Verdict::Unverified);
        super::threads::same(&kvm, &saved);
        let lying = Kvm::open2(
            Some(&saved.kernel),
            Some(&saved.vmcore),
            libc::O_RDONLY,
            Arc::new(|name| (name == "hz").then_some(0x1234)),
        );
        let lying = lying.unwrap();
        assert_eq!(lying.symbols().address("hz"), Some(Va(0x1234)));
        assert_eq!(
            lying.symbols().address("allproc"),
            saved.built.facts.symbols.get("allproc").copied().map(Va)
        );
    }

    #[test]
    fn without_any_names_memory_is_served_all_the_same() {
        let saved = Saved::small();
        let kvm = open(None, &saved.vmcore, false).unwrap();
        let mut bytes = [0; 4];
        kvm.read2(saved.built.facts.symbol("panic"), &mut bytes).unwrap();
        assert_eq!(bytes, [0x55, 0x48, 0x89, 0xe5]);
        assert_eq!(
            error(kvm.threads()),
            "no kernel file was given, so processes and threads cannot be found"
        );
    }

    #[test]
    fn handles_are_independent() {
        let (one, two) = (Saved::small(), Saved::new(System::demo().build()));
        let (first, second) = (one.open().unwrap(), two.open().unwrap());
        assert!(first.read2(0, &mut [0]).is_err());
        assert_ne!(first.geterr(), "");
        assert_eq!(second.geterr(), "");
        assert_ne!(first.threads().unwrap().items.len(), second.threads().unwrap().items.len());
    }
}

mod reading {
    use super::*;

    #[test]
    fn gives_the_readable_prefix_or_in_strict_mode_nothing() {
        let saved = Saved::small();
        let kvm = saved.open().unwrap();
        let (top, mut buf) = (stack_top(&saved.built), [0xaa; 32]);
        assert_eq!(kvm.read2(top - 8, &mut buf).unwrap(), 8);
        assert_eq!(buf[8..], [0xaa; 24]);
        assert_eq!(kvm.geterr(), "");
        kvm.set_strict(true);
        let text = format!("invalid address ({top:#x}): the kernel's page tables map nothing here");
        assert_eq!(error(kvm.read2(top - 8, &mut buf)), text);
        assert_eq!(kvm.geterr(), text);
        assert_eq!(kvm.read2(top - 32, &mut buf).unwrap(), 32);
        assert_eq!(kvm.geterr(), text, "kept until the next failure");
        kvm.set_strict(false);
        assert_eq!(kvm.read(usize::try_from(top - 8).unwrap(), &mut buf).unwrap(), 8);
        assert_eq!(error(kvm.read2(top, &mut buf)), text);
        assert_eq!(kvm.read2(top, &mut []).unwrap(), 0, "nothing is asked, nothing is wrong");
    }

    #[test]
    fn crosses_pages_that_do_not_lie_side_by_side() {
        let saved = Saved::small();
        let kvm = saved.open().unwrap();
        let (start, mut stack) = (stack_top(&saved.built) - 0x4000, vec![0xaa; 0x4000]);
        assert_eq!(kvm.read2(start, &mut stack).unwrap(), stack.len());
        for (i, byte) in stack.iter().enumerate() {
            let offset = saved.built.layout.offset(start + i as u64).unwrap();
            assert_eq!(*byte, saved.built.vmcore[offset], "{i:#x}");
        }
    }

    #[test]
    fn writing_is_refused_in_libkvms_words() {
        let saved = Saved::small();
        let kvm = saved.open().unwrap();
        let hz = usize::try_from(saved.built.facts.symbol("hz")).unwrap();
        assert_eq!(error(kvm.write(hz, &[1])), "kvm_write not implemented for dead kernels");
        assert_eq!(kvm.geterr(), "kvm_write not implemented for dead kernels");
    }

    #[test]
    fn native_is_the_hosts_own_architecture() {
        let native = cfg!(all(target_arch = "x86_64", target_pointer_width = "64"));
        assert_eq!(Saved::small().open().unwrap().native(), native);
    }
}

mod names {
    use super::*;

    fn list(names: &[&str]) -> Vec<Nlist> {
        names.iter().map(|name| Nlist::new(*name)).collect()
    }

    const N_EXT: u8 = 1;
    const N_ABS: u8 = 2;
    const N_TEXT: u8 = 4;
    const N_DATA: u8 = 6;
    const N_BSS: u8 = 8;

    #[test]
    fn nlist_finds_addresses_and_types_and_counts_the_rest() {
        find_names(&System::small());
    }

    #[test]
    fn a_kernel_files_hash_table_finds_the_same() {
        let hashed = System { hashed: true, more_functions: 3000, ..System::small() };
        find_names(&hashed);
        let saved = Saved::new(hashed.build());
        let kvm = saved.open().unwrap();
        for (name, address) in &saved.built.facts.symbols {
            assert_eq!(kvm.symbols().address(name).map(|va| va.0), Some(*address), "{name}");
        }
    }

    #[test]
    fn a_broken_hash_table_is_passed_over() {
        let mut built = System { hashed: true, ..System::small() }.build();
        let symbols = built.facts.symbols.len() as u32 + 1;
        let buckets = symbols.div_ceil(2);
        let head = [buckets.to_le_bytes(), symbols.to_le_bytes()].concat();
        let at = built.kernel.windows(8).position(|bytes| bytes == head).unwrap();
        let words = built.kernel[at + 8..][..(symbols + buckets) as usize * 4].chunks_exact_mut(4);
        words.for_each(|word| word.copy_from_slice(&[7, 0, 0, 0])); // every chain goes round and round
        find_names_in(&Saved::new(built));
    }

    fn find_names(system: &System) {
        find_names_in(&Saved::new(system.build()));
    }

    fn find_names_in(saved: &Saved) {
        let kvm = saved.open().unwrap();
        let rows = [
            ("panic", "panic", N_TEXT | N_EXT),
            ("_panic", "panic", N_TEXT | N_EXT),  // as a.out wrote it
            ("_sleep", "_sleep", N_TEXT | N_EXT), // an underscore of its own
            ("__sleep", "_sleep", N_TEXT | N_EXT),
            ("osreldate", "osreldate", N_DATA | N_EXT),
            ("hz", "hz", N_BSS | N_EXT),
            ("kernbase", "kernbase", N_ABS | N_EXT),
        ];
        let mut names = list(&rows.map(|(name, ..)| name));
        names.extend(list(&["__panic", "nonsense", "", "panic"]));
        assert_eq!(kvm.nlist2(&mut names).unwrap(), 2);
        for ((name, real, n_type), entry) in rows.iter().zip(&names) {
            let address = saved.built.facts.symbol(real);
            assert_eq!((entry.n_value, entry.n_type), (address, *n_type), "{name}");
        }
        let [.., unknown, nonsense, end, after] = names.as_slice() else { panic!("too few") };
        for entry in [unknown, nonsense, end, after] {
            assert_eq!((entry.n_value, entry.n_type), (0, 0), "{}", entry.n_name);
        }
        assert_eq!(kvm.geterr(), "");
    }

    #[test]
    fn nlist_is_nlist2_for_a_native_image() {
        let kvm = Saved::small().open().unwrap();
        let (mut one, mut two) = (list(&["_nprocs", "nonsense"]), list(&["_nprocs", "nonsense"]));
        assert_eq!(kvm.nlist2(&mut two).unwrap(), 1);
        if kvm.native() {
            assert_eq!(kvm.nlist(&mut one).unwrap(), 1);
            assert_eq!(one, two);
        } else {
            assert_eq!(error(kvm.nlist(&mut one)), "kvm_nlist of non-native vmcore");
        }
    }

    #[test]
    fn nothing_is_unresolved_in_an_empty_list() {
        let kvm = Saved::small().open().unwrap();
        assert_eq!(kvm.nlist2(&mut []).unwrap(), 0);
        assert_eq!(kvm.nlist2(&mut list(&[""])).unwrap(), 0);
    }

    #[test]
    fn what_a_resolver_finds_is_external_data() {
        let saved = Saved::small();
        let resolver: kgdbserver::symbols::Resolver = Arc::new(|name| (name == "panic").then_some(42));
        let kvm = Kvm::open2(None, Some(&saved.vmcore), libc::O_RDONLY, resolver).unwrap();
        let mut names = list(&["_panic", "hz"]);
        assert_eq!(kvm.nlist2(&mut names).unwrap(), 1);
        assert_eq!((names[0].n_value, names[0].n_type), (42, N_DATA | N_EXT));
    }

    #[test]
    fn the_nearest_symbol_is_found_by_address() {
        let saved = Saved::small();
        let kvm = saved.open().unwrap();
        let panic = saved.built.facts.symbol("panic");
        let at = |va| kvm.symbol_at(Va(va)).map(|(symbol, distance)| (symbol.name, distance));
        assert_eq!(at(panic), Some(("panic".into(), 0)));
        assert_eq!(at(panic + 0x43), Some(("panic".into(), 0x43)));
        assert_eq!(at(panic - 1).map(|(name, _)| name), Some("nmi_calltrap".into()));
        assert_eq!(at(0x1000), None);
        assert_eq!(at(u64::MAX), None);
    }
}

mod processes {
    use super::*;
    use kgdbserver::kernel::kinfo::Op;

    /// `(pid, tid)` of each row.
    fn rows(kvm: &Kvm, op: i32, arg: u32) -> Vec<(u32, Option<u64>)> {
        kvm.getprocs(op, arg).unwrap().items.iter().map(|row| (row.pid, row.tid)).collect()
    }

    #[test]
    fn a_row_per_thread_or_per_process() {
        let saved = Saved::small();
        let kvm = saved.open().unwrap();
        let threads: Vec<_> = saved
            .built
            .facts
            .threads
            .iter()
            .map(|thread| (thread.pid, Some(u64::from(thread.tid))))
            .collect();
        // On a dump ALL means threads too, as it does in libkvm.
        assert_eq!(rows(&kvm, Op::All as i32, 0), threads);
        assert_eq!(rows(&kvm, Op::All as i32 | Op::INC_THREAD, 0), threads);
        assert_eq!(rows(&kvm, Op::Proc as i32 | Op::INC_THREAD, 0), threads);
        let pids: Vec<u32> = rows(&kvm, Op::Proc as i32, 0).iter().map(|(pid, _)| *pid).collect();
        assert_eq!(pids, saved.built.facts.pids);
        assert_eq!(rows(&kvm, Op::Pid as i32, 28), [(28, Some(100_089))]);
        let of_28: Vec<_> = threads.iter().copied().filter(|(pid, _)| *pid == 28).collect();
        assert_eq!(rows(&kvm, Op::Pid as i32 | Op::INC_THREAD, 28), of_28);
        assert_eq!(rows(&kvm, Op::Pid as i32, 4711), []);
        assert_eq!(rows(&kvm, Op::Tty as i32, 0), [], "a dump tells no terminal's device");
    }

    #[test]
    fn a_filter_by_what_the_image_cannot_tell_is_an_error_that_names_it() {
        let kvm = Saved::small().open().unwrap();
        for op in [Op::Pgrp, Op::Session, Op::Uid, Op::Ruid, Op::Rgid, Op::Gid] {
            let text = format!(
                "cannot select by {op:?}: the kernel file has no type information (CTF or DWARF) that tells it"
            );
            assert_eq!(error(kvm.getprocs(op as i32, 0)), text);
            assert_eq!(kvm.geterr(), text);
        }
        for op in [7, 9, 12, 35, -1, 0x20] {
            assert_eq!(error(kvm.getprocs(op, 0)), format!("bad getprocs operation {op:#x}"));
        }
    }

    #[test]
    fn fields_that_the_image_cannot_tell_are_absent_not_zero() {
        let kvm = Saved::small().open().unwrap();
        let list = kvm.getprocs(Op::Pid as i32, 800).unwrap();
        let [row] = list.items.as_slice() else { panic!("{list:?}") };
        assert_eq!(
            (row.comm.as_str(), row.tdname.as_deref(), row.oncpu),
            ("sysctl", Some("sysctl"), Some(2))
        );
        assert_eq!((row.ppid, row.pgid, row.sid, row.uid, row.jid), (None, None, None, None, None));
        assert_eq!((row.size, row.runtime, row.flag, row.nice), (None, None, None, None));
        assert_eq!((&row.groups, &row.wmesg, &row.emul), (&None, &None, &None));
        let sleeping = &kvm.getprocs(Op::Pid as i32, 1).unwrap().items[0];
        assert_eq!((sleeping.oncpu, sleeping.stat), (None, None));
    }

    #[test]
    fn processes_are_listed_newest_first() {
        let saved = Saved::small();
        let processes = saved.open().unwrap().processes().unwrap();
        let pids: Vec<u32> = processes.items.iter().map(|process| process.pid).collect();
        assert_eq!(pids, saved.built.facts.pids);
        assert!(processes.items.iter().all(|process| process.ppid.is_none()));
        assert_eq!(processes.problems.len(), 0);
    }
}

mod pages {
    use super::*;

    fn walk(kvm: &Kvm) -> Vec<Page> {
        let mut pages = Vec::new();
        assert!(kvm.walk_pages(|page| {
            pages.push(*page);
            true
        }));
        pages
    }

    #[test]
    fn every_mapping_once_then_every_dumped_page_that_is_not_mapped() {
        for version in 1..=3 {
            let saved = Saved::new(System { dump_version: version, ..System::small() }.build());
            let kvm = saved.open().unwrap();
            let pages = walk(&kvm);
            let mapped: Vec<&Page> = pages.iter().take_while(|page| page.kmap_vaddr.is_some()).collect();
            // Text and data lie in pages of 2 MiB; each thread with frames has a stack of four.
            let stacks = saved.built.facts.threads.iter().filter(|thread| !thread.registers.is_empty());
            assert_eq!(mapped.len(), 2 * 512 + stacks.count() * 4, "v{version}");
            assert!(mapped.is_sorted_by(|one, other| one.kmap_vaddr < other.kmap_vaddr));
            let rest = &pages[mapped.len()..];
            assert!(rest.iter().all(|page| page.kmap_vaddr.is_none() && page.rights.is_none()));
            // Together they are the dumped pages, each once, and the mapped ones that were not dumped.
            let held: Vec<u64> =
                pages.iter().filter(|page| page.offset.is_some()).map(|page| page.paddr.0).collect();
            let unique: HashSet<u64> = held.iter().copied().collect();
            assert_eq!(held.len(), unique.len(), "v{version}: a page twice");
            assert_eq!(unique, saved.built.layout.pages.keys().copied().collect(), "v{version}");
        }
    }

    #[test]
    fn a_page_says_where_it_is_and_what_it_allows() {
        let saved = Saved::small();
        let kvm = saved.open().unwrap();
        for page in walk(&kvm) {
            let offset = saved.built.layout.pages.get(&page.paddr.0).map(|offset| *offset as u64);
            assert_eq!(page.offset, offset, "{page:?}");
            assert_eq!(page.dmap_vaddr.unwrap().0, 0xffff_f800_0000_0000 + page.paddr.0);
            assert_eq!(page.len, 4096);
            if let Some(va) = page.kmap_vaddr {
                assert_eq!(saved.built.layout.physical(va.0), Some(page.paddr.0));
                let rights = page.rights.unwrap();
                let text = (0xffff_ffff_8020_0000..0xffff_ffff_8040_0000).contains(&va.0);
                assert_eq!((rights.write, rights.execute), (!text, text), "{page:?}");
            }
        }
    }

    #[test]
    fn a_walk_ends_when_it_is_told_to() {
        let kvm = Saved::small().open().unwrap();
        let all = walk(&kvm).len();
        for limit in [1, 10, all] {
            let mut seen = 0;
            let whole = kvm.walk_pages(|_| {
                seen += 1;
                seen < limit
            });
            assert_eq!((whole, seen), (false, limit));
        }
    }
}

mod matching {
    use super::*;

    /// Where the builder's kernel has its build id.
    const BUILD_ID: u64 = 0xffff_ffff_803f_f000;

    /// A good image, and a kernel file with other bytes.
    fn changed(find: &[u8], by: &[u8]) -> Saved {
        let mut built = System::small().build();
        replace(&mut built.kernel, find, by);
        Saved::new(built)
    }

    fn verdict(saved: &Saved) -> Verdict {
        saved.open().unwrap().verdict().clone()
    }

    /// Refused, and opened when forced.
    #[track_caller]
    fn mismatch(saved: &Saved, expected: &str) {
        let found = saved.open().err().unwrap();
        assert!(matches!(found, Error::Mismatch { .. }), "{found}");
        let text = format!(
            "the kernel file does not belong to this image: {expected} (find the kernel that wrote the image, or \
             override with --force)"
        );
        assert_eq!(found.to_string(), text);
        let forced = open(Some(&saved.kernel), &saved.vmcore, true).unwrap();
        assert_eq!(forced.verdict(), &Verdict::Forced(text));
    }

    #[test]
    fn the_right_kernel_is_verified_by_all_that_can_be_compared() {
        let Verdict::Verified(agreed) = verdict(&Saved::small()) else { panic!("not verified") };
        for what in ["the build id", "version", "osreldate", "pcb_size", "proc_off_p_pid"] {
            assert!(agreed.iter().any(|agreed| agreed == what), "{what} is not in {agreed:?}");
        }
    }

    #[test]
    fn another_version_is_refused() {
        let other = changed(b"SYNTHETIC GENERIC", b"SYNTHETIC MINIMAL");
        mismatch(
            &other,
            "version is \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC MINIMAL\" in the kernel file and \
             \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC\" in the image",
        );
    }

    #[test]
    fn another_build_id_is_refused() {
        let other = changed(b"a synthetic kernel..", b"a synthetic colonel.");
        let note = "040000001400000003000000474e5500";
        mismatch(
            &other,
            &format!(
                "the build id is {note}{} in the kernel file and {note}{} in the image",
                "612073796e74686574696320636f6c6f6e656c2e", "612073796e746865746963206b65726e656c2e2e"
            ),
        );
    }

    #[test]
    fn another_machine_is_refused() {
        let mut built = System::small().build();
        put(&mut built.kernel, 18, &183u16.to_le_bytes());
        let saved = Saved::new(built);
        let found = saved.open().err().unwrap();
        assert!(matches!(found, Error::Mismatch { .. }), "{found}");
        assert!(found.to_string().contains("the machine is "), "{found}");
        assert!(found.to_string().contains(" in the kernel file and x86_64 in the image"), "{found}");
        assert!(open(Some(&saved.kernel), &saved.vmcore, true).is_ok());
    }

    #[test]
    fn pages_of_zeros_leave_it_unverified() {
        let mut built = System::small().build();
        for va in [built.facts.symbol("version"), BUILD_ID] {
            let page = built.layout.offset(va).unwrap() / 4096 * 4096;
            built.vmcore[page..page + 4096].fill(0);
        }
        let saved = Saved::new(built);
        assert_eq!(verdict(&saved), Verdict::Unverified);
    }

    #[test]
    fn missing_pages_leave_it_unverified_and_the_file_tells_the_offsets() {
        // The dump is cut off before the data pages, which come after those of the text.
        let mut built = System::small().build();
        let data = built.layout.offset(built.facts.symbol("version")).unwrap() / 4096 * 4096;
        let note = built.layout.offset(BUILD_ID).unwrap() / 4096 * 4096;
        built.vmcore.truncate(data.min(note));
        assert_eq!(verdict(&Saved::new(built)), Verdict::Unverified);
    }

    #[test]
    fn a_kernel_file_of_symbols_only_leaves_it_unverified() {
        // Every section is turned into one without contents.
        const SHT_PROGBITS: u32 = 1;
        const SHT_NOTE: u32 = 7;
        let mut built = System::small().build();
        let headers = u64::from_le_bytes(built.kernel[40..48].try_into().unwrap()) as usize;
        for kind in (headers + 4..built.kernel.len()).step_by(64) {
            let old = u32::from_le_bytes(built.kernel[kind..kind + 4].try_into().unwrap());
            if matches!(old, SHT_PROGBITS | SHT_NOTE) {
                put(&mut built.kernel, kind, &8u32.to_le_bytes());
            }
        }
        let saved = Saved::new(built);
        assert_eq!(verdict(&saved), Verdict::Unverified);
        super::threads::same(&saved.open().unwrap(), &saved);
    }
}

mod threads {
    use super::*;

    /// Compares a thread, its registers and its backtrace with the builder's facts.
    #[track_caller]
    fn same_thread(kvm: &Kvm, thread: &Thread, facts: &ThreadFacts) {
        assert_eq!((thread.tid, thread.pid), (facts.tid.into(), facts.pid));
        assert_eq!(thread.comm, facts.name.chars().take(20).collect::<String>());
        assert_eq!(thread.name, shown_name(facts));
        assert_eq!((thread.on_cpu, thread.crashed), (facts.on_cpu, facts.crashed), "{}", facts.name);
        assert_eq!(thread.state, facts.on_cpu.map(|_| 'R'), "{}", facts.name);
        assert_eq!(thread.va.0, facts.address);
        assert_eq!(thread.saved.va().map(|va| va.0), facts.pcb, "{}", facts.name);
        match kvm.registers(thread) {
            Ok(registers) => {
                let known: Vec<_> = registers.known().collect();
                let mut expected = known_registers(facts);
                let order =
                    |name: &str| kvm.space().machine.arch.regs.iter().position(|reg| reg.name == name);
                expected.sort_by_key(|(name, _)| order(name));
                assert_eq!(known, expected, "{}", facts.name);
                let trace: Vec<u64> = kvm.backtrace(&registers).iter().map(|frame| frame.pc.0).collect();
                assert_eq!(trace, facts.backtrace, "{}", facts.name);
            }
            Err(error) => assert!(facts.registers.is_empty(), "{}: {error}", facts.name),
        }
    }

    /// All threads are what the facts say, the crashed one first.
    #[track_caller]
    pub(super) fn same(kvm: &Kvm, saved: &Saved) {
        let threads = kvm.threads().unwrap();
        assert!(threads.problems.is_empty(), "{:?}", threads.problems);
        same_list(kvm, &threads.items, saved);
    }

    #[track_caller]
    fn same_list(kvm: &Kvm, threads: &[Thread], saved: &Saved) {
        let mut facts: Vec<&ThreadFacts> = saved.built.facts.threads.iter().collect();
        facts.sort_by_key(|thread| !thread.crashed); // stable: the rest stays in the kernel's order
        assert_eq!(
            threads.iter().map(|thread| thread.tid).collect::<Vec<_>>(),
            facts.iter().map(|thread| u64::from(thread.tid)).collect::<Vec<_>>()
        );
        threads.iter().zip(facts).for_each(|(thread, facts)| same_thread(kvm, thread, facts));
    }

    #[track_caller]
    fn check(system: &System) {
        let saved = Saved::new(system.build());
        same(&saved.open().unwrap(), &saved);
    }

    /// Opens a system whose lists lose something; the problems' texts.
    #[track_caller]
    fn check_lossy(system: &System) -> (Vec<u64>, Vec<String>) {
        let saved = Saved::new(system.build());
        let list = saved.open().unwrap().threads().unwrap();
        (
            list.items.iter().map(|thread| thread.tid).collect(),
            list.problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn every_version_of_the_format() {
        for dump_version in 1..=3 {
            check(&System { dump_version, ..System::small() });
        }
    }

    #[test]
    fn stoppcbs_as_the_array_and_as_a_pointer_to_it() {
        for (stoppcbs, osreldate) in [(StopPcbs::Array, 1_302_001), (StopPcbs::Pointer, 1_400_089)] {
            check(&System { stoppcbs, osreldate, ..System::small() });
        }
    }

    #[test]
    fn a_resolver_tells_no_sizes_so_the_release_decides_what_stoppcbs_is() {
        for (stoppcbs, osreldate) in [(StopPcbs::Array, 1_400_088), (StopPcbs::Pointer, 1_400_089)] {
            let saved = Saved::new(System { stoppcbs, osreldate, ..System::small() }.build());
            let symbols = saved.built.facts.symbols.clone();
            let resolver: kgdbserver::symbols::Resolver = Arc::new(move |name| symbols.get(name).copied());
            same(&Kvm::open2(None, Some(&saved.vmcore), libc::O_RDONLY, resolver).unwrap(), &saved);
        }
    }

    #[test]
    fn a_cpu_that_did_not_stop_saved_no_registers() {
        let system = System { stopped_cpus: vec![0, 3], ..System::small() };
        check(&system);
        let saved = Saved::new(system.build());
        let kvm = saved.open().unwrap();
        let threads = kvm.threads().unwrap().items;
        let running = threads.iter().find(|thread| thread.on_cpu == Some(1)).unwrap();
        let registers = kvm.registers(running).unwrap();
        assert_eq!((registers.known().count(), registers.pc()), (0, None));
        assert!(kvm.backtrace(&registers).is_empty());
    }

    #[test]
    fn without_a_crashed_thread_the_kernels_order_stays() {
        check(&System { crashed: None, stopped_cpus: vec![0, 1, 2, 3], ..System::small() });
    }

    #[test]
    fn names_that_fill_their_field_have_no_nul() {
        let mut system = System::small();
        system.process(1).comm = "a name of more than twenty bytes".into();
        system.process(28).comm = "exactly twenty bytes".into();
        system.thread(100_089).name = "also a thread's name that is too long".into();
        check(&system);
    }

    #[test]
    fn a_thread_without_a_name_has_its_processs() {
        let mut system = System::small();
        system.thread(100_002).name = String::new();
        let saved = Saved::new(system.build());
        let threads = saved.open().unwrap().threads().unwrap().items;
        let init = threads.iter().find(|thread| thread.tid == 100_002).unwrap();
        assert_eq!((init.comm.as_str(), init.name.as_str()), ("init", "init"));
    }

    #[test]
    fn a_pcb_that_cannot_be_read_is_an_error_of_that_thread_only() {
        let mut system = System::small();
        system.thread(100_002).pcb_unreadable = true;
        check(&system);
        let saved = Saved::new(system.build());
        let kvm = saved.open().unwrap();
        let threads = kvm.threads().unwrap().items;
        let init = threads.iter().find(|thread| thread.tid == 100_002).unwrap();
        assert!(error(kvm.registers(init)).starts_with("invalid address (0x"));
    }

    #[test]
    fn a_list_of_processes_that_comes_back_to_its_start_ends() {
        let system = System { process_list_end: ListEnd::Cycle, ..System::small() };
        let (tids, problems) = check_lossy(&system);
        assert_eq!(tids.len(), system.build().facts.threads.len());
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(problem.starts_with("proc at 0x"), "{problem}");
        assert!(problem.ends_with(": the list comes back to it"), "{problem}");
    }

    #[test]
    fn a_list_of_threads_that_comes_back_to_its_start_ends() {
        let mut system = System::small();
        system.process(28).thread_list_end = ListEnd::Cycle;
        let (tids, problems) = check_lossy(&system);
        assert_eq!(tids.len(), system.build().facts.threads.len());
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(problem.starts_with("thread at 0x"), "{problem}");
        assert!(problem.ends_with(": the list comes back to it"), "{problem}");
    }

    #[test]
    fn a_list_that_leads_into_a_hole_loses_only_what_is_behind_it() {
        let mut system = System { process_list_end: ListEnd::Hole, ..System::small() };
        system.process(11).thread_list_end = ListEnd::Hole;
        let (tids, problems) = check_lossy(&system);
        assert_eq!(tids.len(), system.build().facts.threads.len());
        let [thread, process] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(thread.starts_with("thread at 0x") || process.starts_with("thread at 0x"), "{problems:?}");
        for problem in &problems {
            assert!(problem.contains("the kernel's page tables map nothing here"), "{problem}");
        }
    }

    #[test]
    fn other_offsets_are_read_from_the_kernel() {
        let mut system = System::small();
        let o = &mut system.offsets;
        (o.p_pid, o.p_comm, o.td_tid, o.td_name) = (180, 900, 148, 660);
        (o.td_oncpu, o.td_pcb, o.pcb_size) = (1000, 1104, 384);
        check(&system);
    }

    #[test]
    fn the_panic_message_and_the_version_are_read() {
        let saved = Saved::small();
        let kvm = saved.open().unwrap();
        let kernel = kvm.kernel().unwrap();
        assert_eq!(kernel.name(), "FreeBSD");
        assert_eq!(kernel.panic_message(kvm.space()).as_deref(), Some("kdb_sysctl_panic"));
        assert_eq!(
            kernel.version(kvm.space()).as_deref(),
            Some("FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC")
        );
        let quiet = Saved::new(System { panic: None, ..System::small() }.build());
        let kvm = quiet.open().unwrap();
        assert_eq!(kvm.kernel().unwrap().panic_message(kvm.space()), None);
    }
}

/// The amd64 minidump that the LLVM project publishes, against what an independent reader found in it.
mod real {
    use super::*;
    use crate::support::real::{Real, amd64};
    use serde_json::Value;

    fn number(value: &Value) -> u64 {
        let text =
            || value.as_str()?.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.as_u64().or_else(text).unwrap_or_else(|| panic!("{value} is not a number"))
    }

    fn opened() -> Option<(Kvm, &'static Real)> {
        let real = amd64()?;
        let options = Options { kernel: Some(real.kernel.clone()), ..Options::default() };
        Some((Kvm::open_with(&real.vmcore, options).unwrap(), real))
    }

    #[test]
    fn its_symbols_and_their_bytes() {
        let Some((kvm, real)) = opened() else { return };
        for (name, symbol) in real.expected["symbols"].as_object().unwrap() {
            let found = kvm.symbols().by_name(name).unwrap();
            assert_eq!(
                (found.va.0, found.size),
                (number(&symbol["addr"]), number(&symbol["size"])),
                "{name}"
            );
            let Some(hex) = symbol["hex"].as_str() else { continue };
            let mut bytes = vec![0; hex.len() / 2];
            assert_eq!(kvm.read2(found.va.0, &mut bytes).unwrap(), bytes.len(), "{name}");
            assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex, "{name}");
        }
        let mut hz = [Nlist::new("_hz")];
        assert_eq!(kvm.nlist2(&mut hz).unwrap(), 0);
        assert_eq!(kvm.space().int(Va(hz[0].n_value)).unwrap(), 100);
    }

    #[test]
    fn its_layout_and_what_was_cut_off() {
        let Some((kvm, real)) = opened() else { return };
        let (layout, image) = (&real.expected["layout"], kvm.image());
        assert_eq!(image.version.map(u64::from), Some(number(&real.expected["header"]["version"])));
        assert_eq!(image.size, number(&layout["file_size"]));
        let missing = (number(&layout["expected_size"]) - image.size).div_ceil(4096);
        let census = kvm.census();
        assert_eq!((census.dumped, census.cut_off), (number(&layout["dumped_pages"]), missing));
        let warning = format!("the file is cut off: {missing} of {} pages are missing", census.dumped);
        assert_eq!(image.warnings, [warning]);
        // The published kernel file is symbols only.
        assert_eq!(kvm.verdict(), &Verdict::Unverified);
    }

    #[test]
    fn its_threads_registers_and_backtraces() {
        let Some((kvm, real)) = opened() else { return };
        let expected = real.expected["threads"].as_array().unwrap();
        let threads = kvm.threads().unwrap();
        assert_eq!((threads.items.len(), threads.problems.len()), (16, 0));
        assert_eq!(expected.len(), 16);
        for (thread, expected) in threads.items.iter().zip(expected) {
            let tid = thread.tid;
            assert_eq!((tid, u64::from(thread.pid)), (number(&expected["tid"]), number(&expected["pid"])));
            let text = |name: &str| expected[name].as_str().unwrap();
            assert_eq!(thread.comm, text("td_name"));
            let (comm, own) = (text("comm"), text("td_name"));
            assert_eq!(thread.name, if comm == own { comm.into() } else { format!("{comm}/{own}") });
            assert_eq!(thread.on_cpu.map_or(-1, i64::from), expected["oncpu"].as_i64().unwrap(), "{tid}");
            assert_eq!(thread.crashed, expected["crashed"].as_bool().unwrap());
            assert_eq!(thread.va.0, number(&expected["td"]));
            assert_eq!(thread.saved.va().unwrap().0, number(&expected["used_pcb"]), "{tid}");
            let registers = kvm.registers(thread).unwrap();
            for (name, value) in expected["regs"].as_object().unwrap() {
                let found = registers.known().find(|(known, _)| known == name);
                assert_eq!(found.map(|(_, value)| value), Some(number(value)), "{tid} {name}");
            }
            let trace: Vec<u64> = kvm.backtrace(&registers).iter().map(|frame| frame.pc.0).collect();
            let frames: Vec<u64> = expected["fp_backtrace"].as_array().unwrap().iter().map(number).collect();
            assert_eq!(trace, frames, "{tid}");
        }
        let pids: HashSet<u32> = kvm.processes().unwrap().items.iter().map(|process| process.pid).collect();
        assert_eq!(pids.len() as u64, number(&real.expected["processes"]));
    }

    #[test]
    fn a_walk_over_all_its_pages() {
        let Some((kvm, real)) = opened() else { return };
        let (mut mapped, mut offsets, mut unmapped) = (BTreeMap::new(), HashSet::new(), HashSet::new());
        assert!(kvm.walk_pages(|page| {
            let again = match page.kmap_vaddr {
                Some(va) => mapped.insert(va.0, page.paddr.0).is_some(),
                None => !unmapped.insert(page.paddr.0),
            };
            assert!(!again, "{page:?}: twice");
            offsets.extend(page.offset);
            true
        }));
        // What can be compared: the rows of the page tables. A page of 2 MiB is one row of the peer's, 512 of ours. The
        // peer then reports the dumped pages among them a second time, with address 0, instead of the other dumped
        // pages: its 4146 rows are 2 * 2073, and its number of rows with an offset counts those twice too.
        let rows = &real.expected["walk_pages"];
        assert_eq!(mapped.len() as u64 - 511 * large_pages(&mapped), number(&rows["kmap_rows"]));
        assert_eq!(number(&rows["rows"]), 2 * number(&rows["kmap_rows"]));
        // The file ends within a page, whose first half can still be read.
        let held = kvm.image().size - number(&real.expected["layout"]["sparse_off"]);
        assert_eq!(offsets.len() as u64, held.div_ceil(4096));
        assert!(!unmapped.is_empty());
        assert!(mapped.values().all(|pa| !unmapped.contains(pa)));
    }

    /// How many pieces of 2 MiB are mapped whole, to pieces of 2 MiB.
    fn large_pages(mapped: &BTreeMap<u64, u64>) -> u64 {
        const SIZE: u64 = 2 << 20;
        let whole = |(va, pa): &(&u64, &u64)| {
            let rest = mapped.range(**va..**va + SIZE);
            va.is_multiple_of(SIZE)
                && pa.is_multiple_of(SIZE)
                && rest.zip(0..).all(|((_, each), i)| *each == **pa + i * 4096)
                && mapped.range(**va..**va + SIZE).count() == 512
        };
        mapped.iter().filter(whole).count() as u64
    }
}
