// SPDX-License-Identifier: MIT
/*
 * Memory that is reached by copy calls. What counts is their number: bodies that lie
 * together are written by one call and read by one call.
 *
 * The region has addresses, so that the core computes them as for mapped memory, but only
 * the rings have memory behind them: private copies. Any other access would fault.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define BUFFER_DEFAULT 65536u
#define BUFFER_MIN 64u
#define BUFFER_MAX (1ull << 30)
#define ERRNO_MAX 4095
#define RUN_MESSAGES 1024	/* looked at to read ahead; ones without a body count */

static struct l3l2q_ep *ep_of(const struct l3l2q_core *core)
{
	return container_of((struct l3l2q_core *)(unsigned long)core, struct l3l2q_ep, core);
}

/* ---- calls ---------------------------------------------------------------- */

/* After a failure the memory counts as removed, and no call follows. */
static bool has_failed(const struct l3l2q_ep *ep)
{
	return __atomic_load_n(&ep->copies.failed, __ATOMIC_ACQUIRE);
}

static void set_failed(struct l3l2q_ep *ep, int ret)
{
	uint32_t none = 0, error = ret < 0 && ret >= -ERRNO_MAX ? (uint32_t)-ret : EIO;

	__atomic_compare_exchange_n(&ep->copies.failed, &none, error, false, __ATOMIC_ACQ_REL,
				    __ATOMIC_RELAXED);
	l3l2q_add_gone(ep, L3L2Q_GONE_REMOVED);
}

static bool call_write(struct l3l2q_ep *ep, uint32_t range, uint64_t offset, const void *from,
		       uint64_t n)
{
	int ret;

	if (has_failed(ep))
		return false;
	ret = ep->copies.write(ep->copies.ctx, range, offset, from, (size_t)n);
	if (ret)
		set_failed(ep, ret);
	return !ret;
}

/* What cannot be read is zero. */
static bool call_read(struct l3l2q_ep *ep, uint32_t range, uint64_t offset, void *to, uint64_t n)
{
	int ret = 0;

	if (!has_failed(ep)) {
		ret = ep->copies.read(ep->copies.ctx, range, offset, to, (size_t)n);
		if (!ret)
			return true;
		set_failed(ep, ret);
	}
	memset(to, 0, (size_t)n);
	return false;
}

/* The range of an address, and the offset in it. */
static uint32_t locate(const struct l3l2q_core *core, const void *address, uint64_t *offset)
{
	uintptr_t at = (uintptr_t)address, counters = (uintptr_t)core->counters;

	if (at - counters < L3L2Q_COUNTER_BYTES) {
		*offset = at - counters;
		return L3L2Q_RANGE_COUNTERS;
	}
	*offset = at - (uintptr_t)core->payload;
	return L3L2Q_RANGE_PAYLOAD;
}

/* ---- writing ---------------------------------------------------------------- */

/* Write the gathered bodies. */
static bool flush(struct l3l2q_ep *ep)
{
	struct l3l2q_copies *s = &ep->copies;
	uint64_t n = s->gathered;

	s->gathered = 0;
	return !n || call_write(ep, L3L2Q_RANGE_PAYLOAD, s->gather_offset, s->gather, n);
}

/* A body or a part of one. What lies behind the bodies before it is added to them. */
static bool write_body(struct l3l2q_ep *ep, uint64_t offset, const void *from, uint64_t n)
{
	struct l3l2q_copies *s = &ep->copies;

	if (s->gathered && (offset != s->gather_offset + s->gathered ||
			    n > s->buffer_bytes - s->gathered) && !flush(ep))
		return false;
	if (n >= s->buffer_bytes)
		return call_write(ep, L3L2Q_RANGE_PAYLOAD, offset, from, n);
	if (!s->gathered)
		s->gather_offset = offset;
	memcpy(s->gather + s->gathered, from, (size_t)n);
	s->gathered += n;
	return true;
}

/*
 * Descriptors come from the private ring, hence from their own address; bodies go before
 * them. A tail store comes after descriptors, so it finds nothing gathered.
 */
static bool write_payload(struct l3l2q_ep *ep, uint64_t offset, const void *to, const void *from,
			  uint64_t n)
{
	if (to != from)
		return write_body(ep, offset, from, n);
	return flush(ep) && call_write(ep, L3L2Q_RANGE_PAYLOAD, offset, from, n);
}

