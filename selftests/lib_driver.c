// SPDX-License-Identifier: MIT
/*
 * The driver transport against a driver that is played by this program: what the
 * library asks it for, and what it makes of any memory, any kind of peer, pages of
 * 64 KiB, and memory that is removed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <l3l2q.h>

#include "proto_util.h"

#define LONG_NS (300 * 1000000000ll)
#define PAGE 65536ull		/* what the driver says, whatever the host has */
#define DELTA 192u		/* the payload does not begin with its page */
#define GM 0x4000000000ull

/* ---- the driver --------------------------------------------------------- */

struct window {
	uint64_t id;
	const char *name;
};

static struct {
	uint32_t memory, peer_kind;
	struct window windows[4];
	int nr_windows, moves;		/* at that creation, the first goes */
	int open_error, create_error, info_error;
	uint32_t state;			/* of an endpoint, as INFO says it */
	struct l3l2q_query limits;
	bool removed;			/* calls say so; the page is set by remove_it() */
	struct l3l2q_create asked;
	int creates, kicks, self_kicks, waits, arms, fds[2];
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	uint32_t backend, creator;
	uint64_t offsets[L3L2Q_MAPS], lengths[L3L2Q_MAPS], total;
	unsigned char *view;		/* the whole of it, ours to look at */
} drv;

static int fail(int error)
{
	errno = error;
	return -1;
}

static int drv_query_device(struct l3l2q_query_device *query)
{
	int i;

	for (i = 0; i < drv.nr_windows && drv.windows[i].id <= query->id; i++)
		;
	if (i == drv.nr_windows)
		return fail(ENODEV);
	query->id = drv.windows[i].id;
	query->backend = L3L2Q_BACKEND_PCI;
	query->free_bytes = 7777;
	snprintf((char *)query->name, sizeof(query->name), "%s", drv.windows[i].name);
	return 0;
}

static int drv_query(struct l3l2q_query *query)
{
	uint32_t size = query->size;

	*query = drv.limits;
	query->size = size;
	return 0;
}

static bool drv_has_window(uint64_t id)
{
	int i;

	for (i = 0; i < drv.nr_windows; i++) {
		if (drv.windows[i].id == id)
			return true;
	}
	return false;
}

static void drv_lay_out(void)
{
	static const int order[] = { L3L2Q_MAP_STATUS, L3L2Q_MAP_CONTROL, L3L2Q_MAP_PEER_CONTROL,
		L3L2Q_MAP_COUNTERS, L3L2Q_MAP_PAYLOAD };
	size_t i;

	drv.total = 0;
	for (i = 0; i < L3L2Q_MAPS; i++) {
		uint64_t n = order[i] == L3L2Q_MAP_PAYLOAD ? drv.region.payload_bytes + DELTA : 1;

		drv.offsets[order[i]] = drv.total;
		drv.lengths[order[i]] = (n + PAGE - 1) / PAGE * PAGE;
		drv.total += drv.lengths[order[i]];
	}
}

static int drv_create(struct l3l2q_create *create)
{
	struct l3l2q_layout l = { .payload_bytes = create->payload_bytes,
		.counter_bytes = create->counter_bytes };
	int i;

	drv.asked = *create;
	drv.creates++;
	if (drv.create_error)
		return fail(drv.create_error);
	if (drv.moves && drv.moves-- == 1) {
		for (i = 1; i < drv.nr_windows; i++)
			drv.windows[i - 1] = drv.windows[i];
		drv.nr_windows--;
	}
	if (create->backend == L3L2Q_BACKEND_PCI && !drv_has_window(create->source))
		return fail(ENODEV);
	if (create->depth)
		l3l2q_layout_make(create->depth, create->input_arena_bytes,
				  create->output_arena_bytes, &l);
	drv.region = (struct l3l2q_region_desc){ L3L2Q_REGION_V2, 5, GM, l.payload_bytes,
		GM + 0x100000, l.counter_bytes };
	memset(&drv.queue, 0, sizeof(drv.queue));
	if (create->depth)
		drv.queue = (struct l3l2q_queue_desc){ L3L2Q_QUEUE_VERSION, l.depth,
			l.input_arena_bytes, l.output_arena_bytes, l.payload_bytes,
			l.counter_bytes };
	drv.backend = create->backend;
	drv.creator = create->role;
	drv_lay_out();
	if (drv.view)
		munmap(drv.view, drv.total);
	create->fd = (int)syscall(SYS_memfd_create, "fake", 0);
	if (ftruncate(create->fd, (off_t)drv.total))
		return fail(ENOMEM);
	drv.view = mmap(NULL, drv.total, PROT_READ | PROT_WRITE, MAP_SHARED, create->fd, 0);
	drv.fds[create->role] = create->fd;
	drv.fds[!create->role] = -1;
	return 0;
}

static int drv_info(struct l3l2q_info *info, uint32_t role)
{
	int i;

	if (drv.removed)
		return fail(ENODEV);
	if (drv.info_error)
		return fail(drv.info_error);
	info->state = drv.state;
	info->flags = drv.backend == L3L2Q_BACKEND_PCI || drv.backend == L3L2Q_BACKEND_ASCEND
		      ? L3L2Q_INFO_DEVICE_ADDRESSES : 0;
	info->role = role;
	info->backend = drv.backend;
	info->memory = drv.memory;
	info->peer_kind = role == drv.creator ? drv.peer_kind : (uint32_t)L3L2Q_PEER_ARMS;
	info->region = drv.region;
	info->queue = drv.queue;
	for (i = 0; i < L3L2Q_MAPS; i++) {
		int at = i;

		if (role == L3L2Q_ROLE_L2 && i == L3L2Q_MAP_CONTROL)
			at = L3L2Q_MAP_PEER_CONTROL;
		if (role == L3L2Q_ROLE_L2 && i == L3L2Q_MAP_PEER_CONTROL)
			at = L3L2Q_MAP_CONTROL;
		info->map[i].offset = drv.offsets[at];
		info->map[i].length = drv.lengths[at];
		info->map[i].delta = i == L3L2Q_MAP_PAYLOAD ? DELTA : 0;
	}
	return 0;
}

