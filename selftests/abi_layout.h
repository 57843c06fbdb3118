/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The layout of all structures in uapi/: the same for every caller, 32-bit ones
 * included. Checked by the compiler; checks/headers.sh compiles it for both.
 */
#ifndef ABI_LAYOUT_H
#define ABI_LAYOUT_H

#include <linux/l3l2q.h>

#ifdef __cplusplus
#define LAYOUT_ASSERT(cond, msg) static_assert(cond, msg)
#else
#define LAYOUT_ASSERT(cond, msg) _Static_assert(cond, msg)
#endif
#define LAYOUT(type, member, offset)						\
	LAYOUT_ASSERT(__builtin_offsetof(struct type, member) == (offset),	\
		      #type "." #member " moved")
#define LAYOUT_SIZE(type, bytes)						\
	LAYOUT_ASSERT(sizeof(struct type) == (bytes), #type " changed size")

LAYOUT_SIZE(l3l2q_region_desc, 48);
LAYOUT(l3l2q_region_desc, magic_version, 0);
LAYOUT(l3l2q_region_desc, region_id, 8);
LAYOUT(l3l2q_region_desc, payload_base, 16);
LAYOUT(l3l2q_region_desc, payload_bytes, 24);
LAYOUT(l3l2q_region_desc, counter_base, 32);
LAYOUT(l3l2q_region_desc, counter_bytes, 40);

LAYOUT_SIZE(l3l2q_queue_desc, 48);
LAYOUT(l3l2q_queue_desc, magic_version, 0);
LAYOUT(l3l2q_queue_desc, depth, 8);
LAYOUT(l3l2q_queue_desc, input_arena_bytes, 16);
LAYOUT(l3l2q_queue_desc, output_arena_bytes, 24);
LAYOUT(l3l2q_queue_desc, payload_bytes, 32);
LAYOUT(l3l2q_queue_desc, counter_bytes, 40);

LAYOUT_SIZE(l3l2q_desc, L3L2Q_DESC_BYTES);
LAYOUT(l3l2q_desc, seq, 0);
LAYOUT(l3l2q_desc, opcode, 8);
LAYOUT(l3l2q_desc, payload_offset, 16);
LAYOUT(l3l2q_desc, payload_nbytes, 24);

LAYOUT_SIZE(l3l2q_layout, 72);
LAYOUT(l3l2q_layout, depth, 0);
LAYOUT(l3l2q_layout, input_desc_offset, 8);
LAYOUT(l3l2q_layout, output_desc_offset, 16);
LAYOUT(l3l2q_layout, input_arena_offset, 24);
LAYOUT(l3l2q_layout, output_arena_offset, 32);
LAYOUT(l3l2q_layout, input_arena_bytes, 40);
LAYOUT(l3l2q_layout, output_arena_bytes, 48);
LAYOUT(l3l2q_layout, payload_bytes, 56);
LAYOUT(l3l2q_layout, counter_bytes, 64);

LAYOUT_SIZE(l3l2q_control, 192);
LAYOUT(l3l2q_control, armed, 0);
LAYOUT(l3l2q_control, pad0, 4);
LAYOUT(l3l2q_control, consumer_flags, 64);
LAYOUT(l3l2q_control, seen_tail, 68);
LAYOUT(l3l2q_control, head_unfenced, 72);
LAYOUT(l3l2q_control, pad1, 76);
LAYOUT(l3l2q_control, producer_flags, 128);
LAYOUT(l3l2q_control, need_head, 132);
LAYOUT(l3l2q_control, tail_unfenced, 136);
LAYOUT(l3l2q_control, need_bytes, 140);
LAYOUT(l3l2q_control, pad2, 144);

LAYOUT_SIZE(l3l2q_status, 64);
LAYOUT(l3l2q_status, removed, 0);
LAYOUT(l3l2q_status, state, 4);
LAYOUT(l3l2q_status, gone, 12);
LAYOUT(l3l2q_status, pad, 20);

LAYOUT_SIZE(l3l2q_query, 88);
LAYOUT(l3l2q_query, size, 0);
LAYOUT(l3l2q_query, flags, 4);
LAYOUT(l3l2q_query, features, 8);
LAYOUT(l3l2q_query, max_region_bytes, 16);
LAYOUT(l3l2q_query, max_counter_bytes, 24);
LAYOUT(l3l2q_query, max_user_bytes, 32);
LAYOUT(l3l2q_query, max_user_window_bytes, 40);
LAYOUT(l3l2q_query, max_user_regions, 48);
LAYOUT(l3l2q_query, page_size, 52);
LAYOUT(l3l2q_query, nr_devices, 56);
LAYOUT(l3l2q_query, max_conditions, 60);
LAYOUT(l3l2q_query, max_waits, 64);
LAYOUT(l3l2q_query, max_endpoint_conditions, 68);
LAYOUT(l3l2q_query, poll_min_ns, 72);
LAYOUT(l3l2q_query, poll_max_ns, 76);
LAYOUT(l3l2q_query, poll_user_min_ns, 80);
LAYOUT(l3l2q_query, tick_regions, 84);

LAYOUT_SIZE(l3l2q_query_device, 80);
LAYOUT(l3l2q_query_device, size, 0);
LAYOUT(l3l2q_query_device, flags, 4);
LAYOUT(l3l2q_query_device, id, 8);
LAYOUT(l3l2q_query_device, window_bytes, 16);
LAYOUT(l3l2q_query_device, free_bytes, 24);
LAYOUT(l3l2q_query_device, backend, 32);
LAYOUT(l3l2q_query_device, vectors, 36);
LAYOUT(l3l2q_query_device, numa_node, 40);
LAYOUT(l3l2q_query_device, memory, 44);
LAYOUT(l3l2q_query_device, name, 48);

LAYOUT_SIZE(l3l2q_process, 24);
LAYOUT(l3l2q_process, uid, 0);
LAYOUT(l3l2q_process, pid, 4);
LAYOUT(l3l2q_process, comm, 8);

LAYOUT_SIZE(l3l2q_region_end, 72);
LAYOUT(l3l2q_region_end, state, 0);
LAYOUT(l3l2q_region_end, peer_kind, 4);
LAYOUT(l3l2q_region_end, gone, 8);
LAYOUT(l3l2q_region_end, armed, 12);
LAYOUT(l3l2q_region_end, consumer_flags, 16);
LAYOUT(l3l2q_region_end, seen_tail, 20);
LAYOUT(l3l2q_region_end, producer_flags, 24);
LAYOUT(l3l2q_region_end, need_head, 28);
LAYOUT(l3l2q_region_end, waits, 32);
LAYOUT(l3l2q_region_end, eventfds, 36);
LAYOUT(l3l2q_region_end, woken_ns, 40);
LAYOUT(l3l2q_region_end, process, 48);

LAYOUT_SIZE(l3l2q_query_region, 344);
LAYOUT(l3l2q_query_region, size, 0);
LAYOUT(l3l2q_query_region, flags, 4);
LAYOUT(l3l2q_query_region, id, 8);
LAYOUT(l3l2q_query_region, backend, 16);
LAYOUT(l3l2q_query_region, memory, 20);
LAYOUT(l3l2q_query_region, binding, 24);
LAYOUT(l3l2q_query_region, region_version, 28);
LAYOUT(l3l2q_query_region, identity, 32);
LAYOUT(l3l2q_query_region, tag, 48);
LAYOUT(l3l2q_query_region, depth, 80);
LAYOUT(l3l2q_query_region, removed, 84);
LAYOUT(l3l2q_query_region, input_arena_bytes, 88);
LAYOUT(l3l2q_query_region, output_arena_bytes, 96);
LAYOUT(l3l2q_query_region, payload_bytes, 104);
LAYOUT(l3l2q_query_region, counter_bytes, 112);
LAYOUT(l3l2q_query_region, region_bytes, 120);
LAYOUT(l3l2q_query_region, age_ns, 128);
LAYOUT(l3l2q_query_region, counters, 136);
LAYOUT(l3l2q_query_region, ends, 160);
LAYOUT(l3l2q_query_region, creator, 304);
LAYOUT(l3l2q_query_region, removal, 328);
LAYOUT(l3l2q_query_region, aborts, 332);
LAYOUT(l3l2q_query_region, observers, 340);

LAYOUT_SIZE(l3l2q_observe, 144);
LAYOUT(l3l2q_observe, size, 0);
LAYOUT(l3l2q_observe, flags, 4);
LAYOUT(l3l2q_observe, id, 8);
LAYOUT(l3l2q_observe, fd, 16);
LAYOUT(l3l2q_observe, pad, 20);
LAYOUT(l3l2q_observe, map, 24);

LAYOUT_SIZE(l3l2q_create, 160);
LAYOUT(l3l2q_create, size, 0);
LAYOUT(l3l2q_create, flags, 4);
LAYOUT(l3l2q_create, backend, 8);
LAYOUT(l3l2q_create, role, 12);
LAYOUT(l3l2q_create, depth, 16);
LAYOUT(l3l2q_create, numa_node, 20);
LAYOUT(l3l2q_create, region_version, 24);
LAYOUT(l3l2q_create, binding, 28);
LAYOUT(l3l2q_create, identity, 32);
LAYOUT(l3l2q_create, input_arena_bytes, 48);
LAYOUT(l3l2q_create, output_arena_bytes, 56);
LAYOUT(l3l2q_create, payload_bytes, 64);
LAYOUT(l3l2q_create, counter_bytes, 72);
LAYOUT(l3l2q_create, source, 80);
LAYOUT(l3l2q_create, source_bytes, 88);
LAYOUT(l3l2q_create, counter_source, 96);
LAYOUT(l3l2q_create, counter_source_bytes, 104);
LAYOUT(l3l2q_create, tag, 112);
LAYOUT(l3l2q_create, region_id, 144);
LAYOUT(l3l2q_create, fd, 152);
LAYOUT(l3l2q_create, pad, 156);

LAYOUT_SIZE(l3l2q_mapping, 24);
LAYOUT(l3l2q_mapping, offset, 0);
LAYOUT(l3l2q_mapping, length, 8);
LAYOUT(l3l2q_mapping, delta, 16);
LAYOUT(l3l2q_mapping, pad, 20);

LAYOUT_SIZE(l3l2q_info, 304);
LAYOUT(l3l2q_info, size, 0);
LAYOUT(l3l2q_info, flags, 4);
LAYOUT(l3l2q_info, role, 8);
LAYOUT(l3l2q_info, backend, 12);
LAYOUT(l3l2q_info, memory, 16);
LAYOUT(l3l2q_info, peer_kind, 20);
LAYOUT(l3l2q_info, state, 24);
LAYOUT(l3l2q_info, peer_state, 28);
LAYOUT(l3l2q_info, region_version, 32);
LAYOUT(l3l2q_info, binding, 36);
LAYOUT(l3l2q_info, identity, 40);
LAYOUT(l3l2q_info, tag, 56);
LAYOUT(l3l2q_info, region, 88);
LAYOUT(l3l2q_info, queue, 136);
LAYOUT(l3l2q_info, map, 184);

LAYOUT_SIZE(l3l2q_open_peer, 16);
LAYOUT(l3l2q_open_peer, size, 0);
LAYOUT(l3l2q_open_peer, flags, 4);
LAYOUT(l3l2q_open_peer, role, 8);
LAYOUT(l3l2q_open_peer, fd, 12);

LAYOUT_SIZE(l3l2q_notify, 24);
LAYOUT(l3l2q_notify, size, 0);
LAYOUT(l3l2q_notify, flags, 4);
LAYOUT(l3l2q_notify, offset, 8);
LAYOUT(l3l2q_notify, op, 16);
LAYOUT(l3l2q_notify, value, 20);

LAYOUT_SIZE(l3l2q_test, 32);
LAYOUT(l3l2q_test, size, 0);
LAYOUT(l3l2q_test, flags, 4);
LAYOUT(l3l2q_test, offset, 8);
LAYOUT(l3l2q_test, cmp, 16);
LAYOUT(l3l2q_test, value, 20);
LAYOUT(l3l2q_test, matched, 24);
LAYOUT(l3l2q_test, observed, 28);

LAYOUT_SIZE(l3l2q_condition, 24);
LAYOUT(l3l2q_condition, offset, 0);
LAYOUT(l3l2q_condition, cmp, 8);
LAYOUT(l3l2q_condition, value, 12);
LAYOUT(l3l2q_condition, observed, 16);
LAYOUT(l3l2q_condition, pad, 20);

LAYOUT_SIZE(l3l2q_wait, 48);
LAYOUT(l3l2q_wait, size, 0);
LAYOUT(l3l2q_wait, flags, 4);
LAYOUT(l3l2q_wait, conditions, 8);
LAYOUT(l3l2q_wait, nr_conditions, 16);
LAYOUT(l3l2q_wait, condition_size, 20);
LAYOUT(l3l2q_wait, deadline_ns, 24);
LAYOUT(l3l2q_wait, events, 32);
LAYOUT(l3l2q_wait, revents, 36);
LAYOUT(l3l2q_wait, index, 40);
LAYOUT(l3l2q_wait, pad, 44);

LAYOUT_SIZE(l3l2q_arm, 16);
LAYOUT(l3l2q_arm, size, 0);
LAYOUT(l3l2q_arm, flags, 4);
LAYOUT(l3l2q_arm, events, 8);
LAYOUT(l3l2q_arm, revents, 12);

LAYOUT_SIZE(l3l2q_eventfd, 40);
LAYOUT(l3l2q_eventfd, size, 0);
LAYOUT(l3l2q_eventfd, flags, 4);
LAYOUT(l3l2q_eventfd, kind, 8);
LAYOUT(l3l2q_eventfd, slot, 12);
LAYOUT(l3l2q_eventfd, fd, 16);
LAYOUT(l3l2q_eventfd, cmp, 20);
LAYOUT(l3l2q_eventfd, offset, 24);
LAYOUT(l3l2q_eventfd, value, 32);
LAYOUT(l3l2q_eventfd, pad, 36);

LAYOUT_SIZE(l3l2q_set_polling, 24);
LAYOUT(l3l2q_set_polling, size, 0);
LAYOUT(l3l2q_set_polling, flags, 4);
LAYOUT(l3l2q_set_polling, peer_kind, 8);
LAYOUT(l3l2q_set_polling, min_ns, 12);
LAYOUT(l3l2q_set_polling, max_ns, 16);
LAYOUT(l3l2q_set_polling, pad, 20);

LAYOUT_SIZE(l3l2q_stats, 120);
LAYOUT(l3l2q_stats, size, 0);
LAYOUT(l3l2q_stats, flags, 4);
LAYOUT(l3l2q_stats, notifies, 8);
LAYOUT(l3l2q_stats, kicks, 16);
LAYOUT(l3l2q_stats, waits, 24);
LAYOUT(l3l2q_stats, sleeps, 32);
LAYOUT(l3l2q_stats, polls, 40);
LAYOUT(l3l2q_stats, arms, 48);
LAYOUT(l3l2q_stats, wakeups, 56);
LAYOUT(l3l2q_stats, signals, 64);
LAYOUT(l3l2q_stats, timer_ticks, 72);
LAYOUT(l3l2q_stats, timer_wakeups, 80);
LAYOUT(l3l2q_stats, faults, 88);
LAYOUT(l3l2q_stats, region_bytes, 96);
LAYOUT(l3l2q_stats, interrupts, 104);
LAYOUT(l3l2q_stats, doorbells, 112);

LAYOUT_SIZE(l3l2q_export_dmabuf, 16);
LAYOUT(l3l2q_export_dmabuf, size, 0);
LAYOUT(l3l2q_export_dmabuf, flags, 4);
LAYOUT(l3l2q_export_dmabuf, fd, 8);
LAYOUT(l3l2q_export_dmabuf, pad, 12);

LAYOUT_ASSERT(L3L2Q_QUEUE_VERSION == 0x4C33513200010001ULL, "queue version");
LAYOUT_ASSERT(L3L2Q_IOC_QUERY == 0xE300 && L3L2Q_IOC_INTERRUPT == 0xE31C, "ioctl numbers");

#endif /* ABI_LAYOUT_H */
