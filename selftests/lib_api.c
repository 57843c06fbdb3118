// SPDX-License-Identifier: MIT
/*
 * The library as a library: attributes, words of failure, descriptors, what is
 * left behind (nothing), what the message path costs (no allocation, no system
 * call). Over memfd and external memory; the driver only where it is missing or
 * faked, by an ioctl() of this program's own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <l3l2q.h>

#include "proto_util.h"

#define LONG_NS (300 * 1000000000ll)

/* ---- in place of libc's ------------------------------------------------- */

/* Answer QUERY in the driver's place. */
static bool fake_query;
static int fake_eintr, fake_calls;

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	fake_calls++;
	if (fake_eintr) {
		fake_eintr--;
		errno = EINTR;
		return -1;
	}
	if (fake_query && request == L3L2Q_IOC_QUERY)
		return 0;
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

/* Interrupt an endpoint when the clock is read for the nth time. */
static struct l3l2q_ep *interrupted_ep;
static int interrupt_at;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (interrupted_ep && !--interrupt_at)
		l3l2q_interrupt(interrupted_ep);
	return (int)syscall(SYS_clock_gettime, id, ts);
}

static volatile int allocations;

#if !SANITIZED
/* Sanitizers have allocators of their own, and count in other ways. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	allocations++;
	return __libc_realloc(old, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	allocations++;
	return __libc_memalign(align, size);
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	allocations++;
	return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}
#endif

/* ---- helpers ------------------------------------------------------------ */

static const struct l3l2q_attr small = { .transport = "memfd", .role = L3L2Q_ROLE_L3, .depth = 4,
	.input_arena_bytes = 4096, .output_arena_bytes = 4096, .window = 2 };

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* Pages mapped, all kinds. */
static long mapped_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = -1;

	if (f) {
		if (fscanf(f, "%ld", &pages) != 1)
			pages = -1;
		fclose(f);
	}
	return pages;
}

static int make_pair(struct l3l2q_ep *ep[2], const struct l3l2q_attr *attr)
{
	int fd, ret = l3l2q_create(&ep[0], attr, NULL);

	if (ret)
		return ret;
	fd = l3l2q_open_peer(ep[0]);
	return fd < 0 ? fd : l3l2q_attach(&ep[1], fd, attr, NULL);
}

static void close_pair(struct l3l2q_ep *ep[2])
{
	l3l2q_close(ep[1]);
	l3l2q_close(ep[0]);
}

/* ---- attributes --------------------------------------------------------- */

TEST(bad_attributes_make_nothing)
{
	struct l3l2q_attr bad[] = {
		{ .transport = "memfd" },
		{ .transport = "memfd", .depth = 3, .input_arena_bytes = 64, .output_arena_bytes = 64 },
		{ .transport = "memfd", .depth = (1u << 30) + 1, .input_arena_bytes = 64,
			.output_arena_bytes = 64 },
		{ .transport = "memfd", .depth = 1u << 31, .input_arena_bytes = 64,
			.output_arena_bytes = 64 },
		{ .transport = "memfd", .depth = 4, .output_arena_bytes = 64 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 65, .output_arena_bytes = 64 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 32 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 0ull - 64,
			.output_arena_bytes = 64 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64,
			.window = 5 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64,
			.window = ~0u },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64,
			.role = 2 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64,
			.flags = 1u << 31 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64,
			.payload_bytes = 64 },
		{ .transport = "memfd", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64,
			.counter_bytes = 384 },
		{ .transport = "memfd", .payload_bytes = 64 },
		{ .transport = "memfd", .counter_bytes = 64 },
		{ .transport = "memfd", .payload_bytes = 64, .counter_bytes = 6 },
		{ .transport = "memfd", .payload_bytes = 64, .counter_bytes = 64, .window = 2 },
		{ .transport = "memfd", .payload_bytes = 64, .counter_bytes = 64,
			.input_arena_bytes = 64 },
		{ .transport = "memfd ", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64 },
		{ .transport = "", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64 },
		{ .transport = "shm", .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64 },
		{ .transport = "external", .depth = 4, .input_arena_bytes = 64,
			.output_arena_bytes = 64 },
	};
	int fds = open_fds();
	long pages = mapped_pages();
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct l3l2q_ep *ep = (void *)&bad;
		struct l3l2q_failure why;

		memset(&why, 'x', sizeof(why));
		EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &bad[i], &why)) {
			TH_LOG("case %zu", i);
		}
		EXPECT_EQ(NULL, ep);
		EXPECT_NE(NULL, memchr(why.text, 0, sizeof(why.text)));
		EXPECT_LT(8, strlen(why.text));
		/* Nobody has to ask why. */
		EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &bad[i], NULL));
	}
	{
		struct l3l2q_ep *ep;
		struct l3l2q_failure why;

		EXPECT_EQ(-EINVAL, l3l2q_create(&ep, NULL, &why));
	}
	EXPECT_EQ(fds, open_fds());
#if !SANITIZED
	EXPECT_EQ(pages, mapped_pages());
#endif
	(void)pages;
}

/* The attribute that is at fault, its value, and what it may be. */
TEST(a_failure_names_the_offender)
{
	static const struct {
		struct l3l2q_attr attr;
		const char *text;
	} bad[] = {
		{ { .depth = 3, .input_arena_bytes = 64, .output_arena_bytes = 64 },
		  "depth 3 is not a power of two of at most 2^30" },
		{ { .depth = 1u << 31, .input_arena_bytes = 64, .output_arena_bytes = 64 },
		  "depth 2147483648 is not a power of two of at most 2^30" },
		{ { .depth = 4, .output_arena_bytes = 64 },
		  "input_arena_bytes is 0: it must be a positive multiple of 64" },
		{ { .depth = 4, .input_arena_bytes = 64 },
		  "output_arena_bytes is 0: it must be a positive multiple of 64" },
		{ { .depth = 4, .input_arena_bytes = 100, .output_arena_bytes = 64 },
		  "input_arena_bytes 100 is not a multiple of 64" },
		{ { .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 65 },
		  "output_arena_bytes 65 is not a multiple of 64" },
		{ { .depth = 4, .input_arena_bytes = 1ull << 63, .output_arena_bytes = 1ull << 63 },
		  "more than 64 bits can count" },
		{ { .input_arena_bytes = 64, .output_arena_bytes = 64 },
		  "depth is 0, but there are arenas" },
		{ { .depth = 0 }, "neither depth (of a queue) nor payload_bytes" },
		{ { .counter_bytes = 4 }, "payload_bytes is 0" },
		{ { .payload_bytes = 64, .counter_bytes = 6 },
		  "counter_bytes 6 is not a positive multiple of 4" },
		{ { .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64, .payload_bytes = 64 },
		  "for raw regions, which have depth 0" },
		{ { .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64, .window = 5 },
		  "window 5 is larger than depth 4" },
		{ { .depth = 4, .input_arena_bytes = 64, .output_arena_bytes = 64,
		    .transport = "memfs" }, "no transport \"memfs\"" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct l3l2q_attr attr = bad[i].attr;
		struct l3l2q_failure why = { .text = "" };
		struct l3l2q_ep *ep;

		if (!attr.transport)
			attr.transport = "memfd";
		EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &attr, &why));
		EXPECT_NE(NULL, strstr(why.text, bad[i].text)) {
			TH_LOG("\"%s\" instead of \"%s\"", why.text, bad[i].text);
		}
	}
}

