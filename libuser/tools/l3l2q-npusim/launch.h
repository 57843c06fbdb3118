/* SPDX-License-Identifier: MIT */
/*
 * The guest's end of the mailbox of mailbox.h, over libl3l2q's raw regions: on any
 * transport whose memory npusim sees. Or over memory that the caller has mapped.
 *
 *	struct npu npu;
 *	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING, .window = 4 };
 *	struct npu_reply reply;
 *
 *	npu_open(&npu, &attr, &why);			// transport and flags as for @ep
 *	npu_launch(&npu, ep, &job, &reply, timeout);	// L2 of @ep runs
 *	... l3l2q_stop() and all results taken ...
 *	npu_wait(&npu, reply.task, &reply, timeout);	// how it ended
 *	npu_close(&npu);
 *
 * A task that was not stopped by its queue is to be stopped by npu_stop() before
 * the queue is closed, lest it goes on in memory that is somebody else's by then.
 * One thread at a time for a struct npu. 0 or -errno; a reply's own status counts
 * as the call's.
 */
#ifndef NPUSIM_LAUNCH_H
#define NPUSIM_LAUNCH_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <l3l2q.h>

#include "mailbox.h"

#define NPU_SLICE_NS (20 * 1000000ll)	/* look again though nobody has rung */

/**
 * struct npu - a mailbox
 * @ep: the raw region, or NULL
 * @payload: else its memory
 * @counters: and the counters, of which npusim is to know the addresses
 * @count: requests so far, for each slot
 */
struct npu {
	struct l3l2q_ep *ep;
	unsigned char *payload;
	int32_t *counters;
	int32_t count[NPU_SLOTS];
};

static inline uint64_t npu_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline int npu_write(struct npu *npu, uint64_t offset, const void *from, size_t size)
{
	if (npu->ep)
		return l3l2q_payload_write(npu->ep, offset, from, size);
	memcpy(npu->payload + offset, from, size);
	return 0;
}

static inline int npu_read(struct npu *npu, uint64_t offset, void *to, size_t size)
{
	if (npu->ep)
		return l3l2q_payload_read(npu->ep, offset, to, size);
	memcpy(to, npu->payload + offset, size);
	return 0;
}

static inline int npu_post(struct npu *npu, uint32_t offset, int32_t value)
{
	if (npu->ep)
		return l3l2q_notify(npu->ep, offset, L3L2Q_NOTIFY_SET, value);
	__atomic_store_n(npu->counters + offset / 4, value, __ATOMIC_RELEASE);
	return 0;
}

/* For a moment: whoever answers may not ring. */
static inline int npu_look(struct npu *npu, uint32_t offset, int32_t value)
{
	const struct timespec nap = { .tv_nsec = 50000 };

	if (npu->ep)
		return l3l2q_wait_counter(npu->ep, offset, L3L2Q_CMP_EQ, value, NPU_SLICE_NS, NULL);
	if (__atomic_load_n(npu->counters + offset / 4, __ATOMIC_ACQUIRE) == value)
		return 0;
	nanosleep(&nap, NULL);
	return -ETIMEDOUT;
}

/* The magic goes last, though npusim checks all of it anyway. */
static inline int npu_publish_header(struct npu *npu, const uint64_t *scalars)
{
	struct npu_header header = {
		.magic = NPU_MAGIC,
		.version = NPU_VERSION,
		.slots = NPU_SLOTS,
	};
	int ret;

	memcpy(header.scalars, scalars, sizeof(header.scalars));
	header.check = npu_header_check(&header);
	ret = npu_write(npu, sizeof(header.magic), &header.version,
			sizeof(header) - sizeof(header.magic));
	return ret ? ret : npu_write(npu, 0, &header.magic, sizeof(header.magic));
}

/* Of @like, transport, flags and spin_ns count. */
static inline int npu_open(struct npu *npu, const struct l3l2q_attr *like,
			   struct l3l2q_failure *why)
{
	struct l3l2q_attr attr = {
		.transport = like->transport,
		.role = L3L2Q_ROLE_L3,
		.payload_bytes = sizeof(struct npu_mailbox),
		.counter_bytes = NPU_COUNTER_BYTES,
		.spin_ns = like->spin_ns,
		.flags = like->flags,
	};
	uint64_t scalars[L3L2Q_SCALARS];
	int ret;

	memset(npu, 0, sizeof(*npu));
	ret = l3l2q_create(&npu->ep, &attr, why);
	if (ret)
		return ret;
	l3l2q_ep_scalars(npu->ep, scalars);
	ret = npu_publish_header(npu, scalars);
	if (ret) {
		l3l2q_close(npu->ep);
		npu->ep = NULL;
	}
	return ret;
}

/* Over zeroed memory at a page boundary of the NPU's. */
static inline int npu_open_memory(struct npu *npu, void *payload, void *counters,
				  const uint64_t *scalars)
{
	memset(npu, 0, sizeof(*npu));
	npu->payload = (unsigned char *)payload;
	npu->counters = (int32_t *)counters;
	return npu_publish_header(npu, scalars);
}

/* npusim stops what was launched from here. */
static inline void npu_close(struct npu *npu)
{
	const uint64_t none = 0;

	if (npu->ep || npu->payload)
		npu_write(npu, 0, &none, sizeof(none));
	l3l2q_close(npu->ep);
	memset(npu, 0, sizeof(*npu));
}

