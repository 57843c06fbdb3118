// SPDX-License-Identifier: MIT
/* l3l2q-npusim: an NPU for QEMU guests. Options, and the loop. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <l3l2q.h>

#include "../streams.h"
#include "npusim.h"

#define DEFAULT_VECTORS 2

static const char help_text[] =
"Usage: " PROGRAM " --socket PATH --size BYTES [options]\n"
"\n"
"An NPU that a QEMU guest sees as a PCI function: owns its memory, serves QEMU's\n"
"ivshmem-doorbell devices, and runs L2 tasks that the guest launches through a\n"
"mailbox in that memory. Prints \"ready\" once it listens. Ends on SIGTERM.\n"
"\n"
"  --socket PATH    where QEMU connects: -chardev socket,id=npu,path=PATH\n"
"                   -device ivshmem-doorbell,vectors=N,chardev=npu\n"
"  --size BYTES     size of the memory, a power of two from 4K; may end in K, M or G\n"
"  --vectors N      interrupts to the guest, and doorbells from it, 0 ... 64 (2)\n"
"  --monitor PATH   socket of QEMU's monitor (-mon mode=readline), for requests that\n"
"                   the guest be unplugged and plugged\n"
"  --silent         never ring, whatever a task was told\n"
"  --keep           the memory outlives the guest; else the next one finds zeros\n"
"  --log FILE       what happens, a line each (stderr)\n"
"  --help, --version\n"
"\n"
"Exit status: 0 ended by a signal; 1 an error; 2 bad usage; 42 a task was told to.\n";

enum {
	OPT_SOCKET = 256, OPT_SIZE, OPT_VECTORS, OPT_MONITOR, OPT_SILENT, OPT_KEEP, OPT_LOG,
	OPT_HELP, OPT_VERSION,
};

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "vectors", required_argument, NULL, OPT_VECTORS },
	{ "monitor", required_argument, NULL, OPT_MONITOR },
	{ "silent", no_argument, NULL, OPT_SILENT },
	{ "keep", no_argument, NULL, OPT_KEEP },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* With the time, in one piece whichever threads speak. */
void say(const char *format, ...)
{
	uint64_t now = clock_ns();
	char text[1024];
	va_list args;
	int n;

	n = snprintf(text, sizeof(text), "[%" PRIu64 ".%06" PRIu64 "] ", now / NSEC_PER_SEC,
		     now % NSEC_PER_SEC / 1000);
	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
	va_end(args);
	fprintf(stderr, "%s\n", text);
}

static int usage(const char *problem, const char *value)
{
	fprintf(stderr, PROGRAM ": %s%s\nTry " PROGRAM " --help.\n", problem, value);
	return 2;
}

static bool parse_size(const char *text, uint64_t *size)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	int shift = 0;
	char *end;

	errno = 0;
	*size = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || errno)
		return false;
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		shift = 10 * (int)(suffix - suffixes + 1);
		end++;
	}
	if (*end || *size > (UINT64_MAX >> 1) >> shift)
		return false;
	*size <<= shift;
	return *size >= NPU_PAGE && !(*size & (*size - 1)); /* as BARs are */
}

static bool parse_vectors(const char *text, unsigned int *vectors)
{
	unsigned long value;
	char *end;

	value = strtoul(text, &end, 10);
	*vectors = (unsigned int)value;
	return *text >= '0' && *text <= '9' && !*end && value <= MAX_VECTORS;
}

/* 0, or the status to exit with; -1: exit with 0 */
static int parse_options(struct npu *npu, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_SOCKET: npu->socket_path = optarg; break;
		case OPT_SIZE:
			if (!parse_size(optarg, &npu->size))
				return usage("--size: not a power of two from 4K to 2^62: ", optarg);
			break;
		case OPT_VECTORS:
			if (!parse_vectors(optarg, &npu->vectors))
				return usage("--vectors: not 0 ... 64: ", optarg);
			break;
		case OPT_MONITOR: npu->monitor_path = optarg; break;
		case OPT_SILENT: npu->silent = true; break;
		case OPT_KEEP: npu->keep = true; break;
		case OPT_LOG:
			if (!freopen(optarg, "a", stderr)) {
				printf(PROGRAM ": cannot open %s: %s\n", optarg, strerror(errno));
				return 1;
			}
			setvbuf(stderr, NULL, _IOLBF, 0);
			break;
		case OPT_HELP:
			fputs(help_text, stdout);
			return -1;
		case OPT_VERSION:
			printf(PROGRAM " %s\n", l3l2q_version());
			return -1;
		default:
			return usage("bad option", "");
		}
	}
	if (optind < argc)
		return usage("not expected: ", argv[optind]);
	if (!npu->socket_path)
		return usage("--socket PATH is missing", "");
	if (!npu->size)
		return usage("--size BYTES is missing", "");
	return 0;
}

