// SPDX-License-Identifier: MIT
/* Clock, mappings, descriptors, words of failure. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define MAX_FDS L3L2Q_RECEIVED_FDS

#ifndef SCM_PIDFD			/* since Linux 6.5 */
#define SCM_PIDFD 0x04
#endif

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

/* EAGAIN of mmap() is about locked memory; here it means no progress and nothing else. */
int l3l2q_map_errno(int error)
{
	return error == EAGAIN ? -ENOMEM : -error;
}

/* Map, and keep it out of core files. */
int l3l2q_map_fd(struct l3l2q_map *map, int fd, uint64_t offset, uint64_t length, int prot)
{
	void *addr;

	if (length != (size_t)length || offset != (uint64_t)(off_t)offset)
		return -ENOMEM;
	addr = mmap(NULL, (size_t)length, prot, MAP_SHARED, fd, (off_t)offset);
	if (addr == MAP_FAILED)
		return l3l2q_map_errno(errno);
	madvise(addr, (size_t)length, MADV_DONTDUMP);
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

int l3l2q_send_fds(int sock, const void *data, size_t size, const int *fds, int n, int flags)
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
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL | flags);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == size ? 0 : -EIO;
}

void l3l2q_close_received(struct l3l2q_received *got)
{
	while (got->n > 0)
		close(got->fds[--got->n]);
}

/* Keep the descriptors of one control message, and close what there is no room for. */
static void take_fds(struct l3l2q_received *got, struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;
	int fd;

	for (i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		if (got->n < MAX_FDS && cmsg->cmsg_type == SCM_RIGHTS) {
			got->fds[got->n++] = fd;
			continue;
		}
		close(fd);
		got->truncated |= cmsg->cmsg_type == SCM_RIGHTS;
	}
}

/*
 * Receive a message and its descriptors. Other ancillary data, which options of the
 * socket ask for, is skipped; a pidfd among it is closed. Returns the message's length,
 * 0 at the end, or -errno; @got is valid in any case.
 */
ssize_t l3l2q_recv_any(int sock, void *data, size_t size, struct l3l2q_received *got, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[2048];	/* descriptors as many as one message can have, and more */
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t len;

	got->n = 0;
	got->truncated = false;
	do {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level == SOL_SOCKET &&
		    (cmsg->cmsg_type == SCM_RIGHTS || cmsg->cmsg_type == SCM_PIDFD))
			take_fds(got, cmsg);
	}
	got->truncated |= !!(msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC));
	return len;
}

/* 0 if this process can have so many more descriptors. */
int l3l2q_check_slots(int fd, int n)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), ret;

	if (copy < 0)
		return errno == EMFILE || errno == EINVAL ? -EMFILE : -errno;
	ret = n > 1 ? l3l2q_check_slots(fd, n - 1) : 0;
	close(copy);
	return ret;
}

/* All n descriptors and all of data, or none of them. */
int l3l2q_recv_fds(int sock, void *data, size_t size, int *fds, int n, int flags)
{
	struct l3l2q_received got;
	ssize_t len = l3l2q_recv_any(sock, data, size, &got, flags);

	if (len < 0)
		return (int)len;
	if ((size_t)len == size && got.n == n && !got.truncated) {
		memcpy(fds, got.fds, (size_t)n * sizeof(int));
		return 0;
	}
	if (got.truncated && l3l2q_check_slots(sock, 1) == -EMFILE)
		len = -EMFILE;
	l3l2q_close_received(&got);
	return len < 0 ? -EMFILE : len ? -EPROTO : -ENOTCONN;
}

L3L2Q_API int l3l2q_send_fd(int sock, int fd)
{
	return l3l2q_send_fds(sock, "F", 1, &fd, 1, 0);
}

/* A message that is received without room for its descriptor would lose it. */
L3L2Q_API int l3l2q_recv_fd(int sock)
{
	int fd, ret = l3l2q_check_slots(sock, 1);
	char byte;

	if (!ret)
		ret = l3l2q_recv_fds(sock, &byte, 1, &fd, 1, 0);
	return ret ? ret : fd;
}
