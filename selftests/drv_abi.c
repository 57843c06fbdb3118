// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules that all argument structures share, and which ioctl belongs to
 * which kind of file.
 */
#include "abi_layout.h"
#include "drv_util.h"

FIXTURE(abi)
{
	struct drv_pair p;
	int lonely;	/* an endpoint whose peer was not opened */
	char *page;	/* followed by an inaccessible one */
	size_t page_size;
	struct l3l2q_condition condition;
	int efd;
	int expect;
};

FIXTURE_VARIANT(abi)
{
	unsigned long cmd;
	size_t size;
	size_t first;	/* its size when it was first released, or 0 if that is it */
	size_t fd;	/* offset of a resulting fd, or 0 */
	bool context;
	bool copies_out;
	int expect;	/* of a good call */
	__u64 feature;	/* without it a good call is -EOPNOTSUPP */
};

#define ABI_VARIANT(name, NAME, ...)					\
	FIXTURE_VARIANT_ADD(abi, name) {				\
		.cmd = L3L2Q_IOC_##NAME,				\
		.size = sizeof(struct l3l2q_##name),			\
		__VA_ARGS__						\
	}

ABI_VARIANT(query, QUERY, .context = true, .copies_out = true);
ABI_VARIANT(query_device, QUERY_DEVICE, .context = true, .expect = -ENODEV);
ABI_VARIANT(create, CREATE, .context = true, .copies_out = true,
	    .fd = offsetof(struct l3l2q_create, fd));
ABI_VARIANT(query_region, QUERY_REGION, .first = 328, .context = true, .copies_out = true);
ABI_VARIANT(observe, OBSERVE, .context = true, .copies_out = true,
	    .fd = offsetof(struct l3l2q_observe, fd));
ABI_VARIANT(info, INFO, .copies_out = true);
ABI_VARIANT(open_peer, OPEN_PEER, .copies_out = true,
	    .fd = offsetof(struct l3l2q_open_peer, fd));
ABI_VARIANT(notify, NOTIFY);
ABI_VARIANT(test, TEST, .copies_out = true);
ABI_VARIANT(wait, WAIT, .copies_out = true);
ABI_VARIANT(arm, ARM, .copies_out = true);
ABI_VARIANT(eventfd, EVENTFD);
ABI_VARIANT(set_polling, SET_POLLING);
ABI_VARIANT(stats, STATS, .copies_out = true);
ABI_VARIANT(export_dmabuf, EXPORT_DMABUF, .copies_out = true,
	    .fd = offsetof(struct l3l2q_export_dmabuf, fd), .feature = L3L2Q_FEATURE_EXPORT);

FIXTURE_SETUP(abi)
{
	struct l3l2q_query query;

	self->lonely = -1;
	self->efd = drv_eventfd_new();
	self->page_size = (size_t)sysconf(_SC_PAGESIZE);
	self->page = mmap(NULL, 2 * self->page_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->page);
	ASSERT_EQ(0, mprotect(self->page + self->page_size, self->page_size, PROT_NONE));
	drv_pair_queue(_metadata, &self->p);
	ASSERT_EQ(0, drv_query(self->p.ctx, &query));
	self->expect = variant->feature & ~query.features ? -EOPNOTSUPP : variant->expect;
}

FIXTURE_TEARDOWN(abi)
{
	if (self->lonely >= 0)
		close(self->lonely);
	close(self->efd);
	drv_pair_close(&self->p);
}

/* Where a structure ends with the page. */
static void *abi_end(FIXTURE_DATA(abi) *self, size_t size)
{
	return self->page + self->page_size - size;
}

/* A good argument at @buf. */
static void abi_fill(struct __test_metadata *_metadata, FIXTURE_DATA(abi) *self,
		     const FIXTURE_VARIANT(abi) *variant, void *buf)
{
	struct l3l2q_create create;

	memset(buf, 0, variant->size);
	*(__u32 *)buf = (__u32)variant->size;
	switch (variant->cmd) {
	case L3L2Q_IOC_QUERY_DEVICE:
		((struct l3l2q_query_device *)buf)->id = ~0ull;
		break;
	case L3L2Q_IOC_CREATE:
		drv_create_init(buf);
		break;
	case L3L2Q_IOC_OBSERVE:
		((struct l3l2q_observe *)buf)->id = self->p.l3.info.region.region_id;
		break;
	case L3L2Q_IOC_OPEN_PEER:
		if (self->lonely >= 0)
			close(self->lonely);
		drv_create_init(&create);
		self->lonely = drv_create(self->p.ctx, &create);
		ASSERT_LE(0, self->lonely);
		break;
	case L3L2Q_IOC_WAIT:
		self->condition = (struct l3l2q_condition) { 0 };	/* 0 == 0 */
		((struct l3l2q_wait *)buf)->conditions = (uintptr_t)&self->condition;
		((struct l3l2q_wait *)buf)->nr_conditions = 1;
		((struct l3l2q_wait *)buf)->condition_size = sizeof(self->condition);
		break;
	case L3L2Q_IOC_EVENTFD:
		((struct l3l2q_eventfd *)buf)->fd = self->efd;
		break;
	case L3L2Q_IOC_EXPORT_DMABUF:
		((struct l3l2q_export_dmabuf *)buf)->fd = -1;
		break;
	}
}

static int abi_fd(FIXTURE_DATA(abi) *self, const FIXTURE_VARIANT(abi) *variant)
{
	if (variant->context)
		return self->p.ctx;
	return variant->cmd == L3L2Q_IOC_OPEN_PEER ? self->lonely : self->p.l3.fd;
}

static int abi_call(FIXTURE_DATA(abi) *self, const FIXTURE_VARIANT(abi) *variant,
		    void *buf)
{
	int ret = drv_ioctl(abi_fd(self, variant), variant->cmd, buf);

	if (!ret && variant->fd)
		close(*(int *)((char *)buf + variant->fd));
	return ret;
}

TEST_F(abi, good_struct_at_the_very_end_of_memory_works)
{
	void *buf = abi_end(self, variant->size);

	abi_fill(_metadata, self, variant, buf);
	EXPECT_EQ(self->expect, abi_call(self, variant, buf));
}

TEST_F(abi, short_struct_is_einval)
{
	size_t first = variant->first ? variant->first : variant->size;
	const size_t sizes[] = { 0, 1, 4, 7, 8, first / 2, first - 4, first - 1 };
	void *buf = abi_end(self, variant->size);
	int fds = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		abi_fill(_metadata, self, variant, buf);
		*(__u32 *)buf = (__u32)sizes[i];
		fds = drv_count_fds();
		EXPECT_EQ(-EINVAL, abi_call(self, variant, buf))
			TH_LOG("size %zu", sizes[i]);
		EXPECT_EQ(fds, drv_count_fds());
	}
}

