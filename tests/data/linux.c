/*
 * A Linux kernel as a debugger sees it: structures with the members that it looks for, and variables that hold a small
 * system. The compiler decides where the members lie and describes it in DWARF; nothing here has a layout of its own.
 *
 * Made twice: with the shapes of Linux 6.14 and later, and with OLD defined with those of about 4.4.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

#define PAGE __attribute__((aligned(4096)))
#define PER_CPU __attribute__((section("percpu")))
#define COUNT(array) (sizeof (array) / sizeof *(array))

/* Where the tests map memory of processes, and put their page tables. */
#define STACK 0x7ffffffff000UL
#define STACK_32 0xffffd000UL
#define PGD ((u64 *)0xffffffff80900000UL)

struct list_head { struct list_head *next, *prev; };
#define ALONE(list) { &(list), &(list) }
typedef struct { long counter; } atomic_long_t;
typedef struct { u64 sig[1]; } sigset_t;
struct percpu_counter { int lock; long count; int *counters; };

struct pid { int count; u32 level; struct upid { int nr; void *ns; } numbers[1]; };
struct cred { long usage; u32 uid, gid, suid, sgid, euid, egid; struct group_info *group_info; };
struct tty_driver { long magic; int major, minor_start; };
struct tty_struct {
	int index;
	struct tty_driver *driver;
#ifdef OLD
	struct pid *pgrp, *session;
#else
	struct { struct pid *pgrp, *session; } ctrl;
#endif
};
struct k_sigaction { struct { u64 sa_handler, sa_flags; } sa; };
struct sighand_struct { int count; struct k_sigaction action[64]; };
struct signal_struct {
	int nr_threads;
	struct list_head thread_head;
#ifndef OLD
	struct pid *pids[4];
#endif
	int leader;
	struct tty_struct *tty;
	u64 utime, stime, sum_sched_runtime;
	struct { u8 ac_flag; } pacct;
};
struct mm_struct {
	u64 task_size, *pgd, total_vm, data_vm, stack_vm;
	u64 start_code, end_code, arg_start, arg_end, env_start, env_end;
#ifdef OLD
	struct { atomic_long_t count[3]; } rss_stat;
#else
	struct percpu_counter rss_stat[4];
#endif
};
struct task_struct {
#ifdef OLD
	long state;
	int on_cpu, cpu;
#else
	struct { u64 flags; u32 cpu; } thread_info;
	u32 __state;
	u8 on_cpu, on_rq;
#endif
	u32 flags, ptrace;
	int prio, static_prio, normal_prio;
	u32 policy;
	struct { u64 sum_exec_runtime; } se;
	struct list_head tasks;
	struct mm_struct *mm, *active_mm;
	int exit_state, exit_code, pid, tgid;
	struct task_struct *real_parent, *group_leader;
#ifdef OLD
	struct pid_link { struct list_head node; struct pid *pid; } pids[3];
	u64 real_start_time;
#else
	u64 start_boottime;
#endif
	struct list_head thread_node;
	u64 utime, stime;
	struct cred *real_cred;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	sigset_t blocked;
	struct { struct list_head list; sigset_t signal; } pending;
};

struct file_system_type { const char *name; };
struct super_block { long s_flags; struct file_system_type *s_type; };
struct inode { u16 i_mode; u64 i_ino; void *i_private; };
struct dentry {
	struct { struct dentry *next, **pprev; } d_hash;
	struct dentry *d_parent;
	struct { union { struct { u32 hash, len; }; u64 hash_len; }; const char *name; } d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};
struct vfsmount { struct dentry *mnt_root; int mnt_flags; };
struct mount { long mnt_hash; struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt; };
struct ns_common { long stashed; struct proc_ns_operations { const char *name; } *ops; };
struct file {
	u32 f_mode, f_flags;
	struct inode *f_inode;
	struct { struct vfsmount *mnt; struct dentry *dentry; } f_path;
	long f_pos;
#ifdef OLD
	atomic_long_t f_count;
#else
	struct { atomic_long_t refcnt; } f_ref;
#endif
};
struct fdtable { u32 max_fds; struct file **fd; };
struct files_struct { int count; struct fdtable *fdt; };

