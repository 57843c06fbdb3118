// SPDX-License-Identifier: GPL-2.0-only
/*
 * L3 in the guest, the NPU outside: libl3l2q over a PCI window against tasks of
 * l3l2q-npusim, which ring or are silent, and end well, badly or not at all.
 *
 * Who woke whom is told by the driver's counts, never by the time that it took.
 */
#include <stdint.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <l3l2q.h>

#include "../libuser/tools/l3l2q-npusim/launch.h"
#include "kselftest_harness.h"

/* Only a bound against hangs. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

#define LONG_NS (100 * 1000000000ll)
#define SHORT_NS (100 * 1000000ll)
#define DEPTH 8
#define ARENA 65536
#define ROUNDS 50

/* One queue, and the task behind it. */
struct queue {
	struct l3l2q_ep *ep;
	struct l3l2q_producer *p;
	struct l3l2q_consumer *c;
	uint32_t task;
};

FIXTURE(npu)
{
	struct l3l2q_attr attr;
	struct npu npu;
};

FIXTURE_VARIANT(npu)
{
	uint32_t ring;
};

FIXTURE_VARIANT_ADD(npu, rings)
{
	.ring = NPU_RING,
};

FIXTURE_VARIANT_ADD(npu, silent)
{
	.ring = 0,
};

FIXTURE_SETUP(npu)
{
	const char *npus = getenv("L3L2Q_NPUS");
	struct l3l2q_failure why = { "" };
	int ret;

	self->attr = (struct l3l2q_attr){
		.transport = "pci",
		.depth = DEPTH,
		.input_arena_bytes = ARENA,
		.output_arena_bytes = ARENA,
		.window = 4,
		.spin_ns = L3L2Q_SPIN_OFF,
		.flags = variant->ring ? 0 : L3L2Q_ATTR_SILENT_PEER,
	};
	ret = npu_open(&self->npu, &self->attr, &why);
	if (ret && (!npus || !*npus))
		SKIP(return, "no NPU: %s", why.text);
	ASSERT_EQ(0, ret) {
		TH_LOG("%s", why.text);
	}
}

FIXTURE_TEARDOWN(npu)
{
	npu_close(&self->npu);
}

static int queue_open(struct queue *q, const struct l3l2q_attr *attr)
{
	int ret = l3l2q_create(&q->ep, attr, NULL);

	if (ret)
		return ret;
	q->p = l3l2q_ep_producer(q->ep);
	q->c = l3l2q_ep_consumer(q->ep);
	return 0;
}

static int queue_start(struct queue *q, const struct l3l2q_attr *attr, struct npu *npu,
		       const struct npu_request *job)
{
	struct npu_reply reply;
	int ret = queue_open(q, attr);

	if (ret)
		return ret;
	ret = npu_launch(npu, q->ep, job, &reply, LONG_NS);
	q->task = reply.task;
	return ret;
}

/* STOP, to the end of the task, which says how it went. */
static int queue_finish(struct queue *q, struct npu *npu, struct npu_reply *reply)
{
	int ret = l3l2q_stop(q->p, LONG_NS);

	if (!ret)
		ret = npu_wait(npu, q->task, reply, LONG_NS);
	l3l2q_close(q->ep);
	return ret;
}

/* However the task was left. */
static void queue_drop(struct queue *q, struct npu *npu)
{
	struct npu_reply reply;

	npu_stop(npu, q->task, &reply, LONG_NS);
	l3l2q_close(q->ep);
}

static void pattern(unsigned char *to, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)(seed * 131 + i * 7 + (i >> 8));
}

/* One there and back, the same. */
static int round_trip(struct queue *q, size_t n, unsigned int seed)
{
	static unsigned char body[ARENA], back[ARENA];
	struct l3l2q_message m;
	int ret;

	pattern(body, n, seed);
	ret = l3l2q_enqueue(q->p, L3L2Q_OP_DATA, n ? body : NULL, n, LONG_NS);
	if (!ret)
		ret = l3l2q_dequeue(q->c, &m, back, sizeof(back), LONG_NS);
	if (!ret && (m.nbytes != n || memcmp(body, back, n)))
		ret = -EILSEQ;
	return ret;
}

static int driver_stats(struct queue *q, struct l3l2q_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->size = sizeof(*stats);
	return l3l2q_ioctl(l3l2q_fd(q->ep), L3L2Q_IOC_STATS, stats);
}

/* ---- sound tasks ------------------------------------------------------- */

