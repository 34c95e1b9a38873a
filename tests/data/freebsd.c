/*
 * A FreeBSD kernel as a debugger sees it: structures with the members that it looks for, and variables that hold a small
 * system. The compiler decides where the members lie and describes it in DWARF; nothing here has a layout of its own.
 *
 * The file is linked at 0xffffffff80200000 and loaded at physical 0x200000, which PA() relies on.
 */
typedef unsigned long u64;
typedef unsigned int u32;

#define PA(object) ((u64)(object) + 0x80000000UL)
#define PAGE __attribute__((aligned(4096)))
#define PRESENT 7

struct list { struct proc *le_next, **le_prev; };
struct pcb { u64 pcb_r15, pcb_r14, pcb_r13, pcb_r12, pcb_rbp, pcb_rsp, pcb_rbx, pcb_rip; };
struct thread {
	long td_pad;
	struct { struct thread *tqe_next, **tqe_prev; } td_plist;
	int td_tid;
	char td_name[20];
	int td_oncpu;
	struct pcb *td_pcb;
	enum { TDS_INACTIVE, TDS_INHIBITED, TDS_CAN_RUN, TDS_RUNQ, TDS_RUNNING } td_state;
	int td_inhibitors;
	const char *td_wmesg;
	const char *td_lockname;
};
struct prison { int pr_id; struct vnet *pr_vnet; };
struct vnet { long vnet_pad; u32 vnet_magic_n; u64 vnet_data_base; };
struct ucred {
	int cr_ref;
	u32 cr_uid, cr_ruid, cr_svuid, cr_gid, cr_rgid, cr_svgid;
	int cr_ngroups;
	u32 *cr_groups;
	u32 cr_flags;
	struct prison *cr_prison;
};
struct tty { struct pgrp *t_pgrp; struct session *t_session; };
struct session { int s_count; struct proc *s_leader; struct tty *s_ttyp; int s_sid; char s_login[40]; };
struct pgrp { int pg_id; struct session *pg_session; };
struct pmap { long pm_lock; u64 pm_cr3; struct { long resident_count; } pm_stats; };
struct vmspace {
	struct { u64 size; } vm_map;
	long vm_swrss, vm_tsize, vm_dsize, vm_ssize;
	u64 vm_stacktop;
	struct pmap vm_pmap;
};
struct sysentvec { const char *sv_name; u32 sv_flags; u64 sv_psstringssz; };
struct pargs { u32 ar_ref, ar_length; unsigned char ar_args[32]; };
struct file {
	u32 f_flag, f_count;
	void *f_data;
	short f_type;
	long f_offset;
};
struct filedescent { struct file *fde_file; long fde_caps[4]; unsigned char fde_flags; };
struct fdescenttbl { int fdt_nfiles; struct filedescent fdt_ofiles[4]; };
struct filedesc { struct fdescenttbl *fd_files; int fd_refcnt; };
struct proc {
	struct list p_list;
	struct { struct thread *tqh_first, **tqh_last; } p_threads;
	struct ucred *p_ucred;
	struct filedesc *p_fd;
	u32 p_flag;
	enum { PRS_NEW, PRS_NORMAL, PRS_ZOMBIE } p_state;
	int p_pid;
	struct list p_hash;
	struct proc *p_pptr;
	int p_oppid;
	struct vmspace *p_vmspace;
	struct pargs *p_args;
	struct pgrp *p_pgrp;
	struct sysentvec *p_sysent;
	char p_comm[20];
	u32 p_xexit, p_xsig;
};
struct linker_file {
	int refs;
	struct { struct linker_file *tqe_next, **tqe_prev; } link;
	char *filename, *pathname;
	char *address;
	u64 size;
};
struct cdev { long si_flags; char si_name[64]; };
struct vnode { int v_type; union { struct cdev *v_rdev; void *v_mount; }; };
struct swdevt {
	int sw_flags, sw_nblks, sw_used;
	struct vnode *sw_vp;
	struct { struct swdevt *tqe_next, **tqe_prev; } sw_list;
};
struct pcpu { struct thread *pc_curthread; u32 pc_cpuid; long pc_cp_time[5]; char pc_pad[4096 - 56]; };
struct msgbuf { char *msg_ptr; u32 msg_magic, msg_size, msg_wseq, msg_rseq, msg_cksum, msg_seqmod; };
struct ps_strings { u64 ps_argvstr; u32 ps_nargvstr; u64 ps_envstr; u32 ps_nenvstr; };

/* What the kernel says of itself. */
const int osreldate = 1500068;
const char version[] = "FreeBSD 15.0-TEST a compiled kernel\n";
const char *panicstr = "a compiled panic";
int hz = 1000, dumptid = 100020, nprocs = 4;
struct pcb dumppcb = { .pcb_rip = 0xffffffff80201234, .pcb_rsp = 0xfffffe0000001000 };
const u64 vm_maxuser_address = 0x800000000000;
u64 pagesizes[2] = { 4096, 2097152 };
int la57 = 0;

