/* SPDX-License-Identifier: MIT */
/*
 * How a guest talks to l3l2q-npusim: a mailbox in the NPU's memory. It is a raw
 * region, anywhere in the window but at a page boundary; npusim finds it by its
 * magic. A request goes into a slot of the payload, then the slot's request
 * counter goes up by one; the reply goes into the same slot, then the reply
 * counter becomes what the request counter is.
 *
 * Addresses are the NPU's. The header says the mailbox's own, which tells npusim
 * how addresses and places in its memory relate.
 */
#ifndef NPUSIM_MAILBOX_H
#define NPUSIM_MAILBOX_H

#include <linux/l3l2q_abi.h>

#define NPU_MAGIC	0x3158424d55504e4cull	/* "LNPUMBX1" */
#define NPU_VERSION	1
#define NPU_SLOTS	4
#define NPU_PAGE	4096
#define NPU_TEXT	512

/* Each has a line of its own, since its writer differs from its neighbour's. */
#define NPU_REQUEST_COUNTER(slot)	(128u * (slot))
#define NPU_REPLY_COUNTER(slot)		(128u * (slot) + 64)
#define NPU_COUNTER_BYTES		(128u * NPU_SLOTS)

/**
 * enum npu_op - what is asked for
 * @NPU_OP_LAUNCH: start a task as an L2 endpoint of the queue that the scalars
 *	describe; the reply says its number
 * @NPU_OP_QUERY: how is it?
 * @NPU_OP_WAIT: the same, answered once the task has ended
 * @NPU_OP_STOP: end it where it stands, without a word to its L3, then as WAIT
 * @NPU_OP_MONITOR: give the text to QEMU's monitor, a line at a time, each as
 *	often as it takes to be accepted. Answered before that begins.
 */
enum npu_op {
	NPU_OP_LAUNCH  = 1,
	NPU_OP_QUERY   = 2,
	NPU_OP_WAIT    = 3,
	NPU_OP_STOP    = 4,
	NPU_OP_MONITOR = 5,
};

/**
 * enum npu_kind - what a task does with its input
 * @NPU_ECHO: sends each message back
 * @NPU_XOR_U8: with each byte xored with @arg
 * @NPU_ADD_F32: with the float whose bits are @arg added to each float
 * @NPU_SINK: sends nothing back; see npu_checksum()
 * @NPU_WINDOW: as the reference's example of an input window; see struct npu_input
 */
enum npu_kind {
	NPU_ECHO    = 0,
	NPU_XOR_U8  = 1,
	NPU_ADD_F32 = 2,
	NPU_SINK    = 3,
	NPU_WINDOW  = 4,
};

/**
 * enum npu_end - how a task ends
 * @NPU_END_STOP: after STOP
 * @NPU_END_EXIT: npusim exits on the spot with NPU_EXIT_TOLD
 * @NPU_END_ABORT: the task stores its abort flag
 * @NPU_END_HANG: it ends without a trace
 * @NPU_END_SCRIBBLE: it writes random bytes over what its flags name, @arg2 times
 *	64 words, in its own region only
 */
enum npu_end {
	NPU_END_STOP	 = 0,
	NPU_END_EXIT	 = 1,
	NPU_END_ABORT	 = 2,
	NPU_END_HANG	 = 3,
	NPU_END_SCRIBBLE = 4,
};

#define NPU_EXIT_TOLD 42

#define NPU_RING	      (1u << 0) /* ring after stores, sleep until rung; else silent */
#define NPU_SCRIBBLE_COUNTERS (1u << 1)
#define NPU_SCRIBBLE_RINGS    (1u << 2)	/* of descriptors */
#define NPU_SCRIBBLE_ARENAS   (1u << 3)
#define NPU_FLAGS	      0xfu

/** enum npu_state - how a task is */
enum npu_state {
	NPU_RUNNING = 1,
	NPU_DONE    = 2,	/* STOP was drained */
	NPU_FAILED  = 3,	/* an error of its endpoint; which, is in the reply */
	NPU_STOPPED = 4,	/* by NPU_OP_STOP, or its mailbox is gone */
	NPU_CRASHED = 5,	/* as it was told to */
	NPU_GONE    = 6,	/* somebody else uses the memory */
};

