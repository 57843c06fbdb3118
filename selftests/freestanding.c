// SPDX-License-Identifier: MIT
/*
 * Every function of the protocol core as a program on the AICPU would use it: no
 * libc, no header but the compiler's and the kernel's. To check, for x86-64 and
 * aarch64:
 *
 *	cc -std=c11 -O2 -ffreestanding -nostdlib -c freestanding.c
 *	nm -u freestanding.o	# memcpy, memmove, memset, memcmp at most
 *
 * with -mno-outline-atomics on aarch64, or gcc calls helpers in libgcc. It can be
 * run, too: with -DFREESTANDING_START and -static it brings its own memcpy, memset
 * and _start, passes messages through a queue, with each binding and each kind of memory,
 * and exits 0 if they came out right:
 *
 *	cc -std=c11 -O2 -ffreestanding -nostdlib -static -fno-stack-protector \
 *		-fno-tree-loop-distribute-patterns -DFREESTANDING_START freestanding.c
 */
#include <l3l2q/core.h>

#define DEPTH 4u
#define ARENA 256u
#define WINDOW 2u

/* GM, as two cores see it. */
struct gm {
	unsigned char counters[L3L2Q_COUNTER_BYTES];
	unsigned char payload[2 * DEPTH * 32 + 2 * ARENA];
} L3L2Q_ALIGNED;

struct side {
	struct l3l2q_core core;
	struct l3l2q_producer p;
	struct l3l2q_consumer c;
	__u64 starts[DEPTH];
	struct l3l2q_held held[4];
};

/* How an endpoint reaches the memory: enum l3l2q_memory, or with functions of its own. */
#define UNSNOOPED_BY_CALLS 0x100u

int freestanding_attach(struct side *s, enum l3l2q_role role, const __u64 *scalars, __u64 count,
			struct gm *gm, __u32 memory);
int freestanding_run(enum l3l2q_binding binding, __u32 memory);
int freestanding_main(void);

static __u64 cleaned, invalidated;

static void clean(const void *address, __u64 n)
{
	l3l2q_dcache_clean(address, n);
	cleaned += n;
}

static void invalidate(const void *address, __u64 n)
{
	l3l2q_dcache_invalidate(address, n);
	invalidated += n;
}

static int set_memory(struct l3l2q_core *core, __u32 memory)
{
	if (memory == UNSNOOPED_BY_CALLS)
		return l3l2q_core_set_unsnooped(core, clean, invalidate);
	if (memory == L3L2Q_MEMORY_UNSNOOPED)
		return l3l2q_core_set_unsnooped(core, 0, 0);
	return l3l2q_core_set_memory(core, memory);
}

int freestanding_attach(struct side *s, enum l3l2q_role role, const __u64 *scalars, __u64 count,
			struct gm *gm, __u32 memory)
{
	int ret = l3l2q_core_init_scalars(&s->core, role, scalars, count, gm->payload,
					  gm->counters);

	if (!ret)
		ret = set_memory(&s->core, memory);
	if (ret)
		return ret;
	if (l3l2q_producer_memory(s->core.layout.depth) > sizeof(s->starts) ||
	    l3l2q_consumer_memory(WINDOW) > sizeof(s->held))
		return -ENOMEM;
	l3l2q_core_producer_init(&s->p, &s->core, s->starts);
	return l3l2q_core_consumer_init(&s->c, &s->core, WINDOW, s->held);
}

/* A clock that only gets as far as it is asked. */
static __u64 tick(void *arg)
{
	return ++*(__u64 *)arg;
}

static int send(struct side *s, __u8 value, __u64 nbytes)
{
	struct l3l2q_reservation span;
	__u64 i, now = 0;
	int ret;

	ret = l3l2q_core_try_reserve(&s->p, nbytes, &span);
	if (ret)
		return ret;
	ret = l3l2q_core_cancel(&s->p, &span);
	if (ret)
		return ret;
	ret = l3l2q_core_reserve(&s->p, nbytes, &span, 1000, tick, &now);
	if (ret)
		return ret;
	for (i = 0; i < nbytes; i++)
		((volatile __u8 *)span.data)[i] = value;
	/* Without a body there is nothing to write back. */
	if (!nbytes)
		return l3l2q_core_commit_direct(&s->p, &span, L3L2Q_OP_DATA);
	return l3l2q_core_commit(&s->p, &span, L3L2Q_OP_DATA);
}

static int receive(struct side *s, __u8 value, __u64 nbytes)
{
	struct l3l2q_message m;
	__u8 body[ARENA];
	__u64 i, now = 0;
	int ret = l3l2q_core_peek(&s->c, &m, 1000, tick, &now);

	if (ret)
		return ret;
	if (m.nbytes != nbytes || m.opcode != L3L2Q_OP_DATA)
		return 1;
	ret = l3l2q_core_read_into(&s->c, &m, nbytes ? body : 0, sizeof(body));
	if (ret)
		return ret;
	for (i = 0; i < nbytes; i++)
		if (body[i] != value)
			return 2;
	ret = l3l2q_core_complete(&s->c, &m);
	if (!ret)
		l3l2q_core_retire(&s->c);
	return ret;
}

