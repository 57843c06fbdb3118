/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The L3-L2 message queue in memory: constants, structures, and the arithmetic
 * that driver, library and programs on the AICPU share. uapi/protocol.md specifies
 * it. Nothing here accesses shared memory; callers pass values that they have read
 * once.
 *
 * All integers are little-endian; big-endian machines are not supported.
 */
#ifndef _UAPI_LINUX_L3L2Q_ABI_H
#define _UAPI_LINUX_L3L2Q_ABI_H

#include <linux/types.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the L3-L2 wire format is little-endian"
#endif

/* ---- versions ---------------------------------------------------------- */

/* A magic number and a version in one u64. */
#define L3L2Q_PACK(magic, major, minor) \
	(((__u64)(magic) << 32) | ((__u64)(major) << 16) | (__u64)(minor))

#define L3L2Q_REGION_MAGIC	0x4C334C32u	/* "L3L2" */
#define L3L2Q_REGION_V2		L3L2Q_PACK(L3L2Q_REGION_MAGIC, 2, 0)
#define L3L2Q_REGION_V3		L3L2Q_PACK(L3L2Q_REGION_MAGIC, 3, 0)
#define L3L2Q_REGION_DEFAULT	L3L2Q_REGION_V2

#define L3L2Q_QUEUE_MAGIC	0x4C335132u	/* "L3Q2" */
#define L3L2Q_QUEUE_VERSION	L3L2Q_PACK(L3L2Q_QUEUE_MAGIC, 1, 1)

#define L3L2Q_SPSQ_MAGIC	0x53505351u	/* "SPSQ" */
#define L3L2Q_SPSQ_VERSION	L3L2Q_PACK(L3L2Q_SPSQ_MAGIC, 1, 0)

/* ---- sizes and offsets ------------------------------------------------- */

#define L3L2Q_LINE_BYTES	64u	/* each counter of a queue has a line of its own */
#define L3L2Q_ARENA_ALIGN	64u	/* sizes of arenas are multiples of it */
#define L3L2Q_DESC_BYTES	32u
#define L3L2Q_MAX_DEPTH		(1u << 30)
#define L3L2Q_REGION_SCALARS	6u
#define L3L2Q_QUEUE_SCALARS	6u
#define L3L2Q_SCALARS		(L3L2Q_REGION_SCALARS + L3L2Q_QUEUE_SCALARS)
#define L3L2Q_SPSQ_SCALARS	10u

/* Byte offsets into the counter range; the writer is in parentheses. */
#define L3L2Q_CTR_INPUT_TAIL	0u	/* (L3) */
#define L3L2Q_CTR_INPUT_HEAD	64u	/* (L2) */
#define L3L2Q_CTR_OUTPUT_TAIL	128u	/* (L2) */
#define L3L2Q_CTR_OUTPUT_HEAD	192u	/* (L3) */
#define L3L2Q_CTR_L3_ABORT	256u	/* (L3) */
#define L3L2Q_CTR_L2_ABORT	320u	/* (L2) */
#define L3L2Q_COUNTER_BYTES	384u

/**
 * enum l3l2q_role - the two ends of a region
 * @L3L2Q_ROLE_L3: the host orchestrator: produces input, consumes output
 * @L3L2Q_ROLE_L2: the NPU's orchestrator: consumes input, produces output
 */
enum l3l2q_role {
	L3L2Q_ROLE_L3 = 0,
	L3L2Q_ROLE_L2 = 1,
};

#define L3L2Q_ROLES 2

/**
 * enum l3l2q_binding - how the scalars describe a queue to L2
 * @L3L2Q_BINDING_L3Q2: twelve scalars, "L3Q2" 1.1
 * @L3L2Q_BINDING_SPSQ: ten scalars, "SPSQ" 1.0
 */
enum l3l2q_binding {
	L3L2Q_BINDING_L3Q2 = 0,
	L3L2Q_BINDING_SPSQ = 1,
};

/** enum l3l2q_opcode - what a descriptor carries */
enum l3l2q_opcode {
	L3L2Q_OP_INVALID = 0,
	L3L2Q_OP_DATA	 = 1,
	L3L2Q_OP_STOP	 = 2,	/* input only, zero bytes */
	L3L2Q_OP_ERROR	 = 3,	/* an application error with its payload */
};