/* Nothing is known of sleeping here: a WAIT returns when the memory is gone. */
static int drv_wait(struct l3l2q_wait *wait)
{
	__atomic_fetch_add(&drv.waits, 1, __ATOMIC_SEQ_CST);
	while (wait->deadline_ns != 0 && !__atomic_load_n(&drv.removed, __ATOMIC_SEQ_CST))
		sched_yield();
	return fail(drv.removed ? ENODEV : ETIMEDOUT);
}

static int drv_endpoint(unsigned long request, uint32_t role, void *arg)
{
	if (request == L3L2Q_IOC_INFO)
		return drv_info(arg, role);
	if (request == L3L2Q_IOC_WAIT)
		return drv_wait(arg);
	if (request == L3L2Q_IOC_KICK && arg == (void *)(uintptr_t)L3L2Q_KICK_SELF)
		drv.self_kicks++;
	else if (request == L3L2Q_IOC_KICK)
		drv.kicks++;
	if (request == L3L2Q_IOC_ARM)
		drv.arms++;
	if (drv.removed)
		return fail(ENODEV);
	if (request == L3L2Q_IOC_OPEN_PEER) {
		struct l3l2q_open_peer *peer = arg;

		peer->role = !role;
		peer->fd = drv.fds[!role] = dup(drv.fds[role]);
	}
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	switch (request) {
	case L3L2Q_IOC_QUERY:
		return drv_query(arg);
	case L3L2Q_IOC_QUERY_DEVICE:
		return drv_query_device(arg);
	case L3L2Q_IOC_CREATE:
		return drv_create(arg);
	default:
		return drv_endpoint(request, fd == drv.fds[L3L2Q_ROLE_L3] ? L3L2Q_ROLE_L3
									   : L3L2Q_ROLE_L2, arg);
	}
}

