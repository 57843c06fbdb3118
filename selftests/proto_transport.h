/* SPDX-License-Identifier: MIT */
/*
 * Queues over the transport in L3L2Q_TRANSPORT, for tests that run over each:
 *
 *	memfd (the default), driver, ram, pci, pci:NAME, ascend:..., dmabuf:FD
 *			as in l3l2q_attr.transport
 *	dmabuf:udmabuf	a udmabuf of the size needed, made here
 *	dmabuf:ram	the payload of another region, exported
 *	external, external-wc, external-device
 *			memory mapped here, taken for memory of that type
 *	external-copied	the same, reached by functions that copy
 *
 * A dma-buf is declared coherent; ascend is with L3L2Q_COHERENT=1. L3L2Q_BINDING=spsq
 * describes queues by the SPSQ binding.
 */
#ifndef PROTO_TRANSPORT_H
#define PROTO_TRANSPORT_H

#include "proto_util.h"

#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <l3l2q.h>

static inline const char *transport(void)
{
	const char *env = getenv("L3L2Q_TRANSPORT");

	return env && *env ? env : "memfd";
}

static inline bool transport_is(const char *start)
{
	return !strncmp(transport(), start, strlen(start));
}

static inline bool is_external(void)
{
	return transport_is("external");
}

/* Without views: no reserve, and handles without data. */
static inline bool is_copied(void)
{
	return transport_is("external-copied");
}

static inline bool is_memfd(void)
{
	return !strcmp(transport(), "memfd");
}

static inline bool spsq_wanted(void)
{
	const char *env = getenv("L3L2Q_BINDING");

	return env && !strcmp(env, "spsq");
}

/* Describe a queue by the binding that is asked for. */
static inline void attr_bind(struct l3l2q_attr *attr)
{
	if (!spsq_wanted() || !attr->depth)
		return;
	attr->binding = L3L2Q_BINDING_SPSQ;
	attr->identity[0] = SPSQ_SESSION;
	attr->identity[1] = SPSQ_TRANSACTION;
}

/* ERROR, where the direction that @sender produces carries it; else DATA. */
static inline uint32_t error_opcode(enum l3l2q_role sender)
{
	return spsq_wanted() && sender == L3L2Q_ROLE_L3 ? L3L2Q_OP_DATA : L3L2Q_OP_ERROR;
}

static inline uint64_t page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static inline uint64_t page_up(uint64_t bytes)
{
	return (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
}

/* What a region takes of a dma-buf. */
static inline uint64_t dmabuf_bytes(const struct l3l2q_attr *attr)
{
	struct l3l2q_layout l = { .payload_bytes = attr->payload_bytes,
		.counter_bytes = attr->counter_bytes };

	if (attr->depth)
		l3l2q_layout_make(attr->depth, attr->input_arena_bytes, attr->output_arena_bytes, &l);
	return page_up(l.payload_bytes) + page_up(l.counter_bytes);
}

static inline int make_udmabuf(uint64_t bytes)
{
	struct udmabuf_create arg = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = bytes };
	int memory = memfd_create("udmabuf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int ret = -1;

	arg.memfd = (__u32)memory;
	if (memory >= 0 && device >= 0 && !ftruncate(memory, (off_t)bytes) &&
	    !fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK))
		ret = ioctl(device, UDMABUF_CREATE, &arg);
	if (ret < 0)
		ret = -errno;
	close(device);
	close(memory);
	return ret;
}

/* The region that is exported lives on in its dma-buf. */
static inline int make_exported(uint64_t bytes, struct l3l2q_failure *why)
{
	struct l3l2q_attr attr = { .transport = "ram", .payload_bytes = bytes,
		.counter_bytes = 64 };
	struct l3l2q_export_dmabuf arg = { .size = sizeof(arg) };
	struct l3l2q_ep *ep;
	int ret = l3l2q_create(&ep, &attr, why);

	if (ret)
		return ret;
	ret = l3l2q_ioctl(l3l2q_fd(ep), L3L2Q_IOC_EXPORT_DMABUF, &arg);
	l3l2q_close(ep);
	return ret ? ret : arg.fd;
}