/** enum l3l2q_error_kind - the first error of an endpoint, which sticks */
enum l3l2q_error_kind {
	L3L2Q_ERR_NONE		     = 0,
	L3L2Q_ERR_BAD_ARGUMENT	     = 1,
	L3L2Q_ERR_BAD_DESCRIPTOR     = 2,
	L3L2Q_ERR_INVALID_DESCRIPTOR = 3,
	L3L2Q_ERR_OUT_OF_SPACE	     = 4,
	L3L2Q_ERR_OWNERSHIP	     = 5,
	L3L2Q_ERR_REMOTE_ABORTED     = 6,
	L3L2Q_ERR_ENDPOINT_ERROR     = 7,
};

/** enum l3l2q_notify_op - how a counter is changed */
enum l3l2q_notify_op {
	L3L2Q_NOTIFY_SET = 0,
	L3L2Q_NOTIFY_ADD = 1,	/* wraps; not atomic between agents */
};

/** enum l3l2q_cmp - signed comparison of a counter with a value */
enum l3l2q_cmp {
	L3L2Q_CMP_EQ = 0,
	L3L2Q_CMP_NE = 1,
	L3L2Q_CMP_GT = 2,
	L3L2Q_CMP_GE = 3,
	L3L2Q_CMP_LT = 4,
	L3L2Q_CMP_LE = 5,
};

/** enum l3l2q_check - the reason why scalars or an access are refused */
enum l3l2q_check {
	L3L2Q_CHECK_OK		  = 0,
	L3L2Q_CHECK_MAGIC	  = 1,	/* magic or version */
	L3L2Q_CHECK_REGION_ID	  = 2,	/* region_id is 0 */
	L3L2Q_CHECK_PAYLOAD_RANGE = 3,	/* empty, unaligned, or it wraps */
	L3L2Q_CHECK_COUNTER_RANGE = 4,	/* likewise, or it overlaps the payload */
	L3L2Q_CHECK_OUT_OF_BOUNDS = 5,	/* an access outside its range */
	L3L2Q_CHECK_SCALAR_COUNT  = 6,	/* another number than the binding has */
	L3L2Q_CHECK_NULL	  = 7,	/* no scalars, or no room for the result */
	L3L2Q_CHECK_GEOMETRY	  = 8,	/* queue scalars disagree with the region */
	L3L2Q_CHECK_IDENTITY	  = 9,	/* transaction id 0, or an identity with L3Q2 */
};

/* ---- structures -------------------------------------------------------- */

/** struct l3l2q_region_desc - the six scalars that describe a region to L2 */
struct l3l2q_region_desc {
	__aligned_u64 magic_version;	/* 0 if parsed from SPSQ scalars */
	__aligned_u64 region_id;	/* never 0, but if parsed from SPSQ scalars */
	__aligned_u64 payload_base;
	__aligned_u64 payload_bytes;
	__aligned_u64 counter_base;	/* 64-byte aligned */
	__aligned_u64 counter_bytes;	/* a multiple of 4 */
};

/** struct l3l2q_queue_desc - the six scalars that describe a queue to L2 */
struct l3l2q_queue_desc {
	__aligned_u64 magic_version;	/* L3L2Q_QUEUE_VERSION or _SPSQ_VERSION, exactly */
	__aligned_u64 depth;
	__aligned_u64 input_arena_bytes;
	__aligned_u64 output_arena_bytes;
	__aligned_u64 payload_bytes;
	__aligned_u64 counter_bytes;
};

/**
 * struct l3l2q_desc - one message in a ring
 * @seq: 1 for the first message of a direction, then +1 each
 * @opcode: enum l3l2q_opcode
 * @payload_offset: bytes from the start of the payload range to the body; 0 without one
 * @payload_nbytes: length of the body in bytes
 */
struct l3l2q_desc {
	__aligned_u64 seq;
	__aligned_u64 opcode;
	__aligned_u64 payload_offset;
	__aligned_u64 payload_nbytes;
};

