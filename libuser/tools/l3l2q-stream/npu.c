// SPDX-License-Identifier: MIT
/* L2 as a task of l3l2q-npusim, launched through a mailbox beside the queue. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../l3l2q-npusim/client.h"
#include "../l3l2q-npusim/launch.h"
#include "stream.h"

#define ANSWER_NS ((int64_t)(10 * NSEC_PER_SEC))

/**
 * struct npu_peer - the task, and the way to it
 * @box: the mailbox
 * @guest: with a transport of npusim:SOCKET, our share of its memory
 * @is_guest: there is one
 * @open: there is a mailbox
 * @scalars: the queue, as the NPU sees it
 * @region_id: of the queue
 * @task: its number, 0: none
 */
struct npu_peer {
	struct npu box;
	struct npu_client guest;
	bool is_guest;
	bool open;
	uint64_t scalars[L3L2Q_SCALARS];
	uint64_t region_id;
	uint32_t task;
};

/* The queue in memory that we map ourselves, as QEMU would. */
static int guest_create(struct npu_peer *peer, struct l3l2q_ep **ep, const char *socket,
			const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	struct l3l2q_external ext;
	int ret = npu_client_open(&peer->guest, socket, 0);

	if (ret) {
		snprintf(why->text, sizeof(why->text), "no NPU at %.64s: %s", socket,
			 strerror(-ret));
		return ret;
	}
	peer->is_guest = true;
	ret = npu_client_queue(&peer->guest, attr->depth, attr->input_arena_bytes,
			       attr->output_arena_bytes, &ext);
	if (ret) {
		snprintf(why->text, sizeof(why->text), "%s", ret == -ENOSPC ?
			 "the NPU has not that much memory" :
			 "depth must be a power of two, arenas multiples of 64");
		return ret;
	}
	peer->region_id = ext.scalars[1];
	if (attr->binding == L3L2Q_BINDING_SPSQ)
		npu_client_spsq(&ext, attr->identity);
	memcpy(peer->scalars, ext.scalars, sizeof(peer->scalars));
	return l3l2q_attach_external(ep, &ext, attr, why);
}

int npu_create(struct npu_peer **out, struct l3l2q_ep **ep, const struct options *opt,
	       struct l3l2q_failure *why)
{
	struct npu_peer *peer = calloc(1, sizeof(*peer));
	struct l3l2q_ep_info info;
	int ret;

	*ep = NULL;
	*out = peer;
	if (!peer)
		return -ENOMEM;
	if (!strncmp(opt->attr.transport, NPUSIM_PREFIX, strlen(NPUSIM_PREFIX)))
		return guest_create(peer, ep, opt->attr.transport + strlen(NPUSIM_PREFIX),
				    &opt->attr, why);
	ret = l3l2q_create(ep, &opt->attr, why);
	if (ret)
		return ret;
	l3l2q_ep_scalars(*ep, peer->scalars);
	l3l2q_ep_info(*ep, &info);
	peer->region_id = info.region_id;
	return 0;
}

static int open_box(struct npu_peer *peer, const struct options *opt, struct l3l2q_failure *why)
{
	struct l3l2q_attr like = opt->attr;
	uint64_t scalars[L3L2Q_REGION_SCALARS];
	void *payload, *counters;
	int ret;

	if (!peer->is_guest) {
		if (opt->mailbox)
			like.transport = opt->mailbox;
		/* The mailbox is a raw region, which has no binding. */
		like.binding = L3L2Q_BINDING_L3Q2;
		like.identity[0] = like.identity[1] = 0;
		return npu_open(&peer->box, &like, why);
	}
	ret = npu_client_carve(&peer->guest, sizeof(struct npu_mailbox), NPU_COUNTER_BYTES,
			       scalars, &payload, &counters);
	return ret ? ret : npu_open_memory(&peer->box, payload, counters, scalars);
}

static void describe_job(struct npu_request *job, const struct options *opt)
{
	uint32_t bits;

	*job = (struct npu_request){
		.window = opt->attr.window,
		.batch = opt->attr.window,
		.delay_us = opt->npu_delay_us,
	};
	switch (opt->op.kind) {
	case OP_XOR_U8:
		job->kind = NPU_XOR_U8;
		job->arg = opt->op.byte;
		break;
	case OP_ADD_F32:
		job->kind = NPU_ADD_F32;
		memcpy(&bits, &opt->op.scalar, sizeof(bits));
		job->arg = bits;
		break;
	default:
		job->kind = NPU_ECHO;
	}
}

