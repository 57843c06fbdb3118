// SPDX-License-Identifier: MIT
/* Both sides sleep for each message. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ends.h"
#include "job.h"

#define FINER 5			/* times as many rounds */

static unsigned char bodies[3][LINE];

/* ---- ours ---------------------------------------------------------------- */

struct ours {
	struct ends ends;
	struct l3l2q_attr attr;
};

static int ours_open(struct contestant *c)
{
	struct ours *ours = ((struct job *)c->arg)->link;

	return ends_open(&ours->ends, &ours->attr);
}

static void ours_close(struct contestant *c)
{
	struct ours *ours = ((struct job *)c->arg)->link;

	ends_close(&ours->ends);
}

static inline void ours_send(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;

	for (; n; n--)
		ends_send(&ours->ends, dir);
}

static inline void ours_recv(struct job *job, int dir, uint64_t n)
{
	struct ours *ours = job->link;

	for (; n; n--)
		ends_recv(&ours->ends, !dir);
}

PING_PONG_ASLEEP(ours)

/* ---- futexes, as two processes would ------------------------------------- */

/* For each direction how many hand-overs there were, and how many were taken. */
struct words {
	uint32_t given[2][LINE / 4];
	uint32_t taken[2][LINE / 4];
};

static void futex_close(struct contestant *c)
{
	struct job *job = c->arg;

	munmap(job->link, sizeof(struct words));
}