static int stop_and_fail(struct side *l3, struct side *l2)
{
	struct l3l2q_message m;
	__u64 now = 0;
	int ret;

	l3->p.batching = 1;
	ret = l3l2q_core_enqueue(&l3->p, L3L2Q_OP_DATA, "x", 1, 1000, tick, &now);
	if (!ret)
		ret = l3l2q_core_try_enqueue(&l3->p, L3L2Q_OP_STOP, l3l2q_core_copy, 0, 0);
	if (ret)
		return ret;
	l3->p.batching = 0;
	l3l2q_core_publish(&l3->p);
	ret = receive(l2, 'x', 1);
	if (!ret)
		ret = l3l2q_core_try_peek(&l2->c, &m);
	if (!ret)
		ret = l3l2q_core_release(&l2->c, &m);
	if (ret || !l2->c.drained)
		return ret ? ret : 3;
	/* One side ends; the other finds out when its time is up. */
	if (l3l2q_core_abort(&l2->core, L3L2Q_ERR_ENDPOINT_ERROR, "test", "over") != -EIO)
		return 4;
	if (l3l2q_core_status(&l2->core) != -EIO || l3l2q_core_peer_aborted(&l2->core))
		return 5;
	return l3l2q_core_peek(&l3->c, &m, 1000, tick, &now) == -ECONNABORTED ? 0 : 6;
}

/* The scalars of either binding: how many. */
static __u64 describe(enum l3l2q_binding binding, const struct gm *gm, __u64 *scalars)
{
	const __u64 identity[2] = { 7, 42 };
	const struct l3l2q_region_desc region = {
		L3L2Q_REGION_V3, 1, (__u64)(unsigned long)gm->payload, sizeof(gm->payload),
		(__u64)(unsigned long)gm->counters, sizeof(gm->counters),
	};
	const struct l3l2q_queue_desc queue = {
		L3L2Q_QUEUE_VERSION, DEPTH, ARENA, ARENA, sizeof(gm->payload),
		sizeof(gm->counters),
	};

	return l3l2q_binding_scalars(binding, identity, &region, &queue, scalars);
}

int freestanding_run(enum l3l2q_binding binding, __u32 memory)
{
	static struct gm gm;
	static struct side l3, l2;
	__u64 scalars[L3L2Q_SCALARS], count = describe(binding, &gm, scalars), i;
	int ret;

	__builtin_memset(&gm, 0, sizeof(gm));
	ret = freestanding_attach(&l3, L3L2Q_ROLE_L3, scalars, count, &gm, memory);
	if (!ret)
		ret = freestanding_attach(&l2, L3L2Q_ROLE_L2, scalars, count, &gm, memory);
	for (i = 0; !ret && i < 1000; i++) {
		ret = send(&l3, (__u8)i, i * 7 % (ARENA + 1));
		if (!ret)
			ret = receive(&l2, (__u8)i, i * 7 % (ARENA + 1));
		if (!ret)
			ret = send(&l2, (__u8)~i, i * 11 % (ARENA + 1));
		if (!ret)
			ret = receive(&l3, (__u8)~i, i * 11 % (ARENA + 1));
	}
	if (!ret)
		ret = stop_and_fail(&l3, &l2);
	l3l2q_core_detach(&l2.core);
	l3l2q_core_detach(&l3.core);
	return ret;
}

/* 0 if maintenance happened with unsnooped memory, and with no other. */
static int check_maintenance(__u32 memory)
{
	int ok = memory == UNSNOOPED_BY_CALLS ? cleaned && invalidated : !cleaned && !invalidated;

	cleaned = invalidated = 0;
	return ok ? 0 : -1;
}

int freestanding_main(void)
{
	static const __u32 memories[] = {
		L3L2Q_MEMORY_CACHED, L3L2Q_MEMORY_WC, L3L2Q_MEMORY_DEVICE,
		L3L2Q_MEMORY_UNSNOOPED, UNSNOOPED_BY_CALLS,
	};
	__u32 i, binding;

	for (binding = L3L2Q_BINDING_L3Q2; binding <= L3L2Q_BINDING_SPSQ; binding++) {
		for (i = 0; i < sizeof(memories) / sizeof(*memories); i++) {
			int want = memories[i] == L3L2Q_MEMORY_UNSNOOPED &&
				   l3l2q_dcache_line() != L3L2Q_LINE_BYTES ? -EINVAL : 0;

			if (freestanding_run((enum l3l2q_binding)binding, memories[i]) != want ||
			    check_maintenance(memories[i]))
				return 1 + (int)(binding * 10 + i);
		}
	}
	return 0;
}

#ifdef FREESTANDING_START

void *memcpy(void *restrict to, const void *restrict from, __SIZE_TYPE__ n);
void *memset(void *to, int value, __SIZE_TYPE__ n);
void _start(void) __attribute__((noreturn));

void *memcpy(void *restrict to, const void *restrict from, __SIZE_TYPE__ n)
{
	while (n--)
		((unsigned char *)to)[n] = ((const unsigned char *)from)[n];
	return to;
}

void *memset(void *to, int value, __SIZE_TYPE__ n)
{
	while (n--)
		((unsigned char *)to)[n] = (unsigned char)value;
	return to;
}

#ifdef __x86_64__
__attribute__((force_align_arg_pointer))
#endif
void _start(void)
{
	long ret = freestanding_main();

	for (;;) {
#if defined(__x86_64__)
		__asm__ volatile("syscall" : : "a"(231L), "D"(ret) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
		register long x0 __asm__("x0") = ret;
		register long x8 __asm__("x8") = 94;

		__asm__ volatile("svc #0" : : "r"(x0), "r"(x8) : "memory");
#endif
	}
}

#endif /* FREESTANDING_START */