TEST_F(abi, struct_as_first_released_works)
{
	size_t first = variant->first ? variant->first : variant->size, i;
	char *buf = abi_end(self, variant->size);

	abi_fill(_metadata, self, variant, buf);
	*(__u32 *)buf = (__u32)first;
	memset(buf + first, 0x5a, variant->size - first);
	EXPECT_EQ(self->expect, abi_call(self, variant, buf));
	for (i = first; i < variant->size; i++) {
		EXPECT_EQ(0x5a, buf[i]);
	}
}

TEST_F(abi, long_struct_with_zero_tail_is_accepted)
{
	const size_t tails[] = { 1, 4, 8, 64, 512 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tails); i++) {
		char *buf = abi_end(self, variant->size + tails[i]);

		memset(buf, 0, variant->size + tails[i]);
		abi_fill(_metadata, self, variant, buf);
		*(__u32 *)buf = (__u32)(variant->size + tails[i]);
		EXPECT_EQ(self->expect, abi_call(self, variant, buf))
			TH_LOG("tail %zu", tails[i]);
	}
}

/* Or a second call with it would be told of more room than there is. */
TEST_F(abi, size_stays_the_callers)
{
	const size_t sizes[] = { variant->first ? variant->first : variant->size, variant->size,
				 variant->size + 8 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		char *buf = abi_end(self, variant->size + 8);

		memset(buf, 0, variant->size + 8);
		abi_fill(_metadata, self, variant, buf);
		*(__u32 *)buf = (__u32)sizes[i];
		EXPECT_EQ(self->expect, abi_call(self, variant, buf));
		EXPECT_EQ(sizes[i], *(__u32 *)buf);
	}
}

