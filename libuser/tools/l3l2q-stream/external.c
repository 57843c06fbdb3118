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
	const __u64 identity[2] = { attr->identity[0], attr->identity[1] };
	struct l3l2q_region_desc region = { 0 };
	struct l3l2q_queue_desc queue = { 0 };
	__u64 scalars[L3L2Q_SCALARS];
	struct l3l2q_layout l;
	unsigned int i;

	if (l3l2q_layout_make(attr->depth, attr->input_arena_bytes, attr->output_arena_bytes, &l))
		return -EINVAL;
	x->bytes = PAYLOAD_AT + l.payload_bytes;
	region.magic_version = attr->region_version >> 16 == 3 ? L3L2Q_REGION_V3 : L3L2Q_REGION_V2;
	region.region_id = (uint64_t)getpid();
	region.payload_base = 2 * PAYLOAD_AT;
	region.payload_bytes = queue.payload_bytes = l.payload_bytes;
	region.counter_base = PAYLOAD_AT;
	region.counter_bytes = queue.counter_bytes = l.counter_bytes;
	queue.magic_version = l3l2q_queue_version(attr->binding);
	queue.depth = l.depth;
	queue.input_arena_bytes = l.input_arena_bytes;
	queue.output_arena_bytes = l.output_arena_bytes;
	x->ext.scalar_count = l3l2q_binding_scalars(attr->binding, identity, &region, &queue, scalars);
	for (i = 0; i < L3L2Q_SCALARS; i++)
		x->ext.scalars[i] = scalars[i];
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

/* The scalars that the other side sent, whose first one tells the binding, fit the memory. */
static bool take_scalars(struct external *x, const uint64_t *from, uint64_t size)
{
	struct l3l2q_region_desc region;
	struct l3l2q_queue_desc queue;
	__u64 scalars[L3L2Q_SCALARS], identity[2];
	unsigned int i;

	for (i = 0; i < L3L2Q_SCALARS; i++)
		x->ext.scalars[i] = scalars[i] = from[i];
	x->ext.scalar_count = scalars[0] == L3L2Q_SPSQ_VERSION ? L3L2Q_SPSQ_SCALARS : L3L2Q_SCALARS;
	return !l3l2q_binding_parse(scalars, x->ext.scalar_count, identity, &region, &queue) &&
	       size > PAYLOAD_AT && size - PAYLOAD_AT >= region.payload_bytes &&
	       region.counter_bytes <= PAYLOAD_AT;
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
	/* What cannot shrink any more cannot be pulled away under us either. */
	if (!(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) || size < 0 ||
	    !take_scalars(x, scalars, (uint64_t)size))
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
