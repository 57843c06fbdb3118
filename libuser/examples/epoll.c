// SPDX-License-Identifier: MIT
/*
 * A queue in an event loop: L3 sends a number on each tick of a timer and prints the
 * square of it, which an L2 process computes. epoll [memfd|driver [N]]
 * With N the L2 process dies after N results, and the loop reports it.
 *
 * sleep_or_look() shows the rule of event loops: call l3l2q_arm() before each sleep,
 * and do not sleep if it reports an event. print_results() shows how the loop ends:
 * an error other than -EAGAIN is the end of the other side or of this one.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <l3l2q.h>

#define SECOND	1000000000
#define NUMBERS	5

static int check(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
	return ret;
}

/* L2 has nothing else to do, so it blocks. It dies after @limit results. */
static int square(int fd, int limit)
{
	struct l3l2q_message m;
	struct l3l2q_ep *ep;
	int number;

	check(l3l2q_attach(&ep, fd, NULL, NULL), "attach");
	while (!l3l2q_drained(l3l2q_ep_consumer(ep))) {
		if (limit-- == 0)
			_exit(0);
		check(l3l2q_dequeue(l3l2q_ep_consumer(ep), &m, &number, sizeof(number),
				    10ll * SECOND), "dequeue");
		if (m.opcode == L3L2Q_OP_STOP)
			continue;
		number *= number;
		check(l3l2q_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, &number,
				    sizeof(number), 10ll * SECOND), "enqueue");
	}
	l3l2q_close(ep);
	return 0;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll_ctl");
}

static int make_timer(void)
{
	const struct itimerspec tick = {
		.it_value.tv_nsec = SECOND / 100,
		.it_interval.tv_nsec = SECOND / 100,
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, 0, &tick, NULL))
		err(1, "timerfd");
	return fd;
}

/*
 * Print the results that have arrived, of @left. Returns how many. After the last one the
 * worker may be gone.
 */
static int print_results(struct l3l2q_ep *ep, int left)
{
	struct l3l2q_message m;
	int number, ret, n;

	for (n = 0; n < left; n++) {
		ret = l3l2q_try_dequeue(l3l2q_ep_consumer(ep), &m, &number, sizeof(number));
		if (ret == -EAGAIN)
			break;
		check(ret, "the worker");
		printf("%d\n", number);
	}
	return n;
}

/* Send the next number, or STOP after the last one. The queue has room for all. */
static void send_next(struct l3l2q_ep *ep, int *number)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(ep);

	if (++*number <= NUMBERS)
		check(l3l2q_try_enqueue(p, L3L2Q_OP_DATA, number, sizeof(*number)), "enqueue");
	else if (*number == NUMBERS + 1)
		check(l3l2q_try_stop(p), "stop");
}

static void sleep_or_look(struct l3l2q_ep *ep, int epoll)
{
	struct epoll_event events[2];
	int ready = check(l3l2q_arm(ep, L3L2Q_EVENT_IN), "arm");

	if (epoll_wait(epoll, events, 2, ready ? 0 : -1) < 0 && errno != EINTR)
		err(1, "epoll_wait");
}

int main(int argc, char **argv)
{
	struct l3l2q_attr attr = {
		.transport = argc > 1 ? argv[1] : "memfd",
		.depth = 8,
		.input_arena_bytes = 4096,
		.output_arena_bytes = 4096,
	};
	int epoll = epoll_create1(EPOLL_CLOEXEC), timer = make_timer();
	int fd, number = 0, results = 0;
	struct l3l2q_failure why;
	struct l3l2q_ep *ep;
	uint64_t ticks;

	if (l3l2q_create(&ep, &attr, &why))
		errx(1, "%s", why.text);
	fd = check(l3l2q_open_peer(ep), "open_peer");
	if (fork() == 0)
		return square(fd, argc > 2 ? atoi(argv[2]) : -1);
	close(fd);

	watch(epoll, timer);
	watch(epoll, l3l2q_fd(ep));
	while (results < NUMBERS) {
		sleep_or_look(ep, epoll);
		if (read(timer, &ticks, sizeof(ticks)) > 0)
			send_next(ep, &number);
		results += print_results(ep, NUMBERS - results);
	}
	if (number <= NUMBERS)
		check(l3l2q_stop(l3l2q_ep_producer(ep), SECOND), "stop");
	l3l2q_close(ep);
	return 0;
}
