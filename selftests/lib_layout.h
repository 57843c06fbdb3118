/* SPDX-License-Identifier: MIT */
/*
 * The layout of the library's structures where pointers have 64 bits. Checked by the
 * compiler, in checks/headers.sh.
 */
#ifndef LIB_LAYOUT_H
#define LIB_LAYOUT_H

#include <l3l2q.h>
#include <l3l2q/core.h>

#include "abi_layout.h"

/* Arrays of the first two, and reservations, are passed without a size: they never grow. */
LAYOUT_SIZE(l3l2q_message, 40);
LAYOUT(l3l2q_message, seq, 0);
LAYOUT(l3l2q_message, payload_offset, 8);
LAYOUT(l3l2q_message, nbytes, 16);
LAYOUT(l3l2q_message, data, 24);
LAYOUT(l3l2q_message, opcode, 32);

LAYOUT_SIZE(l3l2q_body, 16);
LAYOUT(l3l2q_body, data, 0);
LAYOUT(l3l2q_body, nbytes, 8);

LAYOUT_SIZE(l3l2q_reservation, 32);
LAYOUT(l3l2q_reservation, seq, 0);
LAYOUT(l3l2q_reservation, payload_offset, 8);
LAYOUT(l3l2q_reservation, nbytes, 16);
LAYOUT(l3l2q_reservation, data, 24);

/* These may grow at their end; what is there stays. */
LAYOUT_SIZE(l3l2q_error, 48);
LAYOUT(l3l2q_error, kind, 0);
LAYOUT(l3l2q_error, binding, 4);
LAYOUT(l3l2q_error, region_id, 8);
LAYOUT(l3l2q_error, identity, 16);
LAYOUT(l3l2q_error, op, 32);
LAYOUT(l3l2q_error, message, 40);

LAYOUT_SIZE(l3l2q_attr, 112);
LAYOUT(l3l2q_attr, transport, 0);
LAYOUT(l3l2q_attr, tag, 8);
LAYOUT(l3l2q_attr, role, 16);
LAYOUT(l3l2q_attr, depth, 20);
LAYOUT(l3l2q_attr, input_arena_bytes, 24);
LAYOUT(l3l2q_attr, output_arena_bytes, 32);
LAYOUT(l3l2q_attr, payload_bytes, 40);
LAYOUT(l3l2q_attr, counter_bytes, 48);
LAYOUT(l3l2q_attr, window, 56);
LAYOUT(l3l2q_attr, flags, 60);
LAYOUT(l3l2q_attr, spin_ns, 64);
LAYOUT(l3l2q_attr, numa_node, 72);
LAYOUT(l3l2q_attr, region_version, 76);
LAYOUT(l3l2q_attr, binding, 80);
LAYOUT(l3l2q_attr, pad, 84);
LAYOUT(l3l2q_attr, identity, 88);
LAYOUT(l3l2q_attr, nap_ns, 104);

LAYOUT_SIZE(l3l2q_failure, 192);
LAYOUT(l3l2q_failure, text, 0);

LAYOUT_SIZE(l3l2q_external, 160);
LAYOUT(l3l2q_external, scalars, 0);
LAYOUT(l3l2q_external, payload, 96);
LAYOUT(l3l2q_external, counters, 104);
LAYOUT(l3l2q_external, role, 112);
LAYOUT(l3l2q_external, memory, 116);
LAYOUT(l3l2q_external, scalar_count, 120);
LAYOUT(l3l2q_external, pad, 124);
LAYOUT(l3l2q_external, read, 128);
LAYOUT(l3l2q_external, write, 136);
LAYOUT(l3l2q_external, ctx, 144);
LAYOUT(l3l2q_external, buffer_bytes, 152);

