/* What the kernel says about itself, in a form that is easy to take apart (see report.md beside this file). */
#define _GNU_SOURCE
#include "guest.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct text {
	char *bytes;
	size_t length;
};

/* The sizes of files under /proc are not known beforehand. /dev/kmsg gives one record at a time, and EAGAIN after
 * the last. */
static int read_all(const char *path, struct text *text)
{
	size_t room = 0;
	ssize_t got;
	int file = open(path, O_RDONLY | O_NONBLOCK);

	*text = (struct text){ 0 };
	if (file < 0)
		return -1;
	do {
		if (room - text->length < 16384)
			text->bytes = realloc(text->bytes, room += 65536);
		got = read(file, text->bytes + text->length, room - text->length);
		text->length += got > 0 ? got : 0;
	} while (got > 0 || (got < 0 && (errno == EINTR || errno == EPIPE)));
	got = got < 0 && errno != EAGAIN ? -1 : 0;
	close(file);
	return got;
}

static void print_escaped(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = bytes[i];

		if (byte == '\\')
			fputs("\\\\", stdout);
		else if (isprint(byte) || byte == '\t')
			putchar(byte);
		else
			printf("\\x%02x", byte);
	}
}

static void print_line(const char *key, const char *bytes, size_t length)
{
	fputs(key, stdout);
	print_escaped(bytes, length);
	putchar('\n');
}

/* A file with NULs in it is a list that is ended by them (arguments, environment), not lines. */
static void print_text(const char *key, const struct text *text)
{
	const char *at = text->bytes, *end = at + text->length;

	if (text->length == 0 || memchr(at, 0, text->length)) {
		print_line(key, at, text->length);
		return;
	}
	while (at < end) {
		const char *stop = memchr(at, '\n', end - at);

		if (!stop)
			stop = end;
		print_line(key, at, stop - at);
		at = stop + 1;
	}
}

static void print_path(const char *path, const char *key)
{
	struct stat status;
	struct text text;
	char target[PATH_MAX];

	if (lstat(path, &status) != 0)
		return;
	if (S_ISLNK(status.st_mode)) {
		ssize_t length = readlink(path, target, sizeof target);

		if (length >= 0)
			print_line(key, target, length);
		return;
	}
	/* What has gone since its directory was read, or must not be read, is left out. */
	if (read_all(path, &text) == 0)
		print_text(key, &text);
	free(text.bytes);
}

/* Prints every file below `path` that matches `pattern`, component by component; what stood for a component with a
 * star is added to the key. */
static void visit(const char *path, const char *pattern, const char *key)
{
	char component[NAME_MAX + 1], next[PATH_MAX], longer[PATH_MAX], own[16];
	size_t length = strcspn(pattern, "/");
	const char *rest = pattern + length + (pattern[length] == '/');
	struct dirent *entry;
	DIR *folder;

	if (*pattern == 0) {
		print_path(path, key);
		return;
	}
	snprintf(component, sizeof component, "%.*s", (int)length, pattern);
	if (!strchr(component, '*')) {
		snprintf(next, sizeof next, "%s/%s", path, component);
		visit(next, rest, key);
		return;
	}
	/* This process will have gone when the image is taken. */
	snprintf(own, sizeof own, "%d", (int)getpid());
	folder = opendir(path);
	while (folder && (entry = readdir(folder))) {
		const char *found = entry->d_name;

		if (fnmatch(component, found, 0) != 0 || strcmp(found, ".") == 0 || strcmp(found, "..") == 0 ||
		    strcmp(found, own) == 0)
			continue;
		snprintf(next, sizeof next, "%s/%s", path, found);
		snprintf(longer, sizeof longer, "%s%s ", key, found);
		visit(next, rest, longer);
	}
	if (folder)
		closedir(folder);
}

/* FNV-1a, 64 bits. */
static uint64_t digest(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash;
}

struct owner {
	char name[64];
	unsigned long count;
	uint64_t hash;
};

static void print_owner(FILE *digests, const struct owner *owner)
{
	if (owner->count)
		fprintf(digests, "%s %lu %016llx\n", owner->name, owner->count, (unsigned long long)owner->hash);
}

