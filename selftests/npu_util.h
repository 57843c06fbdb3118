/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests with NPUs share: windows that the driver knows, their functions in
 * sysfs, and tasks of l3l2q-npusim, started through a mailbox.
 *
 * L3L2Q_NPUS in the environment says which NPUs there are. If it is empty there
 * may be none, and tests skip; else a missing window is a failure.
 */
#ifndef NPU_UTIL_H
#define NPU_UTIL_H

#include "drv_util.h"
#include "../libuser/tools/l3l2q-npusim/launch.h"

#define NPU_SYSFS	"/sys/bus/pci/"
#define NPU_DRIVER	NPU_SYSFS "drivers/l3l2q/"
#define NPU_TIMEOUT_NS	(DRV_HANG_MS * 1000000ll)

static inline bool npu_promised(void)
{
	const char *npus = getenv("L3L2Q_NPUS");

	return npus && *npus;
}

static inline int npu_windows(int ctx)
{
	struct l3l2q_query query;
	int ret = drv_query(ctx, &query);

	return ret ? ret : (int)query.nr_devices;
}

/* The window of the smallest id above @above. */
static inline int npu_query_device(int ctx, __u64 above, struct l3l2q_query_device *device)
{
	memset(device, 0, sizeof(*device));
	device->size = sizeof(*device);
	device->id = above;
	return drv_ioctl(ctx, L3L2Q_IOC_QUERY_DEVICE, device);
}

/* The id of the window of that name, or 0. */
static inline __u64 npu_id(int ctx, const char *name)
{
	struct l3l2q_query_device device = { 0 };

	while (!npu_query_device(ctx, device.id, &device))
		if (!strcmp((char *)device.name, name))
			return device.id;
	return 0;
}

/* What is free of the window of that id; 0 if there is no such window. */
static inline __u64 npu_free_bytes(int ctx, __u64 id)
{
	struct l3l2q_query_device device;

	return !id || npu_query_device(ctx, id - 1, &device) || device.id != id ? 0 :
	       device.free_bytes;
}

/* In a set-up or a test: go on only with @nr windows. */
#define NPU_REQUIRE(ctx, nr)							\
	do {									\
		if (npu_windows(ctx) < (nr)) {					\
			ASSERT_FALSE(npu_promised() && (nr) == 1)		\
				TH_LOG("L3L2Q_NPUS=%s, and no window", getenv("L3L2Q_NPUS")); \
			SKIP(return, "needs %d NPU window(s)", nr);		\
		}								\
	} while (0)

static inline void npu_create_init(struct l3l2q_create *create, __u64 id)
{
	drv_create_init(create);
	create->backend = L3L2Q_BACKEND_PCI;
	create->source = id;
}

static inline void npu_create_init_raw(struct l3l2q_create *create, __u64 id,
				       __u64 payload, __u64 counters)
{
	drv_create_init_raw(create, payload, counters);
	create->backend = L3L2Q_BACKEND_PCI;
	create->source = id;
}

static inline __u64 npu_round_up(__u64 bytes)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* What a raw region takes of a window. */
static inline __u64 npu_raw_bytes(__u64 payload, __u64 counters)
{
	return npu_round_up(payload) + npu_round_up(counters);
}

/* ---- functions --------------------------------------------------------- */

static inline const char *npu_attribute(const char *name, const char *attribute,
					char *buf, size_t len)
{
	char path[512];

	snprintf(path, sizeof(path), NPU_SYSFS "devices/%s/%s", name, attribute);
	return drv_read_file(path, buf, len);
}

static inline int npu_set_attribute(const char *name, const char *attribute,
				    const char *value)
{
	char path[512];

	snprintf(path, sizeof(path), NPU_SYSFS "devices/%s/%s", name, attribute);
	return drv_write_file(path, value);
}

static inline bool npu_has_attribute(const char *name, const char *attribute)
{
	char path[512];

	snprintf(path, sizeof(path), NPU_SYSFS "devices/%s/%s", name, attribute);
	return !access(path, F_OK);
}

/* A BAR's first and last address and flags. */
static inline bool npu_bar(const char *name, int bar, __u64 *start, __u64 *end, __u64 *flags)
{
	char buf[2048], *line = buf;

	npu_attribute(name, "resource", buf, sizeof(buf));
	while (line && bar--) {
		line = strchr(line, '\n');
		line += !!line;
	}
	return line && sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, (uint64_t *)start,
			      (uint64_t *)end, (uint64_t *)flags) == 3;
}