int npu_start(struct npu_peer *peer, const struct options *opt, char *why, size_t size)
{
	struct l3l2q_failure failure = { .text = "" };
	struct npu_request job;
	struct npu_reply reply;
	int ret = open_box(peer, opt, &failure);

	if (ret) {
		snprintf(why, size, "cannot make a mailbox for the NPU: %s",
			 failure.text[0] ? failure.text : strerror(-ret));
		return -1;
	}
	peer->open = true;
	describe_job(&job, opt);
	/* it cannot be rung where we are its guest by hand */
	if (!(opt->attr.flags & L3L2Q_ATTR_SILENT_PEER) && !peer->is_guest)
		job.flags |= NPU_RING;
	memcpy(job.scalars, peer->scalars, sizeof(job.scalars));
	job.region_id = peer->region_id;
	ret = npu_launch(&peer->box, NULL, &job, &reply, ANSWER_NS);
	tame(reply.text);
	if (ret == -ETIMEDOUT)
		snprintf(why, size, "the NPU does not answer: is l3l2q-npusim behind this memory?");
	else if (ret)
		snprintf(why, size, "the NPU refuses the task: %s",
			 reply.text[0] ? reply.text : strerror(-ret));
	peer->task = ret ? 0 : reply.task;
	return ret ? -1 : 0;
}

int npu_finish(struct npu_peer *peer, struct npu_result *result, int64_t timeout_ns, char *why,
	       size_t size)
{
	struct npu_reply reply;
	int ret = npu_wait(&peer->box, peer->task, &reply, timeout_ns);

	memset(result, 0, sizeof(*result));
	tame(reply.text);
	result->rings = reply.rings;
	result->sleeps = reply.sleeps;
	if (!ret)
		peer->task = 0;
	if (ret)
		snprintf(why, size, "the NPU does not say how its task ended: %s", strerror(-ret));
	else if (reply.state != NPU_DONE)
		snprintf(why, size, "the NPU's task %s: %s", npu_state_name(reply.state),
			 reply.text);
	return ret || reply.state != NPU_DONE ? -1 : 0;
}

int npu_pull(struct npu_peer *peer, const char *id)
{
	return npu_unplug(&peer->box, id, ANSWER_NS);
}

void npu_words(struct npu_peer *peer, char *text, size_t size)
{
	struct npu_reply reply;
	int ret = npu_query(&peer->box, peer->task, &reply, (int64_t)(NSEC_PER_SEC / 2));

	tame(reply.text);
	if (ret)
		snprintf(text, size, "the NPU does not answer any more");
	else
		snprintf(text, size, "the NPU's task %u %s%s%s", peer->task,
			 reply.state == NPU_RUNNING ? "still runs" : npu_state_name(reply.state),
			 reply.text[0] ? ": " : "", reply.text);
}

void npu_leave(struct npu_peer *peer)
{
	struct npu_reply reply;

	if (!peer)
		return;
	if (peer->task)
		npu_stop(&peer->box, peer->task, &reply, (int64_t)(NSEC_PER_SEC / 2));
	if (peer->open)
		npu_close(&peer->box);
	peer->open = false;
	peer->task = 0;
}

void npu_free(struct npu_peer *peer)
{
	npu_leave(peer);
	if (peer && peer->is_guest)
		npu_client_close(&peer->guest);
	free(peer);
}

bool queue_removed(struct l3l2q_ep *ep)
{
	struct l3l2q_info info = { .size = sizeof(info) };
	int fd = l3l2q_fd(ep);

	return fd >= 0 && l3l2q_ioctl(fd, L3L2Q_IOC_INFO, &info) == -ENODEV;
}

bool queue_stats(struct l3l2q_ep *ep, struct l3l2q_stats *stats)
{
	int fd = l3l2q_fd(ep);

	*stats = (struct l3l2q_stats){ .size = sizeof(*stats) };
	return fd >= 0 && !l3l2q_ioctl(fd, L3L2Q_IOC_STATS, stats);
}