LAYOUT_SIZE(l3l2q_ep_info, 208);
LAYOUT(l3l2q_ep_info, transport, 0);
LAYOUT(l3l2q_ep_info, role, 8);
LAYOUT(l3l2q_ep_info, memory, 12);
LAYOUT(l3l2q_ep_info, window, 16);
LAYOUT(l3l2q_ep_info, region_version, 20);
LAYOUT(l3l2q_ep_info, region_id, 24);
LAYOUT(l3l2q_ep_info, payload, 32);
LAYOUT(l3l2q_ep_info, counters, 40);
LAYOUT(l3l2q_ep_info, payload_bytes, 48);
LAYOUT(l3l2q_ep_info, counter_bytes, 56);
LAYOUT(l3l2q_ep_info, layout, 64);
LAYOUT(l3l2q_ep_info, backend, 136);
LAYOUT(l3l2q_ep_info, copy_path, 144);
LAYOUT(l3l2q_ep_info, binding, 152);
LAYOUT(l3l2q_ep_info, pad, 156);
LAYOUT(l3l2q_ep_info, identity, 160);
LAYOUT(l3l2q_ep_info, tag, 176);

LAYOUT_SIZE(l3l2q_ep_stats, 72);
LAYOUT(l3l2q_ep_stats, sent, 0);
LAYOUT(l3l2q_ep_stats, received, 8);
LAYOUT(l3l2q_ep_stats, sent_bytes, 16);
LAYOUT(l3l2q_ep_stats, received_bytes, 24);
LAYOUT(l3l2q_ep_stats, kicks, 32);
LAYOUT(l3l2q_ep_stats, sleeps, 40);
LAYOUT(l3l2q_ep_stats, spins, 48);
LAYOUT(l3l2q_ep_stats, syscalls, 56);
LAYOUT(l3l2q_ep_stats, membarriers, 64);

/*
 * Inlined in programs. l3l2q_layout_1 stands for this layout and for what the members mean:
 * with another one the symbol gets another number.
 */
LAYOUT_SIZE(l3l2q_core, 256);
LAYOUT(l3l2q_core, payload, 0);
LAYOUT(l3l2q_core, counters, 8);
LAYOUT(l3l2q_core, removed, 16);
LAYOUT(l3l2q_core, gone, 24);
LAYOUT(l3l2q_core, tx_end, 32);
LAYOUT(l3l2q_core, rx_failed, 40);
LAYOUT(l3l2q_core, control, 48);
LAYOUT(l3l2q_core, armed, 56);
LAYOUT(l3l2q_core, peer_armed, 64);
LAYOUT(l3l2q_core, layout, 72);
LAYOUT(l3l2q_core, region_id, 144);
LAYOUT(l3l2q_core, role, 152);
LAYOUT(l3l2q_core, binding, 156);
LAYOUT(l3l2q_core, memory, 160);
LAYOUT(l3l2q_core, path, 164);
LAYOUT(l3l2q_core, flag_tells, 168);
LAYOUT(l3l2q_core, never_gone, 172);
LAYOUT(l3l2q_core, failing, 176);
LAYOUT(l3l2q_core, always, 180);
LAYOUT(l3l2q_core, error, 184);
LAYOUT(l3l2q_core, clean, 232);
LAYOUT(l3l2q_core, invalidate, 240);
LAYOUT(l3l2q_core, access, 248);

