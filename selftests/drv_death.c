// SPDX-License-Identifier: GPL-2.0-only
/*
 * A side that ends without DETACH is dead, however it ended and whoever still
 * has copies of its fd; the other side hears of it in every way there is.
 */
#include "drv_util.h"

#define HOLD_ENV "DRV_DEATH_HOLD"

/* In the image that a test execs: hold what was inherited until told. */
__attribute__((constructor)) static void hold_if_told(void)
{
	const char *sock = getenv(HOLD_ENV);

	if (sock) {
		drv_say(atoi(sock), 'x');
		drv_hear_forever(atoi(sock));
	}
}

enum moment {
	IDLE,
	IN_WAIT,
	IN_POLL,
	IN_EPOLL,
	MID_MESSAGE,
	BUSY,
};

FIXTURE(death)
{
	struct drv_pair p;
	struct drv_ep *dead;	/* the child's, not mapped here */
	struct drv_ep *left;	/* mapped here */
	struct drv_child child;
	int efd;
};

FIXTURE_VARIANT(death)
{
	__u32 role;
	enum moment moment;
};

FIXTURE_VARIANT_ADD(death, l3_idle) { L3L2Q_ROLE_L3, IDLE };
FIXTURE_VARIANT_ADD(death, l3_in_wait) { L3L2Q_ROLE_L3, IN_WAIT };
FIXTURE_VARIANT_ADD(death, l3_in_poll) { L3L2Q_ROLE_L3, IN_POLL };
FIXTURE_VARIANT_ADD(death, l3_in_epoll) { L3L2Q_ROLE_L3, IN_EPOLL };
FIXTURE_VARIANT_ADD(death, l3_mid_message) { L3L2Q_ROLE_L3, MID_MESSAGE };
FIXTURE_VARIANT_ADD(death, l3_busy) { L3L2Q_ROLE_L3, BUSY };
FIXTURE_VARIANT_ADD(death, l2_idle) { L3L2Q_ROLE_L2, IDLE };
FIXTURE_VARIANT_ADD(death, l2_in_wait) { L3L2Q_ROLE_L2, IN_WAIT };
FIXTURE_VARIANT_ADD(death, l2_in_poll) { L3L2Q_ROLE_L2, IN_POLL };
FIXTURE_VARIANT_ADD(death, l2_in_epoll) { L3L2Q_ROLE_L2, IN_EPOLL };
FIXTURE_VARIANT_ADD(death, l2_mid_message) { L3L2Q_ROLE_L2, MID_MESSAGE };
FIXTURE_VARIANT_ADD(death, l2_busy) { L3L2Q_ROLE_L2, BUSY };

/* The first descriptor of what a role produces. */
static struct l3l2q_desc *death_ring(const struct drv_ep *ep)
{
	return (void *)(ep->payload + (ep->role == L3L2Q_ROLE_L3 ? 0 :
				       ep->info.queue.depth * L3L2Q_DESC_BYTES));
}

/* What the side that will die does. */
static void death_act(struct drv_ep *ep, enum moment moment, int sock)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct pollfd pfd = { .fd = ep->fd, .events = POLLIN };
	struct epoll_event event;
	struct l3l2q_desc *desc;
	struct drv_waited w;
	__u32 i;

	/* a first message is all there, whatever follows */
	drv_publish_tail(ep, 1);
	if (moment == MID_MESSAGE) {
		desc = death_ring(ep) + 1;
		desc->opcode = L3L2Q_OP_DATA;
		desc->payload_nbytes = 64;
		desc->seq = 2;
	}
	drv_epoll_add(epfd, ep->fd, EPOLLIN);
	drv_say(sock, 'r');
	switch (moment) {
	case IN_WAIT:
		drv_wait(ep->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, &w);
		break;
	case IN_POLL:
		syscall(__NR_ppoll, &pfd, 1, NULL, NULL, 8);
		break;
	case IN_EPOLL:
		syscall(__NR_epoll_pwait, epfd, &event, 1, -1, NULL, 8);
		break;
	case BUSY:
		/* a late kick after the death of the peer would be harmless */
		for (i = 0;; i++) {
			drv_notify(ep->fd, l3l2q_ctr_head(l3l2q_peer_role(ep->role)),
				   L3L2Q_NOTIFY_SET, 0);
			drv_kick(ep->fd, i & 1);
			drv_poll(ep->fd, POLLIN, 0);
		}
	default:
		drv_hear_forever(sock);
	}
	_exit(1);
}