/*
 * The core does not check its stores. A call whose store failed ends in
 * l3l2q_producer_finish() or l3l2q_consumer_finish(), which report it.
 */
static void copied_write(const struct l3l2q_core *core, void *to, const void *from, __u64 n)
{
	enum l3l2q_role role = (enum l3l2q_role)core->role;
	struct l3l2q_ep *ep = ep_of(core);
	uint64_t offset;

	if (locate(core, to, &offset) == L3L2Q_RANGE_PAYLOAD) {
		if (!write_payload(ep, offset, to, from, n))
			ep->tx.self_kick = 1;
	} else if (!call_write(ep, L3L2Q_RANGE_COUNTERS, offset, from, n)) {
		if (offset == l3l2q_ctr_tail(role))
			ep->tx.self_kick = 1;
		else if (offset == l3l2q_ctr_head(l3l2q_peer_role(role)))
			ep->rx.self_kick = 1;
	}
}

/* ---- reading ---------------------------------------------------------------- */

/* Counters that a wait has read just now, for the look that follows it. */
static bool take_seen(struct l3l2q_ep *ep, void *to)
{
	struct l3l2q_copies *s = &ep->copies;
	bool valid = s->has_seen && s->seen_tail == ep->rx.tail && !has_failed(ep);

	s->has_seen = false;
	if (valid)
		memcpy(to, s->seen, sizeof(s->seen));
	return valid;
}

/* All counters are read by the consumer's looks only. */
static void copied_read(const struct l3l2q_core *core, void *to, const void *from, __u64 n)
{
	uint64_t offset;
	uint32_t range = locate(core, from, &offset);

	if (range == L3L2Q_RANGE_COUNTERS && n == L3L2Q_COUNTER_BYTES &&
	    take_seen(ep_of(core), to))
		return;
	call_read(ep_of(core), range, offset, to, n);
}

/*
 * How many bytes from a held body on are bodies of announced messages that lie together,
 * up to the buffer's size, and in @last the last one of these. Descriptors that were not
 * checked yet are only believed where they stay in the arena: the messages are checked when
 * they are acquired.
 */
static uint64_t run_bytes(const struct l3l2q_consumer *c, const struct l3l2q_message *held,
			  uint64_t most, uint64_t *last)
{
	uint64_t i = held->seq, end = held->payload_offset + held->nbytes;
	uint64_t stop = c->tail - i > RUN_MESSAGES ? i + RUN_MESSAGES : c->tail;
	struct l3l2q_desc desc;

	for (; i < stop; i++) {
		desc = l3l2q_desc_copy(&c->ring[i & c->mask]);
		if (!desc.payload_nbytes)
			continue;
		if (desc.payload_offset != end || desc.payload_nbytes > c->arena_end - end ||
		    end + desc.payload_nbytes - held->payload_offset > most)
			break;
		end += desc.payload_nbytes;
	}
	*last = i;
	return end - held->payload_offset;
}

/*
 * Bodies are known by their messages: an offset would be used again after a wrap, by other
 * bytes.
 */
static void copied_read_body(const struct l3l2q_consumer *c, const struct l3l2q_message *held,
			     void *to)
{
	struct l3l2q_ep *ep = ep_of(c->core);
	struct l3l2q_copies *s = &ep->copies;
	uint64_t at = held->payload_offset - s->ahead_offset, n, last;

	if (held->seq >= s->ahead_first && held->seq <= s->ahead_last && at < s->ahead_bytes &&
	    held->nbytes <= s->ahead_bytes - at) {
		memcpy(to, s->ahead + at, (size_t)held->nbytes);
		return;
	}
	n = run_bytes(c, held, s->buffer_bytes, &last);
	if (n == held->nbytes) {
		call_read(ep, L3L2Q_RANGE_PAYLOAD, held->payload_offset, to, n);
		return;
	}
	s->ahead_bytes = 0;
	if (!call_read(ep, L3L2Q_RANGE_PAYLOAD, held->payload_offset, s->ahead, n)) {
		memset(to, 0, (size_t)held->nbytes);
		return;
	}
	s->ahead_first = held->seq;
	s->ahead_last = last;
	s->ahead_offset = held->payload_offset;
	s->ahead_bytes = n;
	memcpy(to, s->ahead, (size_t)held->nbytes);
}

static const struct l3l2q_access copied_access = {
	.read = copied_read,
	.write = copied_write,
	.read_body = copied_read_body,
};

/* ---- for the library ---------------------------------------------------------- */