/* The task idles before each answer, so that L3 sleeps for each. */
TEST_F(npu, a_sleeper_is_woken_as_its_peer_does_it)
{
	const struct npu_request job = {
		.kind = NPU_ECHO, .flags = variant->ring, .delay_us = 5000,
	};
	struct l3l2q_ep_stats lib;
	struct l3l2q_stats drv;
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_start(&q, &self->attr, &self->npu, &job));
	for (unsigned int i = 0; i < ROUNDS; i++)
		ASSERT_EQ(0, round_trip(&q, i * 61, i));

	l3l2q_ep_stats(q.ep, &lib);
	EXPECT_LE(ROUNDS / 2, lib.sleeps);
	ASSERT_EQ(0, driver_stats(&q, &drv));
	EXPECT_LT(0, drv.wakeups);
	if (variant->ring) {
		EXPECT_EQ(0, drv.timer_ticks);
		EXPECT_EQ(0, drv.timer_wakeups);
		EXPECT_LE(ROUNDS / 2, drv.interrupts);
		EXPECT_LE(ROUNDS, drv.doorbells);
	} else {
		EXPECT_LE(ROUNDS / 2, drv.timer_wakeups);
		EXPECT_EQ(0, drv.doorbells);
	}

	ASSERT_EQ(0, queue_finish(&q, &self->npu, &reply));
	EXPECT_EQ(NPU_DONE, reply.state);
	EXPECT_EQ(ROUNDS, reply.received);
	EXPECT_EQ(ROUNDS, reply.sent);
	EXPECT_EQ(0, reply.late);
	if (variant->ring) {
		EXPECT_LE(ROUNDS, reply.rings);
	} else {
		EXPECT_EQ(0, reply.rings);
	}
}

TEST_F(npu, all_sizes_go_there_and_back)
{
	const struct npu_request job = { .kind = NPU_ECHO, .flags = variant->ring, .window = 4,
					 .batch = 2 };
	const size_t sizes[] = { 0, 1, 7, 8, 63, 64, 65, 4095, 4096, 4097, 30001, ARENA };
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_start(&q, &self->attr, &self->npu, &job));
	for (unsigned int i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		ASSERT_EQ(0, round_trip(&q, sizes[i / 2], i)) {
			TH_LOG("%zu bytes", sizes[i / 2]);
		}
	}
	ASSERT_EQ(0, queue_finish(&q, &self->npu, &reply));
	EXPECT_EQ(NPU_DONE, reply.state);
}

/* Several queues in one epoll: each is told of its own answers. */
TEST_F(npu, one_epoll_serves_several_tasks)
{
	const struct npu_request job = { .kind = NPU_ECHO, .flags = variant->ring,
					 .delay_us = 1000 };
	unsigned int got[4] = { 0 }, done = 0;
	struct npu_reply reply;
	struct epoll_event ev;
	struct queue q[4];
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, epfd);
	for (uint32_t i = 0; i < 4; i++) {
		ASSERT_EQ(0, queue_start(&q[i], &self->attr, &self->npu, &job));
		ev = (struct epoll_event){ .events = EPOLLIN, .data.u32 = i };
		ASSERT_EQ(0, epoll_ctl(epfd, EPOLL_CTL_ADD, l3l2q_fd(q[i].ep), &ev));
		ASSERT_EQ(0, l3l2q_enqueue(q[i].p, L3L2Q_OP_DATA, &i, sizeof(i), LONG_NS));
	}
	while (done < 4) {
		struct l3l2q_message m;
		uint32_t i, number;

		ASSERT_EQ(1, epoll_wait(epfd, &ev, 1, (int)(LONG_NS / 1000000)));
		ASSERT_EQ(0, ev.events & (EPOLLERR | EPOLLHUP));
		i = ev.data.u32;
		if (l3l2q_try_dequeue(q[i].c, &m, &number, sizeof(number)) == -EAGAIN) {
			l3l2q_arm(q[i].ep, L3L2Q_EVENT_IN);
			continue;
		}
		ASSERT_EQ(i, number);
		if (++got[i] == ROUNDS) {
			done++;
			continue;
		}
		ASSERT_EQ(0, l3l2q_enqueue(q[i].p, L3L2Q_OP_DATA, &i, sizeof(i), LONG_NS));
	}
	for (uint32_t i = 0; i < 4; i++) {
		ASSERT_EQ(0, queue_finish(&q[i], &self->npu, &reply));
		EXPECT_EQ(ROUNDS, reply.received);
	}
	close(epfd);
}

