/*
 * A DragonFly kernel as a debugger sees it; see freebsd.c.
 */
typedef unsigned long u64;
typedef unsigned int u32;

#define PA(object) ((u64)(object) + 0x80000000UL)
#define PAGE __attribute__((aligned(4096)))
#define PRESENT 7

struct pcb { u64 pad[9], pcb_r15, pcb_r14, pcb_r13, pcb_r12, pcb_rbp, pcb_rsp, pcb_rbx, pcb_rip; };
struct thread {
	struct { struct thread *tqe_next, **tqe_prev; } td_threadq, td_allq;
	struct lwp *td_lwp;
	struct proc *td_proc;
	struct pcb *td_pcb;
	const char *td_wmesg;
	const void *td_wchan;
	u32 td_flags;
	char *td_sp;
	char td_comm[17];
};
struct lwp {
	union { struct { struct lwp *rbe_left, *rbe_right, *rbe_parent; int rbe_color; } lwp_rbnode; } u;
	struct proc *lwp_proc;
	int lwp_tid;
	enum { LSRUN = 1, LSSTOP, LSSLEEP } lwp_stat;
	struct thread *lwp_thread;
};
struct ucred { u32 cr_ref, cr_uid; short cr_ngroups; u32 cr_groups[16]; u32 cr_ruid, cr_svuid, cr_rgid, cr_svgid; };
struct session { int s_count, s_sid; char s_login[40]; };
struct pgrp { struct session *pg_session; int pg_id; };
struct file { u32 f_flag; short f_type; int f_count; void *f_data; long f_offset; };
struct fdnode { struct file *fp; char fileflags; long reserved; };
struct filedesc { struct fdnode *fd_files; int fd_nfiles; };
struct pargs { u32 ar_ref, ar_length; unsigned char ar_args[16]; };
struct linker_file {
	int refs, userrefs, flags;
	struct { struct linker_file *tqe_next, **tqe_prev; } link;
	char *filename;
	int id;
	char *address;
	u64 size;
};
struct msgbuf { u32 msg_magic, msg_size, msg_bufx, msg_bufr; char *msg_ptr; u32 msg_bufl, msg_unused01; };
struct cdev { u32 si_flags; char si_name[16]; };
struct swdevt { u32 sw_dev; int sw_flags, sw_nblks, sw_nused; void *sw_vp; struct cdev *sw_device; };
struct pmap { u64 *pm_pml4; void *pm_pmlpv; };
struct vmspace { struct { u64 size; } vm_map; struct pmap vm_pmap; };
struct kinfo_cputime { u64 cp_user, cp_nice, cp_sys, cp_intr, cp_idle, cp_unused[3]; };
struct ps_strings { u64 ps_argvstr; u32 ps_nargvstr; u64 ps_envstr; u32 ps_nenvstr; };
struct proc {
	struct { struct proc *le_next, **le_prev; } p_list;
	struct ucred *p_ucred;
	struct filedesc *p_fd;
	struct pargs *p_args;
	struct vmspace *p_vmspace;
	int p_flags;
	enum { SIDL = 1, SACTIVE, SSTOP, SZOMB } p_stat;
	int p_pid;
	struct proc *p_pptr;
	char p_comm[17], p_nice;
	struct pgrp *p_pgrp;
	int p_nthreads;
	struct { struct lwp *rbh_root; } p_lwp_tree;
};
struct procglob { struct { struct proc *lh_first; } allproc; long proc_token[4]; };
struct globaldata { struct thread *gd_curthread; struct { struct thread *tqh_first, **tqh_last; } gd_tdallq; };

const char version[] = "DragonFly v6.4-TEST a compiled kernel\n";
const char *panicstr = "a compiled panic";
int nprocs = 3, ncpus = 2;
const int allproc_hsize = 4;

struct proc init, worker, zombie;
struct ucred user = { 1, 1001, 2, { 100, 5 }, 1002 };
struct session session = { 1, 812, "joe" };
struct pgrp pgrp = { &session, 812 };
struct file a_file = { 1, 1, 1, 0, 7 }, a_socket = { 3, 2, 1, (void *)0xfffff80000123400, 0 };
struct fdnode nodes[3] = { { &a_file }, { 0 }, { &a_socket } };
struct filedesc worker_files = { nodes, 3 };
struct pargs worker_args = { 1, 15, "worker\0-n\0four" };

extern struct linker_file kernel_ko, ehci_ko, acpi_ko;
struct linker_file kernel_ko = { 2, 1, 1, { &ehci_ko }, "kernel", 1, (char *)0xffffffff80200000, 0x1600000 };
struct linker_file ehci_ko = { 1, 1, 1, { &acpi_ko }, "ehci.ko", 2, (char *)0xffffffff81800000, 0x9000 };
struct linker_file acpi_ko = { 1, 1, 1, { 0 }, "acpi.ko", 3, (char *)0xffffffff81900000, 0x68000 };
struct { struct linker_file *tqh_first, **tqh_last; } linker_files = { &kernel_ko };
struct linker_file *linker_kernel_file = &kernel_ko;

/* The ring was filled once and a half: the counters go on, and the log daemon is behind by the last line. */
char ring[16] = "ast line\nok\nthe ";
struct msgbuf msgbuf = { 0x063064, 16, 28, 12, ring, 25 };
struct msgbuf *msgbufp = &msgbuf;

