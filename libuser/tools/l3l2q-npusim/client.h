/* SPDX-License-Identifier: MIT */
/*
 * A guest without QEMU: connects to npusim's socket, maps the NPU's memory, and
 * carves regions from it by hand. What QEMU and the driver do, for programs on the
 * host that have neither.
 */
#ifndef NPUSIM_CLIENT_H
#define NPUSIM_CLIENT_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <l3l2q.h>

#include "mailbox.h"

#define NPU_CLIENT_VECTORS 64
#define NPU_CLIENT_GM 0x120000000000ull	/* where the NPU's memory is, for the NPU */

/**
 * struct npu_client - a connection to npusim
 * @sock: the connection
 * @id: our number among the peers; npusim is 0
 * @vectors: doorbells each way
 * @own: eventfds that npusim signals
 * @npu: eventfds that signal npusim
 * @gm: its memory
 * @bytes: size of that
 * @used: carved so far
 * @region_id: last one given out
 */
struct npu_client {
	int sock;
	int64_t id;
	int vectors;
	int own[NPU_CLIENT_VECTORS];
	int npu[NPU_CLIENT_VECTORS];
	unsigned char *gm;
	uint64_t bytes;
	uint64_t used;
	uint64_t region_id;
};

/* One number, and the descriptor that may come with it. */
static inline int npu_client_recv(int sock, int64_t *number, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = number, .iov_len = sizeof(*number) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	*fd = -1;
	if (n < 0)
		return -errno;
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
	return n == sizeof(*number) ? 0 : -EPIPE;
}

static inline int npu_client_hello(struct npu_client *c, int vectors)
{
	struct stat st;
	int64_t number;
	int fd, ret, n = 0;

	ret = npu_client_recv(c->sock, &number, &fd);
	if (ret || number || fd >= 0)
		return ret ? ret : -EPROTO;
	ret = npu_client_recv(c->sock, &c->id, &fd);
	if (ret || c->id <= 0 || fd >= 0)
		return ret ? ret : -EPROTO;
	ret = npu_client_recv(c->sock, &number, &fd);
	if (ret || number != -1 || fd < 0)
		return ret ? ret : -EPROTO;
	if (fstat(fd, &st))
		return -errno;
	c->bytes = (uint64_t)st.st_size;
	c->gm = (unsigned char *)mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (c->gm == MAP_FAILED)
		return -errno;
	while (c->vectors < vectors) {
		ret = npu_client_recv(c->sock, &number, &fd);
		if (ret)
			return ret;
		if (fd >= 0 && number == 0 && n < vectors)
			c->npu[n++] = fd;
		else if (fd >= 0 && number == c->id)
			c->own[c->vectors++] = fd;
		else if (fd >= 0)
			close(fd); /* another guest's */
	}
	return n == vectors ? 0 : -EPROTO;
}

static inline void npu_client_close(struct npu_client *c)
{
	int i;

	for (i = 0; i < NPU_CLIENT_VECTORS; i++) {
		if (c->own[i] >= 0)
			close(c->own[i]);
		if (c->npu[i] >= 0)
			close(c->npu[i]);
	}
	if (c->gm != MAP_FAILED)
		munmap(c->gm, c->bytes);
	if (c->sock >= 0)
		close(c->sock);
}

/* @vectors: as npusim was told. 0 or -errno. */
static inline int npu_client_open(struct npu_client *c, const char *path, int vectors)
{
	const struct timeval limit = { .tv_sec = 30 };
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int i, ret;

	memset(c, 0, sizeof(*c));
	c->sock = -1;
	c->gm = (unsigned char *)MAP_FAILED;
	c->used = NPU_PAGE; /* not everything starts at 0 */
	for (i = 0; i < NPU_CLIENT_VECTORS; i++)
		c->own[i] = c->npu[i] = -1;
	if (strlen(path) >= sizeof(name.sun_path) || vectors < 0 || vectors > NPU_CLIENT_VECTORS)
		return -EINVAL;
	strcpy(name.sun_path, path);
	c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->sock < 0 || setsockopt(c->sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    connect(c->sock, (struct sockaddr *)&name, sizeof(name)))
		ret = -errno;
	else
		ret = npu_client_hello(c, vectors);
	if (ret)
		npu_client_close(c);
	return ret;
}

/*
 * A region, as the driver lays one out: whole pages, zeroed. Its six scalars, and
 * where it lies here.
 */
static inline int npu_client_carve(struct npu_client *c, uint64_t payload_bytes,
				   uint64_t counter_bytes, uint64_t *scalars,
				   void **payload, void **counters)
{
	uint64_t pages = (payload_bytes + NPU_PAGE - 1) / NPU_PAGE * NPU_PAGE;
	uint64_t counter_pages = (counter_bytes + NPU_PAGE - 1) / NPU_PAGE * NPU_PAGE;

	if (pages < payload_bytes || counter_pages < counter_bytes || pages > c->bytes - c->used ||
	    counter_pages > c->bytes - c->used - pages)
		return -ENOSPC;
	*payload = c->gm + c->used;
	*counters = c->gm + c->used + pages;
	memset(*payload, 0, payload_bytes);
	memset(*counters, 0, counter_bytes);
	scalars[0] = L3L2Q_REGION_DEFAULT;
	scalars[1] = ++c->region_id;
	scalars[2] = NPU_CLIENT_GM + c->used;
	scalars[3] = payload_bytes;
	scalars[4] = NPU_CLIENT_GM + c->used + pages;
	scalars[5] = counter_bytes;
	c->used += pages + counter_pages;
	return 0;
}

/* The same for a queue, ready for l3l2q_attach_external(). */
static inline int npu_client_queue(struct npu_client *c, uint64_t depth, uint64_t input_bytes,
				   uint64_t output_bytes, struct l3l2q_external *ext)
{
	struct l3l2q_layout l;
	int ret;

	memset(ext, 0, sizeof(*ext));
	if (l3l2q_layout_make(depth, input_bytes, output_bytes, &l))
		return -EINVAL;
	ret = npu_client_carve(c, l.payload_bytes, l.counter_bytes, ext->scalars, &ext->payload,
			       &ext->counters);
	if (ret)
		return ret;
	ext->scalars[6] = L3L2Q_QUEUE_VERSION;
	ext->scalars[7] = l.depth;
	ext->scalars[8] = l.input_arena_bytes;
	ext->scalars[9] = l.output_arena_bytes;
	ext->scalars[10] = l.payload_bytes;
	ext->scalars[11] = l.counter_bytes;
	ext->role = L3L2Q_ROLE_L3;
	ext->memory = L3L2Q_MEMORY_CACHED;
	return 0;
}

/* Describe such a queue by the SPSQ binding. */
static inline void npu_client_spsq(struct l3l2q_external *ext, const uint64_t identity[2])
{
	const __u64 name[2] = { identity[0], identity[1] };
	__u64 scalars[L3L2Q_SCALARS], none[2];
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	unsigned int i;

	for (i = 0; i < L3L2Q_SCALARS; i++)
		scalars[i] = ext->scalars[i];
	l3l2q_binding_parse(scalars, L3L2Q_SCALARS, none, &region, &queue);
	ext->scalar_count = l3l2q_binding_scalars(L3L2Q_BINDING_SPSQ, name, &region, &queue, scalars);
	for (i = 0; i < L3L2Q_SCALARS; i++)
		ext->scalars[i] = scalars[i];
}

#endif /* NPUSIM_CLIENT_H */
