// SPDX-License-Identifier: MIT
/* What the kernel has for messages: they are copied twice, and sleep. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "job.h"

#define PACKET (64 * KIB)	/* what a socket takes at once */
#define MQ_DEPTH 8

/* By direction: where to send, where to receive; -1 if not open. */
struct channel {
	int out[2];
	int in[2];
};

static struct channel *channel_new(struct job *job)
{
	struct channel *channel = malloc(sizeof(*channel));

	job->link = channel;
	if (channel)
		*channel = (struct channel){ { -1, -1 }, { -1, -1 } };
	return channel;
}

static void channel_close(struct contestant *c)
{
	struct job *job = c->arg;
	struct channel *channel = job->link;
	int dir;

	for (dir = 0; dir < 2; dir++) {
		if (channel->in[dir] >= 0)
			close(channel->in[dir]);
		/* a socket is both */
		if (channel->out[dir] >= 0 && channel->out[dir] != channel->in[!dir])
			close(channel->out[dir]);
	}
	free(channel);
}

/* ---- pipe: a stream, so a message without a body is a byte ---------------- */

static int pipe_open(struct contestant *c)
{
	struct channel *channel = channel_new(c->arg);
	int dir, ends[2];

	if (!channel)
		return -ENOMEM;
	for (dir = 0; dir < 2; dir++) {
		if (pipe(ends)) {
			int ret = -errno;

			channel_close(c);
			return ret;
		}
		channel->in[dir] = ends[0];
		channel->out[dir] = ends[1];
	}
	return 0;
}

static inline void pipe_send(struct job *job, int dir, uint64_t n)
{
	struct channel *channel = job->link;
	uint64_t at, size = job->size ? job->size : 1;
	ssize_t done;

	for (; n; n--) {
		for (at = 0; at < size; at += (uint64_t)done) {
			done = write(channel->out[dir], job->src + at, size - at);
			if (done <= 0)
				abort();
		}
	}
}

static inline void pipe_recv(struct job *job, int dir, uint64_t n)
{
	struct channel *channel = job->link;
	uint64_t at, size = job->size ? job->size : 1;
	ssize_t done;

	for (; n; n--) {
		for (at = 0; at < size; at += (uint64_t)done) {
			done = read(channel->in[dir], job->dst[!dir] + at, size - at);
			if (done <= 0)
				abort();
		}
	}
}

#define pipe_close channel_close
PING_PONG_ASLEEP(pipe)
ONE_WAY(pipe)
const struct link link_pipe = LINK("pipe", pipe, false);

/* ---- UNIX socket ---------------------------------------------------------- */

static int seqpacket_open(struct contestant *c)
{
	struct channel *channel = channel_new(c->arg);
	int ends[2];

	if (!channel)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends)) {
		int ret = -errno;

		channel_close(c);
		return ret;
	}
	channel->out[0] = channel->in[1] = ends[0];
	channel->out[1] = channel->in[0] = ends[1];
	return 0;
}

static inline void seqpacket_send(struct job *job, int dir, uint64_t n)
{
	struct channel *channel = job->link;
	uint64_t at, part;

	for (; n; n--) {
		at = 0;
		do {
			part = job->size - at < PACKET ? job->size - at : PACKET;
			if (send(channel->out[dir], job->src + at, part, 0) != (ssize_t)part)
				abort();
			at += part;
		} while (at < job->size);
	}
}

static inline void seqpacket_recv(struct job *job, int dir, uint64_t n)
{
	struct channel *channel = job->link;
	uint64_t at;
	ssize_t done;

	for (; n; n--) {
		at = 0;
		do {
			done = recv(channel->in[dir], job->dst[!dir] + at, job->size - at, 0);
			if (done < 0)
				abort();
			at += (uint64_t)done;
		} while (at < job->size);
	}
}

#define seqpacket_close channel_close
PING_PONG_ASLEEP(seqpacket)
ONE_WAY(seqpacket)
const struct link link_seqpacket = LINK("seqpacket", seqpacket, false);

/* ---- POSIX message queue --------------------------------------------------- */

/* Left out where the kernel has none, or none for messages of that size. */
static int mq_link_open(struct contestant *c)
{
	struct job *job = c->arg;
	struct channel *channel = channel_new(job);
	struct mq_attr attr = {
		.mq_maxmsg = MQ_DEPTH,
		.mq_msgsize = job->size ? (long)job->size : 1,
	};
	char name[32];
	int dir;

	if (!channel)
		return -ENOMEM;
	for (dir = 0; dir < 2; dir++) {
		snprintf(name, sizeof(name), "/l3l2q-bench-%d", (int)getpid());
		channel->in[dir] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
		if (channel->in[dir] < 0) {
			channel_close(c);
			return -EOPNOTSUPP;
		}
		mq_unlink(name);
	}
	channel->out[0] = channel->in[0];
	channel->out[1] = channel->in[1];
	return 0;
}

static void mq_link_close(struct contestant *c)
{
	struct channel *channel = ((struct job *)c->arg)->link;

	channel->out[0] = channel->out[1] = -1;
	channel_close(c);
}

static inline void mq_link_send(struct job *job, int dir, uint64_t n)
{
	struct channel *channel = job->link;

	for (; n; n--) {
		if (mq_send(channel->out[dir], (char *)job->src, job->size, 0))
			abort();
	}
}

static inline void mq_link_recv(struct job *job, int dir, uint64_t n)
{
	struct channel *channel = job->link;

	for (; n; n--) {
		if (mq_receive(channel->in[dir], (char *)job->dst[!dir],
			       job->size ? job->size : 1, NULL) != (ssize_t)job->size)
			abort();
	}
}

PING_PONG_ASLEEP(mq_link)
ONE_WAY(mq_link)
const struct link link_mq = LINK("posix mq", mq_link, false);