/** struct l3l2q_layout - offsets and sizes in the payload range, in bytes */
struct l3l2q_layout {
	__aligned_u64 depth;
	__aligned_u64 input_desc_offset;
	__aligned_u64 output_desc_offset;
	__aligned_u64 input_arena_offset;
	__aligned_u64 output_arena_offset;
	__aligned_u64 input_arena_bytes;
	__aligned_u64 output_arena_bytes;
	__aligned_u64 payload_bytes;
	__aligned_u64 counter_bytes;
};

/* ---- arithmetic -------------------------------------------------------- */

/* Store a + b in *sum and return 0, or return 1 if the sum wraps. */
static inline int l3l2q_add_wraps(__u64 a, __u64 b, __u64 *sum)
{
	if (a + b < a)
		return 1;
	*sum = a + b;
	return 0;
}

/**
 * l3l2q_layout_make() - compute a queue's layout
 * @depth: messages a ring holds: a power of two up to L3L2Q_MAX_DEPTH
 * @input_bytes: size of the input arena: a positive multiple of 64
 * @output_bytes: size of the output arena: a positive multiple of 64
 * @layout: result, untouched on failure
 *
 * Return: 0, or -1 if an argument is out of range or a size wraps.
 */
static inline int l3l2q_layout_make(__u64 depth, __u64 input_bytes,
				    __u64 output_bytes,
				    struct l3l2q_layout *layout)
{
	__u64 input_arena, output_arena, payload;

	if (!depth || (depth & (depth - 1)) || depth > L3L2Q_MAX_DEPTH)
		return -1;
	if (!input_bytes || input_bytes % L3L2Q_ARENA_ALIGN ||
	    !output_bytes || output_bytes % L3L2Q_ARENA_ALIGN)
		return -1;

	/* Two rings of 32-byte slots: a multiple of 64 whatever the depth. */
	input_arena = 2 * depth * L3L2Q_DESC_BYTES;
	if (l3l2q_add_wraps(input_arena, input_bytes, &output_arena) ||
	    l3l2q_add_wraps(output_arena, output_bytes, &payload))
		return -1;

	layout->depth = depth;
	layout->input_desc_offset = 0;
	layout->output_desc_offset = depth * L3L2Q_DESC_BYTES;
	layout->input_arena_offset = input_arena;
	layout->output_arena_offset = output_arena;
	layout->input_arena_bytes = input_bytes;
	layout->output_arena_bytes = output_bytes;
	layout->payload_bytes = payload;
	layout->counter_bytes = L3L2Q_COUNTER_BYTES;
	return 0;
}

/* Check the two ranges of a region's description. */
static inline enum l3l2q_check
l3l2q_ranges_check(const struct l3l2q_region_desc *desc)
{
	__u64 payload_end, counter_end;

	if (!desc->payload_bytes || desc->payload_base % 8 ||
	    l3l2q_add_wraps(desc->payload_base, desc->payload_bytes, &payload_end))
		return L3L2Q_CHECK_PAYLOAD_RANGE;
	if (!desc->counter_bytes || desc->counter_bytes % 4 ||
	    desc->counter_base % L3L2Q_LINE_BYTES ||
	    l3l2q_add_wraps(desc->counter_base, desc->counter_bytes, &counter_end))
		return L3L2Q_CHECK_COUNTER_RANGE;
	if (desc->payload_base < counter_end && desc->counter_base < payload_end)
		return L3L2Q_CHECK_COUNTER_RANGE;
	return L3L2Q_CHECK_OK;
}

/**
 * l3l2q_region_check() - validate the six region scalars
 * @desc: a private copy
 *
 * A zero base is accepted, since newer references produce it, and so is a payload
 * base that is only 8-byte aligned, since a2a3sim allocates from the heap.
 *
 * Return: L3L2Q_CHECK_OK or the first check that fails.
 */
static inline enum l3l2q_check
l3l2q_region_check(const struct l3l2q_region_desc *desc)
{
	__u64 major = (desc->magic_version >> 16) & 0xffff;

	if (desc->magic_version >> 32 != L3L2Q_REGION_MAGIC ||
	    (major != 2 && major != 3))
		return L3L2Q_CHECK_MAGIC;
	if (!desc->region_id)
		return L3L2Q_CHECK_REGION_ID;
	return l3l2q_ranges_check(desc);
}