static long death_nr(enum moment moment)
{
	switch (moment) {
	case IN_WAIT:
		return __NR_ioctl;
	case IN_POLL:
		return __NR_ppoll;
	case IN_EPOLL:
		return __NR_epoll_pwait;
	case BUSY:
		return -1;
	default:
		return __NR_recvfrom;
	}
}

FIXTURE_SETUP(death)
{
	struct l3l2q_create create;
	long nr = death_nr(variant->moment);

	drv_create_init(&create);
	/* the survivor is the creator half of the time */
	create.role = variant->moment & 1 ? L3L2Q_ROLE_L2 : L3L2Q_ROLE_L3;
	drv_pair_create(_metadata, &self->p, &create);
	self->dead = variant->role == L3L2Q_ROLE_L3 ? &self->p.l3 : &self->p.l2;
	self->left = variant->role == L3L2Q_ROLE_L3 ? &self->p.l2 : &self->p.l3;
	self->efd = drv_eventfd_new();
	ASSERT_EQ(0, drv_ep_map(self->left));
	if (!drv_fork(_metadata, &self->child)) {
		ASSERT_EQ(0, drv_ep_map(self->dead));
		death_act(self->dead, variant->moment, self->child.sock);
	}
	ASSERT_EQ('r', drv_hear(self->child.sock));
	if (nr >= 0) {
		ASSERT_TRUE(drv_asleep(self->child.pid, self->child.pid, nr));
	}
	ASSERT_EQ(0, drv_eventfd(self->left->fd, L3L2Q_EVENTFD_ABORT, self->efd));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->left->status->state[variant->role]);
	EXPECT_EQ(0, drv_poll(self->left->fd, POLLPRI, 0));
	EXPECT_EQ(0, drv_signals(self->efd));
}

FIXTURE_TEARDOWN(death)
{
	close(self->efd);
	drv_pair_close(&self->p);
}

/* All that the survivor must see once the other is dead. */
static void death_seen(struct __test_metadata *_metadata, struct drv_ep *left, int efd)
{
	__u32 dead = l3l2q_peer_role(left->role);
	struct l3l2q_info info;
	struct drv_waited w;

	EXPECT_EQ(DRV_DEAD, drv_poll(left->fd, POLLPRI, DRV_HANG_MS));
	EXPECT_EQ(1, drv_load(left, l3l2q_ctr_abort(dead)));
	EXPECT_EQ(0, drv_load(left, l3l2q_ctr_abort(left->role)))
		TH_LOG("the survivor's own flag was set");
	EXPECT_EQ(L3L2Q_STATE_DEAD, left->status->state[dead]);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, left->status->state[left->role]);
	EXPECT_EQ(0, left->status->removed);
	EXPECT_EQ(L3L2Q_GONE_ABORTED, left->status->gone[left->role]);
	EXPECT_EQ(0, left->status->gone[dead]);
	EXPECT_EQ(1, drv_signals_wait(efd));
	ASSERT_EQ(0, drv_info(left->fd, &info));
	EXPECT_EQ(L3L2Q_STATE_DEAD, info.peer_state);
	EXPECT_EQ(0, drv_wait(left->fd, L3L2Q_EVENT_ABORT, NULL, 0, L3L2Q_WAIT_FOREVER, &w));
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, w.revents);
}

TEST_F(death, by_kill_9_is_seen)
{
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&self->child));
	death_seen(_metadata, self->left, self->efd);
}

TEST_F(death, by_kill_9_wakes_every_sleeper)
{
	struct drv_sleeper s[DRV_HOWS];
	int how;

	/* full, so that nothing else ends a wait for OUT */
	drv_producer(self->left, L3L2Q_PRODUCER_NEED, 1);
	drv_consumer(self->left, L3L2Q_CONSUMER_HOLD, 0);
	for (how = 0; how < DRV_HOWS; how++) {
		drv_sleeper_start(_metadata, &s[how], how, self->left->fd,
				  how == DRV_BY_EVENTFD ? L3L2Q_EVENT_ABORT :
				  L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT | L3L2Q_EVENT_ABORT);
	}
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&self->child));
	for (how = 0; how < DRV_HOWS; how++) {
		drv_sleeper_join(_metadata, &s[how]);
		EXPECT_TRUE(drv_sleeper_saw(&s[how], L3L2Q_EVENT_ABORT))
			TH_LOG("way %d", how);
		drv_sleeper_done(&s[how]);
	}
}