/* Memory of the process sh: two pages at the top of the stack, and one that ends before a hole. */
#define STACK 0x7fffffffd000UL
#define LONELY 0x7fffffd90000UL
struct stack {
	u64 argv[4], envv[4];
	char arg0[16], arg1[16], arg2[16], env0[16], env1[32];
	char unused[4096 - 64 - 64 - 32 - 32];
	struct ps_strings strings;
};
union { struct stack stack; char bytes[4096]; } user_stack PAGE = { .stack = {
	.argv = { STACK + 64, STACK + 80, STACK + 96 },
	.envv = { STACK + 112, STACK + 128 },
	.arg0 = "sh", .arg1 = "-c", .arg2 = "sleep 1000",
	.env0 = "HOME=/root", .env1 = "PATH=/bin:/usr/bin",
	.strings = { STACK, 3, STACK + 32, 2 },
} };
_Static_assert(sizeof(struct stack) == 4096, "ps_strings end the page");
char lonely[4096] PAGE = { [0 ... 4095] = 'x' };
u64 user_pt[512] PAGE = {
	[0x190] = 0, [0x1fd] = PA(&user_stack) + PRESENT,
};
u64 user_pt_low[512] PAGE = { [0x190] = PA(lonely) + PRESENT };
u64 user_pd[512] PAGE = { [511] = PA(user_pt) + PRESENT, [510] = PA(user_pt_low) + PRESENT };
u64 user_pdp[512] PAGE = { [511] = PA(user_pd) + PRESENT };
u64 user_pml4[512] PAGE = { [255] = PA(user_pdp) + PRESENT };
struct vmspace sh_vmspace = {
	.vm_map = { 0x123000 }, .vm_swrss = 7, .vm_stacktop = STACK + 4096,
	.vm_pmap = { .pm_cr3 = PA(user_pml4), .pm_stats = { 345 } },
};
/* Its page tables are not in the image. */
struct vmspace cron_vmspace = { .vm_stacktop = STACK + 4096, .vm_pmap = { .pm_cr3 = 0x3000000 } };

/* Who runs. */
struct sysentvec elf64 = { .sv_name = "FreeBSD ELF64", .sv_psstringssz = sizeof(struct ps_strings) };
struct prison prison0;
u32 wheel_groups[] = { 5, 20 };
struct ucred root = { .cr_prison = &prison0, .cr_gid = 0, .cr_ngroups = 2, .cr_groups = wheel_groups };
struct tty ttyu0;
struct session session1 = { .s_sid = 20, .s_ttyp = &ttyu0, .s_login = "root" };
struct pgrp pgrp20 = { 20, &session1 }, pgrp21 = { 21, &session1 };
struct tty ttyu0 = { &pgrp21, &session1 };
struct pargs init_args = { 1, 14, "/sbin/init\0--" };
struct proc init, sh, cron, idle, zombie, proc0;
struct pcb switched = { .pcb_rip = 0xffffffff80202222 };
#define THREAD(name, tid, ...) struct thread name = { .td_tid = tid, .td_oncpu = -1, .td_pcb = &switched, __VA_ARGS__ }
THREAD(td_init, 100002, .td_name = "init", .td_state = TDS_INHIBITED, .td_inhibitors = 2, .td_wmesg = "wait");
THREAD(td_sh, 100020, .td_name = "sh", .td_oncpu = 1, .td_state = TDS_RUNNING);
THREAD(td_cron, 100021, .td_name = "cron", .td_state = TDS_INHIBITED, .td_inhibitors = 8, .td_lockname = "vnode");
THREAD(td_idle, 100011, .td_name = "idle: cpu0", .td_state = TDS_CAN_RUN);
THREAD(td_zombie, 100030, .td_name = "true");
struct file tty_file = { 3, 3, &ttyu0, 1, 42 };
struct file socket_file = { 3, 1, (void *)0xfffff80000123400, 2, 0 };
struct file odd_file = { 1, 1, 0, 99, 0 };
struct fdescenttbl sh_table = { 4, { { &tty_file }, { 0 }, { &socket_file }, { &odd_file } } };
struct filedesc sh_files = { &sh_table, 1 };
#define NORMAL(pid, name) .p_pid = pid, .p_comm = name, .p_state = PRS_NORMAL, .p_ucred = &root, .p_sysent = &elf64
#define FIRST(thread) .p_threads = { &thread, &thread.td_plist.tqe_next }
struct proc proc0 = { NORMAL(0, "kernel"), .p_flag = 0x200 };
struct proc idle = { NORMAL(11, "idle"), .p_flag = 0x200, FIRST(td_idle), .p_pptr = &proc0, .p_hash = { &zombie } };
struct proc init = { NORMAL(1, "init"), FIRST(td_init), .p_args = &init_args, .p_list = { &idle } };
struct proc cron = { NORMAL(21, "cron"), FIRST(td_cron), .p_vmspace = &cron_vmspace, .p_pgrp = &pgrp21,
	.p_list = { &init }, .p_pptr = &init };