LAYOUT_SIZE(l3l2q_producer, 320);
LAYOUT(l3l2q_producer, core, 0);
LAYOUT(l3l2q_producer, ring, 8);
LAYOUT(l3l2q_producer, tail_counter, 16);
LAYOUT(l3l2q_producer, places, 24);
LAYOUT(l3l2q_producer, payload, 32);
LAYOUT(l3l2q_producer, end, 40);
LAYOUT(l3l2q_producer, watch, 48);
LAYOUT(l3l2q_producer, mask, 56);
LAYOUT(l3l2q_producer, tail, 64);
LAYOUT(l3l2q_producer, limit, 72);
LAYOUT(l3l2q_producer, offset, 80);
LAYOUT(l3l2q_producer, room, 88);
LAYOUT(l3l2q_producer, published, 96);
LAYOUT(l3l2q_producer, published_bytes, 104);
LAYOUT(l3l2q_producer, laps, 112);
LAYOUT(l3l2q_producer, pad, 120);
LAYOUT(l3l2q_producer, batching, 124);
LAYOUT(l3l2q_producer, withheld, 125);
LAYOUT(l3l2q_producer, stopped, 126);
LAYOUT(l3l2q_producer, blocked, 127);
LAYOUT(l3l2q_producer, head, 128);
LAYOUT(l3l2q_producer, head_counter, 136);
LAYOUT(l3l2q_producer, arena_offset, 144);
LAYOUT(l3l2q_producer, arena_end, 152);
LAYOUT(l3l2q_producer, skipped, 160);
LAYOUT(l3l2q_producer, span_bytes, 168);
LAYOUT(l3l2q_producer, span_limit, 176);
LAYOUT(l3l2q_producer, ask_at, 184);
LAYOUT(l3l2q_producer, oldest, 192);
LAYOUT(l3l2q_producer, need_head, 200);
LAYOUT(l3l2q_producer, need_bytes, 208);
LAYOUT(l3l2q_producer, kick, 216);
LAYOUT(l3l2q_producer, self_kick, 220);
LAYOUT(l3l2q_producer, span_count, 224);
LAYOUT(l3l2q_producer, fence, 228);
LAYOUT(l3l2q_producer, direct, 229);
LAYOUT(l3l2q_producer, pad2, 230);
LAYOUT(l3l2q_producer, dirty_from, 232);
LAYOUT(l3l2q_producer, dirty_to, 240);
LAYOUT(l3l2q_producer, fresh_from, 248);
LAYOUT(l3l2q_producer, fresh_to, 256);

LAYOUT_SIZE(l3l2q_consumer, 256);
LAYOUT(l3l2q_consumer, core, 0);
LAYOUT(l3l2q_consumer, ring, 8);
LAYOUT(l3l2q_consumer, tail_counter, 16);
LAYOUT(l3l2q_consumer, head_counter, 24);
LAYOUT(l3l2q_consumer, held, 32);
LAYOUT(l3l2q_consumer, held_mask, 40);
LAYOUT(l3l2q_consumer, payload, 48);
LAYOUT(l3l2q_consumer, seen, 56);
LAYOUT(l3l2q_consumer, head, 64);
LAYOUT(l3l2q_consumer, limit, 72);
LAYOUT(l3l2q_consumer, offset, 80);
LAYOUT(l3l2q_consumer, room, 88);
LAYOUT(l3l2q_consumer, bytes, 96);
LAYOUT(l3l2q_consumer, mask, 104);
LAYOUT(l3l2q_consumer, watch, 112);
LAYOUT(l3l2q_consumer, failed, 120);
LAYOUT(l3l2q_consumer, window, 124);
LAYOUT(l3l2q_consumer, tail, 128);
LAYOUT(l3l2q_consumer, outstanding, 136);
LAYOUT(l3l2q_consumer, arena_offset, 144);
LAYOUT(l3l2q_consumer, arena_end, 152);
LAYOUT(l3l2q_consumer, ask_at, 160);
LAYOUT(l3l2q_consumer, oldest, 168);
LAYOUT(l3l2q_consumer, wrapped, 176);
LAYOUT(l3l2q_consumer, completed, 184);
LAYOUT(l3l2q_consumer, stopped, 192);
LAYOUT(l3l2q_consumer, drained, 193);
LAYOUT(l3l2q_consumer, window_full, 194);
LAYOUT(l3l2q_consumer, fast_path, 195);
LAYOUT(l3l2q_consumer, flags, 196);
LAYOUT(l3l2q_consumer, kick, 200);
LAYOUT(l3l2q_consumer, self_kick, 204);
LAYOUT(l3l2q_consumer, one_handle, 208);
LAYOUT(l3l2q_consumer, fence, 209);
LAYOUT(l3l2q_consumer, pad, 210);
LAYOUT(l3l2q_consumer, unseen, 212);

#endif /* LIB_LAYOUT_H */
