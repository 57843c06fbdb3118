// SPDX-License-Identifier: MIT
/*
 * The memfd transport against the other side, the system and itself: what is shared and
 * may be written, descriptors that another process chose, deaths, limits, signals, calls
 * that fail half-way. lib_api.c and proto_stream.c test what all transports do.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memfd.h"
#include "kselftest_harness.h"

#define LONG_NS 60000000000ll
#define MIB (1024ull * 1024)

static const struct l3l2q_attr small = { .transport = "memfd", .role = L3L2Q_ROLE_L3, .depth = 4,
	.input_arena_bytes = 1024, .output_arena_bytes = 1024 };

static int make_pair(struct l3l2q_ep *ep[2])
{
	int ret = l3l2q_create(&ep[0], &small, NULL), fd;

	if (ret)
		return ret;
	fd = l3l2q_open_peer(ep[0]);
	return fd < 0 ? fd : l3l2q_attach(&ep[1], fd, NULL, NULL);
}

static void close_pair(struct l3l2q_ep *ep[2])
{
	l3l2q_close(ep[1]);
	l3l2q_close(ep[0]);
}

static int open_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static uint32_t abort_flag(struct l3l2q_ep *ep, enum l3l2q_role role)
{
	return l3l2q_load_counter(l3l2q_core_counter(&ep->core, l3l2q_ctr_abort(role)));
}

/* ---- words that the peer can write --------------------------------------- */

TEST(readiness_is_not_the_peers_to_write)
{
	struct l3l2q_control *shown;
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];
	char body[8];
	int i;

	ASSERT_EQ(0, make_pair(ep));
	shown = ep[1]->peer_control;	/* ep[0]'s own page */
	for (i = 0; i < 3; i++) {
		memset(shown, i ? 0xff : 0, sizeof(*shown));
		shown->seen_tail = (uint32_t)i;
		EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep[0], L3L2Q_EVENT_IN, 1000000));
		memset(shown, i ? 0xff : 0, sizeof(*shown));
		EXPECT_EQ(L3L2Q_EVENT_OUT, l3l2q_wait(ep[0], L3L2Q_EVENT_OUT, LONG_NS));
		EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(l3l2q_ep_consumer(ep[0]), &m, 1000000));
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[1]), L3L2Q_OP_DATA, "x", 1));
		memset(shown, i ? 0xff : 0, sizeof(*shown));
		ASSERT_EQ(0, l3l2q_dequeue(l3l2q_ep_consumer(ep[0]), &m, body, 8, LONG_NS));
	}
	close_pair(ep);
}

/* Copies are stored when a thread sleeps, for tools. */
TEST(readiness_is_shown)
{
	struct l3l2q_control *shown;
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];
	char body[8];

	ASSERT_EQ(0, make_pair(ep));
	shown = ep[1]->peer_control;
	ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[1]), L3L2Q_OP_DATA, "x", 1));
	ASSERT_EQ(0, l3l2q_try_dequeue(l3l2q_ep_consumer(ep[0]), &m, body, 8));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(l3l2q_ep_consumer(ep[0]), &m, 1));
	EXPECT_EQ(1, shown->seen_tail);
	EXPECT_EQ(ep[0]->core.control->consumer_flags, shown->consumer_flags);
	close_pair(ep);
}

struct waiter {
	struct l3l2q_ep *ep;
	int ret;
};

static void *wait_in(void *arg)
{
	struct waiter *w = arg;

	w->ret = l3l2q_wait(w->ep, L3L2Q_EVENT_IN, LONG_NS);
	return NULL;
}

static uint64_t syscalls(struct l3l2q_ep *ep)
{
	return __atomic_load_n(&ep->syscalls, __ATOMIC_RELAXED);
}

/* Until it has made so many system calls: 2 is in a futex, 5 in an epoll. */
static bool start_wait(struct waiter *w, struct l3l2q_ep *ep, pthread_t *t, unsigned int calls)
{
	struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t before = syscalls(ep);
	int i;

	w->ep = ep;
	w->ret = 0;
	if (pthread_create(t, NULL, wait_in, w))
		return false;
	for (i = 0; i < 60000 && syscalls(ep) < before + calls; i++)
		nanosleep(&nap, NULL);
	return syscalls(ep) >= before + calls;
}

/* A peer that takes back what is armed and wakes nobody: seen at the next slice. */
TEST(a_peer_that_does_not_wake)
{
	unsigned int calls[] = { 2, 7 }, i;
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];
	struct waiter w;
	uint64_t start;
	pthread_t t;

	ASSERT_EQ(0, make_pair(ep));
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(start_wait(&w, ep[0], &t, calls[i]));
		start = l3l2q_now();
		__atomic_store_n(&ep[1]->peer_control->armed, 0, __ATOMIC_SEQ_CST);
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[1]), L3L2Q_OP_DATA, NULL, 0));
		pthread_join(t, NULL);
		EXPECT_EQ(L3L2Q_EVENT_IN, w.ret);
		EXPECT_GT((uint64_t)LONG_NS / 3, l3l2q_now() - start);
		ASSERT_EQ(0, l3l2q_try_dequeue(l3l2q_ep_consumer(ep[0]), &m, NULL, 0));
	}
	close_pair(ep);
}

/* ---- descriptors that another process chose ------------------------------- */