TEST_F(abi, long_struct_with_nonzero_tail_is_e2big)
{
	const size_t tails[] = { 1, 4, 8, 64, 512 };
	size_t i, at;
	int fds;

	for (i = 0; i < ARRAY_SIZE(tails); i++) {
		char *buf = abi_end(self, variant->size + tails[i]);

		for (at = 0; at < tails[i]; at += tails[i] > 1 ? tails[i] - 1 : 1) {
			memset(buf, 0, variant->size + tails[i]);
			abi_fill(_metadata, self, variant, buf);
			*(__u32 *)buf = (__u32)(variant->size + tails[i]);
			buf[variant->size + at] = 1;
			fds = drv_count_fds();
			EXPECT_EQ(-E2BIG, abi_call(self, variant, buf))
				TH_LOG("tail %zu, byte %zu", tails[i], at);
			EXPECT_EQ(fds, drv_count_fds());
		}
	}
}

TEST_F(abi, absurd_size_is_refused)
{
	const __u32 sizes[] = { 1u << 20, INT_MAX, 1u << 31, UINT_MAX };
	void *buf = abi_end(self, variant->size);
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		abi_fill(_metadata, self, variant, buf);
		*(__u32 *)buf = sizes[i];
		ret = abi_call(self, variant, buf);
		EXPECT_TRUE(ret == -E2BIG || ret == -EFAULT)
			TH_LOG("size %u: %d", sizes[i], ret);
	}
}

TEST_F(abi, bytes_after_the_struct_are_not_written)
{
	char *buf = abi_end(self, variant->size + 64);
	size_t i;

	abi_fill(_metadata, self, variant, buf);
	memset(buf + variant->size, 0x5a, 64);
	EXPECT_EQ(self->expect, abi_call(self, variant, buf));
	for (i = 0; i < 64; i++) {
		EXPECT_EQ(0x5a, buf[variant->size + i]);
	}
}

TEST_F(abi, unknown_flags_are_einval)
{
	const int bits[] = { 4, 7, 15, 16, 30, 31 };
	void *buf = abi_end(self, variant->size);
	int fds;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		abi_fill(_metadata, self, variant, buf);
		((__u32 *)buf)[1] = 1u << bits[i];
		fds = drv_count_fds();
		EXPECT_EQ(-EINVAL, abi_call(self, variant, buf))
			TH_LOG("flag %d", bits[i]);
		EXPECT_EQ(fds, drv_count_fds());
	}
}

TEST_F(abi, bad_pointers_are_efault)
{
	char *end = self->page + self->page_size;

	abi_fill(_metadata, self, variant, abi_end(self, variant->size));
	EXPECT_EQ(-EFAULT, abi_call(self, variant, NULL));
	EXPECT_EQ(-EFAULT, abi_call(self, variant, end));
	EXPECT_EQ(-EFAULT, abi_call(self, variant, (void *)-4096l));
	/* the size can be read, the rest cannot */
	*(__u32 *)(end - 4) = (__u32)variant->size;
	EXPECT_EQ(-EFAULT, abi_call(self, variant, end - 4));
}

TEST_F(abi, failing_copy_out_leaves_nothing_behind)
{
	void *buf = abi_end(self, variant->size);
	int fds;

	abi_fill(_metadata, self, variant, buf);
	fds = drv_count_fds();
	ASSERT_EQ(0, mprotect(self->page, self->page_size, PROT_READ));
	/* without results read-only memory will do */
	EXPECT_EQ(variant->copies_out && !self->expect ? -EFAULT : self->expect,
		  abi_call(self, variant, buf));
	ASSERT_EQ(0, mprotect(self->page, self->page_size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(fds, drv_count_fds());
	/* and nothing was used up: the same call works now */
	EXPECT_EQ(self->expect, abi_call(self, variant, buf));
}

TEST_F(abi, foreign_fds_are_refused)
{
	void *buf = abi_end(self, variant->size);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), sv[2];

	ASSERT_LE(0, null);
	ASSERT_EQ(0, drv_socketpair(sv));
	abi_fill(_metadata, self, variant, buf);
	EXPECT_EQ(-ENOTTY, drv_ioctl(variant->context ? self->p.l3.fd : self->p.ctx,
				     variant->cmd, buf));
	EXPECT_EQ(-ENOTTY, drv_ioctl(self->efd, variant->cmd, buf));
	EXPECT_EQ(-ENOTTY, drv_ioctl(null, variant->cmd, buf));
	EXPECT_EQ(-ENOTTY, drv_ioctl(sv[0], variant->cmd, buf));
	EXPECT_EQ(-EBADF, drv_ioctl(-1, variant->cmd, buf));
	/* the kind of file decides before any argument does */
	EXPECT_EQ(-ENOTTY, drv_ioctl(variant->context ? self->p.l2.fd : self->p.ctx,
				     variant->cmd, NULL));
}

FIXTURE(fd)
{
	struct drv_pair p;
};

FIXTURE_SETUP(fd)
{
	drv_pair_queue(_metadata, &self->p);
}

FIXTURE_TEARDOWN(fd)
{
	drv_pair_close(&self->p);
}

TEST_F(fd, nonzero_padding_is_einval)
{
	struct l3l2q_create create;
	struct l3l2q_eventfd eventfd = { .size = sizeof(eventfd), .fd = drv_eventfd_new() };
	struct l3l2q_set_polling polling = { .size = sizeof(polling) };
	struct l3l2q_export_dmabuf export = { .size = sizeof(export), .fd = -1 };
	struct l3l2q_observe observe = { .size = sizeof(observe), .pad = 1,
		.id = self->p.l3.info.region.region_id };
	int fds = drv_count_fds();

	drv_create_init(&create);
	create.pad = 1;
	EXPECT_EQ(-EINVAL, drv_ioctl(self->p.ctx, L3L2Q_IOC_CREATE, &create));
	create.pad = 1u << 31;
	EXPECT_EQ(-EINVAL, drv_ioctl(self->p.ctx, L3L2Q_IOC_CREATE, &create));
	eventfd.pad = 1;
	EXPECT_EQ(-EINVAL, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EVENTFD, &eventfd));
	polling.pad = 1;
	EXPECT_EQ(-EINVAL, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_SET_POLLING, &polling));
	export.pad = 1;
	EXPECT_EQ(-EINVAL, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EXPORT_DMABUF, &export));
	EXPECT_EQ(-EINVAL, drv_ioctl(self->p.ctx, L3L2Q_IOC_OBSERVE, &observe));
	EXPECT_EQ(fds, drv_count_fds());
	close(eventfd.fd);
}