struct attribute { const char *name; u16 mode; };
struct bin_attribute { struct attribute attr; u64 size; void *private; };
struct attribute_group { const char *name; struct bin_attribute **bin_attrs; };
struct module {
	enum { MODULE_STATE_LIVE, MODULE_STATE_COMING, MODULE_STATE_GOING, MODULE_STATE_UNFORMED } state;
	struct list_head list;
	char name[56];
	struct module_sect_attrs *sect_attrs;
#ifdef OLD
	void *module_init, *module_core;
	u32 init_size, core_size, init_text_size, core_text_size;
#else
	struct module_memory { void *base; u32 size; } mem[3];
#endif
};
#ifdef OLD
struct group_info { int ngroups; u32 small_block[32]; };
struct module_sect_attr { struct attribute mattr; const char *name; u64 address; };
struct module_sect_attrs { struct attribute_group grp; u32 nsections; struct module_sect_attr attrs[2]; };
#else
struct group_info { int ngroups; u32 gid[40]; };
struct module_sect_attrs { struct attribute_group grp; };
enum { MOD_DATA, MOD_TEXT, MOD_RODATA } mod_mem_type; /* in an order of their own */
#endif

struct swap_info_struct { u64 flags; u32 pages; struct file *swap_file; atomic_long_t inuse_pages; };
struct rq { u32 cpu; struct task_struct *curr, *idle; };
struct kernel_cpustat { u64 cpustat[10]; };

/* What only its names count of. */
#ifdef OLD
enum pid_type { PIDTYPE_PID, PIDTYPE_PGID, PIDTYPE_SID } pid_type;
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS } mm_counter;
typedef u64 cputime64_t;
cputime64_t cputime64;
#else
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID } pid_type;
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES } mm_counter;
#endif
enum cpu_usage_stat {
	CPUTIME_USER, CPUTIME_NICE, CPUTIME_SYSTEM, CPUTIME_SOFTIRQ, CPUTIME_IRQ, CPUTIME_IDLE, CPUTIME_IOWAIT, CPUTIME_STEAL
} cpu_usage_stat;

/* What the kernel says of itself. */
void _stext(void) {}
struct { char name[6][65]; } init_uts_ns = { { "Linux", "compiled", "4.99.0-test" } };
const char linux_banner[] = "Linux version 4.99.0-test (compiled)\n";
u64 avenrun[3] = { 512, 1024, 3072 };
int panic_cpu = -1;

/* Three CPUs there can be, of which the second one cannot; the third is not online. */
u32 nr_cpu_ids = 3;
u64 __per_cpu_offset[3];
char cpu_areas[3][4096] PAGE;
#ifdef OLD
u64 cpu_possible_bits[1] = { 5 }, cpu_online_bits[1] = { 1 };
#else
struct { u64 bits[1]; } __cpu_possible_mask = { { 5 } }, __cpu_online_mask = { { 1 } };
#endif
extern struct task_struct init_task, sh;
PER_CPU struct rq runqueues = { 0, &sh, &init_task };
PER_CPU struct kernel_cpustat kernel_cpustat = { {
	100000000, 200000000, 300000000, 10000000, 20000000, 500000000, 50000000, 70000000
} };
PER_CPU int late_pages = 2;

/* Memory of processes: arguments, a title over arguments, an environment up to the last byte of the page. */
#define ARGUMENTS "sh\0-c\0\0sleep 1000"
#define TITLE "sshd: a title over arguments"
#define ENVIRONMENT "HOME=/root\0EMPTY="
struct { char arguments[sizeof ARGUMENTS], rest[100], title[28], behind[20], fill[4096 - sizeof ARGUMENTS - 148 - sizeof ENVIRONMENT],
	environment[sizeof ENVIRONMENT]; } user_stack PAGE = {
	.arguments = ARGUMENTS, .title = TITLE, .behind = ", and on\0X=1", .environment = ENVIRONMENT
};
#define AT(stack, member) (stack + __builtin_offsetof(__typeof__(user_stack), member))
_Static_assert(sizeof user_stack == 4096, "a page");
#ifdef OLD
#define RSS { .count = { { 30 }, { 40 }, { 5 } } }
#else
#define RSS { { 0, 30, &late_pages }, { 0, 40, &late_pages }, { 0, 5, &late_pages }, { 0, -9, &late_pages } }
#endif
#define MM(name, end, stack, list) struct mm_struct name = { end, PGD, 1000, 300, 33, 0x400000, 0x401001, AT(stack, list), \
	AT(stack, list) + sizeof user_stack.list, AT(stack, environment), stack + 4096, RSS }