/* L3 may be slow as well: answers wait for room, nothing is lost. */
TEST_F(npu, a_full_output_holds_the_task)
{
	const struct npu_request job = { .kind = NPU_ECHO, .flags = variant->ring };
	unsigned char body[1024], back[1024];
	struct l3l2q_message m;
	struct npu_reply reply;
	unsigned int sent = 0;
	struct queue q;
	int ret = 0;

	ASSERT_EQ(0, queue_start(&q, &self->attr, &self->npu, &job));
	/* As many as go: the output's ring fills up, then the input's. */
	while (!ret) {
		pattern(body, sizeof(body), sent);
		ret = l3l2q_enqueue(q.p, L3L2Q_OP_DATA, body, sizeof(body), SHORT_NS);
		if (!ret)
			sent++;
	}
	ASSERT_EQ(-ETIMEDOUT, ret);
	EXPECT_LE(2 * DEPTH, sent);
	for (unsigned int i = 0; i < sent; i++) {
		ASSERT_EQ(0, l3l2q_dequeue(q.c, &m, back, sizeof(back), LONG_NS));
		pattern(body, sizeof(body), i);
		ASSERT_EQ(0, memcmp(body, back, sizeof(back)));
	}
	ASSERT_EQ(0, queue_finish(&q, &self->npu, &reply));
	EXPECT_EQ(sent, reply.sent);
}

/*
 * As on a host where one process runs the NPU and another is L3: the former makes
 * the queue, as L2 in the NPU's name, and what it hands on is L3's end. When it dies
 * the NPU's side is dead.
 */
TEST_F(npu, who_runs_the_npu_creates_and_hands_l3_on)
{
	const struct npu_request job = { .kind = NPU_ECHO };
	struct l3l2q_attr attr = self->attr;
	struct l3l2q_message m;
	struct npu_reply reply;
	struct queue q;
	uint64_t word = 7;
	int pair[2], fd;
	pid_t pid;
	char go;

	if (variant->ring)
		SKIP(return, "L3 has no doorbell then");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct l3l2q_ep *l2;
		struct npu npu;

		close(pair[0]);
		attr.role = L3L2Q_ROLE_L2;
		attr.flags = 0;
		if (l3l2q_create(&l2, &attr, NULL) || npu_open(&npu, &self->attr, NULL) ||
		    npu_launch(&npu, l2, &job, &reply, LONG_NS))
			_exit(1);
		fd = l3l2q_open_peer(l2);
		if (fd < 0 || l3l2q_send_fd(pair[1], fd) || read(pair[1], &go, 1) != 1)
			_exit(1);
		/* The task first: its memory goes with us. */
		npu_stop(&npu, reply.task, &reply, LONG_NS);
		_exit(0);
	}
	close(pair[1]);
	fd = l3l2q_recv_fd(pair[0]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, l3l2q_attach(&q.ep, fd, &attr, NULL));
	q.p = l3l2q_ep_producer(q.ep);
	q.c = l3l2q_ep_consumer(q.ep);
	for (unsigned int i = 0; i < ROUNDS; i++)
		ASSERT_EQ(0, round_trip(&q, i * 61, i));

	ASSERT_EQ(1, write(pair[0], "x", 1));
	EXPECT_EQ(-ECONNABORTED, l3l2q_dequeue(q.c, &m, &word, sizeof(word), LONG_NS));
	ASSERT_EQ(pid, waitpid(pid, &fd, 0));
	EXPECT_EQ(0, fd);
	l3l2q_close(q.ep);
	close(pair[0]);
}

/* ---- tasks that end otherwise ------------------------------------------ */

TEST_F(npu, an_abort_is_told_to_a_sleeper_an_eventfd_and_poll)
{
	const struct npu_request job = { .kind = NPU_ECHO, .flags = variant->ring,
					 .end = NPU_END_ABORT, .end_after = 1, .delay_us = 5000 };
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct l3l2q_message m;
	struct npu_reply reply;
	struct pollfd pfd;
	struct queue q;
	uint64_t word;

	ASSERT_LE(0, efd);
	ASSERT_EQ(0, queue_start(&q, &self->attr, &self->npu, &job));
	ASSERT_EQ(0, l3l2q_eventfd(q.ep, L3L2Q_EVENTFD_ABORT, efd));
	ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, &word, sizeof(word), LONG_NS));
	/* It may answer the first before it goes. */
	if (!l3l2q_dequeue(q.c, &m, &word, sizeof(word), LONG_NS)) {
		EXPECT_EQ(-ECONNABORTED,
			  l3l2q_dequeue(q.c, &m, &word, sizeof(word), LONG_NS));
	}
	pfd = (struct pollfd){ .fd = efd, .events = POLLIN };
	EXPECT_EQ(1, poll(&pfd, 1, (int)(LONG_NS / 1000000)));
	pfd = (struct pollfd){ .fd = l3l2q_fd(q.ep), .events = POLLIN };
	EXPECT_EQ(1, poll(&pfd, 1, (int)(LONG_NS / 1000000)));
	EXPECT_NE(0, pfd.revents & POLLERR);
	EXPECT_EQ(-ECONNABORTED, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, &word, sizeof(word), LONG_NS));

	ASSERT_EQ(0, npu_wait(&self->npu, q.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_CRASHED, reply.state);
	l3l2q_close(q.ep);
	close(efd);
}