int open(const char *path, int flags, ...)
{
	if (!strcmp(path, "/dev/l3l2q")) {
		if (drv.open_error) {
			errno = drv.open_error;
			return -1;
		}
		path = "/dev/null";
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

static struct l3l2q_status *status(void)
{
	return (void *)(drv.view + drv.offsets[L3L2Q_MAP_STATUS]);
}

static struct l3l2q_control *control(uint32_t role)
{
	return (void *)(drv.view + drv.offsets[role == L3L2Q_ROLE_L3 ? L3L2Q_MAP_CONTROL
								     : L3L2Q_MAP_PEER_CONTROL]);
}

static __s32 *counter(unsigned int offset)
{
	return (void *)(drv.view + drv.offsets[L3L2Q_MAP_COUNTERS] + offset);
}

static void set(__s32 *word, __s32 value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* As the driver does it: the word, then stand-ins, then whoever sleeps. */
static void remove_it(uint32_t survivor)
{
	__atomic_store_n(&status()->removed, 1, __ATOMIC_SEQ_CST);
	memset(drv.view + drv.offsets[L3L2Q_MAP_PAYLOAD], 0, drv.lengths[L3L2Q_MAP_PAYLOAD]);
	if (drv.queue.depth)
		set(counter(l3l2q_ctr_abort(l3l2q_peer_role(survivor))), 1);
	__atomic_store_n(&drv.removed, true, __ATOMIC_SEQ_CST);
}

/* ---- transport strings --------------------------------------------------- */

static const struct l3l2q_attr small = { .transport = "ram", .role = L3L2Q_ROLE_L3, .depth = 4,
	.input_arena_bytes = 4096, .output_arena_bytes = 4096, .window = 2 };

static int create(struct l3l2q_ep **ep, const char *transport, uint32_t flags,
		  struct l3l2q_failure *why)
{
	struct l3l2q_attr attr = small;

	attr.transport = transport;
	attr.flags = flags;
	why->text[0] = 0;
	return l3l2q_create(ep, &attr, why);
}

static int open_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

TEST(counters_can_have_a_range_of_their_own)
{
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;

	ASSERT_EQ(0, create(&ep, "ascend:0x120000000000:0x1000000,0x121000000000:65536", 0, &why)) {
		TH_LOG("%s", why.text);
	}
	EXPECT_EQ(0x120000000000, drv.asked.source);
	EXPECT_EQ(0x1000000, drv.asked.source_bytes);
	EXPECT_EQ(0x121000000000, drv.asked.counter_source);
	EXPECT_EQ(65536, drv.asked.counter_source_bytes);
	l3l2q_close(ep);
	ASSERT_EQ(0, create(&ep, "ascend:0x120000000000:0x1000000", 0, &why));
	EXPECT_EQ(0, drv.asked.counter_source);
	EXPECT_EQ(0, drv.asked.counter_source_bytes);
	l3l2q_close(ep);
}

TEST(transport_strings)
{
	static const struct {
		const char *string, *backend;
		uint32_t want;
		uint64_t source, bytes;
	} good[] = {
		{ NULL, "ram", L3L2Q_BACKEND_RAM, 0, 0 },
		{ "driver", "ram", L3L2Q_BACKEND_RAM, 0, 0 },
		{ "ram", "ram", L3L2Q_BACKEND_RAM, 0, 0 },
		{ "driver:/dev/l3l2q", "ram", L3L2Q_BACKEND_RAM, 0, 0 },
		{ "pci", "pci", L3L2Q_BACKEND_PCI, 1, 0 },
		{ "pci:0000:00:04.0", "pci", L3L2Q_BACKEND_PCI, 1, 0 },
		{ "pci:0000:00:05.0", "pci", L3L2Q_BACKEND_PCI, 1ull << 40, 0 },
		{ "dmabuf:7", "dmabuf", L3L2Q_BACKEND_DMABUF, 7, 0 },
		{ "dmabuf:0x10", "dmabuf", L3L2Q_BACKEND_DMABUF, 16, 0 },
		{ "ascend:0x120000000000:0x1000000", "ascend", L3L2Q_BACKEND_ASCEND,
			0x120000000000, 0x1000000 },
		{ "ascend:4096:65536", "ascend", L3L2Q_BACKEND_ASCEND, 4096, 65536 },
		{ "ascend:0xffffffffffff0000:010", "ascend", L3L2Q_BACKEND_ASCEND,
			0xffffffffffff0000, 8 },
		{ "ascend:1:2,3:4", "ascend", L3L2Q_BACKEND_ASCEND, 1, 2 },
	};
	static const char *const bad[] = {
		"", "driver ", "drivers", "ram:", "ram:0", "pci:", "pcie", "dmabuf", "dmabuf:",
		"dmabuf:-1", "dmabuf:+1", "dmabuf: 1", "dmabuf:1 ", "dmabuf:1x", "dmabuf:0x",
		"dmabuf:2147483648", "dmabuf:99999999999999999999", "dmabuf:08",
		"ascend", "ascend:", "ascend:1", "ascend:1:", "ascend::1", "ascend:1:0",
		"ascend:1:2:3", "ascend:1:2 ", "ascend:1:2,", "ascend:1:2,3", "ascend:1:2,3:",
		"ascend:1:2,3:0", "ascend:1:2,0:4", "ascend:1:0,3:4", "ascend:1:2,3:4,",
		"ascend:1:2,3:4,5:6", "ascend:1:2, 3:4", "ascend:,1:2", "ascend:1:2:3:4", "ascend:-1:4096", "ascend:1:-4096",
		"ascend:0x10000000000000000:1", "ascend:1:0x10000000000000000", "memfd:",
		"external:1", "PCI", ":", "pci\n",
	};
	struct l3l2q_ep_info info;
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;
	int fds = open_fds();
	size_t i;

	drv.windows[0] = (struct window){ 1, "0000:00:04.0" };
	drv.windows[1] = (struct window){ 1ull << 40, "0000:00:05.0" };
	drv.nr_windows = 2;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ASSERT_EQ(0, create(&ep, good[i].string, 0, &why)) {
			TH_LOG("%s: %s", good[i].string, why.text);
		}
		EXPECT_EQ(good[i].want, drv.asked.backend);
		EXPECT_EQ(good[i].source, drv.asked.source);
		EXPECT_EQ(good[i].bytes, drv.asked.source_bytes);
		EXPECT_EQ(0, drv.asked.flags);
		l3l2q_ep_info(ep, &info);
		EXPECT_STREQ("driver", info.transport);
		EXPECT_STREQ(good[i].backend, info.backend);
		EXPECT_STREQ("cached", info.copy_path);
		l3l2q_close(ep);
	}
	drv.creates = 0;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ep = (void *)&small;
		EXPECT_EQ(-EINVAL, create(&ep, bad[i], 0, &why)) {
			TH_LOG("%s", bad[i]);
		}
		EXPECT_EQ(NULL, ep);
		EXPECT_LT(8, strlen(why.text));
	}
	EXPECT_EQ(0, drv.creates);
	EXPECT_EQ(fds, open_fds());
}

/* Whom to ask differs: the administrator of groups, or who started the container. */
TEST(no_permission_in_words)
{
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;

	drv.open_error = EACCES;
	EXPECT_EQ(-EACCES, create(&ep, "ram", 0, &why));
	EXPECT_NE(NULL, strstr(why.text, "group"));
	drv.open_error = EPERM;
	EXPECT_EQ(-EACCES, create(&ep, "ram", 0, &why));
	EXPECT_NE(NULL, strstr(why.text, "container"));
}

TEST(no_window_in_words)
{
	int fds = open_fds();
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;

	EXPECT_EQ(-ENODEV, create(&ep, "pci", 0, &why));
	EXPECT_NE(NULL, strstr(why.text, "window"));
	EXPECT_NE(NULL, strstr(why.text, "bound"));
	drv.windows[0] = (struct window){ 1, "0000:00:04.0" };
	drv.nr_windows = 1;
	EXPECT_EQ(-ENODEV, create(&ep, "pci:0000:00:04", 0, &why));
	EXPECT_NE(NULL, strstr(why.text, "\"0000:00:04\""));
	EXPECT_EQ(-ENODEV, create(&ep, "pci:0000:00:04.00000000000000000000000000000000000000", 0,
				  &why));
	EXPECT_EQ(NULL, ep);
	EXPECT_EQ(0, drv.creates);
	EXPECT_EQ(fds, open_fds());
}

/* Others come and go: an id means the same window for ever, or none. */
TEST(windows_that_go)
{
	int fds = open_fds();
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;

	drv.windows[0] = (struct window){ 3, "a" };
	drv.windows[1] = (struct window){ 5, "b" };
	drv.windows[2] = (struct window){ 0xffffffff12ull, "c" };
	drv.nr_windows = 3;
	drv.moves = 1;
	ASSERT_EQ(0, create(&ep, "pci:c", 0, &why));
	EXPECT_EQ(1, drv.creates);
	EXPECT_EQ(0xffffffff12ull, drv.asked.source);
	l3l2q_close(ep);
	/* It is itself what has gone. */
	drv.moves = 1;
	EXPECT_EQ(-ENODEV, create(&ep, "pci:b", 0, &why));
	EXPECT_EQ(5, drv.asked.source);
	EXPECT_EQ(2, drv.creates);
	EXPECT_EQ(fds, open_fds());
}

TEST(flags_and_words_of_create)
{
	static const struct { int error; const char *word; } said[] = {
		{ EFBIG, "larger" }, { EDQUOT, "limit" }, { ENOMEM, "memory" }, { ENOSPC, "room" },
		{ ENODEV, "not there" }, { EOPNOTSUPP, "memory" }, { EBADF, "descriptor" },
	};
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;
	size_t i;

	/* Coherence is asked for where it makes a difference. */
	ASSERT_EQ(0, create(&ep, "dmabuf:3", L3L2Q_ATTR_COHERENT, &why));
	EXPECT_EQ(L3L2Q_CREATE_COHERENT, drv.asked.flags);
	l3l2q_close(ep);
	ASSERT_EQ(0, create(&ep, "ascend:1:1", L3L2Q_ATTR_COHERENT | L3L2Q_ATTR_SILENT_PEER, &why));
	EXPECT_EQ(L3L2Q_CREATE_COHERENT | L3L2Q_CREATE_SILENT_PEER, drv.asked.flags);
	l3l2q_close(ep);
	ASSERT_EQ(0, create(&ep, "ram", L3L2Q_ATTR_COHERENT, &why));
	EXPECT_EQ(0, drv.asked.flags);
	l3l2q_close(ep);
	ASSERT_EQ(0, create(&ep, "memfd", L3L2Q_ATTR_COHERENT, &why));
	l3l2q_close(ep);
	EXPECT_EQ(-EINVAL, create(&ep, "ram", 1u << 30, &why));
	for (i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		drv.create_error = said[i].error;
		EXPECT_EQ(-said[i].error, create(&ep, "dmabuf:3", L3L2Q_ATTR_COHERENT, &why));
		EXPECT_NE(NULL, strstr(why.text, said[i].word)) {
			TH_LOG("%s", why.text);
		}
		EXPECT_EQ(NULL, ep);
	}
	drv.create_error = EOPNOTSUPP;
	EXPECT_EQ(-EOPNOTSUPP, create(&ep, "dmabuf:3", 0, &why));
	EXPECT_NE(NULL, strstr(why.text, "L3L2Q_ATTR_COHERENT"));
}

#define SMALL_SIZES .depth = 4, .input_arena_bytes = 4096, .output_arena_bytes = 4096

/* The words name what is at fault, what it may be, and who decides that. */
TEST(words_of_create)
{
	static const struct {
		const char *transport;
		struct l3l2q_attr attr;
		int error, expected;	/* CREATE's, if it gets that far */
		const char *words[3];
	} said[] = {
		{ "ram", { .depth = 3, .input_arena_bytes = 64, .output_arena_bytes = 64 }, 0, EINVAL,
		  { "depth 3 ", "power of two", "2^30" } },
		{ "ram", { .input_arena_bytes = 64, .output_arena_bytes = 64 }, 0, EINVAL,
		  { "depth is 0", "arenas", "power of two" } },
		{ "pci", { .depth = 4, .input_arena_bytes = 100, .output_arena_bytes = 64 }, 0, EINVAL,
		  { "input_arena_bytes 100", "multiple of 64" } },
		{ "ramfs", { SMALL_SIZES }, 0, EINVAL,
		  { "\"ramfs\"", "driver[:NODE], ram, pci[:NAME], dmabuf:FD, ascend:ADDRESS:BYTES[" } },
		{ "dmabuf:x", { SMALL_SIZES }, 0, EINVAL, { "\"dmabuf:x\"", "dmabuf:FD" } },
		{ "ascend:1", { SMALL_SIZES }, 0, EINVAL, { "\"ascend:1\"", "ascend:ADDRESS:BYTES" } },
		{ "pci:npu9", { SMALL_SIZES }, 0, ENODEV, { "\"npu9\"", "npu0, npu1" } },
		{ "ram", { SMALL_SIZES }, EFBIG, EFBIG,
		  { "8448 bytes", " 5242880", "max_region_mib" } },
		{ "ram", { .payload_bytes = 64, .counter_bytes = 8192 }, EFBIG, EFBIG,
		  { "8192 bytes of counters", " 4096" } },
		{ "ram", { SMALL_SIZES }, EDQUOT, EDQUOT,
		  { "7 regions, 11 MiB, 13 MiB of windows",
		    "max_user_regions, max_user_mib, max_user_window_mib" } },
		{ "pci:npu1", { SMALL_SIZES }, ENOSPC, ENOSPC,
		  { "8448 bytes", "window npu1", "7777 bytes left" } },
		{ "ascend:4096:65536", { SMALL_SIZES }, ENOSPC, ENOSPC,
		  { "8448 bytes", "65536 bytes", "0x1000" } },
		{ "ram", { SMALL_SIZES }, ENOMEM, ENOMEM, { "memory", "8448 bytes" } },
		{ "ram", { SMALL_SIZES, .flags = L3L2Q_ATTR_NUMA, .numa_node = 57 }, EINVAL, EINVAL,
		  { "NUMA node 57" } },
		{ "ram", { SMALL_SIZES, .numa_node = 57 }, 0, EINVAL,
		  { "NUMA node 57", "L3L2Q_ATTR_NUMA" } },
		{ "dmabuf:33", { SMALL_SIZES }, EBADF, EBADF, { "descriptor 33", "dma-buf" } },
		{ "dmabuf:33", { SMALL_SIZES }, EOPNOTSUPP, EOPNOTSUPP, { "L3L2Q_ATTR_COHERENT" } },
		{ "ascend:1:1", { SMALL_SIZES }, ENODEV, ENODEV, { "NPU's own driver", "loaded" } },
		{ "ram", { SMALL_SIZES }, EMFILE, EMFILE, { "descriptor", "RLIMIT_NOFILE" } },
	};
	struct l3l2q_failure why;
	struct l3l2q_attr attr;
	struct l3l2q_ep *ep;
	size_t i, j;

	drv.windows[0] = (struct window){ 1, "npu0" };
	drv.windows[1] = (struct window){ 2, "npu1" };
	drv.nr_windows = 2;
	drv.limits = (struct l3l2q_query){ .max_region_bytes = 5 << 20, .max_counter_bytes = 4096,
		.max_user_regions = 7, .max_user_bytes = 11 << 20, .max_user_window_bytes = 13 << 20 };
	for (i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		attr = said[i].attr;
		attr.transport = said[i].transport;
		drv.create_error = said[i].error;
		memset(&why, 0, sizeof(why));
		EXPECT_EQ(-said[i].expected, l3l2q_create(&ep, &attr, &why));
		for (j = 0; j < 3 && said[i].words[j]; j++) {
			EXPECT_NE(NULL, strstr(why.text, said[i].words[j])) {
				TH_LOG("\"%s\" without \"%s\"", why.text, said[i].words[j]);
			}
		}
	}
}

TEST(words_of_attach)
{
	struct l3l2q_attr attr = { .window = 99 };
	struct l3l2q_failure why;
	struct l3l2q_ep *ep, *peer;
	int fd;

	ASSERT_EQ(0, create(&ep, "ram", 0, &why));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, fd, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "window 99 is larger than depth 4")) TH_LOG("%s", why.text);
	drv.state = L3L2Q_STATE_ATTACHED;
	EXPECT_EQ(-EBUSY, l3l2q_attach(&peer, fd, NULL, &why));
	EXPECT_NE(NULL, strstr(why.text, "attached already")) TH_LOG("%s", why.text);
	drv.state = L3L2Q_STATE_DEAD;
	EXPECT_EQ(-ESHUTDOWN, l3l2q_attach(&peer, fd, NULL, &why));
	EXPECT_NE(NULL, strstr(why.text, "has ended")) TH_LOG("%s", why.text);
	drv.state = L3L2Q_STATE_OPEN;
	drv.info_error = ENODEV;
	EXPECT_EQ(-ENODEV, l3l2q_attach(&peer, fd, NULL, &why));
	EXPECT_NE(NULL, strstr(why.text, "memory was removed")) TH_LOG("%s", why.text);
	drv.info_error = ENOTTY;
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, fd, NULL, &why));
	EXPECT_NE(NULL, strstr(why.text, "is not an endpoint")) TH_LOG("%s", why.text);
	drv.info_error = 0;
	ASSERT_EQ(0, l3l2q_attach(&peer, fd, NULL, &why));
	l3l2q_close(peer);
	l3l2q_close(ep);
	EXPECT_EQ(-EBADF, l3l2q_attach(&peer, 999, NULL, &why));
	EXPECT_NE(NULL, strstr(why.text, "descriptor 999")) TH_LOG("%s", why.text);
}

