// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation and every user copy of a call fails once, by the kernel's
 * fault injection: the call either works or fails with an error that says so,
 * and leaves nothing behind. Where the kernel cannot inject, all is skipped.
 */
#include "npu_util.h"

#define MAX_NTH 400

struct fault_knob {
	const char *path;
	const char *value;
	char old[32];
	bool changed;
};

FIXTURE(fault)
{
	struct fault_knob knobs[8];
	int nth;	/* /proc/thread-self/fail-nth */
	int ctx;
	int fd;		/* of a fresh region, its peer not opened */
	int efd;
	int epfd;
	int buf;	/* a dma-buf */
	struct l3l2q_info info;
	struct l3l2q_observe observe;
};

static int fault_create(int ctx)
{
	struct l3l2q_create create;

	drv_create_init(&create);
	return drv_create(ctx, &create);
}

FIXTURE_SETUP(fault)
{
	const struct fault_knob knobs[] = {
		{ .path = "/sys/kernel/debug/failslab/ignore-gfp-wait", .value = "N" },
		{ .path = "/sys/kernel/debug/failslab/verbose", .value = "0" },
		/* slabs' own pages fail too then, with a warning if they are single */
		{ .path = "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", .value = "N" },
		{ .path = "/sys/kernel/debug/fail_page_alloc/min-order", .value = "1" },
		{ .path = "/sys/kernel/debug/fail_page_alloc/verbose", .value = "0" },
		{ .path = "/sys/kernel/debug/fail_usercopy/verbose", .value = "0" },
	};
	size_t i;

	self->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (self->nth < 0 || access(knobs[0].path, W_OK))
		SKIP(return, "this kernel cannot make allocations fail");
	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	self->fd = fault_create(self->ctx);
	ASSERT_LE(0, self->fd);
	self->efd = drv_eventfd_new();
	self->epfd = epoll_create1(EPOLL_CLOEXEC);
	for (i = 0; i < ARRAY_SIZE(knobs); i++) {
		self->knobs[i] = knobs[i];
		if (access(knobs[i].path, W_OK))
			continue;
		drv_read_file(knobs[i].path, self->knobs[i].old, sizeof(self->knobs[i].old));
		self->knobs[i].changed = !drv_write_file(knobs[i].path, knobs[i].value);
	}
}

FIXTURE_TEARDOWN(fault)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(self->knobs); i++)
		if (self->knobs[i].changed)
			drv_write_file(self->knobs[i].path, self->knobs[i].old);
	close(self->nth);
	close(self->ctx);
	close(self->fd);
	close(self->efd);
	close(self->epfd);
}

/* From now on this thread's @n-th chance to fail does. */
static void fault_begin(FIXTURE_DATA(fault) *self, int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(self->nth, text, (size_t)len, 0) != len)
		abort();
}

/* Did it? */
static bool fault_end(FIXTURE_DATA(fault) *self)
{
	char text[16] = "";
	ssize_t n = pread(self->nth, text, sizeof(text) - 1, 0);

	if (n > 0 && atoi(text) == 0)
		return true;
	/* reading copies to user space and may have been what failed */
	while (pwrite(self->nth, "0", 1, 0) != 1)
		;
	return false;
}

static bool fault_sane(int ret)
{
	return ret >= 0 || ret == -ENOMEM || ret == -EFAULT || ret == -EAGAIN || ret == -ENFILE;
}

/*
 * @call with each of its chances failing. @again, if any, undoes a success and
 * prepares the next one. Afterwards the call works and fds are as many.
 */
static void fault_sweep(struct __test_metadata *_metadata, FIXTURE_DATA(fault) *self,
			int (*call)(FIXTURE_DATA(fault) *self),
			void (*again)(FIXTURE_DATA(fault) *self, int ret))
{
	int n, ret, fds = drv_count_fds(), failed = 0;
	bool injected = true;

	for (n = 1; n < MAX_NTH && injected; n++) {
		fault_begin(self, n);
		ret = call(self);
		injected = fault_end(self);
		EXPECT_TRUE(fault_sane(ret))
			TH_LOG("chance %d: %d", n, ret);
		failed += ret < 0;
		again(self, ret);
		ASSERT_EQ(fds, drv_count_fds())
			TH_LOG("chance %d: an fd leaked", n);
	}
	EXPECT_GT(MAX_NTH, n)
		TH_LOG("never got through");
	/* n = 1 alone fails nothing only if the sweep does not work at all */
	EXPECT_LT(0, failed)
		TH_LOG("nothing was made to fail");
	ret = call(self);
	EXPECT_LE(0, ret);
	again(self, ret);
	EXPECT_EQ(fds, drv_count_fds());
}

