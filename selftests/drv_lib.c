// SPDX-License-Identifier: GPL-2.0-only
/* The library over the driver: calls that fail take nothing. */
#include "npu_util.h"

#include <l3l2q.h>

FIXTURE(lib)
{
	struct l3l2q_attr attr;
	struct l3l2q_failure why;
	struct l3l2q_ep *l3, *l2;
	char transport[32];
	int dmabuf, fd;
};

FIXTURE_VARIANT(lib)
{
	const char *transport;
};

FIXTURE_VARIANT_ADD(lib, driver) { .transport = "driver" };
FIXTURE_VARIANT_ADD(lib, pci) { .transport = "pci" };
FIXTURE_VARIANT_ADD(lib, dmabuf) { .transport = "dmabuf:" };

/* The payload of another region as a dma-buf, which keeps it. */
static int lib_export(void)
{
	struct l3l2q_export_dmabuf export = { .size = sizeof(export), .fd = -1 };
	struct l3l2q_create create;
	int ctx = drv_open(), fd, ret;

	drv_create_init_raw(&create, 1u << 20, 64);
	fd = drv_create(ctx, &create);
	ret = fd < 0 ? fd : drv_ioctl(fd, L3L2Q_IOC_EXPORT_DMABUF, &export);
	close(fd);
	close(ctx);
	return ret ? ret : export.fd;
}

FIXTURE_SETUP(lib)
{
	int ctx = drv_open();

	ASSERT_LE(0, ctx);
	self->dmabuf = -1;
	strcpy(self->transport, variant->transport);
	self->attr = (struct l3l2q_attr){ .transport = self->transport, .depth = 4,
		.input_arena_bytes = 4096, .output_arena_bytes = 4096 };
	if (!strcmp(variant->transport, "pci"))
		NPU_REQUIRE(ctx, 1);
	close(ctx);
	if (!strcmp(variant->transport, "dmabuf:")) {
		self->dmabuf = lib_export();
		if (self->dmabuf == -EOPNOTSUPP)
			SKIP(return, "a kernel without dma-bufs");
		ASSERT_LE(0, self->dmabuf);
		snprintf(self->transport, sizeof(self->transport), "dmabuf:%d", self->dmabuf);
		self->attr.flags = L3L2Q_ATTR_COHERENT;
	}
	ASSERT_EQ(0, l3l2q_create(&self->l3, &self->attr, &self->why)) {
		TH_LOG("%s: %s", self->transport, self->why.text);
	}
	self->fd = l3l2q_open_peer(self->l3);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(lib)
{
	if (self->l2)
		l3l2q_close(self->l2);
	else if (self->fd > 0)
		close(self->fd);
	l3l2q_close(self->l3);
	if (self->dmabuf >= 0)
		close(self->dmabuf);
}

/* Neither end has noticed anything, and an attach that is right works. */
static void lib_untouched(struct __test_metadata *_metadata, FIXTURE_DATA(lib) *self)
{
	struct l3l2q_message m;
	struct l3l2q_info info;

	ASSERT_EQ(0, drv_info(self->fd, &info));
	EXPECT_EQ(L3L2Q_STATE_OPEN, info.state);
	EXPECT_EQ(L3L2Q_PEER_ARMS, info.peer_kind);
	EXPECT_EQ(0, drv_poll(l3l2q_fd(self->l3), POLLIN | POLLPRI, 0));
	ASSERT_EQ(0, l3l2q_attach(&self->l2, self->fd, NULL, &self->why)) {
		TH_LOG("%s", self->why.text);
	}
	EXPECT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(self->l3), L3L2Q_OP_DATA, "abc", 3));
	EXPECT_EQ(0, l3l2q_peek(l3l2q_ep_consumer(self->l2), &m, DRV_HANG_MS * 1000000ll));
	EXPECT_EQ(0, memcmp(m.data, "abc", 3));
	EXPECT_EQ(0, l3l2q_release(l3l2q_ep_consumer(self->l2), &m));
}

TEST_F(lib, an_attach_with_a_bad_window_takes_nothing)
{
	struct l3l2q_attr attr = { .window = 99, .flags = L3L2Q_ATTR_SILENT_PEER };
	int fds = drv_count_fds();

	EXPECT_EQ(-EINVAL, l3l2q_attach(&self->l2, self->fd, &attr, &self->why));
	EXPECT_NE(NULL, strstr(self->why.text, "99"));
	EXPECT_EQ(NULL, self->l2);
	EXPECT_EQ(fds, drv_count_fds());
	lib_untouched(_metadata, self);
}

TEST_F(lib, an_attach_needs_no_descriptor)
{
	struct rlimit old, none;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(0, l3l2q_attach(&self->l2, self->fd, NULL, &self->why));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
}

TEST_F(lib, an_attach_without_address_space_takes_nothing)
{
	struct rlimit old, none;
	int ret;

	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &old));
	none = old;
	none.rlim_cur = 4096;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &none));
	ret = l3l2q_attach(&self->l2, self->fd, NULL, &self->why);
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &old));
	EXPECT_EQ(-ENOMEM, ret);
	lib_untouched(_metadata, self);
}

TEST_F(lib, a_create_without_descriptors_says_so)
{
	struct rlimit old, none;
	struct l3l2q_ep *ep;
	int ret;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	ret = l3l2q_create(&ep, &self->attr, &self->why);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(-EMFILE, ret);
	EXPECT_NE(NULL, strstr(self->why.text, "descriptor"));
	lib_untouched(_metadata, self);
}

TEST_F(lib, attaching_what_is_attached_is_ebusy)
{
	int own = dup(l3l2q_fd(self->l3)), other = dup(self->fd);
	struct drv_child child;
	struct l3l2q_ep *ep;

	EXPECT_EQ(-EBUSY, l3l2q_attach(&ep, own, NULL, &self->why));
	EXPECT_EQ(NULL, ep);
	EXPECT_LE(0, fcntl(own, F_GETFD));
	lib_untouched(_metadata, self);
	EXPECT_EQ(-EBUSY, l3l2q_attach(&ep, other, NULL, &self->why));
	if (!drv_fork(_metadata, &child)) {
		struct l3l2q_attr silent = { .flags = L3L2Q_ATTR_SILENT_PEER };

		EXPECT_EQ(-EBUSY, l3l2q_attach(&ep, own, NULL, &self->why));
		EXPECT_EQ(-EBUSY, l3l2q_attach(&ep, other, &silent, &self->why));
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(0, drv_poll(l3l2q_fd(self->l3), POLLPRI, 0));
	EXPECT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(self->l3), L3L2Q_OP_DATA, "abc", 3));
	close(own);
	close(other);
}

TEST_F(lib, attaching_what_has_ended_is_eshutdown)
{
	int copy = dup(self->fd);
	struct l3l2q_ep *ep;

	lib_untouched(_metadata, self);
	l3l2q_close(self->l2);
	self->l2 = NULL;
	self->fd = -1;
	EXPECT_EQ(-ESHUTDOWN, l3l2q_attach(&ep, copy, NULL, &self->why));
	EXPECT_NE(NULL, strstr(self->why.text, "ended"));
	close(copy);
}

TEST_HARNESS_MAIN
