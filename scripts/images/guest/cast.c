/* The processes that a test looks for in the image: each under a name of its own, in a state and at a place known
 * beforehand. `NAME ROLE [ARGUMENT...]`, where NAME is a link to this program. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* since Linux 5.4, newer than some C libraries */
#endif

static const char *name;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s: %s\n", name, what, strerror(errno));
	exit(1);
}

void publish(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int length = snprintf(line, sizeof line, "%s %d ", name, (int)getpid());
	int file = open("/tmp/cast", O_WRONLY | O_CREAT | O_APPEND, 0644);

	va_start(arguments, format);
	length += vsnprintf(line + length, sizeof line - length - 1, format, arguments);
	va_end(arguments);
	line[length++] = '\n';
	/* One write, as several processes publish at the same time. */
	check(file >= 0 && write(file, line, length) == length, "/tmp/cast");
	close(file);
}

static void sleep_for_good(void)
{
	for (;;)
		sleep(100000);
}

static void read_nothing(int descriptor)
{
	char byte;

	while (read(descriptor, &byte, 1) != 0)
		;
}

static void pin_to(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(atoi(cpu), &set);
	check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

static int number(int count, char **arguments, int otherwise)
{
	return count > 0 ? atoi(arguments[0]) : otherwise;
}

static void play_sleep(int count, char **arguments)
{
	publish("page_size=%ld arguments=%d first=%s", sysconf(_SC_PAGESIZE), count, count ? arguments[0] : "");
	sleep_for_good();
}

static void *thread(void *argument)
{
	long index = (long)argument;
	char title[16];
	int ends[2];

	snprintf(title, sizeof title, "worker-%ld", index);
	prctl(PR_SET_NAME, title);
	check(pipe(ends) == 0, "pipe");
	if (index % 3 == 0)
		read_nothing(ends[0]);
	if (index % 3 == 1)
		poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, -1);
	sleep_for_good();
	return NULL;
}

static void start_threads(int count)
{
	pthread_t id;

	for (long index = 0; index < count; index++)
		check(pthread_create(&id, NULL, thread, (void *)index) == 0, "pthread_create");
	publish("threads=%d", count);
}

static void play_threads(int count, char **arguments)
{
	start_threads(number(count, arguments, 4));
	sleep_for_good();
}

/* The group's leader is a zombie while its threads live on. */
static void play_leaderless(int count, char **arguments)
{
	start_threads(number(count, arguments, 2));
	pthread_exit(NULL);
}

static void play_pipe(int count, char **arguments)
{
	int ends[2];

	(void)count, (void)arguments;
	check(pipe(ends) == 0, "pipe");
	publish("read=%d write=%d", ends[0], ends[1]);
	read_nothing(ends[0]);
}

static void play_socket(int count, char **arguments)
{
	int ends[2];

	(void)count, (void)arguments;
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	publish("read=%d write=%d", ends[0], ends[1]);
	read_nothing(ends[0]);
}

/* Files of several kinds; the number 100 does not fit into the table that the kernel starts a process with. */
static void play_files(int count, char **arguments)
{
	int novel, deleted;

	(void)count, (void)arguments;
	mkdir("/tmp/library", 0755);
	novel = open("/tmp/library/a novel", O_RDWR | O_CREAT | O_APPEND, 0644);
	check(novel >= 0 && ftruncate(novel, 12345) == 0 && lseek(novel, 4321, SEEK_SET) == 4321, "a novel");
	deleted = open("/tmp/library/deleted", O_WRONLY | O_CREAT, 0600);
	check(deleted >= 0 && unlink("/tmp/library/deleted") == 0, "deleted");
	check(open("/tmp/library", O_RDONLY | O_DIRECTORY) >= 0, "directory");
	check(open("/proc/version", O_RDONLY) >= 0, "/proc/version");
	check(open("/dev/null", O_WRONLY) >= 0, "/dev/null");
	check(dup2(novel, 100) == 100, "dup2");
	publish("position=4321 descriptor=%d copy=100", novel);
	sleep_for_good();
}

/* The word at each address follows from its offset; the second half is sent to swap. */
static void play_memory(int count, char **arguments)
{
	const uint64_t factor = 0x9e3779b97f4a7c15;
	size_t bytes = (size_t)number(count, arguments, 16) << 20;
	char *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(start != MAP_FAILED, "mmap");
	for (size_t offset = 0; offset < bytes; offset += 8)
		*(uint64_t *)(start + offset) = offset * factor;
	madvise(start + bytes / 2, bytes / 2, MADV_PAGEOUT);
	publish("address=%p bytes=%zu factor=0x%llx paged_out=%p", (void *)start, bytes, (unsigned long long)factor,
		(void *)(start + bytes / 2));
	sleep_for_good();
}

static void play_zombie(int count, char **arguments)
{
	pid_t child;

	(void)count, (void)arguments;
	child = fork();
	if (child == 0)
		_exit(3);
	publish("zombie=%d", (int)child);
	sleep_for_good();
}

static void play_stopped(int count, char **arguments)
{
	(void)count, (void)arguments;
	publish("signal=%d", SIGSTOP);
	raise(SIGSTOP);
	sleep_for_good();
}

