// SPDX-License-Identifier: MIT
/*
 * Mailboxes: found by looking at each page of the memory that was ever written,
 * and never trusted. What is read from one is copied once; the copy is checked,
 * and used.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <l3l2q.h>

#include "npusim.h"

#define SCAN_NS		(2 * NSEC_PER_MSEC)
#define SCAN_SHARE	32	/* no more of our time than one part in so many */
#define MAX_PAUSE_NS	(250 * NSEC_PER_MSEC)	/* a new mailbox waits no longer */

static int32_t *counter(const struct npu *npu, const struct mailbox *box, uint32_t offset)
{
	return (int32_t *)(void *)(npu->gm + box->counters_at + offset);
}

static struct npu_slot *slot_of(const struct npu *npu, const struct mailbox *box, uint32_t slot)
{
	struct npu_mailbox *there = (struct npu_mailbox *)(void *)(npu->gm + box->at);

	return &there->slot[slot];
}

static int32_t replies(const struct npu *npu, const struct mailbox *box, uint32_t slot)
{
	return __atomic_load_n(counter(npu, box, NPU_REPLY_COUNTER(slot)), __ATOMIC_RELAXED);
}

static uint64_t magic_at(const struct npu *npu, uint64_t at)
{
	return __atomic_load_n((const uint64_t *)(void *)(npu->gm + at), __ATOMIC_ACQUIRE);
}

/* ---- finding ----------------------------------------------------------- */

/* Is it one, and all of it in our memory? */
static bool read_header(const struct npu *npu, uint64_t at, struct mailbox *box)
{
	struct npu_header header;
	uint64_t counters;

	if (npu->size - at < sizeof(struct npu_mailbox))
		return false;
	memcpy(&header, npu->gm + at, sizeof(header));
	if (header.magic != NPU_MAGIC || header.version != NPU_VERSION ||
	    header.slots != NPU_SLOTS || header.check != npu_header_check(&header))
		return false;
	memset(box, 0, sizeof(*box));
	l3l2q_scalars_parse(header.scalars, L3L2Q_REGION_SCALARS, &box->region, NULL);
	if (l3l2q_region_check(&box->region) != L3L2Q_CHECK_OK ||
	    box->region.payload_bytes < sizeof(struct npu_mailbox) ||
	    box->region.counter_bytes < NPU_COUNTER_BYTES)
		return false;
	box->at = at;
	box->check = header.check;
	box->gm = box->region.payload_base - at;
	counters = box->region.counter_base - box->gm;
	box->counters_at = counters;
	return counters % L3L2Q_LINE_BYTES == 0 && counters <= npu->size &&
	       npu->size - counters >= NPU_COUNTER_BYTES;
}

static void found(struct npu *npu, const struct mailbox *new)
{
	struct mailbox *box = NULL;
	uint32_t i;

	for (i = 0; i < MAX_MAILBOXES; i++) {
		if (npu->mailbox[i].id && npu->mailbox[i].at == new->at)
			return;
		if (!npu->mailbox[i].id && !box)
			box = &npu->mailbox[i];
	}
	if (!box)
		return;
	*box = *new;
	box->id = ++npu->last_mailbox;
	/* What was answered once, to whomever, is not done again. */
	for (i = 0; i < NPU_SLOTS; i++) {
		box->answered[i] = replies(npu, box, i);
		box->seen[i] = box->answered[i];
	}
	say("mailbox %u at 0x%" PRIx64 ", region %" PRIu64 ", which calls it 0x%" PRIx64, box->id,
	    box->at, (uint64_t)box->region.region_id, (uint64_t)box->region.payload_base);
}

/* What this thread has had of a processor: others may have it in the middle of a scan. */
static uint64_t spent_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Pages that nobody ever wrote are not there, and stay so. */
static void scan(struct npu *npu)
{
	uint64_t start = spent_ns(), pause, at;
	struct mailbox box;
	off_t data = 0, end;

	while ((uint64_t)data < npu->size) {
		data = lseek(npu->gm_fd, data, SEEK_DATA);
		end = data < 0 ? -1 : lseek(npu->gm_fd, data, SEEK_HOLE);
		if (end < 0)
			break;
		for (at = (uint64_t)data; at < (uint64_t)end; at += NPU_PAGE)
			if (magic_at(npu, at) == NPU_MAGIC && read_header(npu, at, &box))
				found(npu, &box);
		data = end;
	}
	pause = SCAN_SHARE * (spent_ns() - start);
	if (pause < SCAN_NS)
		pause = SCAN_NS;
	if (pause > MAX_PAUSE_NS)
		pause = MAX_PAUSE_NS;
	npu->next_scan = clock_ns() + pause;
}

static void drop(struct npu *npu, struct mailbox *box)
{
	say("mailbox %u is gone", box->id);
	task_drop(npu, box);
	box->id = 0;
}

