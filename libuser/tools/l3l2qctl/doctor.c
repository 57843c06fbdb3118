// SPDX-License-Identifier: MIT
/* What stands between a program and its queues, and what to do about it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctl.h"

enum verdict {
	GOOD,
	NOTE,			/* works, but not as well as it could */
	BAD,
};

/* What the packages install */
static const char node_rule[] = "give the node to the group l3l2q: the package l3l2q-dkms has a rule for udev, 60-l3l2q.rules";

static const char *const verdicts[] = { "ok", "note", "BAD" };

static struct {
	bool json;
	unsigned int n;
	enum verdict worst;
} exam;

static void found(enum verdict verdict, const char *what, const char *advice, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void found(enum verdict verdict, const char *what, const char *advice, const char *format, ...)
{
	char seen[256];
	va_list args;

	va_start(args, format);
	vsnprintf(seen, sizeof(seen), format, args);
	va_end(args);
	if (verdict > exam.worst)
		exam.worst = verdict;
	if (exam.json) {
		printf("%s{\"check\":\"%s\",\"verdict\":\"%s\",\"seen\":\"", exam.n++ ? "," : "", what,
		       verdict == BAD ? "bad" : verdicts[verdict]);
		print_escaped(stdout, seen, sizeof(seen));
		printf("\",\"advice\":\"");
		if (verdict != GOOD)
			print_escaped(stdout, advice, 256);
		printf("\"}");
		return;
	}
	printf("%-4s  %-22s %s\n", verdicts[verdict], what, seen);
	if (verdict != GOOD)
		printf("      %-22s -> %s\n", "", advice);
}

static void check_module(void)
{
	char version[64];

	if (read_text("/sys/module/l3l2q/version", version, sizeof(version)))
		found(GOOD, "module", "", "l3l2q %s is loaded", version);
	else
		found(BAD, "module", "modprobe l3l2q, which is in the package l3l2q-dkms; memfd queues need no "
		      "module",
		      "l3l2q is not loaded");
}

/* Not getgrgid(), which a static program can use only beside the libraries it was linked with. */
static void name_group(gid_t gid, char *name, size_t size)
{
	struct group *group;
	FILE *f = fopen("/etc/group", "re");

	snprintf(name, size, "%u", gid);
	while (f && (group = fgetgrent(f))) {
		if (group->gr_gid == gid) {
			snprintf(name, size, "%s", group->gr_name);
			break;
		}
	}
	if (f)
		fclose(f);
}

/* Two ways to be refused, by a device cgroup and by the mode; containers add to both. */
static void node_refused(const char *node, const struct stat *st, const char *group, int error)
{
	char advice[192];

	if (error == EPERM)
		snprintf(advice, sizeof(advice), "start the container with --device %s: its device cgroup "
			 "denies the node", node);
	else if (st->st_gid && (st->st_mode & 060) == 060)
		snprintf(advice, sizeof(advice), "usermod -aG %s USER, and log in again; start a container "
			 "with --group-add, a rootless one with --group-add keep-groups", group);
	else
		snprintf(advice, sizeof(advice), "%s", node_rule);
	found(BAD, "device node", advice, "%s (mode %o, group %s): %s", node, st->st_mode & 0777, group,
	      strerror(error));
}

static void check_node(const char *node)
{
	char group[64];
	struct stat st;
	int fd;

	if (stat(node, &st)) {
		found(BAD, "device node", "load the module; start a container with --device /dev/l3l2q",
		      "%s: %s", node, strerror(errno));
		return;
	}
	name_group(st.st_gid, group, sizeof(group));
	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		node_refused(node, &st, group, errno);
		return;
	}
	close(fd);
	if (st.st_gid || (st.st_mode & 07))
		found(GOOD, "device node", "", "%s (mode %o, group %s) can be opened", node,
		      st.st_mode & 0777, group);
	else
		found(NOTE, "device node", node_rule, "%s (mode %o) is for root only", node, st.st_mode & 0777);
}

static void check_devices(int fd)
{
	struct l3l2q_query_device device = { .size = sizeof(device) };
	unsigned int n = 0;

	while (!ioctl(fd, L3L2Q_IOC_QUERY_DEVICE, &device)) {
		found(device.free_bytes ? GOOD : NOTE, "window",
		      "close queues, or create smaller ones", "pci:%.31s, %llu of %llu bytes free",
		      (const char *)device.name, (unsigned long long)device.free_bytes,
		      (unsigned long long)device.window_bytes);
		n++;
	}
	if (!n)
		found(GOOD, "windows", "", "no NPU's window is bound");
}