static void fault_close(FIXTURE_DATA(fault) *self, int ret)
{
	(void)self;
	if (ret >= 0)
		close(ret);
}

static int fault_call_open(FIXTURE_DATA(fault) *self)
{
	(void)self;
	return drv_open();
}

TEST_F(fault, open)
{
	fault_sweep(_metadata, self, fault_call_open, fault_close);
}

static int fault_call_create(FIXTURE_DATA(fault) *self)
{
	return fault_create(self->ctx);
}

TEST_F(fault, create_a_queue)
{
	fault_sweep(_metadata, self, fault_call_create, fault_close);
}

static int fault_call_create_raw(FIXTURE_DATA(fault) *self)
{
	struct l3l2q_create create;

	drv_create_init_raw(&create, (5ul << 20) + 4096, 64);
	return drv_create(self->ctx, &create);
}

TEST_F(fault, create_a_larger_region)
{
	fault_sweep(_metadata, self, fault_call_create_raw, fault_close);
}

static int fault_call_create_npu(FIXTURE_DATA(fault) *self)
{
	struct l3l2q_query_device d;
	struct l3l2q_create create;

	if (npu_query_device(self->ctx, 0, &d))
		return -errno;
	npu_create_init_raw(&create, d.id, 3 << 20, 4096);
	return drv_create(self->ctx, &create);
}

TEST_F(fault, create_in_an_npu_window)
{
	struct l3l2q_query_device d;

	NPU_REQUIRE(self->ctx, 1);
	ASSERT_EQ(0, npu_query_device(self->ctx, 0, &d));
	fault_sweep(_metadata, self, fault_call_create_npu, fault_close);
	EXPECT_EQ(d.free_bytes, npu_free_bytes(self->ctx, d.id));
}

static void fault_renew(FIXTURE_DATA(fault) *self, int ret)
{
	int fd;

	if (ret > 0)
		close(ret);
	fd = fault_create(self->ctx);
	dup2(fd, self->fd);
	close(fd);
}

static int fault_call_open_peer(FIXTURE_DATA(fault) *self)
{
	return drv_open_peer(self->fd);
}

TEST_F(fault, open_peer)
{
	fault_sweep(_metadata, self, fault_call_open_peer, fault_renew);
}

TEST_F(fault, a_failed_open_peer_can_be_repeated)
{
	int n, ret, fds = drv_count_fds();
	bool injected = true;

	for (n = 1; n < MAX_NTH && injected; n++) {
		fault_begin(self, n);
		ret = drv_open_peer(self->fd);
		injected = fault_end(self);
		if (ret < 0)
			ret = drv_open_peer(self->fd);
		EXPECT_LE(0, ret)
			TH_LOG("chance %d: %d", n, ret);
		fault_renew(self, ret);
		ASSERT_EQ(fds, drv_count_fds());
	}
}

static void fault_nothing(FIXTURE_DATA(fault) *self, int ret)
{
	(void)self;
	(void)ret;
}

static int fault_call_eventfd(FIXTURE_DATA(fault) *self)
{
	return drv_eventfd(self->fd, L3L2Q_EVENTFD_IN, self->efd);
}

TEST_F(fault, eventfd)
{
	fault_sweep(_metadata, self, fault_call_eventfd, fault_nothing);
}

static int fault_call_wait(FIXTURE_DATA(fault) *self)
{
	struct l3l2q_condition c[L3L2Q_WAIT_MAX_CONDITIONS] = { 0 };

	return drv_wait(self->fd, L3L2Q_EVENT_IN, c, L3L2Q_WAIT_MAX_CONDITIONS, 0, NULL);
}

TEST_F(fault, wait)
{
	fault_sweep(_metadata, self, fault_call_wait, fault_nothing);
}

static int fault_call_observe(FIXTURE_DATA(fault) *self)
{
	return drv_observer(self->ctx, self->info.region.region_id, 0, &self->observe);
}

TEST_F(fault, observe)
{
	ASSERT_EQ(0, drv_info(self->fd, &self->info));
	fault_sweep(_metadata, self, fault_call_observe, fault_close);
}