TEST_F(death, keeps_what_was_published_and_hides_what_was_not)
{
	__u32 tail = l3l2q_ctr_tail(variant->role);

	EXPECT_EQ(1000 + SIGKILL, drv_kill(&self->child));
	EXPECT_EQ(1, drv_load(self->left, tail));
	EXPECT_EQ(POLLIN, drv_poll(self->left->fd, POLLIN, 0) & POLLIN);
	drv_consumer(self->left, L3L2Q_CONSUMER_SEEN, 1);
	EXPECT_EQ(0, drv_poll(self->left->fd, POLLIN, 0) & POLLIN);
}

TEST_F(death, is_not_hidden_by_other_holders_of_the_fd)
{
	struct drv_child holder;
	int sv[2];

	/* a child, a message in flight, and this process itself */
	ASSERT_EQ(0, drv_socketpair(sv));
	ASSERT_TRUE(drv_send_fd(sv[0], self->dead->fd));
	if (!drv_fork(_metadata, &holder)) {
		drv_say(holder.sock, 'h');
		drv_hear_forever(holder.sock);
	}
	ASSERT_EQ('h', drv_hear(holder.sock));
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&self->child));
	death_seen(_metadata, self->left, self->efd);
	drv_kill(&holder);
}

TEST_F(death, is_final_for_the_dead_end)
{
	int fd, sv[2], err;

	/* the fd that was in flight then is good for looking only */
	ASSERT_EQ(0, drv_socketpair(sv));
	ASSERT_TRUE(drv_send_fd(sv[0], self->dead->fd));
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&self->child));
	fd = drv_recv_fd(sv[1]);
	ASSERT_LE(0, fd);
	drv_mmap(fd, &self->dead->info.map[L3L2Q_MAP_COUNTERS], PROT_READ | PROT_WRITE, &err);
	EXPECT_EQ(-ESHUTDOWN, err);
	EXPECT_EQ(-ESHUTDOWN, drv_set(fd, l3l2q_ctr_abort(variant->role), 0));
	EXPECT_EQ(-ESHUTDOWN, drv_wait(fd, L3L2Q_EVENT_IN, NULL, 0, 0, NULL));
	EXPECT_EQ(-ESHUTDOWN, drv_arm(fd, L3L2Q_EVENT_IN));
	EXPECT_EQ(-ESHUTDOWN, drv_kick(fd, 0));
	EXPECT_EQ(-ESHUTDOWN, drv_detach(fd));
	EXPECT_EQ(1, drv_load_fd(fd, l3l2q_ctr_abort(variant->role)));
	EXPECT_EQ(EPOLLHUP, drv_poll(fd, 0, 0) & EPOLLHUP);
	death_seen(_metadata, self->left, self->efd);
}

TEST_F(death, leaves_the_survivor_able_to_finish)
{
	struct drv_ep *left = self->left;
	__u32 head = l3l2q_ctr_head(variant->role);
	struct l3l2q_stats stats;
	int efd = drv_eventfd_new(), err;
	void *p;

	EXPECT_EQ(1000 + SIGKILL, drv_kill(&self->child));
	EXPECT_EQ(0, drv_set(left->fd, head, 1));
	EXPECT_EQ(1, drv_load_fd(left->fd, head));
	EXPECT_EQ(0, drv_kick(left->fd, 0));
	EXPECT_EQ(0, drv_kick(left->fd, L3L2Q_KICK_SELF));
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP,
		  drv_arm(left->fd, 0) & ~(L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT));
	EXPECT_EQ(0, drv_eventfd(left->fd, L3L2Q_EVENTFD_ABORT, efd));
	EXPECT_EQ(1, drv_signals(efd));
	EXPECT_EQ(0, drv_set_polling(left->fd, L3L2Q_PEER_SILENT, 0, 0));
	EXPECT_EQ(0, drv_stats(left->fd, &stats));
	EXPECT_GT(0, drv_open_peer(left->fd));
	p = drv_mmap(left->fd, &left->info.map[L3L2Q_MAP_PAYLOAD], PROT_READ | PROT_WRITE, &err);
	EXPECT_EQ(0, err);
	munmap(p, left->info.map[L3L2Q_MAP_PAYLOAD].length);
	left->payload[0] = 1;
	EXPECT_EQ(0, drv_detach(left->fd));
	close(efd);
}

/* ---- other ways to die ------------------------------------------------- */

FIXTURE(ways)
{
	struct drv_pair p;
	struct drv_child child;
	int efd;
};