static int futex_open(struct contestant *c)
{
	struct job *job = c->arg;
	int ret = 0, fd = memfd_create("l3l2q-bench", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	job->link = MAP_FAILED;
	if (!ftruncate(fd, sizeof(struct words)))
		job->link = mmap(NULL, sizeof(struct words), PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, 0);
	if (job->link == MAP_FAILED)
		ret = -errno;
	close(fd);
	return ret;
}

static inline void futex_send(struct job *job, int dir, uint64_t n)
{
	uint32_t *given = ((struct words *)job->link)->given[dir];

	for (; n; n--) {
		__atomic_store_n(given, *given + 1, __ATOMIC_RELEASE);
		syscall(SYS_futex, given, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}

static inline void futex_recv(struct job *job, int dir, uint64_t n)
{
	uint32_t *given = ((struct words *)job->link)->given[dir];
	uint32_t *taken = ((struct words *)job->link)->taken[dir];

	for (; n; n--) {
		while (__atomic_load_n(given, __ATOMIC_ACQUIRE) == *taken)
			syscall(SYS_futex, given, FUTEX_WAIT, *taken, NULL, NULL, 0);
		++*taken;
	}
}

PING_PONG_ASLEEP(futex)

/* ---- eventfds ------------------------------------------------------------- */

struct events {
	int fd[2];
};

static void eventfd_close(struct contestant *c)
{
	struct events *events = ((struct job *)c->arg)->link;

	close(events->fd[0]);
	close(events->fd[1]);
	free(events);
}

static int eventfd_open(struct contestant *c)
{
	struct events *events = malloc(sizeof(*events));

	((struct job *)c->arg)->link = events;
	if (!events)
		return -ENOMEM;
	events->fd[0] = eventfd(0, EFD_CLOEXEC);
	events->fd[1] = eventfd(0, EFD_CLOEXEC);
	if (events->fd[0] >= 0 && events->fd[1] >= 0)
		return 0;
	eventfd_close(c);
	return -EMFILE;
}

static inline void eventfd_send(struct job *job, int dir, uint64_t n)
{
	struct events *events = job->link;

	for (; n; n--) {
		if (eventfd_write(events->fd[dir], 1))
			abort();
	}
}

static inline void eventfd_recv(struct job *job, int dir, uint64_t n)
{
	struct events *events = job->link;
	eventfd_t count;

	for (; n; n--) {
		if (eventfd_read(events->fd[dir], &count))
			abort();
	}
}

PING_PONG_ASLEEP(eventfd)

/* ---- what a system call takes ---------------------------------------------- */

/* A command that nobody knows, to the driver if there is one. */
static void empty_ioctl(struct contestant *c, uint64_t n)
{
	struct ours *ours = ((struct job *)c->arg)->link;
	int fd = l3l2q_fd(ours->ends.ep[0]);

	for (; n; n--) {
		if (!ioctl(fd, _IO(L3L2Q_IOC_TYPE, 0xff)))
			abort();
	}
}

/* ---- the contests ----------------------------------------------------------- */

#define ASLEEP(label, fn)							\
	{									\
		.name = label,							\
		.open = fn##_open,						\
		.close = fn##_close,						\
		.ping_pong = { fn##_ping, fn##_pong },				\
	}

static const struct link link_ours = ASLEEP("l3l2q", ours);
static const struct link link_futex = ASLEEP("futex pair", futex);
static const struct link link_eventfd = ASLEEP("eventfd pair", eventfd);

/*
 * Several times what it takes to wake a sleeper, so that there is one: else whoever
 * wakes by a system call has his answer before he gets to sleep.
 */
static uint64_t think_ns(void)
{
	int i, fd = eventfd(0, EFD_CLOEXEC);
	uint64_t start = now_ns();

	for (i = 0; i < 256; i++)
		eventfd_write(fd, 1);
	close(fd);
	return (now_ns() - start) / 256 * 16;
}

static struct contestant *add(struct contest *contest, const char *name, const struct link *link,
			      bool one_cpu)
{
	struct contestant *c = contest_add(contest, name);
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		abort();
	*job = (struct job){
		.batch = 1,
		.src = bodies[0],
		.dst = { bodies[1], bodies[2] },
		.one_cpu = one_cpu,
		.think_ns = one_cpu ? 0 : think_ns(),
	};
	c->open = link->open;
	c->close = link->close;
	c->side[0] = link->ping_pong[0];
	c->side[1] = link->ping_pong[1];
	c->arg = job;
	return c;
}

static struct contestant *add_ours(struct contest *contest, const char *name,
				   const char *transport, uint64_t spin_ns, bool one_cpu)
{
	struct contestant *c = add(contest, name, &link_ours, one_cpu);
	struct ours *ours = calloc(1, sizeof(*ours));

	if (!ours)
		abort();
	ours->attr = ends_small(transport, spin_ns);
	((struct job *)c->arg)->link = ours;
	return c;
}

static void add_all(struct contest *contest, bool one_cpu)
{
	add_ours(contest, "l3l2q memfd", "memfd", L3L2Q_SPIN_OFF, one_cpu);
	add_ours(contest, "l3l2q driver", ends_driver(), L3L2Q_SPIN_OFF, one_cpu);
	add(contest, link_futex.name, &link_futex, one_cpu);
	add(contest, link_eventfd.name, &link_eventfd, one_cpu);
	add(contest, link_pipe.name, &link_pipe, one_cpu);
	add(contest, link_seqpacket.name, &link_seqpacket, one_cpu);
	add(contest, link_mq.name, &link_mq, one_cpu);
}

static int two_cpus(void)
{
	struct contest *contest = contest_new("sleeping", 0, "there and back, both asleep");
	struct contestant *c, *spinning[2];

	if (!contest)
		return 0;
	add_all(contest, false);
	/* not pinned: a thread that has one processor only does not spin */
	spinning[0] = add_ours(contest, "l3l2q memfd, spinning", "memfd", 0, false);
	spinning[1] = add_ours(contest, "l3l2q driver, spinning", ends_driver(), 0, false);
	((struct job *)spinning[0]->arg)->unpinned = true;
	((struct job *)spinning[1]->arg)->unpinned = true;
	WITH_URING(add(contest, link_uring.name, &link_uring, false)->floor = true;)
	add_ours(contest, "empty ioctl, driver", ends_driver(), 0, false);
	add_ours(contest, "empty ioctl, epoll", "memfd", 0, false);
	for (c = &contest->contestants[contest->count - 2];
	     c < &contest->contestants[contest->count]; c++) {
		c->side[0] = empty_ioctl;
		c->side[1] = NULL;
		c->floor = true;
	}
	return contest_run(contest);
}

/* Nobody waits for a processor to wake up: what is left is what both sides do. */
static int one_cpu(void)
{
	struct contest *contest = contest_new("onecpu", 0, "there and back, on one processor");

	if (!contest)
		return 0;
	add_all(contest, true);
	add_ours(contest, "l3l2q memfd, spinning", "memfd", 0, true);
	return contest_run(contest);
}

/*
 * Whether an idle processor wakes up soon is a mood that lasts for longer than a
 * turn: many short ones, so that everybody meets it.
 */
int bench_sleep(void)
{
	const struct bench_options given = options;
	int ret;

	options.rounds = given.rounds * FINER < MAX_ROUNDS ? given.rounds * FINER : MAX_ROUNDS;
	options.round_ns = given.round_ns * given.rounds / options.rounds;
	ret = two_cpus();
	if (!ret)
		ret = one_cpu();
	options = given;
	return ret;
}