/* Send a description again, with other descriptors; what attach says of it. */
static int attach_with(struct l3l2q_ep *ep, int memory, int sock)
{
	struct l3l2q_received got;
	struct l3l2q_ep *peer = NULL;
	int hand[2], fds[2], ret, fd = l3l2q_open_peer(ep);
	char hello[256];
	ssize_t len;

	if (fd < 0)
		return fd;
	len = l3l2q_recv_any(fd, hello, sizeof(hello), &got, 0);
	if (len <= 0 || got.n != 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, hand))
		return -EIO;
	fds[0] = memory < 0 ? got.fds[0] : memory;
	fds[1] = sock < 0 ? got.fds[1] : sock;
	l3l2q_send_fds(hand[1], hello, (size_t)len, fds, 2, 0);
	ret = l3l2q_attach(&peer, hand[0], NULL, NULL);
	if (ret)
		close(hand[0]);
	l3l2q_close(peer);
	l3l2q_close_received(&got);
	close(hand[1]);
	close(fd);
	return ret;
}

TEST(descriptors_of_another_kind)
{
	int fds = open_fds(), pipes[2], stream[2], file, sparse, sealed, i;
	struct stat st;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
	file = memfd_create("x", MFD_ALLOW_SEALING);
	sparse = memfd_create("y", MFD_ALLOW_SEALING);
	sealed = memfd_create("z", MFD_ALLOW_SEALING);
	for (i = 0; i < 9; i++) {
		int event = eventfd(0, 0), ret;
		struct l3l2q_ep *ep;

		ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
		ASSERT_EQ(0, fstat(ep->fd, &st));
		ASSERT_EQ(0, ftruncate(file, st.st_size));
		switch (i) {
		case 0: ret = attach_with(ep, -1, pipes[1]); break;
		case 1: ret = attach_with(ep, -1, event); break;
		case 2: ret = attach_with(ep, -1, stream[0]); break;
		case 3: ret = attach_with(ep, -1, file); break;
		case 4: ret = attach_with(ep, file, -1); break;	/* can be resized */
		case 5: ret = attach_with(ep, pipes[0], -1); break;
		case 6:
			ASSERT_EQ(0, ftruncate(sparse, st.st_size));
			ASSERT_EQ(0, fcntl(sparse, F_ADD_SEALS,
					   F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
			ret = attach_with(ep, sparse, -1);
			break;
		case 7:
			ASSERT_EQ(0, fallocate(sealed, 0, 0, st.st_size));
			ASSERT_EQ(0, fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
					   F_SEAL_WRITE | F_SEAL_SEAL));
			ret = attach_with(ep, sealed, -1);
			break;
		default:
			ret = attach_with(ep, -1, -1);
			EXPECT_EQ(0, ret);
			ret = ret ? ret : -EPROTO;
		}
		EXPECT_EQ(-EPROTO, ret) {
			TH_LOG("case %d", i);
		}
		l3l2q_close(ep);
		close(event);
	}
	close(file);
	close(sparse);
	close(sealed);
	for (i = 0; i < 2; i++) {
		close(pipes[i]);
		close(stream[i]);
	}
	EXPECT_EQ(fds, open_fds());
}

/* Its own descriptor is for polling. */
TEST(an_endpoint_is_not_attached_by_itself)
{
	struct l3l2q_failure why;
	struct l3l2q_ep *ep, *peer;

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, l3l2q_fd(ep), NULL, &why));
	EXPECT_NE(NULL, strstr(why.text, "has to be one of l3l2q_open_peer()")) {
		TH_LOG("%s", why.text);
	}
	l3l2q_close(ep);
}

/* The peer never reads, makes the socket a blocking one, and at last closes it. */
TEST(wake_ups_neither_wait_nor_kill)
{
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];
	int i, null;

	ASSERT_EQ(0, make_pair(ep));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, fcntl(ep[i]->sock, F_SETFL, 0));
	for (i = 0; i < 2000; i++) {
		__atomic_store_n(ep[1]->core.armed, ~0u, __ATOMIC_SEQ_CST);
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[0]), L3L2Q_OP_DATA, NULL, 0));
		ASSERT_EQ(0, l3l2q_try_dequeue(l3l2q_ep_consumer(ep[1]), &m, NULL, 0));
		if (i == 1000) {
			null = open("/dev/null", O_RDWR);
			ASSERT_LE(0, dup2(null, ep[1]->sock));
			close(null);
		}
	}
	/* Full or not, arming takes a bounded number and does not wait. */
	EXPECT_LE(0, l3l2q_arm(ep[0], L3L2Q_EVENT_IN));
	close_pair(ep);
}

/* A creator that has filled the socket and made it a blocking one holds up no attach. */
TEST(attach_does_not_wait_for_the_creator)
{
	struct l3l2q_ep *ep, *peer = NULL;
	struct l3l2q_received got;
	char hello[256];
	int fd, hand[2];
	ssize_t len;

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	len = l3l2q_recv_any(fd, hello, sizeof(hello), &got, 0);
	ASSERT_LT(0, len);
	ASSERT_EQ(2, got.n);
	while (send(got.fds[1], "x", 1, MSG_DONTWAIT) == 1)
		;
	ASSERT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, fcntl(got.fds[1], F_SETFL, 0));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, hand));
	ASSERT_EQ(0, l3l2q_send_fds(hand[1], hello, (size_t)len, got.fds, 2, 0));
	ASSERT_EQ(0, l3l2q_attach(&peer, hand[0], NULL, NULL));
	EXPECT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(peer), L3L2Q_OP_DATA, "text", 4));
	l3l2q_close(peer);
	l3l2q_close_received(&got);
	close(hand[1]);
	close(fd);
	l3l2q_close(ep);
}