/**
 * struct npu_header - what npusim looks for
 * @magic: NPU_MAGIC
 * @version: NPU_VERSION
 * @slots: NPU_SLOTS
 * @scalars: the mailbox's own, as the driver says
 * @check: npu_checksum() of all before it
 */
struct npu_header {
	__aligned_u64 magic;
	__u32 version;
	__u32 slots;
	__aligned_u64 scalars[L3L2Q_REGION_SCALARS];
	__aligned_u64 check;
	__u64 pad[55];
};

/**
 * struct npu_request - what a guest asks for
 * @op: enum npu_op
 * @flags: NPU_RING and so on
 * @task: which one; launch: 0
 * @kind: enum npu_kind
 * @end: enum npu_end
 * @window: messages the task may hold, 1 ... depth; 0: 1
 * @batch: messages for each counter store, 1 ... window; 0: 1
 * @delay_us: idle time before each message
 * @end_after: @end comes after so many messages
 * @arg: of @kind
 * @arg2: of @end
 * @region_id: of the queue, which tells the vector of its doorbell; SPSQ scalars have none
 * @scalars: the queue, in the binding that the first one tells
 * @text: for the monitor, NUL-terminated
 */
struct npu_request {
	__u32 op;
	__u32 flags;
	__u32 task;
	__u32 kind;
	__u32 end;
	__u32 window;
	__u32 batch;
	__u32 delay_us;
	__aligned_u64 end_after;
	__aligned_u64 arg;
	__aligned_u64 arg2;
	__aligned_u64 region_id;
	__aligned_u64 scalars[L3L2Q_SCALARS];
	char text[NPU_TEXT];
	__aligned_u64 pad2[44];
};

/**
 * struct npu_reply - what it gets
 * @status: 0 or -errno: -EINVAL nonsense, -EPROTO scalars that are refused, -ERANGE
 *	memory outside the window, -ENOSPC too many tasks, -ESRCH no such task,
 *	-ENOENT no monitor, -EBUSY it has not done what it was told before
 * @task: its number
 * @state: enum npu_state
 * @error: enum l3l2q_error_kind of its endpoint
 * @received: messages it took
 * @sent: messages it sent
 * @received_bytes: bytes in them
 * @sent_bytes: bytes in them
 * @checksum: NPU_SINK: of all bytes it took
 * @rings: times it rang
 * @sleeps: times it slept until rung
 * @late: times it was not rung within a tenth of a second though there was work
 * @text: what was wrong, if anything
 */
struct npu_reply {
	__s32 status;
	__u32 task;
	__u32 state;
	__u32 error;
	__aligned_u64 received;
	__aligned_u64 sent;
	__aligned_u64 received_bytes;
	__aligned_u64 sent_bytes;
	__aligned_u64 checksum;
	__aligned_u64 rings;
	__aligned_u64 sleeps;
	__aligned_u64 late;
	char text[176];
};

struct npu_slot {
	struct npu_request request;
	struct npu_reply reply;
	__u64 pad[96];
};

struct npu_mailbox {
	struct npu_header header;
	struct npu_slot slot[NPU_SLOTS];
};

/* ---- NPU_WINDOW -------------------------------------------------------- */

/**
 * struct npu_input - what a message to an NPU_WINDOW task starts with
 * @request: its number, not 0
 * @mode: NPU_MODE_*
 *
 * Then, at NPU_TILE_OFFSET, floats. Wants a window of 4 or more.
 */
struct npu_input {
	__aligned_u64 request;
	__aligned_u64 mode;
};

#define NPU_MODE_HOLD	1	/* is held until a FLUSH comes */
#define NPU_MODE_FLUSH	2	/* is answered first, then the one that is held, twice */
#define NPU_MODE_PAIR	3	/* two of them are held until STOP, then merged into one */