/* Fields that a later version may give a meaning to, or a caller got wrong. */
TEST_F(fd, removing_an_eventfd_names_kind_and_slot_only)
{
	const struct l3l2q_eventfd good = {
		.size = sizeof(good), .kind = L3L2Q_EVENTFD_COUNTER, .slot = 3, .fd = -1 };
	struct l3l2q_eventfd remove = good;
	int efd = drv_eventfd_new(), ret;
	__u32 kind;

	ASSERT_EQ(0, drv_eventfd_counter(self->p.l3.fd, 3, efd, 64, L3L2Q_CMP_GT, 5));
#define REMOVE_IS_EINVAL(change)						\
	do {									\
		remove = good;							\
		remove.change;							\
		EXPECT_EQ(-EINVAL, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EVENTFD, &remove)); \
	} while (0)
	REMOVE_IS_EINVAL(cmp = L3L2Q_CMP_GT);
	REMOVE_IS_EINVAL(cmp = 99);
	REMOVE_IS_EINVAL(offset = 64);
	REMOVE_IS_EINVAL(offset = 1ull << 32);
	REMOVE_IS_EINVAL(value = 5);
	REMOVE_IS_EINVAL(pad = 1);
	for (kind = L3L2Q_EVENTFD_IN; kind <= L3L2Q_EVENTFD_ABORT; kind++) {
		remove = good;
		remove.kind = kind;
		EXPECT_EQ(-EINVAL, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EVENTFD, &remove));
		remove.slot = 0;
		remove.value = 1;
		EXPECT_EQ(-EINVAL, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EVENTFD, &remove));
		remove.value = 0;
		ret = drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EVENTFD, &remove);
		EXPECT_EQ(-ENOENT, ret);
	}
	/* it was there all along */
	remove = good;
	EXPECT_EQ(0, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EVENTFD, &remove));
	EXPECT_EQ(-ENOENT, drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EVENTFD, &remove));
	close(efd);
}

TEST_F(fd, unknown_ioctls_are_enotty)
{
	char buf[256] = { 0 };
	int nr;

	for (nr = 0; nr < 256; nr++) {
		unsigned long cmd = _IO(L3L2Q_IOC_TYPE, nr);
		bool ctx = nr <= 4, ep = nr >= 0x10 && nr <= 0x1c;

		if (!ctx) {
			EXPECT_EQ(-ENOTTY, drv_ioctl(self->p.ctx, cmd, buf))
				TH_LOG("nr %#x on a context", nr);
		}
		if (!ep) {
			EXPECT_EQ(-ENOTTY, drv_ioctl(self->p.l3.fd, cmd, buf))
				TH_LOG("nr %#x on an endpoint", nr);
		}
	}
	/* the right number of another type, direction or size */
	EXPECT_EQ(-ENOTTY, drv_ioctl(self->p.l3.fd, _IO(0xE2, 0x10), buf));
	EXPECT_EQ(-ENOTTY, drv_ioctl(self->p.l3.fd, _IOWR(L3L2Q_IOC_TYPE, 0x10, char[16]), buf));
	EXPECT_EQ(-ENOTTY, drv_ioctl(self->p.ctx, _IOWR(L3L2Q_IOC_TYPE, 0x00, char[16]), buf));
}

