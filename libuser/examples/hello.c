// SPDX-License-Identifier: MIT
/* L3 sends HAL to an L2 process, which adds 1 to each byte: hello [memfd|driver] */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <l3l2q.h>

#define CHECK(call) do { int r_ = (call); if (r_ < 0) errx(1, #call ": %s", strerror(-r_)); } while (0)

int main(int argc, char **argv)
{
	struct l3l2q_attr attr = { .transport = argc > 1 ? argv[1] : "memfd", .depth = 8,
				   .input_arena_bytes = 4096, .output_arena_bytes = 4096 };
	struct l3l2q_failure why;
	struct l3l2q_message m;
	struct l3l2q_ep *ep;
	char body[64];
	int fd;

	if (l3l2q_create(&ep, &attr, &why))
		errx(1, "%s", why.text);
	CHECK(fd = l3l2q_open_peer(ep));
	if (fork() == 0) {
		CHECK(l3l2q_attach(&ep, fd, NULL, NULL));
		CHECK(l3l2q_dequeue(l3l2q_ep_consumer(ep), &m, body, sizeof(body), 1000000000));
		for (size_t i = 0; i < m.nbytes; i++)
			body[i]++;
		CHECK(l3l2q_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, body, m.nbytes, 1000000000));
	} else {
		CHECK(l3l2q_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, "HAL", 3, 1000000000));
		CHECK(l3l2q_dequeue(l3l2q_ep_consumer(ep), &m, body, sizeof(body), 1000000000));
		printf("%.*s\n", (int)m.nbytes, body);
	}
	l3l2q_close(ep);
}
