// SPDX-License-Identifier: GPL-2.0-only
/* DETACH: the clean end, and what an endpoint still answers after it. */
#include "drv_util.h"

FIXTURE(detach)
{
	struct drv_pair p;
};

FIXTURE_SETUP(detach)
{
	drv_pair_queue(_metadata, &self->p);
}

FIXTURE_TEARDOWN(detach)
{
	drv_pair_close(&self->p);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)

TEST_F(detach, peer_hangs_up_without_abort)
{
	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_EQ(EPOLLHUP, drv_poll(L3->fd, POLLIN | POLLPRI, 0));
	EXPECT_EQ(0, drv_load(L3, L3L2Q_CTR_L2_ABORT));
	EXPECT_EQ(0, drv_load(L3, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, L3->status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, L3->status->state[L3L2Q_ROLE_L3]);
}

TEST_F(detach, unmapping_and_closing_afterwards_is_no_abort)
{
	EXPECT_EQ(0, drv_detach(L2->fd));
	drv_ep_unmap_all(L2);
	drv_ep_close(L2);
	EXPECT_EQ(EPOLLHUP, drv_poll(L3->fd, POLLIN | POLLPRI, 0));
	EXPECT_EQ(0, drv_load(L3, L3L2Q_CTR_L2_ABORT));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, L3->status->state[L3L2Q_ROLE_L2]);
}

TEST_F(detach, without_ever_mapping_is_no_abort)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(0, drv_detach(p.l2.fd));
	drv_ep_close(&p.l2);
	EXPECT_EQ(EPOLLHUP, drv_poll(p.l3.fd, POLLIN | POLLPRI, 0));
	EXPECT_EQ(0, drv_load_fd(p.l3.fd, L3L2Q_CTR_L2_ABORT));
	drv_pair_close(&p);
}

TEST_F(detach, mappings_stay)
{
	EXPECT_EQ(0, drv_detach(L2->fd));
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, 5);
	EXPECT_EQ(5, drv_load(L3, L3L2Q_CTR_INPUT_HEAD));
	L2->payload[0] = 7;
	EXPECT_EQ(7, L3->payload[0]);
}

TEST_F(detach, ends_active_use_with_eshutdown)
{
	int efd = drv_eventfd_new(), i, err;
	struct l3l2q_condition c = { 0 };

	EXPECT_EQ(0, drv_detach(L3->fd));
	EXPECT_EQ(-ESHUTDOWN, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	EXPECT_EQ(-ESHUTDOWN, drv_wait(L3->fd, L3L2Q_EVENT_OUT, NULL, 0, 0, NULL));
	EXPECT_EQ(-ESHUTDOWN, drv_wait(L3->fd, 0, &c, 1, 0, NULL));
	EXPECT_EQ(-ESHUTDOWN, drv_arm(L3->fd, L3L2Q_EVENT_IN));
	EXPECT_EQ(-ESHUTDOWN, drv_kick(L3->fd, 0));
	EXPECT_EQ(-ESHUTDOWN, drv_kick(L3->fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(-ESHUTDOWN, drv_eventfd(L3->fd, L3L2Q_EVENTFD_IN, efd));
	EXPECT_EQ(-ESHUTDOWN, drv_set_polling(L3->fd, L3L2Q_PEER_SILENT, 0, 0));
	EXPECT_EQ(-ESHUTDOWN, drv_open_peer(L3->fd));
	EXPECT_EQ(-ESHUTDOWN, drv_detach(L3->fd));
	for (i = 0; i < L3L2Q_MAPS; i++) {
		drv_mmap(L3->fd, &L3->info.map[i], PROT_READ, &err);
		EXPECT_EQ(-ESHUTDOWN, err);
	}
	EXPECT_EQ(0, drv_load(L3, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(0, drv_signals(efd));
	close(efd);
}

TEST_F(detach, looking_still_works)
{
	struct l3l2q_stats stats;
	struct l3l2q_info info;

	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 9);
	EXPECT_EQ(0, drv_detach(L3->fd));
	EXPECT_EQ(9, drv_load_fd(L3->fd, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(0, drv_info(L3->fd, &info));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, info.state);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, info.peer_state);
	EXPECT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_EQ(EPOLLHUP, drv_poll(L3->fd, 0, 0) & EPOLLHUP);
}

TEST_F(detach, the_peer_can_go_on_looking)
{
	struct l3l2q_info info;
	struct drv_waited w;

	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 1);
	EXPECT_EQ(0, drv_detach(L3->fd));
	EXPECT_EQ(POLLIN | POLLHUP, drv_poll(L2->fd, POLLIN | POLLPRI, 0));
	EXPECT_EQ(0, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, &w));
	EXPECT_EQ(L3L2Q_EVENT_IN | L3L2Q_EVENT_HUP, w.revents);
	EXPECT_EQ(0, drv_info(L2->fd, &info));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, info.peer_state);
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_INPUT_HEAD, 1));
	EXPECT_EQ(0, drv_kick(L2->fd, 0));
	EXPECT_EQ(0, drv_detach(L2->fd));
}