static int failed(const char *what)
{
	say("%s: %s", what, strerror(errno));
	return -1;
}

static int make_memory(struct npu *npu)
{
	npu->gm_fd = memfd_create("npu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (npu->gm_fd < 0 || ftruncate(npu->gm_fd, (off_t)npu->size) ||
	    fcntl(npu->gm_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return failed("memory");
	npu->gm = mmap(NULL, npu->size, PROT_READ | PROT_WRITE, MAP_SHARED, npu->gm_fd, 0);
	if (npu->gm == MAP_FAILED) {
		npu->gm = NULL;
		return failed("memory");
	}
	return 0;
}

static int watch(struct npu *npu, int fd, uint32_t events, uint32_t what)
{
	struct epoll_event event = { .events = events, .data.u32 = what };

	if (fd < 0 || epoll_ctl(npu->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return failed("epoll");
	return 0;
}

static int set_up(struct npu *npu)
{
	sigset_t signals;
	unsigned int i;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	npu->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	npu->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	npu->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server_start(npu) || make_memory(npu) ||
	    watch(npu, npu->listen_fd, EPOLLIN, ON_LISTEN) ||
	    watch(npu, npu->signal_fd, EPOLLIN, ON_SIGNAL) ||
	    watch(npu, npu->ended_fd, EPOLLIN, ON_ENDED))
		return -1;
	/*
	 * Each ring is an event by itself, and doorbells are never read: a guest can clear
	 * O_NONBLOCK of them and empty them, and a read would block.
	 */
	for (i = 0; i < npu->vectors; i++)
		if (watch(npu, npu->doorbell[i], EPOLLIN | EPOLLET, ON_VECTOR + i))
			return -1;
	return 0;
}

/* false: it is time to go */
static bool serve(struct npu *npu, uint32_t what)
{
	eventfd_t count;

	if (what == ON_LISTEN) {
		server_accept(npu);
	} else if (what == ON_SIGNAL) {
		return false;
	} else if (what == ON_ENDED) {
		eventfd_read(npu->ended_fd, &count);
	} else if (what >= ON_GUEST) {
		server_guest(npu, what - ON_GUEST);
	} else if (what - ON_VECTOR < MAX_VECTORS) {
		task_rung(npu, what - ON_VECTOR);
	}
	return true;
}

/* Of two time-outs for epoll; -1 is none. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void loop(struct npu *npu)
{
	struct epoll_event events[16];
	bool go_on = true;
	int n, i;

	while (go_on) {
		n = epoll_wait(npu->epoll_fd, events, 16, sooner(mailbox_due(npu), server_due(npu)));
		for (i = 0; i < n; i++)
			go_on &= serve(npu, events[i].data.u32);
		server_look(npu);
		mailbox_look(npu);
	}
}

static void tear_down(struct npu *npu)
{
	monitor_stop(npu);
	mailbox_drop_all(npu);
	server_stop(npu);
	if (npu->gm)
		munmap(npu->gm, npu->size);
	close(npu->gm_fd);
	close(npu->epoll_fd);
	close(npu->signal_fd);
	close(npu->ended_fd);
}

int main(int argc, char **argv)
{
	struct npu *npu = calloc(1, sizeof(*npu));
	int status;

	streams_open();
	if (!npu)
		return 1;
	npu->vectors = DEFAULT_VECTORS;
	status = parse_options(npu, argc, argv);
	if (status) {
		free(npu);
		return status < 0 ? streams_end(PROGRAM, 0, 1) : status;
	}
	if (set_up(npu)) {
		status = 1;
	} else {
		say("%" PRIu64 " bytes, %u vectors, at %s", npu->size, npu->vectors,
		    npu->socket_path);
		puts("ready");
		fflush(stdout);
		loop(npu);
		say("ends");
	}
	tear_down(npu);
	free(npu);
	return status;
}