/* Is it there, and the driver's? */
static inline bool npu_bound(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), NPU_DRIVER "%s", name);
	return !access(path, F_OK);
}

static inline int npu_remove(const char *name)
{
	return npu_set_attribute(name, "remove", "1");
}

static inline int npu_rescan(void)
{
	return drv_write_file(NPU_SYSFS "rescan", "1");
}

/* ---- tasks ------------------------------------------------------------- */

/**
 * struct npu_box - a mailbox in a window
 * @fd: the raw region's endpoint
 */
struct npu_box {
	struct npu npu;
	struct drv_ep ep;
};

static inline void npu_box_open(struct __test_metadata *_metadata, struct npu_box *box,
				int ctx, __u64 id)
{
	struct l3l2q_create create;
	int fd;

	npu_create_init_raw(&create, id, sizeof(struct npu_mailbox), NPU_COUNTER_BYTES);
	fd = drv_create(ctx, &create);
	ASSERT_LE(0, fd);
	drv_ep_init(&box->ep, fd);
	ASSERT_EQ(0, drv_ep_map(&box->ep));
	ASSERT_EQ(0, npu_open_memory(&box->npu, box->ep.payload, box->ep.counters,
				     (const uint64_t *)&box->ep.info.region));
}

static inline void npu_box_close(struct npu_box *box)
{
	if (!box->npu.payload)
		return;
	npu_close(&box->npu);
	drv_ep_unmap_all(&box->ep);
	drv_ep_close(&box->ep);
}

/* A task that is L2 of @ep's queue; it stores but does not ring unless @job says so. */
static inline int npu_box_launch(struct npu_box *box, const struct drv_ep *ep,
				 struct npu_request *job, struct npu_reply *reply)
{
	memcpy(&job->scalars[0], &ep->info.region, sizeof(ep->info.region));
	memcpy(&job->scalars[L3L2Q_REGION_SCALARS], &ep->info.queue, sizeof(ep->info.queue));
	return npu_launch(&box->npu, NULL, job, reply, NPU_TIMEOUT_NS);
}

/* Put message @index, counted from 0, into a queue's input by hand. */
static inline void npu_put(const struct drv_ep *l3, __u32 index, const void *body, __u32 nbytes)
{
	const struct l3l2q_queue_desc *q = &l3->info.queue;
	struct l3l2q_layout layout;
	struct l3l2q_desc desc = {
		.seq = (__u64)index + 1,
		.opcode = nbytes ? L3L2Q_OP_DATA : L3L2Q_OP_STOP,
		.payload_nbytes = nbytes,
	};

	if (l3l2q_layout_make(q->depth, q->input_arena_bytes, q->output_arena_bytes, &layout))
		abort();
	if (nbytes) {
		/* bodies of one size that divides the arena */
		desc.payload_offset = layout.input_arena_offset +
				      (__u64)index * nbytes % q->input_arena_bytes;
		memcpy(l3->payload + desc.payload_offset, body, nbytes);
	}
	memcpy(l3->payload + layout.input_desc_offset + (index & (q->depth - 1)) * sizeof(desc),
	       &desc, sizeof(desc));
	drv_store(l3, L3L2Q_CTR_INPUT_TAIL, index + 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* The output message of that index: its descriptor, and its body if it is in place. */
static inline const void *npu_got(const struct drv_ep *l3, __u32 index, struct l3l2q_desc *desc)
{
	const struct l3l2q_queue_desc *q = &l3->info.queue;
	struct l3l2q_layout layout;

	if (l3l2q_layout_make(q->depth, q->input_arena_bytes, q->output_arena_bytes, &layout))
		abort();
	memcpy(desc, l3->payload + layout.output_desc_offset +
		     (index & (q->depth - 1)) * sizeof(*desc), sizeof(*desc));
	if (desc->payload_offset > layout.payload_bytes ||
	    desc->payload_nbytes > layout.payload_bytes - desc->payload_offset)
		return NULL;
	return l3->payload + desc->payload_offset;
}

#endif /* NPU_UTIL_H */
