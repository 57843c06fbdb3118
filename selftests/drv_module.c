// SPDX-License-Identifier: GPL-2.0-only
/* The module cannot go while anything of it is in use. */
#include "drv_util.h"

#define REFCNT "/sys/module/l3l2q/refcnt"

static int module_refcnt(void)
{
	char buf[32];

	return atoi(drv_read_file(REFCNT, buf, sizeof(buf)));
}

static int module_remove(void)
{
	return drv_unload_module("l3l2q");
}

FIXTURE(module)
{
	struct drv_pair p;
	int idle;
};

FIXTURE_SETUP(module)
{
	struct l3l2q_create create;

	/* of what other processes hold; here none do */
	self->idle = module_refcnt();
	drv_create_init(&create);
	drv_pair_create(_metadata, &self->p, &create);
}

FIXTURE_TEARDOWN(module)
{
	drv_pair_close(&self->p);
}

/* In use, and rmmod is refused. */
static void module_stays(struct __test_metadata *_metadata, FIXTURE_DATA(module) *self)
{
	EXPECT_LT(self->idle, module_refcnt());
	EXPECT_EQ(-EAGAIN, module_remove());
	EXPECT_EQ(0, access(DRV_NODE, F_OK));
}

TEST_F(module, can_be_used)
{
	struct drv_sleeper s;

	drv_pair_map(_metadata, &self->p);
	drv_sleeper_start(_metadata, &s, DRV_BY_EPOLL, self->p.l2.fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_publish_tail(&self->p.l3, 1));
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
	drv_sleeper_done(&s);
	EXPECT_EQ(0, drv_detach(self->p.l3.fd));
}

TEST_F(module, stays_while_a_context_is_open)
{
	drv_ep_close(&self->p.l3);
	drv_ep_close(&self->p.l2);
	module_stays(_metadata, self);
}

TEST_F(module, stays_while_an_endpoint_is_open)
{
	close(self->p.ctx);
	self->p.ctx = -1;
	module_stays(_metadata, self);
	drv_ep_close(&self->p.l3);
	module_stays(_metadata, self);
}

TEST_F(module, stays_while_an_ended_endpoint_is_open)
{
	close(self->p.ctx);
	self->p.ctx = -1;
	EXPECT_EQ(0, drv_detach(self->p.l3.fd));
	drv_ep_close(&self->p.l2);
	module_stays(_metadata, self);
}

TEST_F(module, stays_while_only_a_mapping_is_left)
{
	int which, err;

	for (which = 0; which < L3L2Q_MAPS; which++) {
		struct drv_ep *l3 = &self->p.l3;

		l3->map[which] = drv_mmap(l3->fd, &l3->info.map[which], drv_map_prot(which), &err);
		ASSERT_EQ(0, err);
		close(self->p.ctx);
		self->p.ctx = -1;
		drv_ep_close(&self->p.l2);
		drv_ep_close(l3);
		module_stays(_metadata, self);
		*(volatile char *)l3->map[which];
		drv_pair_close(&self->p);
		EXPECT_EQ(self->idle, module_refcnt());
		module_setup(_metadata, self, NULL);
	}
}

TEST_F(module, stays_while_a_message_holds_an_endpoint)
{
	int sv[2];

	ASSERT_EQ(0, drv_socketpair(sv));
	ASSERT_TRUE(drv_send_fd(sv[0], self->p.l2.fd));
	drv_pair_close(&self->p);
	module_stays(_metadata, self);
	close(sv[0]);
	close(sv[1]);
	EXPECT_EQ(self->idle, module_refcnt());
}

TEST_F(module, is_free_once_all_is_closed)
{
	int efd = drv_eventfd_new(), epfd = epoll_create1(EPOLL_CLOEXEC);

	/* what users hold of other kinds keeps nothing */
	drv_pair_map(_metadata, &self->p);
	ASSERT_EQ(0, drv_eventfd(self->p.l3.fd, L3L2Q_EVENTFD_IN, efd));
	ASSERT_EQ(0, drv_epoll_add(epfd, self->p.l3.fd, EPOLLIN));
	ASSERT_EQ(0, drv_set_polling(self->p.l3.fd, L3L2Q_PEER_SILENT, 0, 0));
	EXPECT_EQ(L3L2Q_EVENT_OUT, drv_arm(self->p.l3.fd, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT));
	drv_pair_close(&self->p);
	EXPECT_EQ(self->idle, module_refcnt());
	close(efd);
	close(epfd);
}

TEST_HARNESS_MAIN