static int fault_call_read(FIXTURE_DATA(fault) *self)
{
	char word[4];

	return drv_read_at(self->observe.fd, word, sizeof(word),
			   &self->observe.map[L3L2Q_MAP_COUNTERS], 0);
}

TEST_F(fault, read_by_an_observer)
{
	ASSERT_EQ(0, drv_info(self->fd, &self->info));
	ASSERT_LE(0, fault_call_observe(self));
	fault_sweep(_metadata, self, fault_call_read, fault_nothing);
	close(self->observe.fd);
}

static int fault_call_info(FIXTURE_DATA(fault) *self)
{
	return drv_info(self->fd, &self->info);
}

TEST_F(fault, info)
{
	fault_sweep(_metadata, self, fault_call_info, fault_nothing);
}

static int fault_call_notify(FIXTURE_DATA(fault) *self)
{
	return drv_set(self->fd, L3L2Q_CTR_INPUT_TAIL, 0);
}

TEST_F(fault, notify)
{
	fault_sweep(_metadata, self, fault_call_notify, fault_nothing);
}

static int fault_call_epoll(FIXTURE_DATA(fault) *self)
{
	return drv_epoll_add(self->epfd, self->fd, EPOLLIN);
}

static void fault_undo_epoll(FIXTURE_DATA(fault) *self, int ret)
{
	if (!ret)
		epoll_ctl(self->epfd, EPOLL_CTL_DEL, self->fd, NULL);
}

TEST_F(fault, epoll)
{
	fault_sweep(_metadata, self, fault_call_epoll, fault_undo_epoll);
}

/*
 * A failing mmap may end the role: the kernel undoes a mapping that it had
 * half made by closing it, which looks like munmap. So each gets a new region.
 */
static int fault_map_one(FIXTURE_DATA(fault) *self, int which)
{
	void *p;
	int err;

	p = drv_mmap(self->fd, &self->info.map[which], drv_map_prot(which), &err);
	if (!p)
		return err;
	munmap(p, self->info.map[which].length);
	return 0;
}

static int fault_call_map_counters(FIXTURE_DATA(fault) *self)
{
	return fault_map_one(self, L3L2Q_MAP_COUNTERS);
}

static int fault_call_map_payload(FIXTURE_DATA(fault) *self)
{
	return fault_map_one(self, L3L2Q_MAP_PAYLOAD);
}

static int fault_call_map_status(FIXTURE_DATA(fault) *self)
{
	return fault_map_one(self, L3L2Q_MAP_STATUS);
}

static int fault_call_map_control(FIXTURE_DATA(fault) *self)
{
	return fault_map_one(self, L3L2Q_MAP_CONTROL);
}

TEST_F(fault, mmap)
{
	ASSERT_EQ(0, drv_info(self->fd, &self->info));
	fault_sweep(_metadata, self, fault_call_map_counters, fault_renew);
	fault_sweep(_metadata, self, fault_call_map_payload, fault_renew);
	fault_sweep(_metadata, self, fault_call_map_status, fault_renew);
	fault_sweep(_metadata, self, fault_call_map_control, fault_renew);
}

static int fault_call_export(FIXTURE_DATA(fault) *self)
{
	struct l3l2q_export_dmabuf export = { .size = sizeof(export), .fd = -1 };
	int ret = drv_ioctl(self->fd, L3L2Q_IOC_EXPORT_DMABUF, &export);

	return ret ? ret : export.fd;
}

TEST_F(fault, export_a_dma_buf)
{
	fault_sweep(_metadata, self, fault_call_export, fault_close);
}

static int fault_call_import(FIXTURE_DATA(fault) *self)
{
	struct l3l2q_create create;

	drv_create_init(&create);
	create.backend = L3L2Q_BACKEND_DMABUF;
	create.flags = L3L2Q_CREATE_COHERENT;
	create.source = (__u64)self->buf;
	return drv_create(self->ctx, &create);
}

/* The kernel warns of exporters whose vmap fails, so let somebody have it. */
TEST_F(fault, import_a_dma_buf)
{
	int keeper;

	self->buf = fault_call_export(self);
	ASSERT_LE(0, self->buf);
	keeper = fault_call_import(self);
	ASSERT_LE(0, keeper);
	fault_sweep(_metadata, self, fault_call_import, fault_close);
	close(keeper);
	close(self->buf);
}

TEST_HARNESS_MAIN