/* Nothing would wake a poller, so there is no descriptor. */
TEST(no_descriptor_for_a_silent_peer)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_ep *ep;

	attr.flags = L3L2Q_ATTR_SILENT_PEER;
	ASSERT_EQ(0, l3l2q_create(&ep, &attr, NULL));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_fd(ep));
	l3l2q_close(ep);
	attr.flags = 0;
	attr.nap_ns = 1000000000;
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &attr, NULL));
}

TEST(too_large_is_said_so)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep;
	struct rlimit limit = { 1ull << 40, 1ull << 40 };
	int fds = open_fds(), ret;

	/* Should the library try to take it all, this ends us, not the machine. */
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	attr.input_arena_bytes = 1ull << 46;
	ret = l3l2q_create(&ep, &attr, &why);
	EXPECT_TRUE(ret == -ENOMEM || ret == -EFBIG) {
		TH_LOG("%d", ret);
	}
	EXPECT_EQ(NULL, ep);
	EXPECT_LT(8, strlen(why.text));
	attr.input_arena_bytes = 1ull << 62;
	ret = l3l2q_create(&ep, &attr, &why);
	EXPECT_TRUE(ret == -ENOMEM || ret == -EFBIG) {
		TH_LOG("%d", ret);
	}
	EXPECT_EQ(fds, open_fds());
}

TEST(defaults)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_ep_info info;
	struct l3l2q_ep *ep[2];

	attr.window = 0;
	ASSERT_EQ(0, make_pair(ep, &attr));
	l3l2q_ep_info(ep[0], &info);
	EXPECT_EQ(1, info.window);
	EXPECT_STREQ("memfd", info.transport);
	EXPECT_EQ(L3L2Q_ROLE_L3, info.role);
	EXPECT_EQ(L3L2Q_MEMORY_CACHED, info.memory);
	EXPECT_NE(0, info.region_id);
	EXPECT_EQ(4, info.layout.depth);
	EXPECT_EQ(info.layout.payload_bytes, info.payload_bytes);
	EXPECT_EQ(384, info.counter_bytes);
	l3l2q_ep_info(ep[1], &info);
	EXPECT_EQ(L3L2Q_ROLE_L2, info.role);
	close_pair(ep);
	l3l2q_close(NULL);
}

/* The creator may be either side. */
TEST(l2_may_create)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_ep_info info;
	struct l3l2q_ep *ep[2];

	attr.role = L3L2Q_ROLE_L2;
	ASSERT_EQ(0, make_pair(ep, &attr));
	l3l2q_ep_info(ep[0], &info);
	EXPECT_EQ(L3L2Q_ROLE_L2, info.role);
	l3l2q_ep_info(ep[1], &info);
	EXPECT_EQ(L3L2Q_ROLE_L3, info.role);
	close_pair(ep);
}

TEST(s1_scalars)
{
	int v3;

	for (v3 = 0; v3 < 2; v3++) {
		struct l3l2q_attr attr = small;
		uint64_t s[L3L2Q_SCALARS];
		struct l3l2q_region_desc region;
		struct l3l2q_queue_desc queue;
		struct l3l2q_layout l;
		struct l3l2q_ep *ep[2];
		int i;

		attr.region_version = v3 ? 0x30000 : 0;
		ASSERT_EQ(0, make_pair(ep, &attr));
		for (i = 0; i < 2; i++) {
			memset(s, 0xff, sizeof(s));
			ASSERT_EQ(12, l3l2q_ep_scalars(ep[i], s));
			EXPECT_EQ(v3 ? 0x4C334C3200030000u : 0x4C334C3200020000u, s[0]);
			EXPECT_NE(0, s[1]);
			EXPECT_NE(0, s[2]);
			EXPECT_EQ(0, s[2] % 64);
			EXPECT_NE(0, s[4]);
			EXPECT_EQ(0, s[4] % 64);
			EXPECT_EQ(0x4C33513200010001u, s[6]);
			memcpy(&region, s, sizeof(region));
			memcpy(&queue, s + 6, sizeof(queue));
			EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_queue_check(&region, &queue, &l));
		}
		close_pair(ep);
	}
}

TEST(s2_fresh_region_is_zero)
{
	struct l3l2q_ep *ep;
	struct l3l2q_ep_info info;
	uint64_t i;

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	l3l2q_ep_info(ep, &info);
	for (i = 0; i < info.counter_bytes; i++)
		EXPECT_EQ(0, ((char *)info.counters)[i]);
	for (i = 0; i < info.payload_bytes; i++)
		ASSERT_EQ(0, ((char *)info.payload)[i]);
	l3l2q_close(ep);
}

/* ---- a driver that is missing, closed, or of another age ---------------- */

/* Whatever pages it is made of: zeroed, and the same bytes at both ends. */
TEST(large_payloads)
{
	enum { BODY = 5 * 1024 * 1024 + 64 };
	const struct l3l2q_attr attr = {
		.transport = "memfd",
		.depth = 4,
		.input_arena_bytes = BODY,
		.output_arena_bytes = BODY,
	};
	uint64_t state = 1, i, *body = malloc(BODY), *back = malloc(BODY);
	struct l3l2q_ep_info info;
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];
	int from;

	ASSERT_TRUE(body && back);
	ASSERT_EQ(0, make_pair(ep, &attr));
	l3l2q_ep_info(ep[0], &info);
	for (i = 0; i < info.payload_bytes / 8; i++)
		ASSERT_EQ(0, ((const uint64_t *)info.payload)[i]);
	for (i = 0; i < BODY / 8; i++)
		body[i] = rnd(&state);
	for (from = 0; from < 2; from++) {
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[from]), L3L2Q_OP_DATA, body,
					       BODY));
		ASSERT_EQ(0, l3l2q_try_dequeue(l3l2q_ep_consumer(ep[!from]), &m, back, BODY));
		EXPECT_EQ(0, memcmp(body, back, BODY));
		memset(back, 0, BODY);
	}
	close_pair(ep);
	free(body);
	free(back);
}

TEST(no_driver_in_words)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep;

	attr.transport = "driver:/dev/l3l2q-that-is-not-there";
	EXPECT_EQ(-ENOENT, l3l2q_create(&ep, &attr, &why));
	EXPECT_EQ(NULL, ep);
	EXPECT_NE(NULL, strstr(why.text, "module"));
	EXPECT_NE(NULL, strstr(why.text, "/dev/l3l2q-that-is-not-there"));
	if (!access("/dev/l3l2q", F_OK))
		return;
	attr.transport = NULL;
	EXPECT_EQ(-ENOENT, l3l2q_create(&ep, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "/dev/l3l2q"));
	EXPECT_NE(NULL, strstr(why.text, "module"));
	attr.transport = "driver";
	EXPECT_EQ(-ENOENT, l3l2q_create(&ep, &attr, &why));
}