MM(sh_mm, 0x7ffffffff000, STACK, arguments);
MM(sshd_mm, 0xffffe000, STACK_32, title); /* a 32-bit program */

/* Who runs. */
#define PID(name, number) struct pid name = { 1, 0, { { number } } }
PID(pid_1, 1);
PID(pid_20, 20);
struct group_info groups = { 2, { 5, 27 } };
struct cred root = { .group_info = &groups }, user = { 1, 1000, 2000, 1002, 2002, 1001, 2001, &groups };
struct tty_driver pts = { 0, 136, 256 };
#ifdef OLD
struct tty_struct pts_3 = { 3, &pts, &pid_20, &pid_1 };
#define GROUP(group, session) .pids = { { .pid = 0 }, { .pid = &group }, { .pid = &session } }
#define IDENTITY(group, session)
#define START(nanos) .real_start_time = nanos
#else
struct tty_struct pts_3 = { 3, &pts, { &pid_20, &pid_1 } };
#define GROUP(group, session) .ptrace = 0
#define IDENTITY(group, session) .pids = { 0, 0, &group, &session },
#define START(nanos) .start_boottime = nanos
#endif
struct sighand_struct handlers = { 1, { [1] = { { 1 } }, [16] = { { 0x401000 } } } };

struct files_struct sh_files;
extern struct task_struct init, kthreadd, worker, sshd, zombie;
#define SIGNAL(name, first, last, ...) struct signal_struct name = { \
	.thread_head = { &first.thread_node, &last.thread_node }, __VA_ARGS__ }
#define ONE(name, task) SIGNAL(name, task, task, IDENTITY(pid_1, pid_1) .nr_threads = 1)
ONE(init_signals, init_task);
ONE(init_1_signal, init);
ONE(kthreadd_signal, kthreadd);
ONE(sshd_signal, sshd);
ONE(zombie_signal, zombie);
SIGNAL(sh_signal, sh, worker, IDENTITY(pid_20, pid_1) .nr_threads = 2, .leader = 1, .tty = &pts_3, .utime = 1000000,
	.stime = 3000000, .sum_sched_runtime = 6000000, .pacct = { 2 });
#define TASK(before, after) .tasks = { &after.tasks, &before.tasks }, .static_prio = 120, .prio = 120, .normal_prio = 120, \
	.sighand = &handlers
#define NAMED(number, group, name, parent) .pid = number, .tgid = group, .comm = name, .real_parent = &parent
#define LEADS(task, sig) .group_leader = &task, .signal = &sig, .thread_node = { &sig.thread_head, &sig.thread_head }
struct task_struct
	init_task = { TASK(zombie, init), NAMED(0, 0, "swapper/0", init_task), LEADS(init_task, init_signals),
		.flags = 0x200000, .real_cred = &root },
	init = { TASK(init_task, kthreadd), NAMED(1, 1, "init", init_task), LEADS(init, init_1_signal), .mm = &sh_mm,
		.real_cred = &root },
	kthreadd = { TASK(init, sh), NAMED(2, 2, "kthreadd", init_task), LEADS(kthreadd, kthreadd_signal), .flags = 0x200000,
		.real_cred = &root },
	sh = { TASK(kthreadd, sshd), NAMED(20, 20, "sh", init), .group_leader = &sh, .signal = &sh_signal,
		.thread_node = { &worker.thread_node, &sh_signal.thread_head }, .mm = &sh_mm, .files = &sh_files,
		.real_cred = &user, .utime = 500000, .stime = 1500000, .se = { 2000000 }, .on_cpu = 1, GROUP(pid_20, pid_1),
		START(12345678), .blocked = { { 0x10000 } }, .policy = 1 },
	/* Its first thread has ended; the other one has given up nothing. */
	worker = { NAMED(21, 20, "worker", init), .group_leader = &sh, .signal = &sh_signal,
		.thread_node = { &sh_signal.thread_head, &sh.thread_node }, .mm = &sh_mm, .files = &sh_files,
		.real_cred = &user, .se = { 2000000 }, .static_prio = 125, .pending = { .signal = { { 0x4000 } } } },
	sshd = { TASK(sh, zombie), NAMED(30, 30, "sshd", init), LEADS(sshd, sshd_signal), .mm = &sshd_mm, .real_cred = &root },
	zombie = { TASK(sshd, init_task), NAMED(40, 40, "true", sh), LEADS(zombie, zombie_signal), .exit_state = 0x20,
		.exit_code = 0x300, .real_cred = &user };

