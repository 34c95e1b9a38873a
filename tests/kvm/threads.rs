//! Threads and their registers.

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
            let order = |name: &str| kvm.space().machine.arch.regs.iter().position(|reg| reg.name == name);
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