TEST(no_permission_in_words)
{
	char path[] = "/tmp/l3l2q-test-XXXXXX", transport[64];
	int fd = mkstemp(path), status;
	pid_t pid;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fchmod(fd, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct l3l2q_attr attr = small;
		struct l3l2q_failure why = { "" };
		struct l3l2q_ep *ep;
		int ret;

		/* Root may open anything. */
		if (!getuid() && setresuid(65534, 65534, 65534))
			_exit(3);
		snprintf(transport, sizeof(transport), "driver:%s", path);
		attr.transport = transport;
		ret = l3l2q_create(&ep, &attr, &why);
		_exit(ret != -EACCES ? 1 : !strstr(why.text, "permission") ? 2 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	close(fd);
	unlink(path);
}

TEST(another_device_in_words)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep;
	int fds = open_fds();

	attr.transport = "driver:/dev/null";
	EXPECT_EQ(-EPROTONOSUPPORT, l3l2q_create(&ep, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "not an l3l2q device"));
	EXPECT_EQ(NULL, ep);
	EXPECT_EQ(fds, open_fds());
}

TEST(ioctl_goes_on_after_eintr)
{
	struct l3l2q_query query = { .size = sizeof(query) };

	fake_query = true;
	fake_eintr = 5;
	EXPECT_EQ(0, l3l2q_ioctl(-1, L3L2Q_IOC_QUERY, &query));
	EXPECT_EQ(6, fake_calls);
	EXPECT_EQ(-EBADF, l3l2q_ioctl(-1, L3L2Q_IOC_INFO, NULL));
}

/* ---- attach ------------------------------------------------------------- */

TEST(attach_of_what_is_no_endpoint)
{
	struct l3l2q_failure why = { "" };
	int pipes[2], sock[2], file, event, fds, i, bad[6];
	struct l3l2q_ep *ep;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	file = memfd_create("x", 0);
	event = eventfd(0, 0);
	fds = open_fds();
	EXPECT_EQ(-EBADF, l3l2q_attach(&ep, -1, NULL, &why));
	EXPECT_EQ(NULL, ep);
	EXPECT_LT(8, strlen(why.text));
	EXPECT_EQ(-EBADF, l3l2q_attach(&ep, 9999, NULL, NULL));
	bad[0] = pipes[0];
	bad[1] = pipes[1];
	bad[2] = file;
	bad[3] = event;
	bad[4] = sock[0];
	for (i = 0; i < 5; i++) {
		why.text[0] = 0;
		EXPECT_EQ(-EINVAL, l3l2q_attach(&ep, bad[i], NULL, &why)) {
			TH_LOG("case %d: %s", i, why.text);
		}
		EXPECT_EQ(NULL, ep);
		EXPECT_LT(8, strlen(why.text));
		/* Still the caller's. */
		EXPECT_LE(0, fcntl(bad[i], F_GETFD));
	}
	EXPECT_EQ(fds, open_fds());
	/* A socket whose message is garbage, with or without descriptors. */
	ASSERT_EQ(3, write(sock[1], "abc", 3));
	EXPECT_GT(0, l3l2q_attach(&ep, sock[0], NULL, &why));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, l3l2q_send_fd(sock[1], file));
		EXPECT_GT(0, l3l2q_attach(&ep, sock[0], NULL, &why));
		EXPECT_EQ(NULL, ep);
	}
	EXPECT_EQ(fds, open_fds());
	close(sock[1]);
	EXPECT_GT(0, l3l2q_attach(&ep, sock[0], NULL, &why));
	EXPECT_EQ(fds - 1, open_fds());
}

/*
 * The message that makes a peer, with bytes of its header changed: refused, or
 * harmless, and nothing is left behind.
 */
TEST(attach_of_a_forged_description)
{
	uint64_t state = 4, i;
	int fds = open_fds(), refused = 0;

	for (i = 0; i < 400; i++) {
		char data[256], control[256];
		struct iovec iov = { data, sizeof(data) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			.msg_controllen = sizeof(control) };
		struct l3l2q_ep *ep, *peer = NULL;
		struct cmsghdr *cmsg;
		int fd, sock[2], *carried, n, k, ret;
		ssize_t len;

		ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
		fd = l3l2q_open_peer(ep);
		ASSERT_LE(0, fd);
		len = recvmsg(fd, &msg, 0);
		ASSERT_LT(0, len);
		cmsg = CMSG_FIRSTHDR(&msg);
		ASSERT_NE(NULL, cmsg);
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
		if (i) {
			data[rnd_below(&state, (uint64_t)len)] ^= (char)(1 << rnd_below(&state, 8));
			if (rnd_below(&state, 4) == 0)
				iov.iov_len = rnd_below(&state, (uint64_t)len) + 1;
			else
				iov.iov_len = (size_t)len;
		} else {
			iov.iov_len = (size_t)len;
		}
		ASSERT_LT(0, sendmsg(sock[1], &msg, 0));
		carried = (int *)(void *)CMSG_DATA(cmsg);
		n = (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (k = 0; k < n; k++)
			close(carried[k]);
		ret = l3l2q_attach(&peer, sock[0], NULL, NULL);
		if (!i)
			ASSERT_EQ(0, ret);
		EXPECT_EQ(!ret, !!peer);
		refused += !!ret;
		if (ret)
			close(sock[0]);
		l3l2q_close(peer);
		close(sock[1]);
		close(fd);
		l3l2q_close(ep);
	}
	EXPECT_LT(200, refused);
	EXPECT_EQ(fds, open_fds());
}

/* A region that could shrink under us would be a SIGBUS. */
TEST(memfd_memory_cannot_be_resized)
{
	char path[64], data[256], control[256];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control) };
	struct l3l2q_ep *ep;
	struct stat st;
	int fd, i, n, *carried, seen = 0;

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LT(0, recvmsg(fd, &msg, 0));
	carried = (int *)(void *)CMSG_DATA(CMSG_FIRSTHDR(&msg));
	n = (int)((CMSG_FIRSTHDR(&msg)->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", carried[i]);
		ASSERT_EQ(0, fstat(carried[i], &st));
		if (!S_ISREG(st.st_mode))
			continue;
		seen++;
		EXPECT_EQ(-1, ftruncate(carried[i], 0));
		EXPECT_EQ(-1, ftruncate(carried[i], st.st_size + 4096));
	}
	EXPECT_EQ(1, seen);
	l3l2q_close(ep);
}

TEST(open_peer_once)
{
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep, *peer, *third;
	int fd, copy;

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(-EBUSY, l3l2q_open_peer(ep));
	copy = dup(fd);
	ASSERT_EQ(0, l3l2q_attach(&peer, fd, NULL, NULL));
	/* The endpoint owns it now. A second end of a role is refused. */
	EXPECT_EQ(-1, fcntl(fd, F_GETFD));
	EXPECT_EQ(-EBUSY, l3l2q_attach(&third, copy, NULL, &why));
	EXPECT_EQ(NULL, third);
	EXPECT_LT(8, strlen(why.text));
	EXPECT_EQ(-EPERM, l3l2q_open_peer(peer));
	EXPECT_EQ(-EBUSY, l3l2q_open_peer(ep));
	close(copy);
	l3l2q_close(peer);
	l3l2q_close(ep);
}

TEST(attach_with_bad_attributes)
{
	struct l3l2q_attr attr = { .window = 5 };
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep, *peer;
	int fd, fds = open_fds();

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, fd, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "window"));
	EXPECT_EQ(NULL, peer);
	close(fd);
	l3l2q_close(ep);
	EXPECT_EQ(fds, open_fds());
}