/**
 * l3l2q_queue_check() - validate the description of a queue, in either binding
 * @region: a private copy of the region's part. With SPSQ its magic_version and
 *	region_id are not looked at, and its bases are not 0
 * @queue: a private copy of the queue's part; its magic_version tells the binding
 * @layout: result, untouched on failure
 *
 * Return: L3L2Q_CHECK_OK or the first check that fails.
 */
static inline enum l3l2q_check
l3l2q_queue_check(const struct l3l2q_region_desc *region,
		  const struct l3l2q_queue_desc *queue,
		  struct l3l2q_layout *layout)
{
	int spsq = queue->magic_version == L3L2Q_SPSQ_VERSION;
	struct l3l2q_layout made;
	enum l3l2q_check check;

	check = spsq ? l3l2q_ranges_check(region) : l3l2q_region_check(region);
	if (check != L3L2Q_CHECK_OK)
		return check;
	if (spsq && !region->payload_base)
		return L3L2Q_CHECK_PAYLOAD_RANGE;
	if (spsq && !region->counter_base)
		return L3L2Q_CHECK_COUNTER_RANGE;
	if (!spsq && queue->magic_version != L3L2Q_QUEUE_VERSION)
		return L3L2Q_CHECK_MAGIC;
	if (l3l2q_layout_make(queue->depth, queue->input_arena_bytes,
			      queue->output_arena_bytes, &made))
		return L3L2Q_CHECK_GEOMETRY;
	if (queue->payload_bytes != made.payload_bytes ||
	    queue->counter_bytes != made.counter_bytes ||
	    region->payload_bytes != made.payload_bytes ||
	    region->counter_bytes != made.counter_bytes)
		return L3L2Q_CHECK_GEOMETRY;
	*layout = made;
	return L3L2Q_CHECK_OK;
}

/* The version that a queue's scalars carry. */
static inline __u64 l3l2q_queue_version(__u32 binding)
{
	return binding == L3L2Q_BINDING_SPSQ ? L3L2Q_SPSQ_VERSION : L3L2Q_QUEUE_VERSION;
}

/* Check the name that a binding gives a queue: session bits and a transaction id. */
static inline enum l3l2q_check
l3l2q_identity_check(__u32 binding, const __u64 *identity)
{
	if (binding == L3L2Q_BINDING_SPSQ)
		return identity[1] ? L3L2Q_CHECK_OK : L3L2Q_CHECK_IDENTITY;
	return identity[0] || identity[1] ? L3L2Q_CHECK_IDENTITY : L3L2Q_CHECK_OK;
}

/**
 * l3l2q_scalars_parse() - split the scalars that an L2 task received
 * @scalars: the scalars
 * @count: their number: 6 for a raw region, 12 for a queue with L3Q2
 * @region: result, untouched on failure
 * @queue: result, untouched on failure; NULL for a raw region
 *
 * Return: L3L2Q_CHECK_OK, _NULL or _SCALAR_COUNT. The values are not checked.
 */
static inline enum l3l2q_check
l3l2q_scalars_parse(const __u64 *scalars, __u64 count,
		    struct l3l2q_region_desc *region,
		    struct l3l2q_queue_desc *queue)
{
	if (!scalars || !region)
		return L3L2Q_CHECK_NULL;
	if (count != (queue ? L3L2Q_SCALARS : L3L2Q_REGION_SCALARS))
		return L3L2Q_CHECK_SCALAR_COUNT;

	region->magic_version = scalars[0];
	region->region_id = scalars[1];
	region->payload_base = scalars[2];
	region->payload_bytes = scalars[3];
	region->counter_base = scalars[4];
	region->counter_bytes = scalars[5];
	if (!queue)
		return L3L2Q_CHECK_OK;
	queue->magic_version = scalars[6];
	queue->depth = scalars[7];
	queue->input_arena_bytes = scalars[8];
	queue->output_arena_bytes = scalars[9];
	queue->payload_bytes = scalars[10];
	queue->counter_bytes = scalars[11];
	return L3L2Q_CHECK_OK;
}