/* What stands in place of the lock and the pidfd is not used. */
TEST(forged_signs_of_life)
{
	struct { uint64_t magic; } alive = { 0x6576696c6c337132ull };
	struct l3l2q_received got;
	struct l3l2q_ep *ep[2];
	int fds, pipes[2];

	ASSERT_EQ(0, make_pair(ep));
	/* Before the creator looks: take what was sent away, and send something else. */
	ASSERT_LT(0, l3l2q_recv_any(ep[0]->sock, &alive, sizeof(alive), &got, MSG_DONTWAIT));
	l3l2q_close_received(&got);
	ASSERT_EQ(0, pipe(pipes));
	fds = open_fds();
	ASSERT_EQ(0, l3l2q_send_fds(ep[1]->sock, &alive, sizeof(alive), pipes, 2, 0));
	EXPECT_EQ(0, l3l2q_arm(ep[0], L3L2Q_EVENT_IN));
	EXPECT_TRUE(ep[0]->peer_known);
	EXPECT_EQ(-1, ep[0]->peer_lock);
	EXPECT_EQ(-1, ep[0]->peer_pidfd);
	EXPECT_EQ(fds, open_fds());
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep[0], L3L2Q_EVENT_IN, 0));
	/* The socket tells. */
	l3l2q_close(ep[1]);
	EXPECT_EQ(L3L2Q_EVENT_HUP, l3l2q_wait(ep[0], L3L2Q_EVENT_IN, LONG_NS));
	l3l2q_close(ep[0]);
}

/* ---- death ---------------------------------------------------------------- */

static int refuse_pidfds(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

FIXTURE(helper) {
	struct l3l2q_ep *ep;
	pid_t child;
	int tell[2], hold[2];
};

FIXTURE_VARIANT(helper) {
	bool creator;		/* the one that ends created the region */
	bool pidfds;
	bool exec;		/* ends by executing another program */
};

FIXTURE_VARIANT_ADD(helper, attacher) { false, true, false };
FIXTURE_VARIANT_ADD(helper, attacher_without_pidfd) { false, false, false };
FIXTURE_VARIANT_ADD(helper, attacher_exec) { false, true, true };
FIXTURE_VARIANT_ADD(helper, attacher_exec_without_pidfd) { false, false, true };
FIXTURE_VARIANT_ADD(helper, creator) { true, true, false };
FIXTURE_VARIANT_ADD(helper, creator_without_pidfd) { true, false, false };
FIXTURE_VARIANT_ADD(helper, creator_exec) { true, true, true };

/* Has copies of all descriptors until the test is over. */
static void helper_sleep(int hold[2])
{
	char byte;

	close(hold[1]);
	if (read(hold[0], &byte, 1))
		_exit(1);
	_exit(0);
}

static void be_the_peer(FIXTURE_DATA(helper) *self, const FIXTURE_VARIANT(helper) *variant, int fd,
			int sock)
{
	struct l3l2q_ep *ep;

	if (!variant->pidfds && refuse_pidfds())
		_exit(1);
	if (variant->creator) {
		if (l3l2q_create(&ep, &small, NULL))
			_exit(2);
		fd = l3l2q_open_peer(ep);
		if (fd < 0 || l3l2q_send_fd(sock, fd))
			_exit(3);
		close(fd);
	} else if (l3l2q_attach(&ep, fd, NULL, NULL)) {
		_exit(4);
	}
	if (!fork())
		helper_sleep(self->hold);
	close(self->hold[0]);
	close(self->hold[1]);
	if (l3l2q_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, NULL, 0, LONG_NS) ||
	    l3l2q_peek(l3l2q_ep_consumer(ep), &(struct l3l2q_message){ 0 }, LONG_NS))
		_exit(5);
	if (variant->exec)
		execl("/bin/sleep", "sleep", "100", NULL);
	for (;;)
		pause();
}

FIXTURE_SETUP(helper)
{
	int fd = -1, sock[2];

	ASSERT_EQ(0, pipe(self->hold));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	if (!variant->creator) {
		ASSERT_EQ(0, l3l2q_create(&self->ep, &small, NULL));
		fd = l3l2q_open_peer(self->ep);
		ASSERT_LE(0, fd);
	}
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child)
		be_the_peer(self, variant, fd, sock[1]);
	if (variant->creator) {
		fd = l3l2q_recv_fd(sock[0]);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, l3l2q_attach(&self->ep, fd, NULL, NULL));
	} else {
		close(fd);
	}
	close(sock[0]);
	close(sock[1]);
	close(self->hold[0]);
	/* It has forked its helper by then, and ends as soon as it has this. */
	ASSERT_EQ(0, l3l2q_dequeue(l3l2q_ep_consumer(self->ep), &(struct l3l2q_message){ 0 }, NULL,
				   0, LONG_NS));
}

FIXTURE_TEARDOWN(helper)
{
	kill(self->child, SIGKILL);
	waitpid(self->child, NULL, 0);
	l3l2q_close(self->ep);
	close(self->hold[1]);
}

static void end_it(FIXTURE_DATA(helper) *self, const FIXTURE_VARIANT(helper) *variant)
{
	l3l2q_try_enqueue(l3l2q_ep_producer(self->ep), L3L2Q_OP_DATA, NULL, 0);
	if (!variant->exec)
		kill(self->child, SIGKILL);
}