/* A node is asked for with its flag, by create only. */
TEST(memory_nodes)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_failure why = { "" };
	struct l3l2q_ep *ep, *peer;
	int fd;

	attr.numa_node = 1;
	EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "node"));
	EXPECT_EQ(0, drv.creates);
	attr.flags = L3L2Q_ATTR_NUMA;
	ASSERT_EQ(0, l3l2q_create(&ep, &attr, &why));
	EXPECT_EQ(L3L2Q_CREATE_NUMA, drv.asked.flags);
	EXPECT_EQ(1, drv.asked.numa_node);
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, fd, &attr, &why));
	EXPECT_NE(NULL, strstr(why.text, "node"));
	attr.flags = 0;
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, fd, &attr, &why));
	attr.numa_node = 0;
	ASSERT_EQ(0, l3l2q_attach(&peer, fd, &attr, &why));
	l3l2q_close(peer);
	l3l2q_close(ep);
}

/* ---- what it makes of INFO ----------------------------------------------- */

FIXTURE(end) {
	struct l3l2q_ep *ep;
	struct l3l2q_producer *p;
	struct l3l2q_consumer *c;
	struct l3l2q_failure why;
};

FIXTURE_VARIANT(end) {
	uint32_t memory;
	uint32_t role;
};

FIXTURE_VARIANT_ADD(end, cached) { L3L2Q_MEMORY_CACHED, L3L2Q_ROLE_L3 };
FIXTURE_VARIANT_ADD(end, wc) { L3L2Q_MEMORY_WC, L3L2Q_ROLE_L3 };
FIXTURE_VARIANT_ADD(end, device) { L3L2Q_MEMORY_DEVICE, L3L2Q_ROLE_L2 };