TEST_F(detach, wakes_every_sleeper_of_the_peer)
{
	struct drv_sleeper s[DRV_HOWS];
	int how;

	for (how = 0; how < DRV_HOWS; how++)
		drv_sleeper_start(_metadata, &s[how], how, L2->fd,
				  how == DRV_BY_EVENTFD ? L3L2Q_EVENT_ABORT : L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_detach(L3->fd));
	for (how = 0; how < DRV_HOWS; how++) {
		drv_sleeper_join(_metadata, &s[how]);
		EXPECT_EQ(0, s[how].ret);
		drv_sleeper_done(&s[how]);
	}
	EXPECT_EQ(L3L2Q_EVENT_HUP, s[DRV_BY_WAIT].waited.revents);
	EXPECT_EQ(EPOLLHUP, s[DRV_BY_POLL].polled);
	EXPECT_EQ(EPOLLHUP, s[DRV_BY_EPOLL].polled);
}

TEST_F(detach, wakes_every_sleeper_of_ones_own)
{
	struct drv_sleeper s[3];
	size_t i;

	drv_sleeper_start(_metadata, &s[0], DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &s[1], DRV_BY_POLL, L2->fd, L3L2Q_EVENT_IN);
	drv_sleeper_start(_metadata, &s[2], DRV_BY_EPOLL, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(0, drv_detach(L2->fd));
	for (i = 0; i < 3; i++) {
		drv_sleeper_join(_metadata, &s[i]);
		drv_sleeper_done(&s[i]);
	}
	EXPECT_EQ(-ESHUTDOWN, s[0].ret);
	EXPECT_TRUE(s[1].polled & EPOLLHUP);
	EXPECT_TRUE(s[2].polled & EPOLLHUP);
}

TEST_F(detach, of_both_ends_works_in_any_order)
{
	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_EQ(0, drv_detach(L3->fd));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, L3->status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(L3L2Q_STATE_DETACHED, L3->status->state[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_load(L3, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(0, drv_load(L3, L3L2Q_CTR_L2_ABORT));
}

TEST_F(detach, is_refused_to_another_process_that_holds_the_fd)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		EXPECT_EQ(-EPERM, drv_detach(L2->fd));
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, L3->status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(0, L3->status->gone[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, L3->status->state[L3L2Q_ROLE_L2]);
}

/* Not attached, it belongs to every process that has it. */
TEST_F(detach, of_an_end_that_no_process_attached_works_from_all)
{
	struct l3l2q_create create;
	struct drv_child child;
	struct drv_pair p;

	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	ASSERT_EQ(0, drv_ep_map(&p.l3));
	if (!drv_fork(_metadata, &child)) {
		EXPECT_EQ(0, drv_detach(p.l2.fd));
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, p.l3.status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(L3L2Q_GONE_DETACHED, p.l3.status->gone[L3L2Q_ROLE_L3]);
	drv_pair_close(&p);
}

/* ---- what the status page says of the other side ------------------------ */

TEST_F(detach, is_what_the_peer_reads_in_one_word)
{
	EXPECT_EQ(0, L3->status->gone[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_EQ(L3L2Q_GONE_DETACHED, L3->status->gone[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, L3->status->gone[L3L2Q_ROLE_L2]);
	/* unmapping afterwards is no death */
	drv_ep_unmap_all(L2);
	EXPECT_EQ(L3L2Q_GONE_DETACHED, L3->status->gone[L3L2Q_ROLE_L3]);
}

TEST_F(detach, an_abort_by_notify_is_told_at_once)
{
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, 0));
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, -1));
	EXPECT_EQ(0, L3->status->gone[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, 1));
	EXPECT_EQ(L3L2Q_GONE_ABORTED, L3->status->gone[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, L3->status->gone[L3L2Q_ROLE_L2]);
	/* and not taken back */
	EXPECT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_L2_ABORT, 0));
	EXPECT_EQ(L3L2Q_GONE_ABORTED, L3->status->gone[L3L2Q_ROLE_L3]);
}

TEST_F(detach, an_abort_by_a_store_is_told_at_a_kick)
{
	drv_store(L3, L3L2Q_CTR_L3_ABORT, 1);
	EXPECT_EQ(0, L2->status->gone[L3L2Q_ROLE_L2]);
	EXPECT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_EQ(L3L2Q_GONE_ABORTED, L2->status->gone[L3L2Q_ROLE_L2]);
	EXPECT_EQ(0, L2->status->gone[L3L2Q_ROLE_L3]);
}

TEST_F(detach, an_abort_by_a_store_is_told_at_the_detach)
{
	drv_store(L2, L3L2Q_CTR_L2_ABORT, 2);
	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_EQ(L3L2Q_GONE_ABORTED | L3L2Q_GONE_DETACHED, L3->status->gone[L3L2Q_ROLE_L3]);
}

TEST_F(detach, of_a_raw_region_is_told_too)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init_raw(&create, 4096, 512);
	drv_pair_create(_metadata, &p, &create);
	drv_pair_map(_metadata, &p);
	/* where a queue has its flag there is an ordinary counter */
	EXPECT_EQ(0, drv_set(p.l2.fd, L3L2Q_CTR_L2_ABORT, 1));
	EXPECT_EQ(0, drv_kick(p.l2.fd, 0));
	EXPECT_EQ(0, p.l3.status->gone[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_detach(p.l2.fd));
	EXPECT_EQ(L3L2Q_GONE_DETACHED, p.l3.status->gone[L3L2Q_ROLE_L3]);
	drv_ep_unmap_all(&p.l3);
	EXPECT_EQ(L3L2Q_GONE_ABORTED, p.l2.status->gone[L3L2Q_ROLE_L2]);
	drv_pair_close(&p);
}

struct detach_race {
	pthread_barrier_t start;
	struct drv_ep *ep;
};

static void *detach_unmapper(void *arg)
{
	struct detach_race *race = arg;

	pthread_barrier_wait(&race->start);
	drv_ep_unmap(race->ep, L3L2Q_MAP_COUNTERS);
	return NULL;
}

TEST_F(detach, racing_with_unmap_ends_in_one_state)
{
	struct detach_race race;
	pthread_t thread;
	__u32 state;
	int i, ret;

	for (i = 0; i < 50; i++) {
		race.ep = L2;
		pthread_barrier_init(&race.start, NULL, 2);
		ASSERT_EQ(0, pthread_create(&thread, NULL, detach_unmapper, &race));
		pthread_barrier_wait(&race.start);
		ret = drv_detach(L2->fd);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		state = L3->status->state[L3L2Q_ROLE_L2];
		EXPECT_EQ(ret ? L3L2Q_STATE_DEAD : L3L2Q_STATE_DETACHED, state);
		EXPECT_TRUE(ret == 0 || ret == -ESHUTDOWN);
		EXPECT_EQ(ret ? 1 : 0, drv_load(L3, L3L2Q_CTR_L2_ABORT));
		pthread_barrier_destroy(&race.start);
		drv_pair_close(&self->p);
		drv_pair_queue(_metadata, &self->p);
	}
}

/* ---- fdinfo ------------------------------------------------------------ */

static bool fdinfo_has(int fd, const char *text, char *all, size_t len)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return strstr(drv_read_file(path, all, len), text);
}

TEST_F(detach, fdinfo_describes_the_endpoint)
{
	const char *lines[] = {
		"\nl3l2q-role:\tL3\n", "\nl3l2q-depth:\t4\n", "\nl3l2q-state:\tattached\n",
		"\nl3l2q-peer-state:\tattached\n", "\t1234567\n", "\nl3l2q-notifies:\t1\n",
		"\nl3l2q-kicks:\t0\n", "\nl3l2q-input-arena-bytes:\t4096\n",
	};
	char all[4096];
	size_t i;

	EXPECT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1234567));
	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		EXPECT_TRUE(fdinfo_has(L3->fd, lines[i], all, sizeof(all)))
			TH_LOG("no '%s' in:\n%s", lines[i], all);
	}
	EXPECT_TRUE(fdinfo_has(L2->fd, "\nl3l2q-role:\tL2\n", all, sizeof(all)));
}