TEST_F(helper, ends_a_blocking_call)
{
	uint64_t start = l3l2q_now();
	struct l3l2q_message m;

	end_it(self, variant);
	EXPECT_EQ(-ECONNABORTED, l3l2q_peek(l3l2q_ep_consumer(self->ep), &m, LONG_NS));
	EXPECT_GT((uint64_t)LONG_NS / 3, l3l2q_now() - start);
	EXPECT_EQ(1, abort_flag(self->ep, l3l2q_memfd_peer(self->ep)));
	EXPECT_EQ(0, abort_flag(self->ep, (enum l3l2q_role)self->ep->core.role));
}

TEST_F(helper, ends_a_long_sleep)
{
	struct waiter w;
	uint64_t start;
	pthread_t t;

	ASSERT_TRUE(start_wait(&w, self->ep, &t, 7));
	start = l3l2q_now();
	end_it(self, variant);
	pthread_join(t, NULL);
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, w.ret);
	EXPECT_GT((uint64_t)LONG_NS / 3, l3l2q_now() - start);
}

/* Loops over forms that do not block: reported, and at a question a millisecond. */
TEST_F(helper, ends_loops)
{
	uint64_t start, calls, turns = 0, ms;
	struct l3l2q_message m;
	int form;

	end_it(self, variant);
	start = l3l2q_now();
	calls = syscalls(self->ep);
	for (form = 0; form < 3; form++) {
		int ret = 0;

		while (l3l2q_now() - start < (uint64_t)LONG_NS / 3) {
			turns++;
			if (form == 0)
				ret = l3l2q_try_dequeue(l3l2q_ep_consumer(self->ep), &m, NULL, 0);
			else if (form == 1)
				ret = l3l2q_wait(self->ep, L3L2Q_EVENT_IN, 0);
			else
				ret = l3l2q_arm(self->ep, L3L2Q_EVENT_IN);
			if (ret != -EAGAIN && ret != -ETIMEDOUT && ret)
				break;
		}
		EXPECT_EQ(-ECONNABORTED, ret) {
			TH_LOG("form %d", form);
		}
		if (!form) {
			ms = (l3l2q_now() - start) / 1000000 + 1;
			EXPECT_GT(20 * ms + 20, syscalls(self->ep) - calls);
		}
	}
	EXPECT_LT(0, turns);
}

static void *sends_until_an_error(void *arg)
{
	uint64_t start = l3l2q_now();
	struct l3l2q_ep *ep = arg;
	intptr_t ret;

	do {
		ret = l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, NULL, 0);
	} while ((!ret || ret == -EAGAIN) && l3l2q_now() - start < (uint64_t)LONG_NS / 3);
	return (void *)ret;
}

/* Each thread asks, and tells the other. */
TEST_F(helper, ends_loops_of_two_threads)
{
	struct l3l2q_message m;
	void *sent;
	pthread_t t;
	int ret;

	ASSERT_EQ(0, pthread_create(&t, NULL, sends_until_an_error, self->ep));
	if (!variant->exec)
		kill(self->child, SIGKILL);
	do {
		ret = l3l2q_try_dequeue(l3l2q_ep_consumer(self->ep), &m, NULL, 0);
	} while (ret == -EAGAIN);
	pthread_join(t, &sent);
	EXPECT_EQ(-ECONNABORTED, ret);
	EXPECT_EQ(-ECONNABORTED, (intptr_t)sent);
}


/* One thread sleeps, another ends this side: the peer lives. */
TEST(own_end_is_not_the_peers)
{
	unsigned int calls[] = { 2, 7 }, i;
	struct l3l2q_ep *ep[2];
	struct waiter w;
	pthread_t t;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, make_pair(ep));
		ASSERT_TRUE(start_wait(&w, ep[0], &t, calls[i]));
		ASSERT_EQ(0, l3l2q_detach(ep[0]));
		pthread_join(t, NULL);
		EXPECT_EQ(-ESHUTDOWN, w.ret);
		EXPECT_EQ(0, abort_flag(ep[0], L3L2Q_ROLE_L2));
		EXPECT_EQ(0, abort_flag(ep[0], L3L2Q_ROLE_L3));
		EXPECT_EQ(0, ep[0]->gone);
		EXPECT_EQ(L3L2Q_EVENT_HUP, l3l2q_wait(ep[1], L3L2Q_EVENT_IN, LONG_NS));
		close_pair(ep);
	}
}

/* ---- spinning --------------------------------------------------------------- */

#define TURNS 200

/* Answers late enough for the other thread to wait for it. */
static void *answer_late(void *arg)
{
	struct l3l2q_ep *ep = arg;
	struct l3l2q_message m;
	int i;

	for (i = 0; i < TURNS; i++) {
		if (l3l2q_dequeue(l3l2q_ep_consumer(ep), &m, NULL, 0, LONG_NS))
			break;
		usleep(200);
		if (l3l2q_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, NULL, 0, LONG_NS))
			break;
	}
	return NULL;
}

/*
 * A thread that has one processor only sleeps at once, as if spinning was off: the
 * answer, from wherever, never finds it spinning.
 */
TEST(no_spinning_on_one_processor)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_ep_stats stats;
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];
	cpu_set_t all, one;
	pthread_t t;
	int fd, i;

	attr.spin_ns = 10000000;
	ASSERT_EQ(0, l3l2q_create(&ep[0], &attr, NULL));
	fd = l3l2q_open_peer(ep[0]);
	ASSERT_EQ(0, l3l2q_attach(&ep[1], fd, &attr, NULL));
	ASSERT_EQ(0, pthread_create(&t, NULL, answer_late, ep[1]));
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	for (i = 0; !CPU_ISSET(i, &all); i++)
		;
	CPU_ZERO(&one);
	CPU_SET(i, &one);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
	for (i = 0; i < TURNS; i++) {
		ASSERT_EQ(0, l3l2q_enqueue(l3l2q_ep_producer(ep[0]), L3L2Q_OP_DATA, NULL, 0,
					   LONG_NS));
		ASSERT_EQ(0, l3l2q_dequeue(l3l2q_ep_consumer(ep[0]), &m, NULL, 0, LONG_NS));
	}
	pthread_join(t, NULL);
	ASSERT_EQ(0, l3l2q_ep_stats(ep[0], &stats));
	EXPECT_EQ(0, stats.spins);
	EXPECT_LT(1, stats.sleeps);
	close_pair(ep);
}