static int end_make(FIXTURE_DATA(end) *self, const FIXTURE_VARIANT(end) *variant, uint32_t kind)
{
	struct l3l2q_attr attr = small;
	int ret;

	drv.windows[0] = (struct window){ 1, "npu" };
	drv.nr_windows = 1;
	drv.memory = variant->memory;
	drv.peer_kind = kind;
	attr.transport = "pci";
	attr.role = variant->role;
	attr.spin_ns = L3L2Q_SPIN_OFF;
	ret = l3l2q_create(&self->ep, &attr, &self->why);
	if (ret)
		return ret;
	self->p = l3l2q_ep_producer(self->ep);
	self->c = l3l2q_ep_consumer(self->ep);
	return 0;
}

FIXTURE_SETUP(end)
{
	ASSERT_EQ(0, end_make(self, variant, L3L2Q_PEER_RINGS)) {
		TH_LOG("%s", self->why.text);
	}
}

FIXTURE_TEARDOWN(end)
{
	l3l2q_close(self->ep);
}

static struct l3l2q_desc *slot(uint32_t role, uint64_t i)
{
	struct l3l2q_layout l;

	l3l2q_layout_make(4, 4096, 4096, &l);
	return (struct l3l2q_desc *)(void *)(drv.view + drv.offsets[L3L2Q_MAP_PAYLOAD] + DELTA +
		(role == L3L2Q_ROLE_L3 ? l.input_desc_offset : l.output_desc_offset)) + i;
}