/* Nothing at all can be told of it but that time passes. */
TEST_F(npu, a_hang_is_a_time_out_that_poisons_nothing)
{
	const struct npu_request job = { .kind = NPU_ECHO, .flags = variant->ring,
					 .end = NPU_END_HANG, .end_after = 1 };
	struct l3l2q_message m;
	struct l3l2q_error error;
	struct queue q;
	uint64_t word;
	int ret = 0;

	ASSERT_EQ(0, queue_start(&q, &self->attr, &self->npu, &job));
	ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, &word, sizeof(word), LONG_NS));
	for (int i = 0; i < 2 && !ret; i++)
		ret = l3l2q_dequeue(q.c, &m, &word, sizeof(word), SHORT_NS);
	EXPECT_EQ(-ETIMEDOUT, ret);
	l3l2q_ep_error(q.ep, &error);
	EXPECT_EQ(L3L2Q_ERR_NONE, error.kind);
	queue_drop(&q, &self->npu);
}

/* Whatever it writes, L3 gets an error or a message, and ends in time. */
TEST_F(npu, scribbling_is_survived)
{
	struct npu_request job = {
		.kind = NPU_ECHO, .end = NPU_END_SCRIBBLE, .end_after = 1, .arg2 = 16,
		.flags = variant->ring | NPU_SCRIBBLE_COUNTERS | NPU_SCRIBBLE_RINGS |
			 NPU_SCRIBBLE_ARENAS,
	};
	unsigned char body[256], *back = malloc(ARENA);

	ASSERT_NE(NULL, back);
	memset(body, 1, sizeof(body));
	for (int round = 0; round < 20; round++) {
		struct l3l2q_message m;
		struct queue q;
		int ret = 0;

		ASSERT_EQ(0, queue_start(&q, &self->attr, &self->npu, &job));
		for (int i = 0; i < 4 && !ret; i++) {
			ret = l3l2q_enqueue(q.p, L3L2Q_OP_DATA, body, sizeof(body), SHORT_NS);
			if (!ret)
				ret = l3l2q_dequeue(q.c, &m, back, ARENA, SHORT_NS);
		}
		EXPECT_TRUE(ret == 0 || ret == -ETIMEDOUT || ret == -EBADMSG ||
			    ret == -ECONNABORTED || ret == -EIO) {
			TH_LOG("%s", strerror(-ret));
		}
		queue_drop(&q, &self->npu);
	}
	free(back);
}

/* L3 gives up: the device is told, also that it dies with its descriptor. */
TEST_F(npu, an_abort_of_l3_ends_the_task)
{
	const struct npu_request job = { .kind = NPU_ECHO, .flags = variant->ring };
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_start(&q, &self->attr, &self->npu, &job));
	ASSERT_EQ(0, round_trip(&q, 100, 1));
	ASSERT_EQ(0, l3l2q_abort(q.ep));
	ASSERT_EQ(0, npu_wait(&self->npu, q.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_FAILED, reply.state);
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, reply.error);
	EXPECT_EQ(0, reply.late);
	l3l2q_close(q.ep);
}

/* ---- the whole NPU goes ------------------------------------------------ */

/*
 * The program outside is gone, its memory stays: nothing can be seen but that no
 * answer comes. Last, and only where it may be: there is no NPU afterwards.
 */
TEST(an_npu_that_exits_is_a_time_out)
{
	const struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING,
					 .end = NPU_END_EXIT, .end_after = 1 };
	const struct l3l2q_attr attr = {
		.transport = "pci", .depth = DEPTH,
		.input_arena_bytes = ARENA, .output_arena_bytes = ARENA,
	};
	struct l3l2q_message m;
	uint64_t word = 0;
	struct npu npu;
	struct queue q;
	int ret = 0;

	if (!getenv("L3L2Q_NPU_MAY_DIE"))
		SKIP(return, "the NPU is still needed");
	ASSERT_EQ(0, npu_open(&npu, &attr, NULL));
	ASSERT_EQ(0, queue_start(&q, &attr, &npu, &job));
	ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, &word, sizeof(word), LONG_NS));
	for (int i = 0; i < 3 && !ret; i++)
		ret = l3l2q_dequeue(q.c, &m, &word, sizeof(word), SHORT_NS);
	EXPECT_EQ(-ETIMEDOUT, ret);
	/* Ringing what is not there hurts nobody. */
	EXPECT_EQ(0, l3l2q_try_enqueue(q.p, L3L2Q_OP_DATA, &word, sizeof(word)));
	l3l2q_close(q.ep);
	npu_close(&npu);
}

TEST_HARNESS_MAIN