TEST_F(fd, plain_argument_ioctls_belong_to_endpoints)
{
	int efd = drv_eventfd_new();

	EXPECT_EQ(-ENOTTY, drv_kick(self->p.ctx, 0));
	EXPECT_EQ(-ENOTTY, drv_detach(self->p.ctx));
	EXPECT_EQ(-ENOTTY, drv_kick(efd, 0));
	EXPECT_EQ(-ENOTTY, drv_detach(efd));
	close(efd);
}

TEST_F(fd, unknown_kick_bits_are_einval)
{
	EXPECT_EQ(0, drv_kick(self->p.l3.fd, 0));
	EXPECT_EQ(0, drv_kick(self->p.l3.fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(-EINVAL, drv_kick(self->p.l3.fd, 2));
	EXPECT_EQ(-EINVAL, drv_kick(self->p.l3.fd, 3));
	EXPECT_EQ(-EINVAL, drv_kick(self->p.l3.fd, 1ul << 31));
	EXPECT_EQ(-EINVAL, drv_kick(self->p.l3.fd, ~0ul));
	EXPECT_EQ(-EINVAL, drv_kick(self->p.l3.fd, 1ul << (sizeof(long) * 8 - 1)));
}

TEST_F(fd, unknown_detach_bits_are_einval_and_do_not_detach)
{
	EXPECT_EQ(-EINVAL, drv_errno(ioctl(self->p.l3.fd, L3L2Q_IOC_DETACH, 1ul)));
	EXPECT_EQ(-EINVAL, drv_errno(ioctl(self->p.l3.fd, L3L2Q_IOC_DETACH, 1ul << 31)));
	EXPECT_EQ(-EINVAL, drv_errno(ioctl(self->p.l3.fd, L3L2Q_IOC_DETACH, ~0ul)));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->p.l2.status->state[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_kick(self->p.l3.fd, 0));
}

TEST_F(fd, interrupt_takes_no_argument)
{
	EXPECT_EQ(-EINVAL, drv_errno(ioctl(self->p.l3.fd, L3L2Q_IOC_INTERRUPT, 1ul)));
	EXPECT_EQ(-EINVAL, drv_errno(ioctl(self->p.l3.fd, L3L2Q_IOC_INTERRUPT, ~0ul)));
	EXPECT_EQ(-ENOTTY, drv_errno(ioctl(self->p.ctx, L3L2Q_IOC_INTERRUPT, 0ul)));
}

/* Calls that change something, on an endpoint that another process attached. */
static void foreign_changes(struct __test_metadata *_metadata, int fd, bool raw)
{
	struct l3l2q_export_dmabuf export = { .size = sizeof(export), .fd = -1 };
	struct l3l2q_query query;
	int ctx = drv_open(), efd = drv_eventfd_new();

	ASSERT_EQ(0, drv_query(ctx, &query));
	EXPECT_EQ(-EPERM, drv_set(fd, 0, 7));
	EXPECT_EQ(-EPERM, drv_notify(fd, 0, L3L2Q_NOTIFY_ADD, 7));
	EXPECT_EQ(-EPERM, drv_kick(fd, 0));
	EXPECT_EQ(-EPERM, drv_kick(fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(-EPERM, drv_arm(fd, raw ? 0 : L3L2Q_EVENT_IN));
	EXPECT_EQ(-EPERM, drv_eventfd(fd, L3L2Q_EVENTFD_ABORT, efd));
	EXPECT_EQ(-EPERM, drv_eventfd(fd, L3L2Q_EVENTFD_ABORT, -1));
	EXPECT_EQ(-EPERM, drv_eventfd_counter(fd, 0, efd, 0, L3L2Q_CMP_EQ, 0));
	EXPECT_EQ(-EPERM, drv_set_polling(fd, L3L2Q_PEER_SILENT, 0, 0));
	EXPECT_EQ(-EPERM, drv_open_peer(fd));
	EXPECT_EQ(-EPERM, drv_ioctl(fd, L3L2Q_IOC_EXPORT_DMABUF, &export));
	EXPECT_EQ(-EPERM, drv_errno(ioctl(fd, L3L2Q_IOC_INTERRUPT, 0ul)));
	EXPECT_EQ(-EPERM, drv_detach(fd));
	EXPECT_EQ(0, drv_signals(efd));
	close(efd);
	close(ctx);
}

/* And the others, which work everywhere. */
static void foreign_looks(struct __test_metadata *_metadata, int fd)
{
	struct l3l2q_condition condition = { .cmp = L3L2Q_CMP_EQ };
	struct l3l2q_stats stats;
	struct l3l2q_info info;

	EXPECT_EQ(0, drv_info(fd, &info));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, info.state);
	EXPECT_EQ(1, drv_test(fd, 0, L3L2Q_CMP_EQ, 0, NULL));
	EXPECT_EQ(0, drv_wait(fd, 0, &condition, 1, L3L2Q_WAIT_FOREVER, NULL));
	condition.value = 1;
	EXPECT_EQ(-ETIMEDOUT, drv_wait(fd, 0, &condition, 1, drv_now() + 1000, NULL));
	EXPECT_EQ(0, drv_stats(fd, &stats));
	EXPECT_EQ(0, drv_poll(fd, POLLIN | POLLPRI, 0));
}

static void foreign(struct __test_metadata *_metadata, const struct drv_pair *p, bool raw)
{
	const struct drv_ep *ends[] = { &p->l3, &p->l2 };
	struct drv_child child;
	size_t i;

	if (!drv_fork(_metadata, &child)) {
		for (i = 0; i < ARRAY_SIZE(ends); i++) {
			foreign_changes(_metadata, ends[i]->fd, raw);
			foreign_looks(_metadata, ends[i]->fd);
			close(ends[i]->fd);
		}
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_EQ(0, drv_reap(&child));
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		EXPECT_EQ(L3L2Q_STATE_ATTACHED, ends[i]->status->state[ends[i]->role]);
		EXPECT_EQ(0, ends[i]->status->gone[ends[i]->role]);
		EXPECT_EQ(0, drv_load(ends[i], 0));
		EXPECT_EQ(0, drv_kick(ends[i]->fd, 0));
	}
}

TEST_F(fd, another_process_may_look_but_change_nothing)
{
	foreign(_metadata, &self->p, false);
}

TEST_F(fd, another_process_may_look_but_change_nothing_of_a_raw_region)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init_raw(&create, 4096, 64);
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	foreign(_metadata, &p, true);
	drv_pair_close(&p);
}

/* It shares the address space, hence it is the same process. */
TEST_F(fd, a_thread_and_a_vfork_child_may_change)
{
	int status;
	pid_t pid;

	pid = vfork();
	if (!pid)
		_exit(ioctl(self->p.l3.fd, L3L2Q_IOC_KICK, 0ul) ? 1 : 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(fd, endpoints_cannot_be_read_or_written)
{
	char buf[64] = { 0 };

	EXPECT_EQ(-EINVAL, drv_errno(read(self->p.l3.fd, buf, sizeof(buf))));
	EXPECT_EQ(-EINVAL, drv_errno(write(self->p.l3.fd, buf, sizeof(buf))));
	EXPECT_EQ(-EINVAL, drv_errno(read(self->p.ctx, buf, sizeof(buf))));
	EXPECT_EQ(-EINVAL, drv_errno(write(self->p.ctx, buf, sizeof(buf))));
}

TEST_F(fd, endpoints_are_close_on_exec)
{
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->p.l3.fd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->p.l2.fd, F_GETFD));
}

TEST_F(fd, a_context_cannot_be_mapped)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->p.ctx, 0));
}

TEST_F(fd, a_dup_is_the_same_endpoint)
{
	int dup_fd = dup(self->p.l3.fd);
	struct l3l2q_stats stats;

	ASSERT_LE(0, dup_fd);
	EXPECT_EQ(0, drv_set(dup_fd, L3L2Q_CTR_INPUT_TAIL, 3));
	EXPECT_EQ(0, drv_stats(self->p.l3.fd, &stats));
	EXPECT_EQ(1, stats.notifies);
	/* closing one of two is no death */
	close(self->p.l3.fd);
	self->p.l3.fd = dup_fd;
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->p.l2.status->state[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_load(&self->p.l2, L3L2Q_CTR_L3_ABORT));
}

TEST_HARNESS_MAIN