/* Files: on two mounts, deleted, and of kinds that no directory has. */
#define FS(type, fs) struct file_system_type type = { fs }; struct super_block type##_sb = { 0, &type }
FS(ext4, "ext4");
FS(pipefs, "pipefs");
FS(sockfs, "sockfs");
FS(anon, "anon_inodefs");
FS(pidfs, "pidfs");
FS(nsfs, "nsfs");
FS(tmpfs, "tmpfs");
extern struct dentry slash;
#define HASHED .d_hash = { 0, &hashed }
struct dentry *hashed;
#define ENTRY(entry, parent, text, node, sb, ...) struct dentry entry = { .d_parent = &parent, .d_inode = &node, .d_sb = &sb, \
	.d_name = { .len = sizeof text - 1, .name = text }, __VA_ARGS__ }
#define INODE(name, mode, number) struct inode name = { mode, number }
struct proc_ns_operations netns = { "net" };
struct ns_common namespace = { 0, &netns };
INODE(directory, 0040755, 2);
INODE(regular, 0100644, 12);
INODE(device, 0060660, 13);
INODE(fifo, 0010600, 14);
INODE(sock, 0140777, 15);
INODE(none, 0600, 16);
struct inode ns_inode = { 0100444, 17, &namespace };
ENTRY(slash, slash, "/", directory, ext4_sb, HASHED);
ENTRY(mnt, slash, "mnt", directory, ext4_sb, HASHED);
ENTRY(top, top, "/", directory, ext4_sb, HASHED);
ENTRY(data, top, "data", directory, ext4_sb, HASHED);
ENTRY(a_file, data, "a file", regular, ext4_sb, HASHED);
ENTRY(gone, data, "gone", regular, ext4_sb);
ENTRY(loop0, slash, "dev/loop0", device, ext4_sb, HASHED);
ENTRY(a_pipe, a_pipe, "", fifo, pipefs_sb);
ENTRY(a_socket, a_socket, "", sock, sockfs_sb);
ENTRY(an_epoll, an_epoll, "[eventpoll]", none, anon_sb);
ENTRY(a_pidfd, a_pidfd, "", none, pidfs_sb);
ENTRY(a_namespace, a_namespace, "", ns_inode, nsfs_sb);
ENTRY(a_memfd, a_memfd, "memfd:x", regular, tmpfs_sb);
struct mount rootfs = { 0, &rootfs, &slash, { &slash } }, mounted = { 0, &rootfs, &mnt, { &top } };
struct mount internal = { 0, &internal, 0, { 0 } };
#ifdef OLD
#define REFERENCES(count) .f_count = { count }
#else
#define REFERENCES(count) .f_ref = { { count - 1 } }
#endif
#define FILE(name, mode, flags, node, on, entry, pos, count) struct file name = { .f_mode = mode, .f_flags = flags, \
	.f_inode = &node, .f_path = { &on.mnt, &entry }, .f_pos = pos, REFERENCES(count) }
FILE(file_root, 1, 0200000, directory, rootfs, slash, 0, 1);
FILE(file_a, 3, 02002, regular, mounted, a_file, 4321, 2);
FILE(file_gone, 2, 1, regular, mounted, gone, 0, 1);
FILE(file_pipe, 1, 0, fifo, internal, a_pipe, 0, 1);
FILE(file_socket, 3, 2, sock, internal, a_socket, 0, 1);
FILE(file_epoll, 3, 2, none, internal, an_epoll, 0, 1);
FILE(file_pidfd, 3, 2, none, internal, a_pidfd, 0, 1);
FILE(file_namespace, 1, 0, ns_inode, internal, a_namespace, 0, 1);
FILE(file_memfd, 3, 2, regular, internal, a_memfd, 0, 1);
FILE(file_swap, 3, 2, regular, mounted, a_file, 0, 1);
FILE(file_loop, 3, 2, device, rootfs, loop0, 0, 1);
struct file *open_files[12] = { &file_root, &file_a, 0, &file_gone, &file_pipe, &file_socket, &file_epoll, &file_pidfd,
	&file_namespace, &file_memfd, &file_a };