void l3l2q_copied_counters(const struct l3l2q_ep *ep,
			   uint32_t counters[L3L2Q_COUNTER_BYTES / 4])
{
	call_read(ep_of(&ep->core), L3L2Q_RANGE_COUNTERS, 0, counters, L3L2Q_COUNTER_BYTES);
}

/*
 * Keep counters that announce messages, for the next look. They stay true while the consumer
 * knows of no later tail. The consumer's thread.
 */
void l3l2q_copied_keep(struct l3l2q_ep *ep, const uint32_t counters[L3L2Q_COUNTER_BYTES / 4])
{
	memcpy(ep->copies.seen, counters, sizeof(ep->copies.seen));
	ep->copies.seen_tail = ep->rx.tail;
	ep->copies.has_seen = true;
}

/* By any thread, so not gathered. */
void l3l2q_copied_payload_write(struct l3l2q_ep *ep, uint64_t offset, const void *from, uint64_t n)
{
	call_write(ep, L3L2Q_RANGE_PAYLOAD, offset, from, n);
}

int l3l2q_copied_check(const struct l3l2q_external *ext, struct l3l2q_failure *why)
{
	if (ext->memory != L3L2Q_MEMORY_COPIED) {
		if (ext->read || ext->write || ext->ctx || ext->buffer_bytes)
			return l3l2q_why(why, -EINVAL,
					 "read, write, ctx and buffer_bytes are for copied memory");
		return 0;
	}
	if (!ext->read || !ext->write)
		return l3l2q_why(why, -EINVAL, "copied memory needs both read and write");
	if (ext->payload || ext->counters)
		return l3l2q_why(why, -EINVAL,
				 "copied memory is not mapped: payload and counters must be NULL");
	if (ext->buffer_bytes &&
	    (ext->buffer_bytes < BUFFER_MIN || ext->buffer_bytes > BUFFER_MAX))
		return l3l2q_why(why, -EINVAL, "buffer_bytes %llu: 0, or %u ... %llu",
				 (unsigned long long)ext->buffer_bytes, BUFFER_MIN, BUFFER_MAX);
	return 0;
}

static int map(struct l3l2q_map *map, uint64_t bytes, int prot)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t length = (bytes + page - 1) / page * page;
	void *addr;

	if (length < bytes || length != (size_t)length)
		return -ENOMEM;
	addr = mmap(NULL, (size_t)length, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (addr == MAP_FAILED)
		return -ENOMEM;
	map->addr = addr;
	map->length = (size_t)length;
	return 0;
}

/* Addresses for both ranges, memory for the rings, and the buffers. */
int l3l2q_copied_map(struct l3l2q_ep *ep, const struct l3l2q_external *ext,
		     const struct l3l2q_layout *layout, struct l3l2q_failure *why)
{
	uint64_t bytes = ext->buffer_bytes ? ext->buffer_bytes : BUFFER_DEFAULT;
	struct l3l2q_map *payload = &ep->maps[L3L2Q_MAP_PAYLOAD];
	struct l3l2q_map *buffers = &ep->buffers;
	int ret;

	ret = map(payload, layout->payload_bytes, PROT_NONE);
	if (!ret && mprotect(payload->addr, (size_t)layout->input_arena_offset,
			     PROT_READ | PROT_WRITE))
		ret = -ENOMEM;
	if (!ret)
		ret = map(&ep->maps[L3L2Q_MAP_COUNTERS], layout->counter_bytes, PROT_NONE);
	if (!ret)
		ret = map(buffers, 2 * bytes, PROT_READ | PROT_WRITE);
	if (ret)
		return l3l2q_why(why, ret, "no memory or address space for a payload of %llu bytes",
				 (unsigned long long)layout->payload_bytes);
	ep->copies.read = ext->read;
	ep->copies.write = ext->write;
	ep->copies.ctx = ext->ctx;
	ep->copies.buffer_bytes = bytes;
	ep->copies.gather = buffers->addr;
	ep->copies.ahead = ep->copies.gather + bytes;
	ep->access = &copied_access;
	return 0;
}

void l3l2q_copied_unmap(struct l3l2q_ep *ep)
{
	l3l2q_unmap(&ep->maps[L3L2Q_MAP_PAYLOAD]);
	l3l2q_unmap(&ep->maps[L3L2Q_MAP_COUNTERS]);
	l3l2q_unmap(&ep->buffers);
}