/**
 * struct npu_output - what its answers start with
 * @request: which message this answers
 * @kind: NPU_ANSWER_*: also what was added to each float; PAIR: the sum of both
 * @aux: PAIR: the other message, else 0
 *
 * Zeros up to NPU_TILE_OFFSET, and floats. A message that makes no sense is
 * answered by one with opcode ERROR, in words.
 */
struct npu_output {
	__aligned_u64 request;
	__aligned_u64 kind;
	__aligned_u64 aux;
};

#define NPU_ANSWER_HELD		10
#define NPU_ANSWER_HELD_AGAIN	11
#define NPU_ANSWER_FLUSH	20
#define NPU_ANSWER_PAIR		30
#define NPU_TILE_OFFSET		64

/* ---- checksum ---------------------------------------------------------- */

#define NPU_CHECKSUM_START 0xcbf29ce484222325ull

/* Over all bytes in order, however they are cut: FNV-1a. */
static inline __u64 npu_checksum(__u64 sum, const void *data, __u64 nbytes)
{
	const unsigned char *byte = (const unsigned char *)data;
	__u64 i;

	for (i = 0; i < nbytes; i++)
		sum = (sum ^ byte[i]) * 0x100000001b3ull;
	return sum;
}

static inline __u64 npu_header_check(const struct npu_header *header)
{
	return npu_checksum(NPU_CHECKSUM_START, header,
			    __builtin_offsetof(struct npu_header, check));
}

/* ---- layout ------------------------------------------------------------ */

#define NPU_ASSERT(type, member, offset)					\
	_Static_assert(__builtin_offsetof(struct type, member) == (offset),	\
		       #type "." #member " moved")
#define NPU_ASSERT_SIZE(type, bytes)					\
	_Static_assert(sizeof(struct type) == (bytes), #type " changed size")

NPU_ASSERT_SIZE(npu_header, 512);
NPU_ASSERT(npu_header, magic, 0);
NPU_ASSERT(npu_header, version, 8);
NPU_ASSERT(npu_header, slots, 12);
NPU_ASSERT(npu_header, scalars, 16);
NPU_ASSERT(npu_header, check, 64);
NPU_ASSERT_SIZE(npu_request, 1024);
NPU_ASSERT(npu_request, op, 0);
NPU_ASSERT(npu_request, flags, 4);
NPU_ASSERT(npu_request, task, 8);
NPU_ASSERT(npu_request, kind, 12);
NPU_ASSERT(npu_request, end, 16);
NPU_ASSERT(npu_request, window, 20);
NPU_ASSERT(npu_request, batch, 24);
NPU_ASSERT(npu_request, delay_us, 28);
NPU_ASSERT(npu_request, end_after, 32);
NPU_ASSERT(npu_request, arg, 40);
NPU_ASSERT(npu_request, arg2, 48);
NPU_ASSERT(npu_request, scalars, 64);
NPU_ASSERT(npu_request, text, 160);
NPU_ASSERT_SIZE(npu_reply, 256);
NPU_ASSERT(npu_reply, status, 0);
NPU_ASSERT(npu_reply, task, 4);
NPU_ASSERT(npu_reply, state, 8);
NPU_ASSERT(npu_reply, error, 12);
NPU_ASSERT(npu_reply, received, 16);
NPU_ASSERT(npu_reply, sent, 24);
NPU_ASSERT(npu_reply, received_bytes, 32);
NPU_ASSERT(npu_reply, sent_bytes, 40);
NPU_ASSERT(npu_reply, checksum, 48);
NPU_ASSERT(npu_reply, rings, 56);
NPU_ASSERT(npu_reply, sleeps, 64);
NPU_ASSERT(npu_reply, late, 72);
NPU_ASSERT(npu_reply, text, 80);
NPU_ASSERT_SIZE(npu_slot, 2048);
NPU_ASSERT(npu_slot, reply, 1024);
NPU_ASSERT_SIZE(npu_mailbox, 512 + NPU_SLOTS * 2048);

#endif /* NPUSIM_MAILBOX_H */