/* ---- limits, signals, attributes ------------------------------------------ */

static void on_alarm(int sig)
{
	(void)sig;
}

/* Before, a signal undid all that was taken: a large region never came to be. */
TEST(signals_during_create)
{
	struct itimerval timer = { { 0, 1000 }, { 0, 1000 } }, off = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = on_alarm }, old;
	struct l3l2q_attr attr = small;
	struct l3l2q_ep *ep;

	attr.input_arena_bytes = 64 * MIB;
	sigaction(SIGVTALRM, &sa, &old);
	sigaction(SIGPROF, &sa, NULL);
	ASSERT_EQ(0, setitimer(ITIMER_PROF, &timer, NULL));
	EXPECT_EQ(0, l3l2q_create(&ep, &attr, NULL));
	setitimer(ITIMER_PROF, &off, NULL);
	l3l2q_close(ep);
}

/* In a child, what @limit makes of a create. */
static int create_limited(int resource, rlim_t limit, uint64_t bytes)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_failure why = { "" };
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -EIO;
	if (!pid) {
		struct rlimit r = { limit, limit };
		struct l3l2q_ep *ep;

		attr.input_arena_bytes = bytes;
		if (setrlimit((__rlimit_resource_t)resource, &r))
			_exit(255);
		_exit(-l3l2q_create(&ep, &attr, &why));
	}
	if (waitpid(pid, &status, 0) != pid)
		return -EIO;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : WTERMSIG(status);
}

TEST(limits_are_errors)
{
	EXPECT_EQ(-EFBIG, create_limited(RLIMIT_FSIZE, 10 * MIB, 32 * MIB));
	EXPECT_EQ(0, create_limited(RLIMIT_FSIZE, 64 * MIB, 32 * MIB));
	EXPECT_EQ(-EMFILE, create_limited(RLIMIT_NOFILE, 4, 1024));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	EXPECT_EQ(-ENOMEM, create_limited(RLIMIT_AS, 64 * MIB, 200 * MIB));
#endif
}

static int put(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file)
		return -errno;
	fputs(text, file);
	return fclose(file) ? -errno : 0;
}

/* Hierarchies made of plain files. */
TEST(memory_control_groups)
{
	char dir[] = "/tmp/l3l2q-cgroup-XXXXXX", sub[64], groups[64], mounts[64], text[512];
	char command[64];

	ASSERT_NE(NULL, mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/a", dir);
	ASSERT_EQ(0, mkdir(sub, 0700));
	snprintf(groups, sizeof(groups), "%s/groups", dir);
	snprintf(mounts, sizeof(mounts), "%s/mounts", dir);
	snprintf(text, sizeof(text),
		 "20 1 0:20 / /proc rw - proc proc rw\n"
		 "30 1 0:30 / %s rw,relatime shared:9 - cgroup2 cgroup2 rw\n", dir);
	ASSERT_EQ(0, put(dir, "mounts", text));
	ASSERT_EQ(0, put(dir, "groups", "1:name=systemd:/x\n0::/a/b\n"));
	/* Nothing to be read is no limit. */
	EXPECT_EQ(UINT64_MAX, l3l2q_cgroup_left(groups, mounts));
	EXPECT_EQ(UINT64_MAX, l3l2q_cgroup_left("/nowhere", "/nowhere"));
	/* Above the group of this process; cache does not count. */
	ASSERT_EQ(0, put(sub, "memory.max", "1000000\n"));
	ASSERT_EQ(0, put(sub, "memory.current", "700000\n"));
	EXPECT_EQ(300000, l3l2q_cgroup_left(groups, mounts));
	ASSERT_EQ(0, put(sub, "memory.stat", "anon 5\ninactive_file 100000\nactive_file 50000\n"));
	EXPECT_EQ(450000, l3l2q_cgroup_left(groups, mounts));
	ASSERT_EQ(0, put(dir, "memory.max", "200000\n"));
	ASSERT_EQ(0, put(dir, "memory.current", "190000\n"));
	EXPECT_EQ(10000, l3l2q_cgroup_left(groups, mounts));
	ASSERT_EQ(0, put(dir, "memory.max", "max\n"));
	ASSERT_EQ(0, put(sub, "memory.current", "2000000\n"));
	EXPECT_EQ(0, l3l2q_cgroup_left(groups, mounts));
	/* A part of the hierarchy mounted, as in a container. */
	snprintf(text, sizeof(text), "30 1 0:30 /a %s rw - cgroup2 none rw\n", sub);
	ASSERT_EQ(0, put(dir, "mounts", text));
	ASSERT_EQ(0, put(sub, "memory.current", "400000\n"));
	EXPECT_EQ(750000, l3l2q_cgroup_left(groups, mounts));
	/* Version 1, beside other controllers. */
	snprintf(text, sizeof(text),
		 "30 1 0:30 / /nowhere rw - cgroup cgroup rw,cpu\n"
		 "31 1 0:31 / %s rw - cgroup cgroup rw,memory\n", dir);
	ASSERT_EQ(0, put(dir, "mounts", text));
	ASSERT_EQ(0, put(dir, "groups", "9:cpu:/z\n4:hugetlb,memory:/a\n0::/\n"));
	ASSERT_EQ(0, put(sub, "memory.limit_in_bytes", "500000\n"));
	ASSERT_EQ(0, put(sub, "memory.usage_in_bytes", "100000\n"));
	ASSERT_EQ(0, put(sub, "memory.stat", "total_inactive_file 30000\ninactive_file 1\n"));
	EXPECT_EQ(430000, l3l2q_cgroup_left(groups, mounts));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	EXPECT_EQ(0, system(command));
}

/* The same with the kernel's, where this user may make one. */
TEST(a_real_memory_control_group)
{
	const char *parents[] = { "/sys/fs/cgroup/memory", "/sys/fs/cgroup" };
	const char *limits[] = { "memory.limit_in_bytes", "memory.max" };
	char dir[128], pid_text[32];
	int i, status, made = -1;
	pid_t pid;

	for (i = 0; i < 2 && made < 0; i++) {
		snprintf(dir, sizeof(dir), "%s/l3l2q-test-%d", parents[i], getpid());
		if (mkdir(dir, 0755))
			continue;
		if (put(dir, limits[i], "67108864\n"))
			rmdir(dir);
		else
			made = i;
	}
	if (made < 0)
		SKIP(return, "no control group can be made here");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct l3l2q_attr attr = small;
		struct l3l2q_ep *ep;

		snprintf(pid_text, sizeof(pid_text), "%d\n", getpid());
		if (put(dir, "cgroup.procs", pid_text))
			_exit(250);
		attr.input_arena_bytes = 200 * MIB;
		_exit(-l3l2q_create(&ep, &attr, NULL));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, rmdir(dir));
	ASSERT_TRUE(WIFEXITED(status));
	if (WEXITSTATUS(status) == 250)
		SKIP(return, "no process can be moved to a control group here");
	EXPECT_EQ(ENOMEM, WEXITSTATUS(status));
}