static void check_interface(const char *node)
{
	struct l3l2q_query query = { .size = sizeof(query) };
	struct l3l2q_query_region region = { .size = sizeof(region) };
	int fd = open(node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	if (ioctl(fd, L3L2Q_IOC_QUERY, &query)) {
		found(BAD, "interface", "load the module that belongs to this tool", "%s: %s", node,
		      strerror(errno));
	} else {
		found(GOOD, "backends", "", "ram%s%s%s%s",
		      query.features & L3L2Q_FEATURE_PCI ? " pci" : "",
		      query.features & L3L2Q_FEATURE_DMABUF ? " dmabuf" : "",
		      query.features & L3L2Q_FEATURE_ASCEND ? " ascend" : "",
		      query.features & L3L2Q_FEATURE_EXPORT ? ", export" : "");
		found(GOOD, "limits of a user", "", "%u regions, %llu MiB",
		      query.max_user_regions, (unsigned long long)query.max_user_bytes >> 20);
		check_devices(fd);
	}
	if (ioctl(fd, L3L2Q_IOC_QUERY_REGION, &region) && errno == ENOTTY)
		found(NOTE, "interface", "load a newer module", "it does not list regions");
	close(fd);
}

static void check_vendor(void)
{
	char line[256];
	bool get = false;
	FILE *f = fopen("/proc/kallsyms", "re");

	while (f && fgets(line, sizeof(line), f))
		get |= strstr(line, " hal_kernel_p2p_get_pages") || strstr(line, " devmm_get_mem_pa_list");
	if (f)
		fclose(f);
	found(GOOD, "Ascend driver", "", get ? "it hands out memory" :
	      "not there, or its symbols are hidden: no ascend transport");
}

static void check_limits(void)
{
	struct rlimit limit;
	char max[64] = "";

	if (!getrlimit(RLIMIT_NOFILE, &limit))
		found(limit.rlim_cur < 1024 ? NOTE : GOOD, "descriptors",
		      "raise ulimit -n: a queue needs up to eight", "%llu may be open",
		      (unsigned long long)limit.rlim_cur);
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY)
		found(NOTE, "file size", "raise ulimit -f: a memfd queue is a file",
		      "files may have %llu bytes", (unsigned long long)limit.rlim_cur);
	if (read_text("/sys/fs/cgroup/memory.max", max, sizeof(max)) && strcmp(max, "max"))
		found(NOTE, "memory", "regions count against memory.max of the cgroup",
		      "this cgroup may have %.32s bytes", max);
}

static void check_calls(void)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	int fd = memfd_create("l3l2qctl", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (commands >= 0 && commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED)
		found(GOOD, "membarrier", "", "works: busy sides need no fences");
	else
		found(NOTE, "membarrier", "allow membarrier in the seccomp filter: without it each "
		      "message costs a fence", "refused or not there");
	if (fd < 0)
		found(BAD, "memfd", "allow memfd_create in the seccomp filter", "%s", strerror(errno));
	else
		close(fd);
	fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0)
		found(NOTE, "pidfd", "allow pidfd_open in the seccomp filter: death is noticed later "
		      "without", "%s", strerror(errno));
	else
		close(fd);
}

static void check_time(void)
{
	char own[64] = "", first[64] = "";
	ssize_t n = readlink("/proc/self/ns/time", own, sizeof(own) - 1);
	ssize_t m = readlink("/proc/1/ns/time", first, sizeof(first) - 1);

	if (n > 0 && m > 0 && strcmp(own, first))
		found(GOOD, "time namespace", "", "not that of process 1: deadlines are this one's");
}

int doctor(const char *node, bool json)
{
	exam.json = json;
	if (json)
		printf("{\"version\":1,\"checks\":[");
	check_module();
	check_node(node);
	check_interface(node);
	check_vendor();
	check_limits();
	check_calls();
	check_time();
	if (json)
		printf("]}\n");
	return exam.worst == BAD ? EXIT_TROUBLE : 0;
}