/**
 * l3l2q_binding_parse() - split the scalars of a queue, in either binding
 * @scalars: the scalars
 * @count: their number, which tells the binding: 12 for L3Q2, 10 for SPSQ
 * @identity: result, untouched on failure: session bits and transaction id with
 *	SPSQ, zero with L3Q2
 * @region: result, untouched on failure; no magic and no id with SPSQ
 * @queue: result, untouched on failure; its magic_version is the binding's
 *
 * Return: L3L2Q_CHECK_OK, _NULL, _SCALAR_COUNT, or _MAGIC if the scalars are those of
 * the other binding. The other values are not checked.
 */
static inline enum l3l2q_check
l3l2q_binding_parse(const __u64 *scalars, __u64 count, __u64 *identity,
		    struct l3l2q_region_desc *region,
		    struct l3l2q_queue_desc *queue)
{
	if (!scalars || !identity || !region || !queue)
		return L3L2Q_CHECK_NULL;
	if (count == L3L2Q_SCALARS) {
		if (scalars[6] == L3L2Q_SPSQ_VERSION)
			return L3L2Q_CHECK_MAGIC;
		identity[0] = 0;
		identity[1] = 0;
		return l3l2q_scalars_parse(scalars, count, region, queue);
	}
	if (count != L3L2Q_SPSQ_SCALARS)
		return L3L2Q_CHECK_SCALAR_COUNT;
	if (scalars[0] != L3L2Q_SPSQ_VERSION)
		return L3L2Q_CHECK_MAGIC;

	identity[0] = scalars[1];
	identity[1] = scalars[2];
	region->magic_version = 0;
	region->region_id = 0;
	region->payload_base = scalars[3];
	region->payload_bytes = scalars[4];
	region->counter_base = scalars[5];
	region->counter_bytes = scalars[6];
	queue->magic_version = scalars[0];
	queue->depth = scalars[7];
	queue->input_arena_bytes = scalars[8];
	queue->output_arena_bytes = scalars[9];
	queue->payload_bytes = scalars[4];
	queue->counter_bytes = scalars[6];
	return L3L2Q_CHECK_OK;
}

/**
 * l3l2q_binding_scalars() - put the scalars of a queue together
 * @binding: enum l3l2q_binding
 * @identity: session bits and transaction id; used by SPSQ
 * @region: the region's part
 * @queue: the queue's part
 * @scalars: result, room for L3L2Q_SCALARS; those beyond the result are 0
 *
 * Return: their number.
 */
static inline __u32
l3l2q_binding_scalars(__u32 binding, const __u64 *identity,
		      const struct l3l2q_region_desc *region,
		      const struct l3l2q_queue_desc *queue, __u64 *scalars)
{
	if (binding == L3L2Q_BINDING_SPSQ) {
		scalars[0] = L3L2Q_SPSQ_VERSION;
		scalars[1] = identity[0];
		scalars[2] = identity[1];
		scalars[3] = region->payload_base;
		scalars[4] = region->payload_bytes;
		scalars[5] = region->counter_base;
		scalars[6] = region->counter_bytes;
		scalars[7] = queue->depth;
		scalars[8] = queue->input_arena_bytes;
		scalars[9] = queue->output_arena_bytes;
		scalars[10] = 0;
		scalars[11] = 0;
		return L3L2Q_SPSQ_SCALARS;
	}
	scalars[0] = region->magic_version;
	scalars[1] = region->region_id;
	scalars[2] = region->payload_base;
	scalars[3] = region->payload_bytes;
	scalars[4] = region->counter_base;
	scalars[5] = region->counter_bytes;
	scalars[6] = queue->magic_version;
	scalars[7] = queue->depth;
	scalars[8] = queue->input_arena_bytes;
	scalars[9] = queue->output_arena_bytes;
	scalars[10] = queue->payload_bytes;
	scalars[11] = queue->counter_bytes;
	return L3L2Q_SCALARS;
}