TEST(memory_nodes)
{
	struct l3l2q_failure why = { "" };
	struct l3l2q_attr attr = small;
	struct l3l2q_ep *ep;
	int i, nodes[] = { 57, 1023, 1024, 1 << 30, -1 };

	attr.flags = L3L2Q_ATTR_NUMA;
	for (i = 0; i < 5; i++) {
		attr.numa_node = nodes[i];
		EXPECT_EQ(-EINVAL, l3l2q_create(&ep, &attr, &why));
		EXPECT_NE(NULL, strstr(why.text, "node"));
	}
	attr.numa_node = 0;
	ASSERT_EQ(0, l3l2q_create(&ep, &attr, &why));
	l3l2q_close(ep);
}

/* How many mappings of a region there are that a core file would have. */
static int dumped(int *mappings)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	bool region = false;
	char line[512];
	int n = 0;

	*mappings = 0;
	while (file && fgets(line, sizeof(line), file)) {
		if (strchr(line, '-') && strstr(line, " rw-s ")) {
			region = strstr(line, "memfd:l3l2q");
			*mappings += region;
		} else if (strchr(line, '-') && strstr(line, "-p ")) {
			region = false;
		}
		if (region && !strncmp(line, "VmFlags:", 8) && !strstr(line, " dd"))
			n++;
	}
	if (file)
		fclose(file);
	return n;
}

TEST(not_in_core_files)
{
	struct l3l2q_attr attr = small;
	struct l3l2q_ep *ep;
	int mappings;

	attr.input_arena_bytes = 8 * MIB;
	ASSERT_EQ(0, l3l2q_create(&ep, &attr, NULL));
	EXPECT_EQ(0, dumped(&mappings));
	EXPECT_LE(L3L2Q_MAPS - 2, mappings); /* neighbours may have become one */
	l3l2q_close(ep);
}

/* ---- ancillary data, and calls that take nothing when they fail ------------ */

TEST(other_ancillary_data)
{
	int options[] = { SO_PASSCRED, SO_PASSSEC, SO_TIMESTAMP, 76 /* SO_PASSPIDFD */ };
	int sock[2], on = 1, fds = open_fds(), fd, i;
	struct l3l2q_ep *ep, *peer;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	for (i = 0; i < 4; i++)
		setsockopt(sock[1], SOL_SOCKET, options[i], &on, sizeof(on));
	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	for (i = 0; i < 4; i++)
		setsockopt(fd, SOL_SOCKET, options[i], &on, sizeof(on));
	ASSERT_EQ(0, l3l2q_send_fd(sock[0], fd));
	close(fd);
	fd = l3l2q_recv_fd(sock[1]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, l3l2q_attach(&peer, fd, NULL, NULL));
	l3l2q_close(peer);
	l3l2q_close(ep);
	close(sock[0]);
	close(sock[1]);
	EXPECT_EQ(fds, open_fds());
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

TEST(no_descriptor_left_to_receive)
{
	struct rlimit old, none;
	struct l3l2q_ep *ep, *peer;
	int sock[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, l3l2q_send_fd(sock[0], fd));
	close(fd);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = (rlim_t)lowest_free();
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, l3l2q_recv_fd(sock[1]));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	/* Neither lost, nor is its end over for it. */
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep, L3L2Q_EVENT_IN, 0));
	fd = l3l2q_recv_fd(sock[1]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, l3l2q_attach(&peer, fd, NULL, NULL));
	l3l2q_close(peer);
	l3l2q_close(ep);
	close(sock[0]);
	close(sock[1]);
}