/* What the device does to send: nothing but stores. Sizes in order, from 0. */
static void device_sends(uint32_t role, uint64_t i, uint64_t at, uint64_t nbytes)
{
	struct l3l2q_layout l;

	l3l2q_layout_make(4, 4096, 4096, &l);
	*slot(role, i) = (struct l3l2q_desc){ .seq = i + 1, .opcode = L3L2Q_OP_DATA,
		.payload_nbytes = nbytes, .payload_offset = !nbytes ? 0 : at +
		(role == L3L2Q_ROLE_L3 ? l.input_arena_offset : l.output_arena_offset) };
	set(counter(l3l2q_ctr_tail(role)), (__s32)(i + 1));
}

static uint32_t peer_of(const FIXTURE_VARIANT(end) *variant)
{
	return !variant->role;
}

TEST_F(end, s7_memory_and_addresses_are_what_info_says)
{
	uint64_t scalars[L3L2Q_SCALARS];
	struct l3l2q_ep_info info;

	l3l2q_ep_info(self->ep, &info);
	EXPECT_EQ(variant->memory, info.memory);
	EXPECT_EQ(0, strncmp(variant->memory == L3L2Q_MEMORY_CACHED ? "cached" :
			     variant->memory == L3L2Q_MEMORY_WC ? "wc" : "device",
			     info.copy_path, 2));
	EXPECT_EQ(variant->role, info.role);
	ASSERT_EQ(12, l3l2q_ep_scalars(self->ep, scalars));
	EXPECT_EQ(GM, scalars[2]);
	EXPECT_EQ(GM + 0x100000, scalars[4]);
	/* What is stored at the mapping is where the driver said. */
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "abc", 3));
	EXPECT_EQ(1, slot(variant->role, 0)->seq);
	EXPECT_EQ(3, slot(variant->role, 0)->payload_nbytes);
	EXPECT_EQ(0, memcmp(drv.view + drv.offsets[L3L2Q_MAP_PAYLOAD] + DELTA +
			    slot(variant->role, 0)->payload_offset, "abc", 3));
	EXPECT_EQ(1, *counter(l3l2q_ctr_tail(variant->role)));
}

TEST_F(end, s2_depth_1_needs_cached_memory)
{
	int fds = open_fds(), ret;
	struct l3l2q_attr attr = small;
	struct l3l2q_ep *ep;

	attr.transport = "pci";
	attr.depth = attr.window = 1;
	ret = l3l2q_create(&ep, &attr, &self->why);
	if (variant->memory == L3L2Q_MEMORY_CACHED) {
		ASSERT_EQ(0, ret);
		l3l2q_close(ep);
	} else {
		EXPECT_EQ(-EOPNOTSUPP, ret);
		EXPECT_NE(NULL, strstr(self->why.text, "depth of 1"));
		EXPECT_EQ(NULL, ep);
	}
	EXPECT_EQ(fds, open_fds());
}

TEST_F(end, s7_unknown_memory_is_refused)
{
	int fds = open_fds();
	struct l3l2q_ep *ep;

	drv.memory = L3L2Q_MEMORY_DEVICE + 1;
	EXPECT_EQ(-EOPNOTSUPP, create(&ep, "pci", 0, &self->why));
	EXPECT_NE(NULL, strstr(self->why.text, "memory type"));
	EXPECT_EQ(fds, open_fds());
}

/* ---- peers that ring ----------------------------------------------------- */

TEST_F(end, design_a_device_is_rung_after_each_store)
{
	struct l3l2q_message m;
	char body[16];
	int i;

	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "a", 1));
	EXPECT_EQ(1, drv.kicks);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, NULL, 0));
	EXPECT_EQ(2, drv.kicks);
	/* One for a batch. */
	ASSERT_EQ(0, l3l2q_batch_begin(self->p));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "b", 1));
	EXPECT_EQ(2, drv.kicks);
	ASSERT_EQ(0, l3l2q_batch_publish(self->p));
	EXPECT_EQ(3, drv.kicks);
	/* What stores nothing rings nothing. */
	EXPECT_EQ(-EAGAIN, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "a", 1));
	EXPECT_EQ(-EAGAIN, l3l2q_try_peek(self->c, &m));
	EXPECT_EQ(3, drv.kicks);
	/* A head is a store too. */
	device_sends(peer_of(variant), 0, 0, 5);
	ASSERT_EQ(0, l3l2q_try_dequeue(self->c, &m, body, sizeof(body)));
	EXPECT_EQ(4, drv.kicks);
	EXPECT_EQ(0, l3l2q_notify(self->ep, l3l2q_ctr_tail(variant->role) + 4, L3L2Q_NOTIFY_SET, 1));
	EXPECT_EQ(5, drv.kicks);
	/* Arming is a store to our own page, for the driver to see. */
	EXPECT_EQ(0, l3l2q_arm(self->ep, L3L2Q_EVENT_IN));
	EXPECT_EQ(0, drv.arms);
	EXPECT_NE(0, control(variant->role)->armed & L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv.self_kicks);
	EXPECT_EQ(0, l3l2q_abort(self->ep));
	EXPECT_EQ(6, drv.kicks);
	/* for pollers of this side */
	EXPECT_EQ(1, drv.self_kicks);
}