/* l3l2q_create() over the transport; not external. */
static inline int transport_create(struct l3l2q_ep **ep, const struct l3l2q_attr *from,
				   struct l3l2q_failure *why)
{
	const char *coherent = getenv("L3L2Q_COHERENT");
	struct l3l2q_attr attr = *from;
	int fd = -1, ret;
	char name[32];

	attr_bind(&attr);
	attr.transport = transport();
	if (transport_is("dmabuf") || (coherent && !strcmp(coherent, "1")))
		attr.flags |= L3L2Q_ATTR_COHERENT;
	if (transport_is("dmabuf:udmabuf") || transport_is("dmabuf:ram")) {
		fd = transport_is("dmabuf:ram") ? make_exported(dmabuf_bytes(&attr), why)
						: make_udmabuf(dmabuf_bytes(&attr));
		if (fd < 0)
			return fd;
		snprintf(name, sizeof(name), "dmabuf:%d", fd);
		attr.transport = name;
	}
	ret = l3l2q_create(ep, &attr, why);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* ---- memory mapped here ------------------------------------------------- */

#define CANARY 0xc5

/* Counters, a canary and the payload, between pages that nobody may touch. */
struct outside {
	struct l3l2q_external ext;
	unsigned char **ranges;		/* of copied memory */
	unsigned char *at, *canary;
	size_t length, canaries;
};

static inline uint32_t external_memory(void)
{
	return transport_is("external-wc") ? L3L2Q_MEMORY_WC :
	       transport_is("external-device") ? L3L2Q_MEMORY_DEVICE :
	       is_copied() ? L3L2Q_MEMORY_COPIED : L3L2Q_MEMORY_CACHED;
}

/* Copies of counters are word by word, as both sides need them to be. */
static inline int outside_read(void *ctx, uint32_t range, uint64_t offset, void *to, size_t n)
{
	unsigned char *from = ((unsigned char **)ctx)[range] + offset;
	uint32_t *word = to;
	size_t i;

	if (range == L3L2Q_RANGE_PAYLOAD)
		memcpy(to, from, n);
	else
		for (i = 0; i < n / 4; i++)
			word[i] = __atomic_load_n((uint32_t *)(void *)(from + 4 * i),
						  __ATOMIC_ACQUIRE);
	return 0;
}

static inline int outside_write(void *ctx, uint32_t range, uint64_t offset, const void *from,
				size_t n)
{
	unsigned char *to = ((unsigned char **)ctx)[range] + offset;
	const uint32_t *word = from;
	size_t i;

	if (range == L3L2Q_RANGE_PAYLOAD)
		memcpy(to, from, n);
	else
		for (i = 0; i < n / 4; i++)
			__atomic_store_n((uint32_t *)(void *)(to + 4 * i), word[i],
					 __ATOMIC_RELEASE);
	return 0;
}

/* Of the copied region that was made last. */
static unsigned char **outside_ranges;

/* l3l2q_ep_info(), with addresses also where the library has none. */
static inline void region_info(const struct l3l2q_ep *ep, struct l3l2q_ep_info *info)
{
	l3l2q_ep_info(ep, info);
	if (!is_copied())
		return;
	info->payload = outside_ranges[L3L2Q_RANGE_PAYLOAD];
	info->counters = outside_ranges[L3L2Q_RANGE_COUNTERS];
}

/* Describe the memory by functions instead of addresses. */
static inline int outside_copy(struct outside *o)
{
	o->ranges = calloc(2, sizeof(*o->ranges));
	if (!o->ranges)
		return -ENOMEM;
	o->ranges[L3L2Q_RANGE_PAYLOAD] = o->ext.payload;
	o->ranges[L3L2Q_RANGE_COUNTERS] = o->ext.counters;
	o->ext.payload = o->ext.counters = NULL;
	o->ext.read = outside_read;
	o->ext.write = outside_write;
	o->ext.ctx = outside_ranges = o->ranges;
	return 0;
}

static inline int outside_make(struct outside *o, const struct l3l2q_attr *attr)
{
	uint64_t page = page_bytes();
	struct l3l2q_region_desc region;
	const __u64 identity[2] = { SPSQ_SESSION, SPSQ_TRANSACTION };
	__u64 scalars[L3L2Q_SCALARS];
	struct l3l2q_queue_desc queue;
	struct l3l2q_layout l;
	unsigned int i;

	memset(o, 0, sizeof(*o));
	if (l3l2q_layout_make(attr->depth, attr->input_arena_bytes, attr->output_arena_bytes, &l))
		return -EINVAL;
	o->length = page_up(l.payload_bytes) + 3 * page;
	o->at = mmap(NULL, o->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (o->at == MAP_FAILED)
		return -errno;
	if (mprotect(o->at, page, PROT_NONE) ||
	    mprotect(o->at + o->length - page, page, PROT_NONE))
		return -errno;
	o->ext.counters = o->at + page;
	o->ext.payload = o->at + o->length - page - l.payload_bytes;
	o->ext.memory = external_memory();
	o->canary = o->at + page + l.counter_bytes;
	o->canaries = (size_t)((unsigned char *)o->ext.payload - o->canary);
	memset(o->canary, CANARY, o->canaries);
	scalars_make(&region, &queue, &l);
	o->ext.scalar_count = l3l2q_binding_scalars(spsq_wanted(), identity, &region, &queue,
						    scalars);
	for (i = 0; i < L3L2Q_SCALARS; i++)
		o->ext.scalars[i] = scalars[i];
	return is_copied() ? outside_copy(o) : 0;
}

/* Whether nothing was written that is not the region's. */
static inline bool outside_intact(const struct outside *o)
{
	size_t i;

	for (i = 0; i < o->canaries; i++)
		if (o->canary[i] != CANARY)
			return false;
	return true;
}

static inline void outside_free(struct outside *o)
{
	if (o->at)
		munmap(o->at, o->length);
	free(o->ranges);
	memset(o, 0, sizeof(*o));
}

/* ---- both ends ----------------------------------------------------------- */

/* Two ends of one region; in one process, or the other's as a descriptor. */
struct pair {
	struct l3l2q_attr attr;
	struct l3l2q_ep *ep[L3L2Q_ROLES];
	int peer_fd;
	struct outside outside;
};

static inline int pair_external(struct pair *p, enum l3l2q_role role, struct l3l2q_failure *why)
{
	p->outside.ext.role = role;
	return l3l2q_attach_external(&p->ep[role], &p->outside.ext, &p->attr, why);
}

/* Make a region; the creator has p->attr.role. */
static inline int pair_create(struct pair *p)
{
	struct l3l2q_failure why = { "" };
	int ret;

	p->peer_fd = -1;
	if (is_external()) {
		ret = outside_make(&p->outside, &p->attr);
		if (!ret)
			ret = pair_external(p, (enum l3l2q_role)p->attr.role, &why);
	} else {
		ret = transport_create(&p->ep[p->attr.role], &p->attr, &why);
		if (!ret) {
			p->peer_fd = l3l2q_open_peer(p->ep[p->attr.role]);
			ret = p->peer_fd < 0 ? p->peer_fd : 0;
		}
	}
	if (ret)
		fprintf(stderr, "# create: %s: %s\n", strerror(-ret), why.text);
	return ret;
}

/* Make the other end in this process. */
static inline int pair_attach(struct pair *p)
{
	enum l3l2q_role peer = l3l2q_peer_role((enum l3l2q_role)p->attr.role);
	struct l3l2q_failure why = { "" };
	int ret;

	if (is_external())
		ret = pair_external(p, peer, &why);
	else
		ret = l3l2q_attach(&p->ep[peer], p->peer_fd, &p->attr, &why);
	if (ret)
		fprintf(stderr, "# attach: %s: %s\n", strerror(-ret), why.text);
	else
		p->peer_fd = -1;
	return ret;
}

static inline int pair_make(struct pair *p)
{
	int ret = pair_create(p);

	return ret ? ret : pair_attach(p);
}

static inline void pair_close(struct pair *p)
{
	l3l2q_close(p->ep[L3L2Q_ROLE_L3]);
	l3l2q_close(p->ep[L3L2Q_ROLE_L2]);
	if (p->peer_fd >= 0)
		close(p->peer_fd);
	if (!outside_intact(&p->outside)) {
		fprintf(stderr, "# something was written between counters and payload\n");
		abort();
	}
	outside_free(&p->outside);
	memset(p, 0, sizeof(*p));
	p->peer_fd = -1;
}

#endif /* PROTO_TRANSPORT_H */