/* Sent and not received, of all processes of a user: as many as RLIMIT_NOFILE, and one. */
#define IN_FLIGHT 64
#define LONELY_UID 54321	/* nobody else has anything in flight */

/* 0, or a number that says what was not as it should be. */
static int send_too_many(void)
{
	struct rlimit limit = { IN_FLIGHT, IN_FLIGHT };
	int sock[2], fds, fd, sent, ret = 0;
	struct l3l2q_ep *ep, *peer;
	struct l3l2q_message m;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) || setrlimit(RLIMIT_NOFILE, &limit) ||
	    l3l2q_create(&ep, &small, NULL))
		return 1;
	fds = open_fds();
	for (sent = 0; sent < 4 * IN_FLIGHT && !ret; sent++)
		ret = l3l2q_send_fd(sock[0], sock[0]);
	if (ret != -ETOOMANYREFS || sent < IN_FLIGHT)
		return 2;
	/* The descriptor of the other end has descriptors in flight in it. */
	if (l3l2q_open_peer(ep) != -ETOOMANYREFS || open_fds() != fds)
		return 3;
	/* Neither has taken anything: once those are received, both work. */
	for (sent--; sent; sent--) {
		fd = l3l2q_recv_fd(sock[1]);
		if (fd < 0)
			return 4;
		close(fd);
	}
	fd = l3l2q_open_peer(ep);
	if (fd < 0 || l3l2q_send_fd(sock[0], fd))
		return 5;
	close(fd);
	fd = l3l2q_recv_fd(sock[1]);
	if (fd < 0 || l3l2q_attach(&peer, fd, NULL, NULL))
		return 6;
	if (l3l2q_try_enqueue(l3l2q_ep_producer(peer), L3L2Q_OP_DATA, NULL, 0) ||
	    l3l2q_dequeue(l3l2q_ep_consumer(ep), &m, NULL, 0, LONG_NS))
		return 7;
	l3l2q_close(peer);
	l3l2q_close(ep);
	return 0;
}

TEST(too_many_descriptors_in_flight)
{
	int status;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be a user who has nothing in flight");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(setresuid(LONELY_UID, LONELY_UID, LONELY_UID) ? 99 : send_too_many());
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) {
		TH_LOG("step %d", WEXITSTATUS(status));
	}
}

TEST(a_failed_attach_takes_nothing)
{
	struct l3l2q_attr attr = { .window = 99 };
	struct rlimit old, few;
	struct l3l2q_ep *ep, *peer, *third;
	int fd, copy, fds, room, failed = 0, ret;
	struct l3l2q_message m;

	ASSERT_EQ(0, l3l2q_create(&ep, &small, NULL));
	fd = l3l2q_open_peer(ep);
	ASSERT_LE(0, fd);
	copy = dup(fd);
	fds = open_fds();
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, fd, &attr, NULL));
	attr.window = 1;
	attr.flags = L3L2Q_ATTR_NUMA;
	EXPECT_EQ(-EINVAL, l3l2q_attach(&peer, fd, &attr, NULL));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	for (room = 0; room < 16; room++) {
		few = old;
		few.rlim_cur = (rlim_t)(lowest_free() + room);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
		ret = l3l2q_attach(&peer, fd, NULL, NULL);
		setrlimit(RLIMIT_NOFILE, &old);
		if (!ret)
			break;
		failed++;
		EXPECT_EQ(-EMFILE, ret) {
			TH_LOG("room for %d", room);
		}
		EXPECT_EQ(fds, open_fds());
		EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep, L3L2Q_EVENT_IN, 0));
	}
	ASSERT_EQ(0, ret);
	EXPECT_LT(2, failed);
	EXPECT_EQ(-EBUSY, l3l2q_attach(&third, copy, NULL, NULL));
	ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(peer), L3L2Q_OP_DATA, NULL, 0));
	EXPECT_EQ(0, l3l2q_dequeue(l3l2q_ep_consumer(ep), &m, NULL, 0, LONG_NS));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep, L3L2Q_EVENT_IN, 0));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(peer, L3L2Q_EVENT_IN, 0));
	close(copy);
	l3l2q_close(peer);
	l3l2q_close(ep);
}

/* The manual says how many: 7 an end once both are attached. */
TEST(descriptors_of_a_queue)
{
	int fds = open_fds(), fd;
	struct l3l2q_ep *ep[2];

	ASSERT_EQ(0, l3l2q_create(&ep[0], &small, NULL));
	EXPECT_EQ(fds + 4, open_fds());
	fd = l3l2q_open_peer(ep[0]);
	EXPECT_EQ(fds + 6, open_fds());
	ASSERT_EQ(0, l3l2q_attach(&ep[1], fd, NULL, NULL));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep[0], L3L2Q_EVENT_IN, 0));
	EXPECT_GE(fds + 14, open_fds());
	close_pair(ep);
	EXPECT_EQ(fds, open_fds());
}

/* ---- forked children, and memory of the caller's ---------------------------- */