struct fdtable sh_table = { COUNT(open_files), open_files };
struct files_struct sh_files = { 1, &sh_table };

/* Modules: one that is loaded, one that is about to be, and one without sections. */
extern struct list_head modules;
struct { u32 name_size, size, type; char name[4]; u8 id[20]; } note = { 4, 20, 3, "GNU", { 0xab, 0xcd, 0xef } };
extern struct module loop, coming, dummy;
#ifdef OLD
struct module_sect_attrs loop_sections = { { "sections" }, 2, { { { 0 }, ".text", 0xffffffffc0001000 },
	{ { 0 }, ".note.gnu.build-id", (u64)&note } } };
#define CODE(address, code, rest) .module_core = (void *)address, .core_size = code, .core_text_size = code - 0x800, .init_size = rest
#else
struct bin_attribute text_section = { { ".text" }, 0, (void *)0xffffffffc0001000 };
struct bin_attribute note_section = { { ".note.gnu.build-id" }, 0, &note };
struct bin_attribute *loop_list[] = { &text_section, &note_section, 0 };
struct module_sect_attrs loop_sections = { { "sections", loop_list } };
#define CODE(address, code, rest) .mem = { [MOD_TEXT] = { (void *)address, code }, [MOD_DATA] = { 0, rest } }
#endif
struct list_head modules = { &loop.list, &dummy.list };
struct module
	loop = { .list = { &coming.list, &modules }, .name = "loop", .sect_attrs = &loop_sections, CODE(0xffffffffc0001000, 0x3000, 0x1000) },
	coming = { .state = MODULE_STATE_UNFORMED, .list = { &dummy.list, &loop.list }, .name = "coming", CODE(0xffffffffc0006000, 0x1000, 0) },
	dummy = { .list = { &modules, &coming.list }, .name = "dummy", CODE(0xffffffffc0008000, 0x1000, 0) };

/* Swap: a device, one that was given up, and a file without room. */
u32 nr_swapfiles = 4;
struct swap_info_struct device_swap = { 3, 5000, &file_loop, { 12 } }, old_swap = { 0, 9, &file_swap },
	full_swap = { 3, 77, &file_swap, { (1L << 30) + 77 } };
struct swap_info_struct *swap_info[4] = { &device_swap, &old_swap, 0, &full_swap };

/* The last words. */
#ifdef OLD
struct printk_log { u64 ts_nsec; u16 len, text_len, dict_len; u8 facility, flags; };
struct { struct printk_log header; char line[48]; } records[2] = {
	{ { 1000000, 64, 32 }, "Kernel panic - not syncing: oops" }, { { 2000000, 64, 3 }, "end" }
};
char *log_buf = (char *)records;
u32 log_buf_len = sizeof records, log_first_idx = 0, log_next_idx = 0x80;
#else
#define FINAL(id) { (long)(2UL << 62) + id }, { id * 48, id * 48 + 48 }
struct prb_desc { atomic_long_t state_var; struct prb_data_blk_lpos { u64 begin, next; } text_blk_lpos; }
	descriptors[4] = { { FINAL(0) }, { FINAL(1) }, { FINAL(2) } };
struct printk_info { u64 seq, ts_nsec; u16 text_len; } infos[4] = { { 0, 1000, 13 }, { 1, 2000, 24 }, { 2, 3000, 19 } };
struct { u64 id; char line[40]; } texts[6] = {
	{ 0, "BUG: an older" }, { 1, "BUG: null at 0\nand so on" }, { 2, "Oops: 0002 [#1] SMP" }
};
struct printk_ringbuffer {
	struct prb_desc_ring { u32 count_bits; struct prb_desc *descs; struct printk_info *infos; atomic_long_t head_id, tail_id; } desc_ring;
	struct prb_data_ring { u32 size_bits; char *data; } text_data_ring;
} ring = { { 2, descriptors, infos, { 2 }, { 0 } }, { 8, (char *)texts } }, *prb = &ring;
#endif