/* ---- external ----------------------------------------------------------- */

static void external_make(struct l3l2q_external *ext, char *at)
{
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	struct l3l2q_layout l;

	l3l2q_layout_make(4, 256, 256, &l);
	scalars_make(&region, &queue, &l);
	memset(ext, 0, sizeof(*ext));
	memcpy(ext->scalars, &region, sizeof(region));
	memcpy(ext->scalars + 6, &queue, sizeof(queue));
	ext->payload = at + 4096;
	ext->counters = at;
	ext->role = L3L2Q_ROLE_L3;
	ext->memory = L3L2Q_MEMORY_CACHED;
}

static void depth_1(struct l3l2q_external *ext, uint32_t memory)
{
	struct l3l2q_layout l;

	l3l2q_layout_make(1, 256, 256, &l);
	ext->scalars[3] = ext->scalars[10] = l.payload_bytes;
	ext->scalars[7] = 1;
	ext->memory = memory;
}

/* Both rings would share a line: only where every store of a line is its own. */
TEST(s2_depth_1_over_cached_memory)
{
	char *at = aligned_alloc(4096, 8192);
	struct l3l2q_external ext;
	struct l3l2q_ep *ep;

	memset(at, 0, 8192);
	external_make(&ext, at);
	depth_1(&ext, L3L2Q_MEMORY_CACHED);
	ASSERT_EQ(0, l3l2q_attach_external(&ep, &ext, NULL, NULL));
	EXPECT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, "x", 1));
	l3l2q_close(ep);
	free(at);
}

/* Those of the device, and not where this process has its mapping. */
TEST(s2_an_external_endpoint_has_the_addresses_that_it_was_given)
{
	char *at = aligned_alloc(4096, 8192);
	uint64_t scalars[L3L2Q_SCALARS];
	struct l3l2q_external ext;
	struct l3l2q_ep *ep;
	uint32_t role;

	for (role = 0; role < L3L2Q_ROLES; role++) {
		memset(at, 0, 8192);
		external_make(&ext, at);
		ext.scalars[2] = 0x120000000000;
		ext.scalars[4] = 0x120000002000;
		ext.role = role;
		ASSERT_EQ(0, l3l2q_attach_external(&ep, &ext, NULL, NULL));
		ASSERT_EQ(L3L2Q_SCALARS, l3l2q_ep_scalars(ep, scalars));
		EXPECT_EQ(0, memcmp(ext.scalars, scalars, sizeof(scalars)));
		EXPECT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, "x", 1));
		l3l2q_close(ep);
	}
	free(at);
}

TEST(s2_external)
{
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep, *peer;
	struct l3l2q_external ext;
	char *at = aligned_alloc(4096, 8192), before[8192];
	char text[512];
	int i;

	memset(at, 0, 8192);
	memset(at + 4096, 0x5a, 4096);
	memcpy(before, at, 8192);
#define REFUSED(want, change) do {						\
	external_make(&ext, at);						\
	change;									\
	why.text[0] = 0;							\
	EXPECT_EQ((want), l3l2q_attach_external(&ep, &ext, NULL, &why)) {	\
		TH_LOG("%s: %s", #change, why.text);				\
	}									\
	EXPECT_EQ(NULL, ep);							\
	EXPECT_LT(8, strlen(why.text));						\
} while (0)
	for (i = 0; i < 12; i++)
		if (i != 2 && i != 4)
			REFUSED(-EPROTO, ext.scalars[i] = i == 0 ? 1 : 0);
	REFUSED(-EPROTO, ext.scalars[4] += 4);
	REFUSED(-EINVAL, ext.payload = NULL);
	REFUSED(-EINVAL, ext.counters = NULL);
	REFUSED(-EINVAL, ext.payload = at + 4100);
	REFUSED(-EINVAL, ext.counters = at + 32);
	REFUSED(-EINVAL, ext.role = 2);
	REFUSED(-EINVAL, ext.memory = 3);
	REFUSED(-EOPNOTSUPP, depth_1(&ext, L3L2Q_MEMORY_WC));
	EXPECT_NE(NULL, strstr(why.text, "depth of 1"));
	REFUSED(-EOPNOTSUPP, depth_1(&ext, L3L2Q_MEMORY_DEVICE));
	EXPECT_EQ(-EINVAL, l3l2q_attach_external(&ep, NULL, NULL, &why));
	{
		struct l3l2q_attr attr = { .window = 5 };

		external_make(&ext, at);
		EXPECT_EQ(-EINVAL, l3l2q_attach_external(&ep, &ext, &attr, &why));
	}
	/* A used end is never attached again. */
	*(int32_t *)(void *)(at + 192) = 1;
	REFUSED(-EPROTO, );
	memset(at, 0, 4096);
	EXPECT_EQ(0, memcmp(before, at, 8192));

	external_make(&ext, at);
	ASSERT_EQ(0, l3l2q_attach_external(&ep, &ext, NULL, &why));
	ext.role = L3L2Q_ROLE_L2;
	ext.scalars[0] = L3L2Q_PACK(L3L2Q_REGION_MAGIC, 3, 9);
	ASSERT_EQ(0, l3l2q_attach_external(&peer, &ext, NULL, &why));
	/* Attaching writes nothing. */
	EXPECT_EQ(0, memcmp(before, at, 8192));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_open_peer(ep));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_fd(ep));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_eventfd(ep, L3L2Q_EVENTFD_IN, -1));
	EXPECT_EQ(L3L2Q_EVENT_OUT, l3l2q_arm(ep, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep, L3L2Q_EVENT_IN, 1000000));
	EXPECT_LT(0, l3l2q_ep_dump(ep, text, sizeof(text)));
	l3l2q_close(peer);
	l3l2q_close(ep);
	/* The memory is the caller's. */
	memset(at, 1, 8192);
	free(at);
}

/* ---- looking ------------------------------------------------------------ */

TEST(s6_errors_have_names_and_words)
{
	static const char *const names[] = { "NONE", "BAD_ARGUMENT", "BAD_DESCRIPTOR",
		"INVALID_DESCRIPTOR", "OUT_OF_SPACE", "OWNERSHIP", "REMOTE_ABORTED",
		"ENDPOINT_ERROR" };
	struct l3l2q_message m = { .seq = 9 };
	struct l3l2q_error error;
	struct l3l2q_ep *ep[2];
	uint32_t i;

	for (i = 0; i < 8; i++)
		EXPECT_STREQ(names[i], l3l2q_error_name(i));
	ASSERT_NE(NULL, l3l2q_error_name(8));
	ASSERT_NE(NULL, l3l2q_error_name(~0u));
	ASSERT_EQ(0, make_pair(ep, &small));
	memset(&error, 0xff, sizeof(error));
	l3l2q_ep_error(ep[0], &error);
	EXPECT_EQ(L3L2Q_ERR_NONE, error.kind);
	EXPECT_NE(NULL, error.op);
	EXPECT_NE(NULL, error.message);
	EXPECT_NE(0, error.region_id);
	EXPECT_EQ(-ESTALE, l3l2q_release(l3l2q_ep_consumer(ep[0]), &m));
	l3l2q_ep_error(ep[0], &error);
	EXPECT_EQ(L3L2Q_ERR_OWNERSHIP, error.kind);
	EXPECT_STREQ("release", error.op);
	EXPECT_LT(4, strlen(error.message));
	/* A detached end has no error; one that had an error keeps it. */
	EXPECT_EQ(-ESTALE, l3l2q_detach(ep[0]));
	l3l2q_ep_error(ep[0], &error);
	EXPECT_EQ(L3L2Q_ERR_OWNERSHIP, error.kind);
	close_pair(ep);
	ASSERT_EQ(0, make_pair(ep, &small));
	ASSERT_EQ(0, l3l2q_detach(ep[0]));
	l3l2q_ep_error(ep[0], &error);
	EXPECT_EQ(L3L2Q_ERR_NONE, error.kind);
	EXPECT_NE(NULL, error.op);
	EXPECT_NE(NULL, error.message);
	close_pair(ep);
}