/* A child that closes its copy of an endpoint ends neither side. */
TEST(a_childs_close_ends_nothing)
{
	int status, i, fds = open_fds();
	struct l3l2q_message m;
	struct l3l2q_ep *ep[2];
	pid_t pid;

	ASSERT_EQ(0, make_pair(ep));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep[0], L3L2Q_EVENT_IN, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct l3l2q_error error = { .kind = 99 };

		if (l3l2q_ep_error(ep[0], &error) != -EPERM || error.kind != L3L2Q_ERR_NONE ||
		    !error.op || !error.message)
			_exit(2);
		for (i = 0; i < 2; i++)
			l3l2q_close(ep[i]);
		_exit(open_fds() == fds ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	for (i = 0; i < 2; i++) {
		l3l2q_memfd_ask_peer(ep[i]);
		EXPECT_EQ(0, ep[i]->gone);
		EXPECT_EQ(-ETIMEDOUT, l3l2q_wait(ep[i], L3L2Q_EVENT_IN, 300000000));
		ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(ep[i]), L3L2Q_OP_DATA, NULL, 0));
		ASSERT_EQ(0, l3l2q_dequeue(l3l2q_ep_consumer(ep[!i]), &m, NULL, 0, LONG_NS));
	}
	close_pair(ep);
}

TEST(external_ranges)
{
	struct l3l2q_region_desc region = { .magic_version = L3L2Q_REGION_V2, .region_id = 1,
		.payload_base = 1 << 20, .counter_base = 1 << 16 };
	struct l3l2q_queue_desc queue = { .magic_version = L3L2Q_QUEUE_VERSION, .depth = 4,
		.input_arena_bytes = 1024, .output_arena_bytes = 1024 };
	struct l3l2q_attr attr = { .flags = L3L2Q_ATTR_NUMA };
	struct l3l2q_external ext = { .role = L3L2Q_ROLE_L3 };
	char *memory = aligned_alloc(4096, 16384);
	struct l3l2q_layout layout;
	struct l3l2q_ep *ep;

	ASSERT_NE(NULL, memory);
	memset(memory, 0, 16384);
	ASSERT_EQ(0, l3l2q_layout_make(4, 1024, 1024, &layout));
	region.payload_bytes = queue.payload_bytes = layout.payload_bytes;
	region.counter_bytes = queue.counter_bytes = layout.counter_bytes;
	memcpy(ext.scalars, &region, sizeof(region));
	memcpy(ext.scalars + L3L2Q_REGION_SCALARS, &queue, sizeof(queue));
	ext.payload = memory;
	ext.counters = memory + 1024;
	EXPECT_EQ(-EINVAL, l3l2q_attach_external(&ep, &ext, NULL, NULL));
	ext.payload = memory + 4096;
	ext.counters = memory + 4096 - 64;
	EXPECT_EQ(-EINVAL, l3l2q_attach_external(&ep, &ext, NULL, NULL));
	ext.counters = (void *)(UINTPTR_MAX - 63);
	EXPECT_EQ(-EINVAL, l3l2q_attach_external(&ep, &ext, NULL, NULL));
	ext.counters = memory;
	EXPECT_EQ(-EINVAL, l3l2q_attach_external(&ep, &ext, &attr, NULL));
	ASSERT_EQ(0, l3l2q_attach_external(&ep, &ext, NULL, NULL));
	l3l2q_close(ep);
	free(memory);
}

/* Offsets are 64 bits wide. The memory behind them is sparse, so it stands in for the memfd. */
TEST(offsets_beyond_4_gib)
{
	const struct l3l2q_attr raw = { .transport = "memfd", .payload_bytes = 64, .counter_bytes = 64 };
	const uint64_t far = 1ull << 32, more = far + 64;
	unsigned char *counters, *payload, *memory;
	struct l3l2q_ep *ep;
	int32_t seen;
	char byte;

	if (sizeof(size_t) < sizeof(far))
		SKIP(return, "no address space for it");
	memory = mmap(NULL, (size_t)more, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		SKIP(return, "no address space for it: %s", strerror(errno));
	ASSERT_EQ(0, l3l2q_create(&ep, &raw, NULL));
	counters = ep->core.counters;
	payload = ep->core.payload;
	ep->core.counters = ep->core.payload = memory;
	ep->region.counter_bytes = ep->region.payload_bytes = more;

	EXPECT_EQ(0, l3l2q_notify(ep, far, L3L2Q_NOTIFY_SET, 7));
	EXPECT_EQ(0, l3l2q_notify(ep, far, L3L2Q_NOTIFY_ADD, 2));
	EXPECT_EQ(9, *(int32_t *)(void *)(memory + far));
	EXPECT_EQ(0, *(int32_t *)(void *)memory);
	*(int32_t *)(void *)memory = 5;
	EXPECT_EQ(1, l3l2q_test(ep, far, L3L2Q_CMP_EQ, 9, &seen));
	EXPECT_EQ(9, seen);
	EXPECT_EQ(0, l3l2q_wait_counter(ep, far, L3L2Q_CMP_EQ, 9, 1000000, &seen));
	EXPECT_EQ(9, seen);
	EXPECT_EQ(-ETIMEDOUT, l3l2q_wait_counter(ep, far, L3L2Q_CMP_EQ, 5, 1000000, &seen));
	EXPECT_EQ(9, seen);
	EXPECT_EQ(-ERANGE, l3l2q_notify(ep, more, L3L2Q_NOTIFY_SET, 1));
	EXPECT_EQ(0, l3l2q_payload_write(ep, far + 8, "x", 1));
	EXPECT_EQ('x', memory[far + 8]);
	EXPECT_EQ(0, memory[8]);
	EXPECT_EQ(0, l3l2q_payload_read(ep, far + 8, &byte, 1));
	EXPECT_EQ('x', byte);

	ep->core.counters = counters;
	ep->core.payload = payload;
	l3l2q_close(ep);
	munmap(memory, (size_t)more);
}

TEST_HARNESS_MAIN