struct cdev da0s1b = { 0, "da0s1b" };
struct swdevt swap_table[4] = {
	{ 0x1e0101, 1, 2048, 300, 0, &da0s1b }, { 0 }, { 0xffffffff, 1, 1024, 7, 0, 0 }, { 0x1e0102, 1, 32, 0, 0, &da0s1b }
};
struct swdevt *swdevt = swap_table;
int nswdev = 4, dmmax = 32;

/* The last page of init's stack, where releases have it that leave out the topmost 2 MiB. */
#define STACK 0x7fffffdff000UL
struct stack {
	u64 argv[3], envv[3];
	char arg0[16], arg1[16], env0[16];
	char unused[4096 - 48 - 48 - 32];
	struct ps_strings strings;
} user_stack PAGE = {
	.argv = { STACK + 48, STACK + 64 }, .envv = { STACK + 80 },
	.arg0 = "/sbin/init", .arg1 = "-s", .env0 = "TERM=xterm",
	.strings = { STACK, 2, STACK + 24, 1 },
};
u64 user_pt[512] PAGE = { [511] = PA(&user_stack) + PRESENT };
u64 user_pd[512] PAGE = { [510] = PA(user_pt) + PRESENT };
u64 user_pdp[512] PAGE = { [511] = PA(user_pd) + PRESENT };
u64 user_pml4[512] PAGE = { [255] = PA(user_pdp) + PRESENT };
struct vmspace init_vmspace = { .vm_pmap = { user_pml4 } };

struct kinfo_cputime cputime_percpu[4] = { { 1, 2, 3, 4, 5 }, { 10, 20, 30, 40, 50 }, { 1000, 1000, 1000, 1000, 1000 } };

struct pcb switched = { .pcb_rip = 0xffffffff80203333, .pcb_rsp = 0xfffff80011111111, .pcb_r15 = 15 };
struct pcb dumppcb = { .pcb_rip = 0xffffffff80204444 };
struct pcb stoppcbs[2] = { { .pcb_rip = 1 }, { .pcb_rip = 0xffffffff80205555 } };
extern struct lwp l_init, w1, w2, w3, w4, w5, w6;
struct thread t_init = { .td_comm = "init", .td_lwp = &l_init, .td_proc = &init, .td_pcb = &switched, .td_wmesg = "wait" };
#define WORKER(n) struct thread t##n = { .td_comm = "worker", .td_lwp = &w##n, .td_proc = &worker, .td_pcb = &switched }
WORKER(1); WORKER(2); WORKER(3); WORKER(4); WORKER(5); WORKER(6);
#define LWP(name, owner, tid, left, right, thread) \
	struct lwp name = { { { left, right } }, &owner, tid, LSSLEEP, &thread }
LWP(l_init, init, 1, 0, 0, t_init);
/* The leftmost node has a right child, which libkvm's walk loses. */
LWP(w2, worker, 2, 0, 0, t2);
LWP(w1, worker, 1, 0, &w2, t1);
LWP(w4, worker, 4, 0, 0, t4);
LWP(w3, worker, 3, &w1, &w5, t3);
LWP(w5, worker, 5, &w4, &w6, t5);
LWP(w6, worker, 6, 0, 0, t6);

struct proc init = { .p_stat = SACTIVE, .p_pid = 1, .p_comm = "init", .p_vmspace = &init_vmspace, .p_lwp_tree = { &l_init }, .p_nthreads = 1 };
struct proc worker = { .p_stat = SACTIVE, .p_pid = 812, .p_comm = "worker", .p_ucred = &user, .p_pptr = &init,
	.p_pgrp = &pgrp, .p_fd = &worker_files, .p_args = &worker_args, .p_lwp_tree = { &w3 }, .p_nthreads = 6, .p_nice = -5 };
struct proc zombie = { .p_flags = 0x200, .p_stat = SZOMB, .p_pid = 5, .p_comm = "true", .p_pptr = &init, .p_list = { &init } };
struct procglob procglob[4] = { { { &worker } }, { { &zombie } } };

/* What cpu_lwkt_switch() pushed, the last at the lowest address. */
extern char cpu_lwkt_restore[];
char cpu_lwkt_restore[1];
struct { void *restore; u64 flags, r15, r14, r13, r12, rbx, rbp, rip; } idle_stack = {
	cpu_lwkt_restore, 0x246, 15, 14, 13, 12, 3, 5, 0xffffffff80206666
};
extern struct thread marker;
struct thread idle0 = { .td_comm = "idle_0", .td_sp = (char *)&idle_stack, .td_allq = { &marker } };
struct thread netisr = { .td_comm = "netisr 1", .td_allq = { &t6 }, .td_wmesg = "idle" };
struct thread marker = { .td_flags = 0x2000, .td_allq = { &t_init } };
struct globaldata gd0 = { &t3, { &idle0 } }, gd1 = { &t6, { &netisr } };
struct globaldata *CPU_prvspace[4] = { &gd0, &gd1 };
struct thread *dumpthread = &t3;
struct { u32 ldavg[3]; long fscale; } averunnable = { { 2048, 1024, 0 }, 2048 };