/* Where the walkers of an image start, on one architecture and release or another. */
static const char *const symbols[] = {
	"_text", "_stext", "_etext", "_sdata", "_end", "linux_banner", "saved_command_line", "init_uts_ns", "init_task",
	"init_mm", "init_pid_ns", "modules", "jiffies", "jiffies_64", "avenrun", "nr_swapfiles", "swap_info",
	"nr_swap_pages", "swapper_pg_dir", "init_top_pgt", "phys_base", "page_offset_base", "vmalloc_base",
	"vmemmap_base", "kimage_vaddr", "kimage_voffset", "memstart_addr", "vabits_actual", "__per_cpu_start",
	"__per_cpu_offset", "__cpu_online_mask", "runqueues", "current_task", "pcpu_hot", "kernel_cpustat", "kstat",
	"crash_notes", "panic_cpu", "crashing_cpu", "vmcoreinfo_data", "vmcoreinfo_note", "prb", "log_buf", "__log_buf",
	"__start_BTF", "__stop_BTF", "kallsyms_names", "kallsyms_num_syms", "__switch_to", "schedule", "ret_from_fork",
	"do_nanosleep",
};

static int is_wanted(const char *symbol)
{
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
		if (strcmp(symbol, symbols[i]) == 0)
			return 1;
	return 0;
}

/* The wanted symbols, one in a thousand of the others, and a digest of all, kernel and module each. */
static void report_symbols(void)
{
	struct owner owner = { 0 };
	FILE *all = fopen("/proc/kallsyms", "r");
	char line[1024], address[32], symbol[768], module[64], type, plain[1024];
	char *text = NULL;
	size_t length = 0;
	FILE *digests = open_memstream(&text, &length);

	if (!all || !digests)
		return;
	puts("@@ kallsyms");
	for (unsigned long index = 0; fgets(line, sizeof line, all); index++) {
		strcpy(module, "kernel");
		if (sscanf(line, "%31s %c %767s [%63[^]]", address, &type, symbol, module) < 3)
			continue;
		if (strcmp(module, owner.name) != 0) {
			print_owner(digests, &owner);
			owner = (struct owner){ .hash = 0xcbf29ce484222325 };
			strcpy(owner.name, module);
		}
		snprintf(plain, sizeof plain, "%s %c %s\n", address, type, symbol);
		owner.hash = digest(owner.hash, plain);
		owner.count++;
		if (index % 1000 == 0 || is_wanted(symbol))
			fputs(line, stdout);
	}
	print_owner(digests, &owner);
	fclose(digests);
	printf("@@ kallsyms-digest\n%s", text);
}

/* What changes while it is read comes last. */
static const struct {
	const char *name;
	const char *pattern;
} sections[] = {
	{ "version", "/proc/version" },
	{ "command-line", "/proc/cmdline" },
	{ "iomem", "/proc/iomem" },
	{ "vmcoreinfo", "/sys/kernel/vmcoreinfo" },
	{ "modules", "/proc/modules" },
	{ "module-sections", "/sys/module/*/sections/*" },
	{ "module-build-ids", "/sys/module/*/notes/.note.gnu.build-id" },
	{ "cast", "/tmp/cast" },
	{ "cmdline", "/proc/[0-9]*/cmdline" },
	{ "environ", "/proc/[0-9]*/environ" },
	{ "exe", "/proc/[0-9]*/exe" },
	{ "cwd", "/proc/[0-9]*/cwd" },
	{ "fd", "/proc/[0-9]*/fd/*" },
	{ "fdinfo", "/proc/[0-9]*/fdinfo/*" },
	{ "status", "/proc/[0-9]*/status" },
	{ "stack", "/proc/[0-9]*/task/[0-9]*/stack" },
	{ "wchan", "/proc/[0-9]*/task/[0-9]*/wchan" },
	{ "syscall", "/proc/[0-9]*/task/[0-9]*/syscall" },
	{ "kmsg", "/dev/kmsg" },
	{ "meminfo", "/proc/meminfo" },
	{ "swaps", "/proc/swaps" },
	{ "uptime", "/proc/uptime" },
	{ "cpu-stat", "/proc/stat" },
	{ "loadavg", "/proc/loadavg" },
	{ "stat", "/proc/[0-9]*/task/[0-9]*/stat" },
};

void report(void)
{
	report_symbols();
	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		printf("@@ %s\n", sections[i].name);
		visit("", sections[i].pattern + 1, "");
	}
}