void mailbox_drop_all(struct npu *npu)
{
	uint32_t i;

	for (i = 0; i < MAX_MAILBOXES; i++)
		if (npu->mailbox[i].id)
			drop(npu, &npu->mailbox[i]);
}

/* ---- requests ---------------------------------------------------------- */

static void answer(struct npu *npu, struct mailbox *box, uint32_t slot,
		   const struct npu_reply *reply)
{
	box->owed[slot] = false;
	memcpy(&slot_of(npu, box, slot)->reply, reply, sizeof(*reply));
	box->answered[slot] = box->seen[slot];
	__atomic_store_n(counter(npu, box, NPU_REPLY_COUNTER(slot)), box->answered[slot],
			 __ATOMIC_RELEASE);
	server_ring(npu, box->region.region_id);
}

/* A task that is asked about; whether the answer is ready. */
static bool about_task(struct npu *npu, struct mailbox *box, uint32_t slot,
		       const struct npu_request *request, struct npu_reply *reply)
{
	struct task *task = task_find(npu, box, request->task);

	if (!task) {
		reply->status = -ESRCH;
		return true;
	}
	if (request->op == NPU_OP_STOP)
		task_end(task);
	if (request->op == NPU_OP_WAIT && !task_ended(task)) {
		box->owed[slot] = true;
		box->waits_for[slot] = request->task;
		return false;
	}
	task_report(task, reply);
	return true;
}

static void take(struct npu *npu, struct mailbox *box, uint32_t slot)
{
	struct npu_reply reply = { .status = 0 };
	struct npu_request request;
	bool ready = true;

	memcpy(&request, &slot_of(npu, box, slot)->request, sizeof(request));
	request.text[NPU_TEXT - 1] = '\0';
	box->owed[slot] = false;
	switch (request.op) {
	case NPU_OP_LAUNCH:
		reply.status = task_launch(npu, box, &request, &reply);
		break;
	case NPU_OP_QUERY:
	case NPU_OP_WAIT:
	case NPU_OP_STOP:
		ready = about_task(npu, box, slot, &request, &reply);
		break;
	case NPU_OP_MONITOR:
		reply.status = monitor_submit(npu, request.text);
		break;
	default:
		reply.status = -EINVAL;
		snprintf(reply.text, sizeof(reply.text), "no such request");
	}
	if (ready)
		answer(npu, box, slot, &reply);
}

/* Who waited for a task that has ended. */
static void settle(struct npu *npu, struct mailbox *box, uint32_t slot)
{
	struct task *task = task_find(npu, box, box->waits_for[slot]);
	struct npu_reply reply = { .status = 0 };

	if (task && !task_ended(task))
		return;
	if (task)
		task_report(task, &reply);
	else
		reply.status = -ESRCH;
	answer(npu, box, slot, &reply);
}

/* Or has another one come to lie there, or something else? */
static bool still_there(const struct npu *npu, const struct mailbox *box)
{
	const struct npu_header *header = (const void *)(npu->gm + box->at);
	uint32_t i;

	if (magic_at(npu, box->at) != NPU_MAGIC ||
	    __atomic_load_n(&header->check, __ATOMIC_RELAXED) != box->check)
		return false;
	for (i = 0; i < NPU_SLOTS; i++)
		if (replies(npu, box, i) != box->answered[i])
			return false;
	return true;
}

static void look_at(struct npu *npu, struct mailbox *box)
{
	int32_t count;
	uint32_t i;

	if (!still_there(npu, box)) {
		drop(npu, box);
		npu->next_scan = 0;
		return;
	}
	for (i = 0; i < NPU_SLOTS; i++) {
		count = __atomic_load_n(counter(npu, box, NPU_REQUEST_COUNTER(i)),
					__ATOMIC_ACQUIRE);
		if (count != box->seen[i]) {
			box->seen[i] = count;
			take(npu, box, i);
		} else if (box->owed[i]) {
			settle(npu, box, i);
		}
	}
}

void mailbox_look(struct npu *npu)
{
	uint32_t i;

	if (!server_has_guests(npu))
		return;
	if (clock_ns() >= npu->next_scan)
		scan(npu);
	for (i = 0; i < MAX_MAILBOXES; i++)
		if (npu->mailbox[i].id)
			look_at(npu, &npu->mailbox[i]);
}

int mailbox_due(struct npu *npu)
{
	uint64_t now = clock_ns();
	uint32_t i;

	if (!server_has_guests(npu))
		return -1;
	for (i = 0; i < MAX_MAILBOXES; i++)
		if (npu->mailbox[i].id)
			return 1;
	if (now >= npu->next_scan)
		return 0;
	return (int)((npu->next_scan - now) / NSEC_PER_MSEC) + 1;
}