TEST(dump_is_like_snprintf)
{
	char text[4096], few[10];
	struct l3l2q_ep *ep[2];
	int n;

	ASSERT_EQ(0, make_pair(ep, &small));
	n = l3l2q_ep_dump(ep[0], text, sizeof(text));
	EXPECT_LT(50, n);
	EXPECT_EQ(n, (int)strlen(text));
	memset(few, 'x', sizeof(few));
	EXPECT_EQ(n, l3l2q_ep_dump(ep[0], few, 5));
	EXPECT_EQ(0, few[4]);
	EXPECT_EQ('x', few[5]);
	EXPECT_EQ(n, l3l2q_ep_dump(ep[0], NULL, 0));
	EXPECT_NE(NULL, strstr(text, "memfd"));
	EXPECT_NE(NULL, strstr(text, "L3"));
	close_pair(ep);
}

TEST(version)
{
	int major, minor, patch, end = 0;

	ASSERT_EQ(3, sscanf(l3l2q_version(), "%d.%d.%d%n", &major, &minor, &patch, &end));
	EXPECT_EQ(0, l3l2q_version()[end]);
}

TEST(bad_arguments_poison_nothing)
{
	struct l3l2q_error error;
	struct l3l2q_ep *ep[2];

	ASSERT_EQ(0, make_pair(ep, &small));
	EXPECT_EQ(-EINVAL, l3l2q_wait(ep[0], L3L2Q_EVENT_ABORT << 8, 0));
	EXPECT_EQ(-EINVAL, l3l2q_wait(ep[0], L3L2Q_EVENT_IN, -1));
	EXPECT_EQ(-EINVAL, l3l2q_arm(ep[0], 1u << 20));
	EXPECT_EQ(-EINVAL, l3l2q_eventfd(ep[0], L3L2Q_EVENTFD_COUNTER, -1));
	EXPECT_EQ(-EINVAL, l3l2q_eventfd(ep[0], 9, -1));
	EXPECT_EQ(-EINVAL, l3l2q_eventfd(ep[0], L3L2Q_EVENTFD_IN, -2));
	EXPECT_EQ(-EOPNOTSUPP, l3l2q_eventfd(ep[0], L3L2Q_EVENTFD_IN, -1));
	EXPECT_EQ(-EINVAL, l3l2q_try_enqueue(l3l2q_ep_producer(ep[0]), 9, "x", 1));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep[0], L3L2Q_EVENT_IN, 0));
	l3l2q_ep_error(ep[0], &error);
	EXPECT_EQ(L3L2Q_ERR_NONE, error.kind);
	EXPECT_EQ(1, l3l2q_test(ep[1], L3L2Q_CTR_L3_ABORT, L3L2Q_CMP_EQ, 0, NULL));
	close_pair(ep);
}

/* ---- descriptors -------------------------------------------------------- */

TEST(send_fd_and_recv_fd)
{
	int sock[2], file, got, event = eventfd(5, 0), fds;
	uint64_t value;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	fds = open_fds();
	ASSERT_EQ(0, l3l2q_send_fd(sock[0], event));
	got = l3l2q_recv_fd(sock[1]);
	ASSERT_LE(0, got);
	EXPECT_NE(event, got);
	EXPECT_EQ(FD_CLOEXEC, fcntl(got, F_GETFD));
	EXPECT_EQ(8, read(got, &value, 8));
	EXPECT_EQ(5, value);
	close(got);
	/* Bytes without a descriptor. */
	ASSERT_EQ(1, write(sock[0], "x", 1));
	EXPECT_GT(0, l3l2q_recv_fd(sock[1]));
	EXPECT_EQ(-EBADF, l3l2q_send_fd(sock[0], -1));
	EXPECT_EQ(-EBADF, l3l2q_send_fd(-1, event));
	file = memfd_create("x", 0);
	EXPECT_EQ(-ENOTSOCK, l3l2q_send_fd(file, event));
	EXPECT_EQ(-ENOTSOCK, l3l2q_recv_fd(file));
	close(file);
	EXPECT_EQ(fds, open_fds());
	/* A closed socket is an error, not a SIGPIPE, not a hang. */
	close(sock[0]);
	EXPECT_GT(0, l3l2q_recv_fd(sock[1]));
	EXPECT_EQ(-EPIPE, l3l2q_send_fd(sock[1], event));
}

TEST(every_descriptor_is_close_on_exec)
{
	struct l3l2q_ep *ep[2];
	bool before[256];
	int fd;

	for (fd = 0; fd < 256; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	ASSERT_EQ(0, make_pair(ep, &small));
	for (fd = 0; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (!before[fd] && flags >= 0)
			EXPECT_EQ(FD_CLOEXEC, flags) {
				TH_LOG("descriptor %d", fd);
			}
	}
	close_pair(ep);
}

TEST(a_thousand_pairs_leave_nothing)
{
	struct l3l2q_ep *ep[2];
	int i, fds = 0;
	long pages = 0;

	for (i = 0; i < 1000; i++) {
		char body[16];
		struct l3l2q_message m;

		ASSERT_EQ(0, make_pair(ep, &small));
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[0]), L3L2Q_OP_DATA, "x", 1));
		ASSERT_EQ(0, l3l2q_try_dequeue(l3l2q_ep_consumer(ep[1]), &m, body, 16));
		/* Closed in either order, detached or not. */
		if (i & 1)
			ASSERT_EQ(0, l3l2q_detach(ep[i >> 1 & 1]));
		if (i & 4) {
			l3l2q_close(ep[0]);
			l3l2q_close(ep[1]);
		} else {
			close_pair(ep);
		}
		/* Ends that were never attached, too. */
		ASSERT_EQ(0, l3l2q_create(&ep[0], &small, NULL));
		if (i & 1)
			close(l3l2q_open_peer(ep[0]));
		l3l2q_close(ep[0]);
		if (i == 10) {
			fds = open_fds();
			pages = mapped_pages();
		}
	}
	EXPECT_EQ(fds, open_fds());
#if !SANITIZED
	EXPECT_EQ(pages, mapped_pages());
#endif
	(void)pages;
}