/* ---- requests ---------------------------------------------------------- */

/* Replaces what the slot may still be waiting for. */
static inline int npu_submit(struct npu *npu, uint32_t slot, const struct npu_request *request)
{
	uint64_t at = offsetof(struct npu_mailbox, slot) + slot * sizeof(struct npu_slot);
	int ret = npu_write(npu, at, request, sizeof(*request));

	if (ret)
		return ret;
	npu->count[slot]++;
	return npu_post(npu, NPU_REQUEST_COUNTER(slot), npu->count[slot]);
}

static inline int npu_reply(struct npu *npu, uint32_t slot, struct npu_reply *reply,
			    int64_t timeout_ns)
{
	uint64_t at = offsetof(struct npu_mailbox, slot) + slot * sizeof(struct npu_slot) +
		      offsetof(struct npu_slot, reply);
	uint64_t deadline = npu_clock() + (uint64_t)timeout_ns;
	int ret;

	memset(reply, 0, sizeof(*reply));
	do {
		ret = npu_look(npu, NPU_REPLY_COUNTER(slot), npu->count[slot]);
	} while (ret == -ETIMEDOUT && npu_clock() < deadline);
	if (!ret)
		ret = npu_read(npu, at, reply, sizeof(*reply));
	if (ret)
		return ret;
	reply->text[sizeof(reply->text) - 1] = '\0';
	return reply->status;
}

static inline int npu_call(struct npu *npu, const struct npu_request *request,
			   struct npu_reply *reply, int64_t timeout_ns)
{
	int ret = npu_submit(npu, 0, request);

	return ret ? ret : npu_reply(npu, 0, reply, timeout_ns);
}

/* Have a task be L2 of the queue that @ep is L3 of; @job says how. */
static inline int npu_launch(struct npu *npu, const struct l3l2q_ep *ep,
			     const struct npu_request *job, struct npu_reply *reply,
			     int64_t timeout_ns)
{
	struct npu_request request = *job;
	uint64_t scalars[L3L2Q_SCALARS];
	struct l3l2q_ep_info info;

	memset(reply, 0, sizeof(*reply));
	request.op = NPU_OP_LAUNCH;
	if (ep) {
		if (l3l2q_ep_info(ep, &info) || !info.layout.depth)
			return -EINVAL;
		l3l2q_ep_scalars(ep, scalars);
		memcpy(request.scalars, scalars, sizeof(request.scalars));
		request.region_id = info.region_id;
	}
	return npu_call(npu, &request, reply, timeout_ns);
}

static inline int npu_task_op(struct npu *npu, uint32_t op, uint32_t task,
			      struct npu_reply *reply, int64_t timeout_ns)
{
	const struct npu_request request = { .op = op, .task = task };

	return npu_call(npu, &request, reply, timeout_ns);
}

static inline int npu_query(struct npu *npu, uint32_t task, struct npu_reply *reply,
			    int64_t timeout_ns)
{
	return npu_task_op(npu, NPU_OP_QUERY, task, reply, timeout_ns);
}

/* Until it has ended. */
static inline int npu_wait(struct npu *npu, uint32_t task, struct npu_reply *reply,
			   int64_t timeout_ns)
{
	return npu_task_op(npu, NPU_OP_WAIT, task, reply, timeout_ns);
}

static inline int npu_stop(struct npu *npu, uint32_t task, struct npu_reply *reply,
			   int64_t timeout_ns)
{
	return npu_task_op(npu, NPU_OP_STOP, task, reply, timeout_ns);
}

/* Lines for QEMU's monitor, whose answer is not heard of. */
static inline int npu_monitor(struct npu *npu, const char *text, int64_t timeout_ns)
{
	struct npu_request request = { .op = NPU_OP_MONITOR };
	struct npu_reply reply;

	if (strlen(text) >= sizeof(request.text))
		return -EINVAL;
	strcpy(request.text, text);
	return npu_call(npu, &request, &reply, timeout_ns);
}

/* Unplug the function that selftests/vm/run.sh calls so. */
static inline int npu_unplug(struct npu *npu, const char *id, int64_t timeout_ns)
{
	char text[NPU_TEXT];

	snprintf(text, sizeof(text), "device_del %.64s", id);
	return npu_monitor(npu, text, timeout_ns);
}

/*
 * And plug it in again. With the device goes the mailbox, so all is said at once.
 * QEMU takes no name again that its command line had.
 */
static inline int npu_replug(struct npu *npu, const char *id, int64_t timeout_ns)
{
	char text[NPU_TEXT];

	snprintf(text, sizeof(text), "device_del %.32s\n"
		 "chardev-remove %.32s\nchardev-remove %.32s.again\n"
		 "chardev-add socket,id=%.32s.again,path=%.32s.sock\n"
		 "device_add ivshmem-doorbell,id=%.32s,vectors=2,chardev=%.32s.again,"
		 "bus=%.32s.port", id, id, id, id, id, id, id, id);
	return npu_monitor(npu, text, timeout_ns);
}

static inline const char *npu_state_name(uint32_t state)
{
	static const char *const names[] = {
		"unknown", "running", "done", "failed", "stopped", "crashed", "gone",
	};

	return names[state < sizeof(names) / sizeof(names[0]) ? state : 0];
}

#endif /* NPUSIM_LAUNCH_H */