struct proc sh = { NORMAL(20, "sh"), FIRST(td_sh), .p_vmspace = &sh_vmspace, .p_pgrp = &pgrp20, .p_fd = &sh_files,
	.p_list = { &cron }, .p_pptr = &init, .p_flag = 2 };
struct proc zombie = { .p_pid = 30, .p_comm = "true", .p_state = PRS_ZOMBIE, FIRST(td_zombie), .p_xexit = 3 };
struct proc *allproc = &sh;
/* Buckets as a hash would have them, as far as anyone can tell: the zombie is only here. */
struct proc *buckets[4] = { &sh, &cron, &idle, 0 };
struct proc **pidhashtbl = buckets;
u64 pidhash = 3;

/* Modules. */
struct linker_file lf_zfs = { .filename = "zfs.ko", .pathname = "/boot/kernel/zfs.ko",
	.address = (char *)0xffffffff82200000, .size = 0x500000 };
struct linker_file lf_em = { .link = { &lf_zfs }, .filename = "if_em.ko", .pathname = "/boot/modules/if_em.ko",
	.address = (char *)0xffffffff82100000, .size = 0x8000 };
struct linker_file lf_kernel = { .link = { &lf_em }, .filename = "kernel", .pathname = "/boot/kernel/kernel",
	.address = (char *)0xffffffff80200000, .size = 0x1000000 };
struct linker_file *linker_kernel_file = &lf_kernel;
struct { struct linker_file *tqh_first, **tqh_last; } linker_files = { &lf_kernel };

/* Messages: the ring has wrapped; its oldest byte is the 'o' of "old line". */
char ring[32] = "unread 2\n\0\0old line\nunread 1\n+++";
struct msgbuf messages = { ring, 0x063062, 32, 32 * 5 + 11, 32 * 5 - 12, 0, 32 * 16 };
struct msgbuf *msgbufp = &messages;

/* CPUs. */
const int mp_maxcpus = 4;
int mp_ncpus = 2, mp_maxid = 1;
struct pcpu cpus[2] PAGE = { { &td_idle, 0, { 10, 20, 30, 40, 50 } }, { &td_sh, 1, { 1, 2, 3, 4, 5 } } };
struct pcpu *__pcpu = cpus;
struct pcpu *cpuid_to_pcpu[4] = { &cpus[0], &cpus[1] };
u64 stopped_cpus[4] = { 3 };
struct pcb cpu_pcbs[2] = { { .pcb_rip = 0xffffffff80203333 } }, *stoppcbs = cpu_pcbs;
u64 counters[2][512] PAGE = { { 0, 0, 1000 }, { 0, 0, 234 } };

/* Variables with copies; the tests fill in how far these lie from where they are linked. */
#define SECTION(name) __attribute__((section(name), used))
int vnet_entry_ipforwarding SECTION("set_vnet") = 1;
u64 pcpu_entry_cpu_time SECTION("set_pcpu") = 2;
extern char __start_set_vnet[], __stop_set_vnet[], __start_set_pcpu[], __stop_set_pcpu[];
void *bounds[] = { __start_set_vnet, __stop_set_vnet, __start_set_pcpu, __stop_set_pcpu };
int vnet_copy = 77;
u64 pcpu_copies[2] = { 88, 99 };
struct vnet vnet0 = { .vnet_magic_n = 0x5e4a6f28 };
struct prison prison0 = { 0, &vnet0 };
u64 dpcpu_off[4];

/* Load and swap. */
struct { u32 ldavg[3]; long fscale; } averunnable = { { 512, 1024, 3072 }, 2048 };
const int nsw_cluster_max = 32;
struct cdev ada0p2 = { .si_name = "ada0p2" };
struct vnode swap_vnode = { .v_type = 4, .v_rdev = &ada0p2 }, lost_vnode;
struct swdevt swap2 = { .sw_nblks = 1032, .sw_used = 0, .sw_vp = &lost_vnode };
struct swdevt swap1 = { .sw_flags = 1, .sw_nblks = 262176, .sw_used = 321, .sw_vp = &swap_vnode, .sw_list = { &swap2 } };
struct { struct swdevt *tqh_first, **tqh_last; } swtailq = { &swap1 };