/* Creation that fails half-way gives back everything. */
TEST(s6_creation_that_fails_half_way)
{
	struct rlimit limit, old;
	int used, room, made = 0, fds = open_fds();
	struct l3l2q_ep *ep, *peer;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	/* The lowest free descriptor: with so many as that none can be made. */
	used = dup(0);
	close(used);
	for (room = 0; room < 20; room++) {
		struct l3l2q_failure why = { "" };
		int ret, fd;

		limit = old;
		limit.rlim_cur = (rlim_t)(used + room);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		ret = l3l2q_create(&ep, &small, &why);
		fd = -1;
		peer = NULL;
		if (!ret) {
			fd = l3l2q_open_peer(ep);
			if (fd < 0) {
				/* May be tried again once there is room. */
				EXPECT_EQ(-EMFILE, fd);
				setrlimit(RLIMIT_NOFILE, &old);
				fd = l3l2q_open_peer(ep);
				EXPECT_LE(0, fd);
				setrlimit(RLIMIT_NOFILE, &limit);
			}
			if (l3l2q_attach(&peer, fd, &small, &why)) {
				EXPECT_EQ(NULL, peer);
				close(fd);
			} else {
				made++;
			}
		} else {
			EXPECT_EQ(-EMFILE, ret);
			EXPECT_EQ(NULL, ep);
			EXPECT_LT(8, strlen(why.text));
		}
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		l3l2q_close(peer);
		if (!ret)
			l3l2q_close(ep);
		EXPECT_EQ(fds, open_fds()) {
			TH_LOG("room for %d", room);
		}
	}
	EXPECT_LT(0, made);
}

/* ---- what the message path costs ---------------------------------------- */

/* @look: also at an empty queue, which may ask the kernel once a millisecond */
static int ping(struct l3l2q_ep *ep[2], int times, bool look)
{
	struct l3l2q_producer *in = l3l2q_ep_producer(ep[0]), *out = l3l2q_ep_producer(ep[1]);
	struct l3l2q_consumer *c3 = l3l2q_ep_consumer(ep[0]), *c2 = l3l2q_ep_consumer(ep[1]);
	struct iovec iov[2] = { { "abc", 3 }, { "de", 2 } };
	struct l3l2q_reservation span;
	struct l3l2q_message m, n[2];
	char body[16];
	int i;

	for (i = 0; i < times; i++) {
		if (l3l2q_try_enqueue(in, L3L2Q_OP_DATA, "hello", 5) ||
		    l3l2q_enqueuev(in, L3L2Q_OP_DATA, iov, 2, LONG_NS) ||
		    l3l2q_try_peek_batch(c2, n, 2) != 2 ||
		    l3l2q_reserve(out, 100, &span, LONG_NS) ||
		    l3l2q_commit(out, &span, L3L2Q_OP_DATA) ||
		    l3l2q_release_batch(c2, n, 2) ||
		    l3l2q_peek(c3, &m, LONG_NS) || l3l2q_release(c3, &m) ||
		    l3l2q_batch_begin(out) || l3l2q_enqueue(out, L3L2Q_OP_ERROR, "x", 1, LONG_NS) ||
		    l3l2q_batch_publish(out) ||
		    l3l2q_dequeue(c3, &m, body, sizeof(body), LONG_NS) ||
		    (look && l3l2q_try_peek(c3, &m) != -EAGAIN))
			return -1;
	}
	return 0;
}

TEST(no_allocation_on_the_message_path)
{
	struct l3l2q_ep *ep[2];
	int before;

	ASSERT_EQ(0, make_pair(ep, &small));
	before = allocations;
	ASSERT_EQ(0, ping(ep, 1000, true));
	EXPECT_EQ(before, allocations);
#if !SANITIZED
	/* They are counted. */
	free(malloc(1));
	EXPECT_LT(before, allocations);
#endif
	close_pair(ep);
}

TEST(no_system_call_while_busy)
{
	struct l3l2q_ep_stats a, b;
	struct l3l2q_ep *ep[2];
	int i;

	ASSERT_EQ(0, make_pair(ep, &small));
	/* Also after somebody has slept: armed words are left behind. */
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(l3l2q_ep_consumer(ep[0]), &(struct l3l2q_message){ 0 }, 1));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(l3l2q_ep_consumer(ep[1]), &(struct l3l2q_message){ 0 }, 1));
	ASSERT_EQ(0, ping(ep, 10, false));
	for (i = 0; i < 2; i++) {
		l3l2q_ep_stats(ep[i], &a);
		ASSERT_EQ(0, ping(ep, 1000, false));
		l3l2q_ep_stats(ep[i], &b);
		EXPECT_EQ(a.syscalls, b.syscalls);
		EXPECT_EQ(a.kicks, b.kicks);
		EXPECT_EQ(a.sleeps, b.sleeps);
		EXPECT_EQ(a.sent + 2000, b.sent);
	}
	close_pair(ep);
}

/* The kernel's word for it: any system call but exit_group is death. */
TEST(no_system_call_while_busy_says_seccomp)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { .len = 4, .filter = filter };
	int i, status;

	if (SANITIZED)
		SKIP(return, "sanitizers make system calls");
	for (i = 0; i < 2; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			struct l3l2q_ep *ep[2];

			if (make_pair(ep, &small) || ping(ep, 10, false) ||
			    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
			    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
				_exit(1);
			if (i)
				syscall(SYS_getppid);
			_exit(ping(ep, 1000, false) ? 2 : 0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (i)
			EXPECT_EQ(SIGSYS, WTERMSIG(status)); /* the filter does filter */
		if (!i)
			EXPECT_EQ(0, status);
	}
}

static void on_usr1(int sig)
{
	(void)sig;
}

static void *signal_it(void *arg)
{
	pthread_t t = *(pthread_t *)arg;
	int i;

	for (i = 0; i < 200; i++) {
		pthread_kill(t, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* Signals interrupt no blocking call, whatever their flags. */
TEST(signals_do_not_end_a_blocking_call)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	pthread_t self_thread = pthread_self(), t;
	struct l3l2q_attr attr = small;
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];

	attr.spin_ns = L3L2Q_SPIN_OFF;
	ASSERT_EQ(0, make_pair(ep, &attr));
	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(0, pthread_create(&t, NULL, signal_it, &self_thread));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(l3l2q_ep_consumer(ep[0]), &m, 200000000));
	pthread_join(t, NULL);
	close_pair(ep);
}

struct long_wait {
	struct l3l2q_ep *ep;
	int ret;
};

static void *wait_long(void *arg)
{
	struct long_wait *w = arg;

	w->ret = l3l2q_wait(w->ep, L3L2Q_EVENT_IN, LONG_NS);
	return NULL;
}

static uint64_t syscalls(const struct l3l2q_ep *ep)
{
	struct l3l2q_ep_stats stats;

	l3l2q_ep_stats(ep, &stats);
	return stats.syscalls;
}

/* A look at the affinity, a slice on a futex, a look for a hang-up, then asleep until something happens. */
static bool start_long_wait(struct long_wait *w, struct l3l2q_ep *ep, pthread_t *t)
{
	struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t before = syscalls(ep);
	int i;

	w->ep = ep;
	w->ret = 0;
	if (pthread_create(t, NULL, wait_long, w))
		return false;
	for (i = 0; i < 60000 && syscalls(ep) < before + 4; i++)
		nanosleep(&nap, NULL);
	return syscalls(ep) >= before + 4;
}

TEST(who_sleeps_for_long_is_woken)
{
	struct l3l2q_message m, second;
	struct l3l2q_consumer *c;
	struct long_wait w;
	struct l3l2q_ep *ep[2];
	pthread_t t[2];
	uint64_t calls;
	int i;

	ASSERT_EQ(0, make_pair(ep, &small));
	c = l3l2q_ep_consumer(ep[0]);
	/* What earlier wake-ups have left behind neither wakes nor hides. */
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(start_long_wait(&w, ep[0], &t[0]));
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[1]), L3L2Q_OP_DATA, NULL, 0));
		pthread_join(t[0], NULL);
		EXPECT_EQ(L3L2Q_EVENT_IN, w.ret);
		ASSERT_EQ(0, l3l2q_try_dequeue(c, &m, NULL, 0));
	}

	/* By this side: while the window is full the next message cannot be had. */
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[1]), L3L2Q_OP_DATA, NULL, 0));
	ASSERT_EQ(0, l3l2q_try_peek(c, &m));
	ASSERT_EQ(0, l3l2q_try_peek(c, &second));
	ASSERT_TRUE(start_long_wait(&w, ep[0], &t[0]));
	ASSERT_EQ(0, l3l2q_release(c, &m));
	pthread_join(t[0], NULL);
	EXPECT_EQ(L3L2Q_EVENT_IN, w.ret);
	ASSERT_EQ(0, l3l2q_release(c, &second));
	ASSERT_EQ(0, l3l2q_try_dequeue(c, &m, NULL, 0));

	/* Nobody does anything in the meantime. */
	ASSERT_TRUE(start_long_wait(&w, ep[0], &t[0]));
	calls = syscalls(ep[0]);
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep[1], L3L2Q_EVENT_IN, 350000000));
	EXPECT_LE(calls, syscalls(ep[0]));
	EXPECT_GE(calls + 4, syscalls(ep[0])); /* at most one look meanwhile, once a second */
	EXPECT_EQ(0, l3l2q_detach(ep[1]));
	pthread_join(t[0], NULL);
	EXPECT_EQ(L3L2Q_EVENT_HUP, w.ret);
	close_pair(ep);
}