/* Check that the bytes [offset, offset + nbytes) lie in a payload range. */
static inline enum l3l2q_check
l3l2q_payload_check(__u64 payload_bytes, __u64 offset, __u64 nbytes)
{
	__u64 end;

	if (!nbytes)
		return L3L2Q_CHECK_PAYLOAD_RANGE;
	if (l3l2q_add_wraps(offset, nbytes, &end) || end > payload_bytes)
		return L3L2Q_CHECK_OUT_OF_BOUNDS;
	return L3L2Q_CHECK_OK;
}

/* Check that a counter at this byte offset lies in a counter range. */
static inline enum l3l2q_check
l3l2q_counter_check(__u64 counter_bytes, __u64 offset)
{
	if (offset % 4)
		return L3L2Q_CHECK_COUNTER_RANGE;
	if (counter_bytes < 4 || offset > counter_bytes - 4)
		return L3L2Q_CHECK_OUT_OF_BOUNDS;
	return L3L2Q_CHECK_OK;
}

/* The role that writes the line at an offset, below L3L2Q_COUNTER_BYTES, of a queue's counters. */
static inline enum l3l2q_role l3l2q_counter_writer(__u64 offset)
{
	__u64 line = offset & ~(__u64)(L3L2Q_LINE_BYTES - 1);

	return line == L3L2Q_CTR_INPUT_TAIL || line == L3L2Q_CTR_OUTPUT_HEAD ||
	       line == L3L2Q_CTR_L3_ABORT ? L3L2Q_ROLE_L3 : L3L2Q_ROLE_L2;
}

/* Offsets of the counters of a role: the tail and head of its producer, its abort flag. */
static inline __u32 l3l2q_ctr_tail(enum l3l2q_role producer)
{
	return producer == L3L2Q_ROLE_L3 ? L3L2Q_CTR_INPUT_TAIL
					 : L3L2Q_CTR_OUTPUT_TAIL;
}

static inline __u32 l3l2q_ctr_head(enum l3l2q_role producer)
{
	return producer == L3L2Q_ROLE_L3 ? L3L2Q_CTR_INPUT_HEAD
					 : L3L2Q_CTR_OUTPUT_HEAD;
}

static inline __u32 l3l2q_ctr_abort(enum l3l2q_role setter)
{
	return setter == L3L2Q_ROLE_L3 ? L3L2Q_CTR_L3_ABORT
				       : L3L2Q_CTR_L2_ABORT;
}

static inline enum l3l2q_role l3l2q_peer_role(enum l3l2q_role role)
{
	return role == L3L2Q_ROLE_L3 ? L3L2Q_ROLE_L2 : L3L2Q_ROLE_L3;
}

/**
 * l3l2q_reconstruct() - extend a 32-bit counter to its monotonic value
 * @observed: the value of the counter, read once
 * @depth: the ring's depth, which bounds how far a counter can have moved
 * @local: in: the value known last; out: the new value; untouched on failure
 *
 * Return: 0, or -1 if the counter moved backwards or by more than @depth.
 */
static inline int l3l2q_reconstruct(__u32 observed, __u64 depth, __u64 *local)
{
	__s32 delta = (__s32)(observed - (__u32)*local);

	if (delta < 0 || (__u64)delta > depth)
		return -1;
	*local += (__u64)delta;
	return 0;
}

/* Evaluate (observed cmp value): 0 or 1, or -1 for an unknown cmp. */
static inline int l3l2q_cmp_holds(__u32 cmp, __s32 observed, __s32 value)
{
	switch (cmp) {
	case L3L2Q_CMP_EQ: return observed == value;
	case L3L2Q_CMP_NE: return observed != value;
	case L3L2Q_CMP_GT: return observed > value;
	case L3L2Q_CMP_GE: return observed >= value;
	case L3L2Q_CMP_LT: return observed < value;
	case L3L2Q_CMP_LE: return observed <= value;
	default: return -1;
	}
}

/* True if the value of an abort flag, as read, says that its setter has aborted. */
static inline int l3l2q_abort_is_set(__s32 flag)
{
	return flag >= 1;
}

#endif /* _UAPI_LINUX_L3L2Q_ABI_H */