TEST_F(detach, fdinfo_follows_the_state)
{
	char all[4096];

	EXPECT_EQ(0, drv_detach(L2->fd));
	EXPECT_TRUE(fdinfo_has(L2->fd, "\nl3l2q-state:\tdetached\n", all, sizeof(all)));
	EXPECT_TRUE(fdinfo_has(L3->fd, "\nl3l2q-peer-state:\tdetached\n", all, sizeof(all)));
	drv_ep_unmap_all(L3);
	EXPECT_TRUE(fdinfo_has(L3->fd, "\nl3l2q-state:\tdead\n", all, sizeof(all)));
	EXPECT_TRUE(fdinfo_has(L2->fd, "\nl3l2q-peer-state:\tdead\n", all, sizeof(all)));
}

TEST_F(detach, fdinfo_of_a_raw_region_has_no_queue)
{
	struct l3l2q_create create;
	struct drv_pair p;
	char all[4096];

	drv_create_init_raw(&create, 4096, 64);
	drv_pair_create(_metadata, &p, &create);
	EXPECT_TRUE(fdinfo_has(p.l3.fd, "\nl3l2q-role:\tL3\n", all, sizeof(all)));
	EXPECT_FALSE(fdinfo_has(p.l3.fd, "\nl3l2q-depth", all, sizeof(all)));
	drv_pair_close(&p);
}

TEST_HARNESS_MAIN