TEST(who_sleeps_for_long_hears_of_a_death)
{
	struct long_wait w;
	struct l3l2q_ep *ep;
	pthread_t t;
	int fd, status;
	pid_t pid;

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct l3l2q_ep *peer;

		if (l3l2q_attach(&peer, fd, NULL, NULL) ||
		    l3l2q_try_enqueue(l3l2q_ep_producer(peer), L3L2Q_OP_DATA, NULL, 0))
			_exit(1);
		pause();
		_exit(2);
	}
	close(fd);
	ASSERT_EQ(0, l3l2q_dequeue(l3l2q_ep_consumer(ep), &(struct l3l2q_message){ 0 }, NULL, 0,
				   LONG_NS));
	ASSERT_TRUE(start_long_wait(&w, ep, &t));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	pthread_join(t, NULL);
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, w.ret);
	l3l2q_close(ep);
}

/* ---- the interface -------------------------------------------------------- */

/* A structure as a later version may have it. */
struct newer_attr {
	struct l3l2q_attr attr;
	uint64_t more;
};

TEST(structures_of_other_versions)
{
	struct newer_attr newer = { .attr = small };
	struct l3l2q_failure why = { "" };
	struct { struct l3l2q_ep_stats stats; uint64_t more; } stats;
	uint64_t sent[2] = { 7, 7 };
	struct l3l2q_ep *ep;
	char text[8];

	ASSERT_EQ(0, l3l2q_create_sized(&ep, &newer.attr, sizeof(newer), &why, sizeof(why)));
	memset(&stats, 0x5c, sizeof(stats));
	ASSERT_EQ(0, l3l2q_ep_stats_sized(ep, &stats.stats, sizeof(stats)));
	EXPECT_EQ(0, stats.more);
	ASSERT_EQ(0, l3l2q_ep_stats_sized(ep, (struct l3l2q_ep_stats *)sent, sizeof(sent[0])));
	EXPECT_EQ(0, sent[0]);
	EXPECT_EQ(7, sent[1]);
	l3l2q_close(ep);
	newer.more = 1;
	ep = (void *)1;
	EXPECT_EQ(-E2BIG, l3l2q_create_sized(&ep, &newer.attr, sizeof(newer), &why, sizeof(why)));
	EXPECT_EQ(NULL, ep);
	EXPECT_NE(0, strlen(why.text));
	memset(text, 0x5c, sizeof(text));
	EXPECT_EQ(-E2BIG, l3l2q_create_sized(&ep, &newer.attr, sizeof(newer), (void *)text, 4));
	EXPECT_EQ(3, strlen(text));
	EXPECT_EQ(0x5c, text[4]);
	/* An older one ends before the newest fields, which are 0 then. */
	newer.attr.identity[0] = 1;
	ASSERT_EQ(0, l3l2q_create_sized(&ep, &newer.attr, offsetof(struct l3l2q_attr, identity), &why,
					sizeof(why)));
	l3l2q_close(ep);
}

TEST(tag_and_version_reach_both_ends)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_ep_info info;
	struct l3l2q_error error;
	struct l3l2q_ep *ep[2];
	int i;

	attr.tag = "a tag of 31 characters, no more";
	attr.region_version = 0x30000;
	ASSERT_EQ(0, make_pair(ep, &attr));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, l3l2q_ep_info(ep[i], &info));
		EXPECT_EQ(0, strcmp(info.tag, attr.tag));
		EXPECT_EQ(0x30000, info.region_version);
		EXPECT_EQ(L3L2Q_BINDING_L3Q2, info.binding);
		EXPECT_EQ(ep[i], l3l2q_producer_ep(l3l2q_ep_producer(ep[i])));
		EXPECT_EQ(ep[i], l3l2q_consumer_ep(l3l2q_ep_consumer(ep[i])));
		ASSERT_EQ(0, l3l2q_ep_error(ep[i], &error));
		EXPECT_EQ(0, error.identity[0] | error.identity[1]);
	}
	close_pair(ep);
	attr.tag = "a tag of 32 characters, too many";
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep[0], &attr, NULL));
	attr.tag = "\t";
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep[0], &attr, NULL));
	attr.tag = NULL;
	attr.binding = 7;
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep[0], &attr, NULL));
}

/* ---- the SPSQ binding ---------------------------------------------------- */

static const struct l3l2q_attr small_spsq = {
	.transport = "memfd", .depth = 4, .input_arena_bytes = 256, .output_arena_bytes = 320,
	.window = 4, .binding = L3L2Q_BINDING_SPSQ, .identity = { SPSQ_SESSION, SPSQ_TRANSACTION },
};

