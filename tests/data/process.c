/*
 * A FreeBSD kernel with one process, on machines whose page tables differ; see freebsd.c. What a pmap holds (PMAP), which
 * of that leads to the tables (ROOT), and where the process has its one page (USER) are chosen on the command line; the
 * test fills in the tables.
 */
typedef unsigned long word;
typedef unsigned int u32;

#define PAGE __attribute__((aligned(4096)))

struct list { struct proc *le_next, **le_prev; };
struct pcb { word pcb_words[32]; };
struct thread {
	struct { struct thread *tqe_next, **tqe_prev; } td_plist;
	int td_tid, td_oncpu;
	char td_name[20];
	struct pcb *td_pcb;
};
struct pmap { long pm_lock; PMAP };
struct vmspace { struct { word size; } vm_map; struct pmap vm_pmap; };
struct sysentvec { const char *sv_name; u32 sv_flags; word sv_psstrings; };
struct pargs { u32 ar_ref, ar_length; unsigned char ar_args[16]; };
struct ps_strings { word ps_argvstr; u32 ps_nargvstr; word ps_envstr; u32 ps_nenvstr; };
struct proc {
	struct list p_list;
	struct { struct thread *tqh_first, **tqh_last; } p_threads;
	int p_pid;
	u32 p_flag;
	struct vmspace *p_vmspace;
	struct pargs *p_args;
	struct sysentvec *p_sysent;
	char p_comm[20];
};

const int osreldate = 1500068;
const char version[] = "FreeBSD 15.0-TEST a compiled kernel\n";
const word vm_maxuser_address = USER + 4096;

struct stack {
	word argv[3], envv[2];
	char arg0[16], arg1[16], env0[16];
	char unused[4096 - 5 * sizeof(word) - 48 - sizeof(struct ps_strings)];
	struct ps_strings strings;
} user_stack PAGE = {
	.argv = { USER + 5 * sizeof(word), USER + 5 * sizeof(word) + 16 },
	.envv = { USER + 5 * sizeof(word) + 32 },
	.arg0 = "init", .arg1 = "-x", .env0 = "A=b",
	.strings = { USER, 2, USER + 3 * sizeof(word), 1 },
};
_Static_assert(sizeof(struct stack) == 4096, "ps_strings end the page");

/* A table of each level, the top one first. */
char tables[4][65536] __attribute__((aligned(65536))) = { { 1 } };

struct vmspace vmspace = { .vm_pmap = { .ROOT = (void *)tables } };
struct sysentvec sysent = { "FreeBSD ELF", 0, USER + 4096 - sizeof(struct ps_strings) };
struct pcb switched;
struct thread only = { .td_tid = 100001, .td_oncpu = -1, .td_pcb = &switched };
struct proc init = { .p_pid = 1, .p_threads = { &only, &only.td_plist.tqe_next }, .p_comm = "init", .p_vmspace = &vmspace, .p_sysent = &sysent };
struct proc *allproc = &init;