FIXTURE_SETUP(ways)
{
	struct l3l2q_create create;

	drv_create_init(&create);
	drv_pair_create(_metadata, &self->p, &create);
	ASSERT_EQ(0, drv_ep_map(&self->p.l3));
	self->efd = drv_eventfd_new();
	ASSERT_EQ(0, drv_eventfd(self->p.l3.fd, L3L2Q_EVENTFD_ABORT, self->efd));
}

FIXTURE_TEARDOWN(ways)
{
	close(self->efd);
	drv_pair_close(&self->p);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)

static void ways_alive(struct __test_metadata *_metadata, FIXTURE_DATA(ways) *self)
{
	EXPECT_EQ(0, drv_poll(L3->fd, POLLPRI, 0));
	EXPECT_EQ(0, L3->status->gone[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_load(L3, L3L2Q_CTR_L2_ABORT));
	EXPECT_EQ(0, drv_signals(self->efd));
	EXPECT_GT(L3L2Q_STATE_DETACHED, L3->status->state[L3L2Q_ROLE_L2]);
}

TEST_F(ways, exit_is_death)
{
	if (!drv_fork(_metadata, &self->child)) {
		ASSERT_EQ(0, drv_ep_map(L2));
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&self->child));
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, a_crash_is_death)
{
	if (!drv_fork(_metadata, &self->child)) {
		struct rlimit none = { 0 };

		setrlimit(RLIMIT_CORE, &none);
		ASSERT_EQ(0, drv_ep_map(L2));
		*(volatile int *)L2->peer = 0;	/* read-only */
		_exit(0);
	}
	EXPECT_EQ(1000 + SIGSEGV, drv_reap(&self->child));
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, munmap_is_death)
{
	ASSERT_EQ(0, drv_ep_map(L2));
	ways_alive(_metadata, self);
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, closing_the_fd_of_a_mapped_end_is_no_death)
{
	ASSERT_EQ(0, drv_ep_map(L2));
	drv_ep_close(L2);
	ways_alive(_metadata, self);
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, final_close_of_a_never_mapped_end_is_death)
{
	int other = dup(L2->fd);

	drv_ep_close(L2);
	ways_alive(_metadata, self);
	close(other);
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, final_close_with_other_mappings_left_is_death_once_they_go)
{
	int err;

	/* mappings hold the file, but only counters attach */
	L2->map[L3L2Q_MAP_PAYLOAD] = drv_mmap(L2->fd, &L2->info.map[L3L2Q_MAP_PAYLOAD],
					      PROT_READ | PROT_WRITE, &err);
	ASSERT_EQ(0, err);
	drv_ep_close(L2);
	drv_ep_unmap(L2, L3L2Q_MAP_PAYLOAD);
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, a_never_mapped_end_lives_in_a_queued_message)
{
	int sv[2];

	ASSERT_EQ(0, drv_socketpair(sv));
	ASSERT_TRUE(drv_send_fd(sv[0], L2->fd));
	drv_ep_close(L2);
	ways_alive(_metadata, self);
	/* nobody will ever receive it */
	close(sv[0]);
	close(sv[1]);
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, an_end_in_its_own_sockets_queue_is_collected)
{
	int sv[2], other[2];

	/* a cycle that only the garbage collector of unix sockets can end */
	ASSERT_EQ(0, drv_socketpair(sv));
	ASSERT_EQ(0, drv_socketpair(other));
	ASSERT_TRUE(drv_send_fd(sv[0], L2->fd));
	ASSERT_TRUE(drv_send_fd(sv[0], sv[1]));
	drv_ep_close(L2);
	close(sv[0]);
	close(sv[1]);
	/* closing any unix socket starts it */
	close(other[0]);
	close(other[1]);
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, exec_is_death_though_the_new_image_has_the_fd)
{
	char sock[16];

	if (!drv_fork(_metadata, &self->child)) {
		ASSERT_EQ(0, drv_ep_map(L2));
		fcntl(L2->fd, F_SETFD, 0);
		fcntl(self->child.sock, F_SETFD, 0);
		snprintf(sock, sizeof(sock), "%d", self->child.sock);
		setenv(HOLD_ENV, sock, 1);
		drv_say(self->child.sock, 'm');
		drv_hear(self->child.sock);
		execl("/proc/self/exe", "held", NULL);
		_exit(1);
	}
	ASSERT_EQ('m', drv_hear(self->child.sock));
	ways_alive(_metadata, self);
	drv_say(self->child.sock, 'g');
	ASSERT_EQ('x', drv_hear(self->child.sock));
	death_seen(_metadata, L3, self->efd);
	/* the program itself lives */
	EXPECT_EQ(0, waitpid(self->child.pid, NULL, WNOHANG));
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&self->child));
}