/* State "t": stopped by the one who traces it. */
static void play_traced(int count, char **arguments)
{
	pid_t child;

	(void)count, (void)arguments;
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	publish("traced=%d", (int)child);
	sleep_for_good();
}

static void play_nice(int count, char **arguments)
{
	check(nice(number(count, arguments, 7)) != -1, "nice");
	publish("nice=%d", number(count, arguments, 7));
	sleep_for_good();
}

/* Another user, with real, effective and saved ids that differ. */
static void play_user(int count, char **arguments)
{
	(void)count, (void)arguments;
	publish("uids=1000,1001,1002 gids=2000,2001,2002");
	check(setresgid(2000, 2001, 2002) == 0 && setresuid(1000, 1001, 1002) == 0, "setresuid");
	sleep_for_good();
}

/* State "D": the parent of a vfork cannot be woken before its child has gone. */
static void play_vfork(int count, char **arguments)
{
	(void)count, (void)arguments;
	publish("state=D");
	if (vfork() == 0)
		sleep_for_good();
}

/* A process that is number 1 in a namespace of its own. */
static void play_namespace(int count, char **arguments)
{
	pid_t child;

	(void)count, (void)arguments;
	check(unshare(CLONE_NEWPID) == 0, "unshare");
	child = fork();
	if (child == 0)
		sleep_for_good();
	publish("child=%d", (int)child);
	sleep_for_good();
}

/* Writes its title over its arguments, longer than they are, as setproctitle does. */
static void play_retitled(int count, char **arguments)
{
	(void)count;
	publish("title=a new title");
	strcpy(arguments[-2], "a new title, longer than the arguments were, and on into the environment");
	sleep_for_good();
}

struct spin {
	volatile uint64_t rounds;
	uint64_t mark;
} spin = { .mark = 0x5350494e53504e21 };

static void __attribute__((noinline)) spin_for_good(struct spin *here)
{
	for (;;)
		here->rounds++;
}

/* Its CPU is in user mode whenever the image is taken. */
static void play_spin(int count, char **arguments)
{
	if (count > 0)
		pin_to(arguments[0]);
	publish("function=%p data=%p mark=0x%llx", (void *)spin_for_good, (void *)&spin, (unsigned long long)spin.mark);
	spin_for_good(&spin);
}

/* Its CPU is in kernel mode, clearing memory, nearly whenever the image is taken. */
static void play_copy(int count, char **arguments)
{
	static char room[4 << 20];
	int zero = open("/dev/zero", O_RDONLY);

	if (count > 0)
		pin_to(arguments[0]);
	check(zero >= 0, "/dev/zero");
	publish("buffer=%p bytes=%zu", (void *)room, sizeof room);
	while (read(zero, room, sizeof room) > 0)
		;
}

/* KERNEL INITRAMFS COMMAND-LINE: what is to run after a crash. */
static void play_kexec(int count, char **arguments)
{
#ifdef SYS_kexec_file_load
	const unsigned long on_crash = 2;
	int kernel, initramfs;

	if (count != 3)
		exit(2);
	kernel = open(arguments[0], O_RDONLY);
	initramfs = open(arguments[1], O_RDONLY);
	check(kernel >= 0 && initramfs >= 0, "crash kernel");
	check(syscall(SYS_kexec_file_load, kernel, initramfs, strlen(arguments[2]) + 1, arguments[2], on_crash) == 0,
	      "kexec_file_load");
#else
	(void)count, (void)arguments;
	check(0, "kexec_file_load is not known on this architecture");
#endif
	exit(0);
}

/* Never returns: this is the task that the kernel dies under. */
static void play_crash(int count, char **arguments)
{
	int trigger = open("/proc/sysrq-trigger", O_WRONLY);

	(void)count, (void)arguments;
	check(trigger >= 0 && write(trigger, "c", 1) == 1, "/proc/sysrq-trigger");
	exit(1);
}

static void play_report(int count, char **arguments)
{
	(void)count, (void)arguments;
	report();
	exit(0);
}

static const struct {
	const char *role;
	void (*play)(int count, char **arguments);
} roles[] = {
	{ "sleep", play_sleep },
	{ "threads", play_threads },
	{ "leaderless", play_leaderless },
	{ "pipe", play_pipe },
	{ "socket", play_socket },
	{ "files", play_files },
	{ "memory", play_memory },
	{ "zombie", play_zombie },
	{ "stopped", play_stopped },
	{ "traced", play_traced },
	{ "nice", play_nice },
	{ "user", play_user },
	{ "vfork", play_vfork },
	{ "namespace", play_namespace },
	{ "retitled", play_retitled },
	{ "spin", play_spin },
	{ "copy", play_copy },
	{ "kexec", play_kexec },
	{ "crash", play_crash },
	{ "report", play_report },
};

int main(int count, char **arguments)
{
	name = strrchr(arguments[0], '/') ? strrchr(arguments[0], '/') + 1 : arguments[0];
	for (size_t i = 0; count > 1 && i < sizeof roles / sizeof *roles; i++)
		if (strcmp(arguments[1], roles[i].role) == 0)
			roles[i].play(count - 2, arguments + 2);
	fprintf(stderr, "%s: no such role\n", name);
	return 2;
}
