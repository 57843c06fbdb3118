// SPDX-License-Identifier: MIT
/* Both ends of a region of ours. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ends.h"

const char *ends_driver(void)
{
	return strcmp(options.transport, "memfd") ? options.transport : "driver";
}

struct l3l2q_attr ends_small(const char *transport, uint64_t spin_ns)
{
	return (struct l3l2q_attr){
		.transport = transport,
		.role = L3L2Q_ROLE_L3,
		.depth = 8,
		.input_arena_bytes = 8 * LINE,
		.output_arena_bytes = 8 * LINE,
		.spin_ns = spin_ns,
	};
}

int ends_open(struct ends *ends, const struct l3l2q_attr *attr)
{
	struct l3l2q_failure why = { .text = "" };
	int fd, i, ret;

	*ends = (struct ends){ .ep = { NULL } };
	ret = l3l2q_create(&ends->ep[0], attr, &why);
	if (!ret) {
		fd = l3l2q_open_peer(ends->ep[0]);
		ret = fd < 0 ? fd : l3l2q_attach(&ends->ep[1], fd, attr, &why);
	}
	if (ret) {
		ends_close(ends);
		if (ret == -ENOENT || ret == -ENXIO || ret == -ENODEV)
			return -EOPNOTSUPP;
		fail("%s: %s", attr->transport, *why.text ? why.text : strerror(-ret));
		return ret;
	}
	for (i = 0; i < 2; i++) {
		ends->p[i] = l3l2q_ep_producer(ends->ep[i]);
		ends->c[i] = l3l2q_ep_consumer(ends->ep[i]);
	}
	return 0;
}

void ends_close(struct ends *ends)
{
	l3l2q_close(ends->ep[1]);
	l3l2q_close(ends->ep[0]);
	*ends = (struct ends){ .ep = { NULL } };
}

void ends_send(struct ends *ends, int side)
{
	if (l3l2q_enqueue(ends->p[side], L3L2Q_OP_DATA, NULL, 0, LONG_NS))
		abort();
}

void ends_recv(struct ends *ends, int side)
{
	struct l3l2q_message m;

	if (l3l2q_dequeue(ends->c[side], &m, NULL, 0, LONG_NS))
		abort();
}

int asleep_open(pid_t tid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The state is the word after the name, which is in brackets. */
void asleep_wait(int fd)
{
	char text[256], *at;
	ssize_t n;

	do {
		n = pread(fd, text, sizeof(text) - 1, 0);
		if (n <= 0)
			abort();
		text[n] = 0;
		at = strrchr(text, ')');
	} while (!at || at[2] != 'S');
}
