/* SPDX-License-Identifier: MIT */
/*
 * What a queue over memfd says of itself to tools, behind the status in its first page.
 * The ends never read it, and a tool believes none of it unchecked.
 */
#ifndef L3L2Q_TRACE_H
#define L3L2Q_TRACE_H

#include <linux/types.h>

#define L3L2Q_TRACE_MAGIC	0x315154324c334cull	/* "L3L2TQ1" */
#define L3L2Q_TRACE_OFFSET	1024
#define L3L2Q_TRACE_NAME	"l3l2q-"		/* memfds begin so */
#define L3L2Q_ARM_POLL		(1u << 16)	/* in armed, over memfd: a thread polls descriptors */

struct l3l2q_trace {
	__u64 magic;
	__u32 depth;
	__u32 binding;
	__u64 identity[2];
	__u64 input_arena_bytes;
	__u64 output_arena_bytes;
	__u64 payload_bytes;
	__u64 counter_bytes;
	__u8 tag[32];
	__u32 pid[2];		/* that have attached, by role */
};

#endif /* L3L2Q_TRACE_H */
