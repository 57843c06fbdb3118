// SPDX-License-Identifier: MIT
/* Clock, mappings, descriptors, words of failure. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define MAX_FDS 4

uint64_t l3l2q_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* L3L2Q_WAIT_FOREVER is the kernel's word for no deadline; stay below it. */
uint64_t l3l2q_deadline(int64_t timeout_ns)
{
	return l3l2q_now() + (uint64_t)timeout_ns;
}

int l3l2q_why(struct l3l2q_failure *why, int ret, const char *format, ...)
{
	va_list args;

	if (!why)
		return ret;
	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return ret;
}

static int arena_why(const char *name, uint64_t bytes, struct l3l2q_failure *why)
{
	if (!bytes)
		return l3l2q_why(why, -EINVAL, "%s is 0: it must be a positive multiple of %u",
				 name, L3L2Q_ARENA_ALIGN);
	return l3l2q_why(why, -EINVAL, "%s %llu is not a multiple of %u", name,
			 (unsigned long long)bytes, L3L2Q_ARENA_ALIGN);
}

/* Say which of the sizes l3l2q_layout_make() refuses. */
int l3l2q_layout_why(const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	uint64_t in = attr->input_arena_bytes, out = attr->output_arena_bytes;

	if (attr->depth & (attr->depth - 1) || attr->depth > L3L2Q_MAX_DEPTH)
		return l3l2q_why(why, -EINVAL, "depth %u is not a power of two of at most 2^30",
				 attr->depth);
	if (!in || in % L3L2Q_ARENA_ALIGN)
		return arena_why("input_arena_bytes", in, why);
	if (!out || out % L3L2Q_ARENA_ALIGN)
		return arena_why("output_arena_bytes", out, why);
	return l3l2q_why(why, -EINVAL, "input_arena_bytes %llu and output_arena_bytes %llu are more than 64 bits can count",
			 (unsigned long long)in, (unsigned long long)out);
}

/* Say what is wrong where depth is 0; 0 if it is a raw region. */
int l3l2q_raw_why(const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	if (attr->input_arena_bytes || attr->output_arena_bytes)
		return l3l2q_why(why, -EINVAL, "depth is 0, but there are arenas: a queue needs a depth, a power of two");
	if (!attr->payload_bytes && !attr->counter_bytes)
		return l3l2q_why(why, -EINVAL, "neither depth (of a queue) nor payload_bytes (of a raw region) is set");
	if (!attr->payload_bytes)
		return l3l2q_why(why, -EINVAL, "payload_bytes is 0: a raw region needs some");
	if (!attr->counter_bytes || attr->counter_bytes % 4)
		return l3l2q_why(why, -EINVAL, "counter_bytes %llu is not a positive multiple of 4",
				 (unsigned long long)attr->counter_bytes);
	return 0;
}

L3L2Q_API int l3l2q_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int l3l2q_map_fd(struct l3l2q_map *map, int fd, uint64_t offset, uint64_t length, int prot)
{
	void *addr;

	if (length != (size_t)length || offset != (uint64_t)(off_t)offset)
		return -ENOMEM;
	addr = mmap(NULL, (size_t)length, prot, MAP_SHARED, fd, (off_t)offset);
	if (addr == MAP_FAILED)
		return -errno;
	map->addr = addr;
	map->length = (size_t)length;
	return 0;
}

void l3l2q_unmap(struct l3l2q_map *map)
{
	if (map->addr)
		munmap(map->addr, map->length);
	map->addr = NULL;
}

void l3l2q_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int l3l2q_send_fds(int sock, const void *data, size_t size, const int *fds, int n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t sent;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, (size_t)n * sizeof(int));
	do {
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == size ? 0 : -EIO;
}

/* All n descriptors and all of data, or none of them. */
int l3l2q_recv_fds(int sock, void *data, size_t size, int *fds, int n, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg;
	int got = 0, received[MAX_FDS];
	ssize_t len;

	do {
		len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		got = (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(received, CMSG_DATA(cmsg), (size_t)got * sizeof(int));
	}
	if ((size_t)len != size || got != n || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
		while (got > 0)
			close(received[--got]);
		return len ? -EPROTO : -ENOTCONN;
	}
	memcpy(fds, received, (size_t)n * sizeof(int));
	return 0;
}

L3L2Q_API int l3l2q_send_fd(int sock, int fd)
{
	return l3l2q_send_fds(sock, "F", 1, &fd, 1);
}

L3L2Q_API int l3l2q_recv_fd(int sock)
{
	char byte;
	int fd, ret = l3l2q_recv_fds(sock, &byte, 1, &fd, 1, 0);

	return ret ? ret : fd;
}