/* Section 9's golden vector, by the addresses that it has. */
TEST(s9_golden_vector)
{
	static const uint64_t golden[10] = {
		0x5350535100010000, 0x0807060504030201, 42, 0x1000, 192, 0x2000, 384, 1, 64, 64,
	};
	struct l3l2q_region_desc region = { .payload_base = 0x1000, .counter_base = 0x2000 };
	__u64 scalars[L3L2Q_SCALARS], in[L3L2Q_SCALARS], identity[2], parsed[2];
	struct l3l2q_queue_desc queue = { .depth = 1 }, q = { 0 };
	struct l3l2q_region_desc r = { 0 };
	struct l3l2q_layout l;
	unsigned int i;

	memcpy(identity, "\1\2\3\4\5\6\7\10", 8);
	identity[1] = 42;
	ASSERT_EQ(0, l3l2q_layout_make(1, 64, 64, &l));
	region.payload_bytes = queue.payload_bytes = l.payload_bytes;
	region.counter_bytes = queue.counter_bytes = l.counter_bytes;
	queue.input_arena_bytes = queue.output_arena_bytes = 64;
	queue.magic_version = l3l2q_queue_version(L3L2Q_BINDING_SPSQ);
	memset(scalars, 0xa5, sizeof(scalars));
	ASSERT_EQ(10, l3l2q_binding_scalars(L3L2Q_BINDING_SPSQ, identity, &region, &queue, scalars));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(golden[i], scalars[i]);
	EXPECT_EQ(0, scalars[10] | scalars[11]);
	for (i = 0; i < 10; i++)
		in[i] = golden[i];
	ASSERT_EQ(L3L2Q_CHECK_OK, l3l2q_binding_parse(in, 10, parsed, &r, &q));
	EXPECT_EQ(0, memcmp(&r, &region, sizeof(r)));
	EXPECT_EQ(0, memcmp(&q, &queue, sizeof(q)));
	EXPECT_EQ(0, memcmp(parsed, identity, sizeof(parsed)));
	EXPECT_EQ(L3L2Q_CHECK_OK, l3l2q_queue_check(&r, &q, &l));
}

TEST(s9_bad_identities_are_refused)
{
	struct l3l2q_attr attr = small_spsq;
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;

	attr.identity[1] = 0;
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "transaction"));
	attr = small_spsq;
	attr.depth = 0;
	attr.window = 0;
	attr.input_arena_bytes = attr.output_arena_bytes = 0;
	attr.payload_bytes = attr.counter_bytes = 64;
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "raw"));
	attr = small_spsq;
	attr.binding = L3L2Q_BINDING_L3Q2;
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "identity"));
}

/* Scalars of one binding handed over as those of the other are refused in words. */
TEST(s9_external_tells_the_bindings_apart)
{
	char *at = aligned_alloc(4096, 8192), zero[384] = { 0 };
	struct l3l2q_region_desc region;
	struct l3l2q_external ext, spsq;
	struct l3l2q_queue_desc queue;
	uint64_t identity[2] = { 0, 7 };
	struct l3l2q_failure why;
	struct l3l2q_ep_info info;
	struct l3l2q_layout l;
	struct l3l2q_ep *ep;
	int i;

	memset(at, 0, 8192);
	external_make(&ext, at);
	l3l2q_layout_make(4, 256, 256, &l);
	scalars_make(&region, &queue, &l);
	spsq = ext;
	spsq.scalar_count = (uint32_t)l3l2q_binding_scalars(L3L2Q_BINDING_SPSQ, (__u64 *)identity, &region,
						  &queue, (__u64 *)spsq.scalars);
	ext.scalar_count = 12;
	for (i = 0; i < 2; i++) {
		struct l3l2q_external *is = i ? &spsq : &ext, wrong = *is;

		ASSERT_EQ(0, l3l2q_attach_external(&ep, is, NULL, &why));
		ASSERT_EQ(0, l3l2q_ep_info(ep, &info));
		EXPECT_EQ(i ? L3L2Q_BINDING_SPSQ : L3L2Q_BINDING_L3Q2, info.binding);
		EXPECT_EQ(i ? 7 : 0, info.identity[1]);
		l3l2q_close(ep);
		wrong.scalar_count = i ? 12 : 10;
		EXPECT_EQ(-EPROTO, l3l2q_attach_external(&ep, &wrong, NULL, &why));
		EXPECT_NE(NULL, strstr(why.text, i ? "magic" : "SPSQ"));
		wrong.scalar_count = 11;
		EXPECT_EQ(-EINVAL, l3l2q_attach_external(&ep, &wrong, NULL, &why));
	}
	/* One wrong scalar at a time; the session bits may be anything. */
	for (i = 0; i < 10; i++) {
		struct l3l2q_external wrong = spsq;

		wrong.scalars[i] = i == 5 ? wrong.scalars[i] + 4 : i == 3 ? 0 : i == 1 ? ~0ull :
				   i == 2 ? 0 : wrong.scalars[i] + 64;
		EXPECT_EQ(i == 1 ? 0 : -EPROTO, l3l2q_attach_external(&ep, &wrong, NULL, &why)) {
			TH_LOG("scalar %d: %s", i, why.text);
		}
		l3l2q_close(ep);
		EXPECT_EQ(0, memcmp(at, zero, sizeof(zero)));
	}
	spsq.scalars[5] = 0;
	EXPECT_EQ(-EPROTO, l3l2q_attach_external(&ep, &spsq, NULL, &why));
	free(at);
}

/* STOP is held past the window; what a bad peer sends behind it has no room. */
TEST(pending_stays_within_the_window)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_ep_info info;
	struct l3l2q_message m[3];
	struct l3l2q_ep *ep[2];

	attr.depth = 8;
	attr.window = 2;
	ASSERT_EQ(0, make_pair(ep, &attr));
	ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[0]), L3L2Q_OP_DATA, NULL, 0));
	ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[0]), L3L2Q_OP_DATA, NULL, 0));
	EXPECT_EQ(2, l3l2q_pending(l3l2q_ep_consumer(ep[1])));
	ASSERT_EQ(2, l3l2q_try_peek_batch(l3l2q_ep_consumer(ep[1]), m, 2));
	ASSERT_EQ(0, l3l2q_try_stop(l3l2q_ep_producer(ep[0])));
	EXPECT_EQ(0, l3l2q_pending(l3l2q_ep_consumer(ep[1])));
	ASSERT_EQ(1, l3l2q_try_peek_batch(l3l2q_ep_consumer(ep[1]), m + 2, 1));
	l3l2q_ep_info(ep[0], &info);
	__atomic_store_n((uint32_t *)info.counters, 8, __ATOMIC_RELEASE);
	EXPECT_EQ(0, l3l2q_pending(l3l2q_ep_consumer(ep[1])));
	close_pair(ep);
}

/* A call with no time left, interrupted at a look at the clock. */
static int interrupted_call(struct l3l2q_ep *ep, int what, int at)
{
	struct l3l2q_message m;
	int ret;

	interrupted_ep = ep;
	interrupt_at = at;
	switch (what) {
	case 0: ret = l3l2q_peek(l3l2q_ep_consumer(ep), &m, 1); break;
	case 1: ret = l3l2q_wait(ep, 0, 1); break;
	default: ret = l3l2q_wait_counter(ep, L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_EQ, 1, 1, NULL);
	}
	interrupted_ep = NULL;
	return ret;
}

/* An interruption while the time runs out is not left to the next call. */
TEST(interrupt_comes_before_time_out)
{
	struct l3l2q_ep *ep[2];
	int what, at, ret;

	for (what = 0; what < 3; what++) {
		for (at = 1;; at++) {
			ASSERT_EQ(0, make_pair(ep, &small));
			ret = interrupted_call(ep[1], what, at);
			close_pair(ep);
			if (interrupt_at > 0)
				break;
			EXPECT_EQ(-EINTR, ret) {
				TH_LOG("call %d, interrupted at look %d", what, at);
			}
		}
		EXPECT_EQ(-ETIMEDOUT, ret);
		EXPECT_LT(2, at);
	}
}

TEST_HARNESS_MAIN