/* Once a process of this host has the other end, its armed word decides. */
TEST_F(end, design_a_process_is_kicked_if_it_armed)
{
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "a", 1));
	EXPECT_EQ(1, drv.kicks);
	status()->state[peer_of(variant)] = L3L2Q_STATE_ATTACHED;
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "a", 1));
	EXPECT_EQ(2, drv.kicks);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "a", 1));
	EXPECT_EQ(2, drv.kicks);
	control(peer_of(variant))->armed = L3L2Q_EVENT_IN;
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "a", 1));
	EXPECT_EQ(3, drv.kicks);
}

TEST_F(end, design_a_silent_peer_is_told_only_if_it_armed)
{
	l3l2q_close(self->ep);
	ASSERT_EQ(0, end_make(self, variant, L3L2Q_PEER_SILENT));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "a", 1));
	EXPECT_EQ(0, drv.kicks);
	EXPECT_EQ(0, l3l2q_arm(self->ep, L3L2Q_EVENT_IN));
	EXPECT_EQ(1, drv.arms);
}

/* ---- removal ------------------------------------------------------------- */

static uint32_t error_kind(const FIXTURE_DATA(end) *self)
{
	struct l3l2q_error error;

	l3l2q_ep_error(self->ep, &error);
	return error.kind;
}

/* The first call to notice says so, and so does all that follows; nothing is set. */
#define EXPECT_REMOVED(call) do {						\
	EXPECT_EQ(-ECONNABORTED, (call));					\
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, error_kind(self));			\
	EXPECT_EQ(0, *counter(l3l2q_ctr_abort(variant->role)));			\
	EXPECT_EQ(-ECONNABORTED, l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1));	\
	EXPECT_EQ(-ECONNABORTED, l3l2q_try_peek(self->c, &m));			\
} while (0)

static void start_over(FIXTURE_DATA(end) *self, const FIXTURE_VARIANT(end) *variant)
{
	l3l2q_close(self->ep);
	drv.removed = false;
	end_make(self, variant, L3L2Q_PEER_RINGS);
}

TEST_F(end, s6_removal_while_sending)
{
	struct iovec iov = { "abc", 3 };
	struct l3l2q_reservation span;
	struct l3l2q_message m;

	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1));
	start_over(self, variant);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_enqueue(self->p, L3L2Q_OP_DATA, "x", 1, LONG_NS));
	start_over(self, variant);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_try_enqueuev(self->p, L3L2Q_OP_DATA, &iov, 1));
	start_over(self, variant);
	ASSERT_EQ(0, l3l2q_try_reserve(self->p, 100, &span));
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_commit(self->p, &span, L3L2Q_OP_DATA));
	/* A full ring that will never be emptied. */
	start_over(self, variant);
	while (!l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1))
		;
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_enqueue(self->p, L3L2Q_OP_DATA, "x", 1, LONG_NS));
	start_over(self, variant);
	while (!l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1))
		;
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_reserve(self->p, 1, &span, LONG_NS));
}

TEST_F(end, s6_removal_while_receiving)
{
	struct l3l2q_message m, held[2];
	char body[100];

	/* Nothing is there, and nothing will be. */
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_peek(self->c, &m, LONG_NS));
	start_over(self, variant);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_dequeue(self->c, &m, body, sizeof(body), LONG_NS));
	/* A descriptor, or half of one, that is zeroes now. */
	start_over(self, variant);
	device_sends(peer_of(variant), 0, 0, 100);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_try_peek(self->c, &m));
	start_over(self, variant);
	device_sends(peer_of(variant), 0, 0, 0);
	status()->removed = 1;
	EXPECT_REMOVED(l3l2q_peek(self->c, &m, LONG_NS));
	/* A body that is zeroes by the time it is copied. */
	start_over(self, variant);
	device_sends(peer_of(variant), 0, 0, 100);
	ASSERT_EQ(0, l3l2q_try_peek(self->c, &m));
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_read_into(self->c, &m, body, sizeof(body)));
	/* Or when the view of it is given back. */
	start_over(self, variant);
	device_sends(peer_of(variant), 0, 0, 100);
	ASSERT_EQ(0, l3l2q_try_peek(self->c, &m));
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_release(self->c, &m));
	start_over(self, variant);
	device_sends(peer_of(variant), 0, 0, 8);
	device_sends(peer_of(variant), 1, 8, 8);
	ASSERT_EQ(2, l3l2q_try_peek_batch(self->c, held, 2));
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_release_batch(self->c, held, 2));
	/* The peer's nonsense is not to be blamed on it now. */
	start_over(self, variant);
	set(counter(l3l2q_ctr_tail(peer_of(variant))), 99);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_try_peek(self->c, &m));
}