TEST_F(ways, a_failed_exec_is_no_death)
{
	ASSERT_EQ(0, drv_ep_map(L2));
	EXPECT_EQ(-1, execl("/nonexistent", "x", NULL));
	ways_alive(_metadata, self);
}

static void *ways_thread(void *arg)
{
	return arg;
}

TEST_F(ways, the_end_of_a_thread_is_no_death)
{
	pthread_t thread;

	ASSERT_EQ(0, drv_ep_map(L2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, ways_thread, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ways_alive(_metadata, self);
}

TEST_F(ways, a_child_that_shares_the_memory_is_no_owner)
{
	pid_t pid;

	ASSERT_EQ(0, drv_ep_map(L2));
	pid = vfork();
	if (!pid)
		_exit(0);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ways_alive(_metadata, self);
}

TEST_F(ways, a_clean_end_of_a_child_with_copies_is_no_death)
{
	ASSERT_EQ(0, drv_ep_map(L2));
	if (!drv_fork(_metadata, &self->child)) {
		drv_ep_close(L2);
		drv_ep_close(L3);
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&self->child));
	ways_alive(_metadata, self);
}

TEST_F(ways, whatever_was_in_the_flag_becomes_one)
{
	ASSERT_EQ(0, drv_ep_map(L2));
	drv_store(L2, L3L2Q_CTR_L2_ABORT, (__u32)-77);
	drv_ep_unmap(L2, L3L2Q_MAP_COUNTERS);
	death_seen(_metadata, L3, self->efd);
}

TEST_F(ways, death_of_the_first_before_the_second_maps_is_seen)
{
	struct l3l2q_create create;
	struct drv_pair p;

	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	drv_ep_close(&p.l3);
	ASSERT_EQ(0, drv_ep_map(&p.l2));
	EXPECT_EQ(1, drv_load(&p.l2, L3L2Q_CTR_L3_ABORT));
	EXPECT_EQ(DRV_DEAD, drv_poll(p.l2.fd, POLLPRI, 0));
	drv_pair_close(&p);
}

TEST_F(ways, both_may_die_at_once)
{
	struct l3l2q_create create;
	struct l3l2q_info info;
	struct drv_child a, b;
	struct drv_pair p;
	int i;

	for (i = 0; i < 20; i++) {
		drv_create_init(&create);
		drv_pair_create(_metadata, &p, &create);
		if (!drv_fork(_metadata, &a)) {
			ASSERT_EQ(0, drv_ep_map(&p.l3));
			drv_say(a.sock, 'a');
			drv_wait(p.l3.fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, NULL);
			drv_hear_forever(a.sock);
		}
		if (!drv_fork(_metadata, &b)) {
			ASSERT_EQ(0, drv_ep_map(&p.l2));
			drv_say(b.sock, 'b');
			drv_wait(p.l2.fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, NULL);
			drv_hear_forever(b.sock);
		}
		ASSERT_EQ('a', drv_hear(a.sock));
		ASSERT_EQ('b', drv_hear(b.sock));
		kill(a.pid, SIGKILL);
		kill(b.pid, SIGKILL);
		drv_reap(&a);
		drv_reap(&b);
		ASSERT_EQ(0, drv_info(p.l3.fd, &info));
		EXPECT_EQ(L3L2Q_STATE_DEAD, info.state);
		EXPECT_EQ(L3L2Q_STATE_DEAD, info.peer_state);
		drv_pair_close(&p);
	}
}

TEST_F(ways, a_process_with_many_ends_dies_at_all_of_them)
{
	struct l3l2q_create create;
	struct drv_pair p[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		drv_create_init(&create);
		drv_pair_create(_metadata, &p[i], &create);
	}
	if (!drv_fork(_metadata, &self->child)) {
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			ASSERT_EQ(0, drv_ep_map(&p[i].l2));
		}
		drv_say(self->child.sock, 'm');
		drv_hear_forever(self->child.sock);
	}
	ASSERT_EQ('m', drv_hear(self->child.sock));
	drv_kill(&self->child);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		EXPECT_EQ(DRV_DEAD, drv_poll(p[i].l3.fd, POLLPRI, DRV_HANG_MS));
		drv_pair_close(&p[i]);
	}
}

TEST_HARNESS_MAIN
