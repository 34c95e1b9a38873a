//! Where Linux keeps registers: the notes of running tasks against the order that every ABI fixes, and the structures of
//! sleeping ones by the names of their members.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

mod text;

use kgdbserver_arch::{
    Arch, At, Goes, Linux, Machine, Named, Registers, Structure, UserAt, aarch64, arm, i386, ppc64, riscv64,
    s390x, x86_64,
};
use text::same_lines;

fn linux(arch: &Arch) -> &'static Linux {
    arch.linux.expect("Linux runs on it")
}

/// One stretch of `pr_reg`: where it begins, how wide its fields are, and the registers in them (`-`: none of ours).
type Fields = (usize, usize, &'static str);

/// A note of `size` bytes whose fields all differ gives every register the low-order part of its field, and no other.
#[track_caller]
fn check_note(arch: &'static Arch, big_endian: bool, pid: usize, size: usize, stretches: &[Fields]) {
    let mut note = vec![0xee; size];
    let mut expected = Vec::new();
    for (at, width, names) in stretches {
        for (i, name) in names.split_whitespace().enumerate() {
            let value = 0x1020_3040_5060_7000 | (expected.len() as u64 + 1);
            let bytes = if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            let from = if big_endian { 8 - width } else { 0 };
            note[at + i * width..][..*width].copy_from_slice(&bytes[from..from + width]);
            expected.push((name, value));
        }
    }
    let machine = Machine { arch, big_endian, ptr_bytes: arch.ptr_bytes() };
    let table = &linux(arch).prstatus;
    assert_eq!(table.pid, pid);
    let mut registers = Registers::unknown(machine);
    table.load(&note, &mut registers);
    let mut known: Vec<_> = registers.known().collect();
    for (name, value) in expected.into_iter().filter(|(name, _)| *name != "-") {
        let reg = arch.regs.iter().find(|reg| reg.name == name).expect(name);
        let value = if reg.bytes == 8 { value } else { value & 0xffff_ffff };
        let at = known.iter().position(|known| known.0 == name).expect(name);
        assert_eq!(known.remove(at).1, value, "{name}");
    }
    assert_eq!(known, [], "nothing else is in the note");
    // A note that was cut short leaves registers unknown.
    let mut registers = Registers::unknown(machine);
    table.load(&note[..size.min(120)], &mut registers);
    assert!(registers.known().count() < 16);
}

#[test]
fn x86_64_notes() {
    const REGS: &str = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi - rip cs eflags rsp ss fs_base gs_base \
        ds es fs gs";
    check_note(&x86_64::ARCH, false, 32, 336, &[(112, 8, REGS)]);
}

#[test]
fn i386_notes() {
    const REGS: &str = "ebx ecx edx esi edi ebp eax ds es fs gs - eip cs eflags esp ss";
    check_note(&i386::ARCH, false, 24, 144, &[(72, 4, REGS)]);
}

#[test]
fn aarch64_notes() {
    const REGS: &str = "x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10 x11 x12 x13 x14 x15 x16 x17 x18 x19 x20 x21 x22 x23 x24 x25 x26 \
        x27 x28 x29 x30 sp pc cpsr";
    for big_endian in [false, true] {
        check_note(&aarch64::ARCH, big_endian, 32, 392, &[(112, 8, REGS)]);
    }
}

#[test]
fn arm_notes() {
    const REGS: &str = "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 sp lr pc cpsr -";
    for big_endian in [false, true] {
        check_note(&arm::ARCH, big_endian, 24, 148, &[(72, 4, REGS)]);
    }
}

#[test]
fn riscv64_notes() {
    const REGS: &str =
        "pc ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6";
    check_note(&riscv64::ARCH, false, 32, 376, &[(112, 8, REGS)]);
}

#[test]
fn ppc64_notes() {
    const REGS: &str = "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 r13 r14 r15 r16 r17 r18 r19 r20 r21 r22 r23 r24 r25 r26 \
        r27 r28 r29 r30 r31 pc msr - ctr lr xer cr - - - - - - - - -";
    for big_endian in [false, true] {
        check_note(&ppc64::ARCH, big_endian, 32, 504, &[(112, 8, REGS)]);
    }
}

#[test]
fn s390x_notes() {
    const REGS: &str = "pswm pswa r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 r13 r14 r15";
    const ACCESS: &str =
        "acr0 acr1 acr2 acr3 acr4 acr5 acr6 acr7 acr8 acr9 acr10 acr11 acr12 acr13 acr14 acr15";
    check_note(&s390x::ARCH, true, 32, 336, &[(112, 8, REGS), (256, 4, ACCESS)]);
}

/// `STRUCTURE: REGISTER=MEMBER..`
fn show(arch: &Arch, structure: &Structure) -> String {
    let one = |named: &Named| {
        let index = if named.index == 0 { String::new() } else { format!("[{}]", named.index) };
        format!(" {}={}{index}", arch.regs[named.reg].name, named.member)
    };
    format!("{}:{}", structure.name, structure.members.iter().map(one).collect::<String>())
}

#[track_caller]
fn check_switched(arch: &Arch, expected: &str) {
    let row = |row: &kgdbserver_arch::Switched| {
        let at = match row.at {
            At::Member => "in",
            At::Pointer => "at",
            At::FrameEnd => "at the end of the frame at",
        };
        let sp = if row.sp_behind { format!(", {} behind", arch.regs[arch.sp].name) } else { String::new() };
        let goes = match row.goes {
            Goes::Saved => String::new(),
            Goes::Member(name) => format!(", goes on at {name}"),
            Goes::BehindCall { caller, callee, .. } => format!(", goes on in {caller} behind {callee}"),
        };
        format!("{at} {}: {}{sp}{goes}\n", row.member, show(arch, &row.structure))
    };
    same_lines(&linux(arch).switched.iter().map(row).collect::<String>(), expected);
}

#[test]
fn sleeping_tasks_registers() {
    check_switched(
        &x86_64::ARCH,
        "at thread.sp: inactive_task_frame: rbx=bx rbp=bp r12=r12 r13=r13 r14=r14 r15=r15 rip=ret_addr, rsp behind
        at thread.sp: stack_frame: rbp=next_frame, rsp behind, goes on in __schedule behind __switch_to",
    );
    check_switched(
        &i386::ARCH,
        "at thread.sp: inactive_task_frame: ebx=bx ebp=bp esi=si edi=di eip=ret_addr, esp behind
        at thread.sp: stack_frame: ebp=next_frame, esp behind, goes on at thread.ip",
    );
    check_switched(
        &aarch64::ARCH,
        "in thread.cpu_context: cpu_context: x19=x19 x20=x20 x21=x21 x22=x22 x23=x23 x24=x24 x25=x25 x26=x26 x27=x27 \
        x28=x28 x29=fp sp=sp pc=pc",
    );
    check_switched(
        &arm::ARCH,
        "in thread_info.cpu_context: cpu_context_save: r4=r4 r5=r5 r6=r6 r7=r7 r8=r8 r9=r9 r10=sl r11=fp sp=sp pc=pc
        at stack: thread_info: r4=cpu_context.r4 r5=cpu_context.r5 r6=cpu_context.r6 r7=cpu_context.r7 \
        r8=cpu_context.r8 r9=cpu_context.r9 r10=cpu_context.sl r11=cpu_context.fp sp=cpu_context.sp pc=cpu_context.pc",
    );
    check_switched(
        &riscv64::ARCH,
        "in thread: thread_struct: pc=ra sp=sp fp=s s1=s[1] s2=s[2] s3=s[3] s4=s[4] s5=s[5] s6=s[6] s7=s[7] s8=s[8] \
        s9=s[9] s10=s[10] s11=s[11]",
    );
    check_switched(
        &s390x::ARCH,
        "at thread.ksp: stack_frame: r6=gprs r7=gprs[1] r8=gprs[2] r9=gprs[3] r10=gprs[4] r11=gprs[5] r12=gprs[6] \
        r13=gprs[7] pswa=gprs[8] r15=gprs[9]",
    );
    check_switched(
        &ppc64::ARCH,
        "at the end of the frame at thread.ksp: pt_regs: r14=gpr[14] r15=gpr[15] r16=gpr[16] r17=gpr[17] r18=gpr[18] \
        r19=gpr[19] r20=gpr[20] r21=gpr[21] r22=gpr[22] r23=gpr[23] r24=gpr[24] r25=gpr[25] r26=gpr[26] r27=gpr[27] \
        r28=gpr[28] r29=gpr[29] r30=gpr[30] r31=gpr[31] pc=nip, r1 behind",
    );
}

#[track_caller]
fn check_user(arch: &Arch, expected: &str) {
    let user = &linux(arch).user;
    let at = match user.at {
        UserAt::StackEnd(above) => format!("{above:?} below the stack's end"),
        UserAt::Member(name) => format!("at {name}"),
    };
    let mode = user.mode.map_or(String::new(), |mode| {
        format!(", user's if {} & {:x} is {:x}", arch.regs[mode.reg].name, mode.mask, mode.value)
    });
    same_lines(&format!("{at}: {}{mode}", show(arch, &user.structure)), expected);
}

#[test]
fn user_registers() {
    check_user(
        &x86_64::ARCH,
        "[0, 16] below the stack's end: pt_regs: rax=ax rbx=bx rcx=cx rdx=dx rsi=si rdi=di rbp=bp rsp=sp r8=r8 r9=r9 \
        r10=r10 r11=r11 r12=r12 r13=r13 r14=r14 r15=r15 rip=ip eflags=flags cs=cs ss=ss, user's if cs & 3 is 3",
    );
    check_user(
        &i386::ARCH,
        "[8, 16] below the stack's end: pt_regs: eax=ax ecx=cx edx=dx ebx=bx esp=sp ebp=bp esi=si edi=di eip=ip \
        eflags=flags cs=cs ss=ss ds=ds es=es fs=fs, user's if cs & 3 is 3",
    );
    check_user(
        &aarch64::ARCH,
        "[0] below the stack's end: pt_regs: x0=regs x1=regs[1] x2=regs[2] x3=regs[3] x4=regs[4] x5=regs[5] \
        x6=regs[6] x7=regs[7] x8=regs[8] x9=regs[9] x10=regs[10] x11=regs[11] x12=regs[12] x13=regs[13] x14=regs[14] \
        x15=regs[15] x16=regs[16] x17=regs[17] x18=regs[18] x19=regs[19] x20=regs[20] x21=regs[21] x22=regs[22] \
        x23=regs[23] x24=regs[24] x25=regs[25] x26=regs[26] x27=regs[27] x28=regs[28] x29=regs[29] x30=regs[30] sp=sp \
        pc=pc cpsr=pstate, user's if cpsr & f is 0",
    );
    check_user(
        &arm::ARCH,
        "[8] below the stack's end: pt_regs: r0=uregs r1=uregs[1] r2=uregs[2] r3=uregs[3] r4=uregs[4] r5=uregs[5] \
        r6=uregs[6] r7=uregs[7] r8=uregs[8] r9=uregs[9] r10=uregs[10] r11=uregs[11] r12=uregs[12] sp=uregs[13] \
        lr=uregs[14] pc=uregs[15] cpsr=uregs[16], user's if cpsr & f is 0",
    );
    check_user(
        &riscv64::ARCH,
        "[0] below the stack's end: pt_regs: pc=epc ra=ra sp=sp gp=gp tp=tp t0=t0 t1=t1 t2=t2 fp=s0 s1=s1 a0=a0 a1=a1 \
        a2=a2 a3=a3 a4=a4 a5=a5 a6=a6 a7=a7 s2=s2 s3=s3 s4=s4 s5=s5 s6=s6 s7=s7 s8=s8 s9=s9 s10=s10 s11=s11 t3=t3 \
        t4=t4 t5=t5 t6=t6",
    );
    check_user(
        &s390x::ARCH,
        "[0] below the stack's end: pt_regs: pswm=psw.mask pswa=psw.addr r0=gprs r1=gprs[1] r2=gprs[2] r3=gprs[3] \
        r4=gprs[4] r5=gprs[5] r6=gprs[6] r7=gprs[7] r8=gprs[8] r9=gprs[9] r10=gprs[10] r11=gprs[11] r12=gprs[12] \
        r13=gprs[13] r14=gprs[14] r15=gprs[15], user's if pswm & 1000000000000 is 1000000000000",
    );
    check_user(
        &ppc64::ARCH,
        "at thread.regs: pt_regs: r0=gpr r1=gpr[1] r2=gpr[2] r3=gpr[3] r4=gpr[4] r5=gpr[5] r6=gpr[6] r7=gpr[7] \
        r8=gpr[8] r9=gpr[9] r10=gpr[10] r11=gpr[11] r12=gpr[12] r13=gpr[13] r14=gpr[14] r15=gpr[15] r16=gpr[16] \
        r17=gpr[17] r18=gpr[18] r19=gpr[19] r20=gpr[20] r21=gpr[21] r22=gpr[22] r23=gpr[23] r24=gpr[24] r25=gpr[25] \
        r26=gpr[26] r27=gpr[27] r28=gpr[28] r29=gpr[29] r30=gpr[30] r31=gpr[31] pc=nip msr=msr cr=ccr lr=link ctr=ctr \
        xer=xer, user's if msr & 4000 is 4000",
    );
}

/// Kernels before 4.9: `call` is e8 and the distance from behind it.
#[test]
fn an_x86_64_task_goes_on_behind_the_call_that_switched() {
    let Goes::BehindCall { find, .. } = linux(&x86_64::ARCH).switched[1].goes else { panic!("no call") };
    let (schedule, switch_to) = (0xffff_ffff_8160_1000, 0xffff_ffff_8100_f000_u64);
    let distance = |behind: u64| (switch_to.wrapping_sub(behind) as i32).to_le_bytes();
    let mut code = vec![0x90; 64];
    // another call, and something that looks like one
    code[3..8].copy_from_slice(&[0xe8, 1, 2, 3, 4]);
    code[10] = 0xe8;
    code[20] = 0xe8;
    code[21..25].copy_from_slice(&distance(schedule + 25));
    assert_eq!(find(&code, schedule, switch_to), Some(schedule + 25));
    assert_eq!(find(&code, schedule, switch_to + 1), None);
    assert_eq!(find(&code[..24], schedule, switch_to), None);
    assert_eq!(find(&[], schedule, switch_to), None);
}