TEST_F(end, s6_removal_on_the_endpoint)
{
	uint32_t gone = L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	struct l3l2q_message m;
	int32_t now;
	int i;

	remove_it(variant->role);
	EXPECT_EQ(gone, l3l2q_wait(self->ep, L3L2Q_EVENT_IN, LONG_NS));
	EXPECT_EQ(gone, l3l2q_arm(self->ep, L3L2Q_EVENT_IN));
	EXPECT_EQ(-ECONNABORTED, l3l2q_wait_counter(self->ep, 0, L3L2Q_CMP_EQ, 7, LONG_NS, &now));
	EXPECT_REMOVED(l3l2q_notify(self->ep, l3l2q_ctr_tail(variant->role) + 4, L3L2Q_NOTIFY_SET,
				    1));
	start_over(self, variant);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_eventfd(self->ep, L3L2Q_EVENTFD_IN, -1));
	start_over(self, variant);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_open_peer(self->ep));
	start_over(self, variant);
	remove_it(variant->role);
	EXPECT_REMOVED(l3l2q_detach(self->ep));
	/* A silent peer's: ARM fails, the look after it does not. */
	l3l2q_close(self->ep);
	drv.removed = false;
	ASSERT_EQ(0, end_make(self, variant, L3L2Q_PEER_SILENT));
	remove_it(variant->role);
	EXPECT_EQ(gone, l3l2q_arm(self->ep, L3L2Q_EVENT_IN));
	/* And who comes too late is told in words. */
	for (i = 0; i < 2; i++) {
		struct l3l2q_ep *ep;

		EXPECT_EQ(-ENODEV, l3l2q_attach(&ep, drv.fds[variant->role], NULL, &self->why));
		EXPECT_LT(8, strlen(self->why.text));
	}
}

struct sleeper {
	FIXTURE_DATA(end) *self;
	int how, ret;
};

static void *sleep_until_removed(void *arg)
{
	struct sleeper *s = arg;
	struct l3l2q_reservation span;
	struct l3l2q_message m;
	char body[16];

	switch (s->how) {
	case 0: s->ret = l3l2q_peek(s->self->c, &m, LONG_NS); break;
	case 1: s->ret = l3l2q_dequeue(s->self->c, &m, body, sizeof(body), LONG_NS); break;
	case 2: s->ret = l3l2q_enqueue(s->self->p, L3L2Q_OP_DATA, "x", 1, LONG_NS); break;
	case 3: s->ret = l3l2q_reserve(s->self->p, 1, &span, LONG_NS); break;
	case 4: s->ret = l3l2q_wait(s->self->ep, L3L2Q_EVENT_IN, LONG_NS); break;
	case 5:
		s->ret = l3l2q_wait_counter(s->self->ep, 0, L3L2Q_CMP_EQ, 77, LONG_NS, NULL);
		break;
	}
	return NULL;
}

TEST_F(end, s6_removal_wakes_sleepers)
{
	struct sleeper s = { .self = self };
	pthread_t t;

	for (s.how = 0; s.how < 6; s.how++) {
		start_over(self, variant);
		while (!l3l2q_try_enqueue(self->p, L3L2Q_OP_DATA, "x", 1))
			;
		__atomic_store_n(&drv.waits, 0, __ATOMIC_SEQ_CST);
		ASSERT_EQ(0, pthread_create(&t, NULL, sleep_until_removed, &s));
		while (!__atomic_load_n(&drv.waits, __ATOMIC_SEQ_CST))
			sched_yield();
		remove_it(variant->role);
		pthread_join(t, NULL);
		EXPECT_EQ(s.how == 4 ? (int)(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP) : -ECONNABORTED,
			  s.ret) {
			TH_LOG("how %d", s.how);
		}
		EXPECT_EQ(0, *counter(l3l2q_ctr_abort(variant->role)));
	}
}

/* A raw region has no flag: the status page alone tells. */
TEST(s6_removal_of_a_raw_region)
{
	struct l3l2q_attr attr = { .transport = "dmabuf:3", .payload_bytes = 256,
		.counter_bytes = 128, .flags = L3L2Q_ATTR_COHERENT };
	struct l3l2q_failure why;
	struct l3l2q_error error;
	struct l3l2q_ep *ep;
	char body[256];
	int how;

	for (how = 0; how < 4; how++) {
		drv.removed = false;
		ASSERT_EQ(0, l3l2q_create(&ep, &attr, &why));
		memset(body, 'x', sizeof(body));
		ASSERT_EQ(0, l3l2q_payload_write(ep, 0, body, sizeof(body)));
		remove_it(L3L2Q_ROLE_L3);
		switch (how) {
		case 0:
			EXPECT_EQ(-ECONNABORTED, l3l2q_payload_read(ep, 0, body, sizeof(body)));
			EXPECT_EQ(0, body[0]);
			break;
		case 1:
			EXPECT_EQ(-ECONNABORTED, l3l2q_payload_write(ep, 0, body, sizeof(body)));
			break;
		case 2:
			EXPECT_EQ(-ECONNABORTED, l3l2q_notify(ep, 0, L3L2Q_NOTIFY_ADD, 1));
			break;
		case 3:
			EXPECT_EQ(-ECONNABORTED, l3l2q_wait_counter(ep, 0, L3L2Q_CMP_EQ, 1, LONG_NS,
								    NULL));
			EXPECT_EQ(-ECONNABORTED, l3l2q_detach(ep));
			break;
		}
		l3l2q_ep_error(ep, &error);
		EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, error.kind);
		EXPECT_NE(NULL, strstr(error.message, "removed"));
		l3l2q_close(ep);
	}
}

TEST_HARNESS_MAIN
