// SPDX-License-Identifier: MIT
/* A queue in memory that both sides map themselves: a memfd, sealed in its size. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream.h"

/* The counters come first; the payload at a boundary of any page size. */
#define PAYLOAD_AT	65536

struct external {
	int fd;
	unsigned char *map;
	size_t bytes;
	struct l3l2q_external ext;
};

static int map_it(struct external *x, uint32_t role)
{
	void *map = mmap(NULL, x->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, x->fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	x->map = map;
	x->ext.counters = x->map;
	x->ext.payload = x->map + PAYLOAD_AT;
	x->ext.role = role;
	x->ext.memory = L3L2Q_MEMORY_CACHED;
	return 0;
}

/* Addresses are of no use to anybody, but have to make sense. */
static int describe(struct external *x, const struct l3l2q_attr *attr)
{
	uint64_t *scalars = x->ext.scalars;
	struct l3l2q_layout l;

	if (l3l2q_layout_make(attr->depth, attr->input_arena_bytes, attr->output_arena_bytes, &l))
		return -EINVAL;
	x->bytes = PAYLOAD_AT + l.payload_bytes;
	scalars[0] = attr->region_version >> 16 == 3 ? L3L2Q_REGION_V3 : L3L2Q_REGION_V2;
	scalars[1] = (uint64_t)getpid();
	scalars[2] = 2 * PAYLOAD_AT;
	scalars[3] = l.payload_bytes;
	scalars[4] = PAYLOAD_AT;
	scalars[5] = l.counter_bytes;
	scalars[6] = L3L2Q_QUEUE_VERSION;
	scalars[7] = l.depth;
	scalars[8] = l.input_arena_bytes;
	scalars[9] = l.output_arena_bytes;
	scalars[10] = l.payload_bytes;
	scalars[11] = l.counter_bytes;
	return 0;
}

static int make_memory(struct external *x)
{
	x->fd = memfd_create(PROGRAM, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (x->fd < 0 || ftruncate(x->fd, (off_t)x->bytes) ||
	    fcntl(x->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return map_it(x, L3L2Q_ROLE_L3);
}

int external_create(struct external **out, struct l3l2q_ep **ep, const struct l3l2q_attr *attr,
		    struct l3l2q_failure *why)
{
	struct external *x = calloc(1, sizeof(*x));
	int ret;

	*ep = NULL;
	*out = x;
	if (!x)
		return -ENOMEM;
	x->fd = -1;
	ret = describe(x, attr);
	if (ret) {
		snprintf(why->text, sizeof(why->text),
			 "the arenas are more than 64 bits can count");
		return ret;
	}
	ret = make_memory(x);
	return ret ? ret : l3l2q_attach_external(ep, &x->ext, attr, why);
}

int external_fd(const struct external *x, uint64_t *scalars)
{
	memcpy(scalars, x->ext.scalars, sizeof(x->ext.scalars));
	return x->fd;
}

int external_attach(struct external **out, struct l3l2q_ep **ep, int fd, const uint64_t *scalars,
		    const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	struct external *x = calloc(1, sizeof(*x));
	off_t size = lseek(fd, 0, SEEK_END);
	int ret;

	*ep = NULL;
	*out = x;
	if (!x) {
		close(fd);
		return -ENOMEM;
	}
	x->fd = fd;
	memcpy(x->ext.scalars, scalars, sizeof(x->ext.scalars));
	/* What cannot shrink any more cannot be pulled away under us either. */
	if (!(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) || size <= PAYLOAD_AT ||
	    (uint64_t)size - PAYLOAD_AT < scalars[3] || scalars[5] > PAYLOAD_AT)
		return -EINVAL;
	x->bytes = (size_t)size;
	ret = map_it(x, L3L2Q_ROLE_L2);
	return ret ? ret : l3l2q_attach_external(ep, &x->ext, attr, why);
}

void external_free(struct external *x)
{
	if (!x)
		return;
	if (x->map)
		munmap(x->map, x->bytes);
	if (x->fd >= 0)
		close(x->fd);
	free(x);
}
