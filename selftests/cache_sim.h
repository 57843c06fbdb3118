/* SPDX-License-Identifier: MIT */
/*
 * A cache that does not see what others store: a private copy of a range of memory,
 * whose lines move only when they are cleaned, invalidated or evicted. A program loads
 * and stores through the copy. Lines that were never touched since are stale for ever,
 * which no real cache is: what works here works there.
 *
 * The test ends with a message if a write-back changes a byte that belongs to another
 * writer.
 */
#ifndef CACHE_SIM_H
#define CACHE_SIM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_LINE 64u

struct cache_sim {
	unsigned char *memory;		/* what all others see */
	unsigned char *copy;		/* what this processor sees */
	unsigned char *fetched;		/* memory, as each line was fetched */
	unsigned char *foreign;		/* bytes that this processor must not change */
	uint64_t bytes;
	uint64_t state;			/* of the evictions */
	uint32_t evict_one_in;		/* maintenance calls; 0: no evictions */
	uint64_t cleans, invalidates, lines;
	void (*meanwhile)(void *arg);	/* what others do during maintenance */
	void *arg;
	struct cache_sim *next;
};

/* The caches of this process: maintenance functions get nothing but an address. */
static struct cache_sim *cache_sims;

static inline uint64_t sim_random(struct cache_sim *s)
{
	s->state = s->state * 6364136223846793005ull + 1442695040888963407ull;
	return s->state >> 33;
}

/* Write a line back whole if it is dirty. */
static inline void sim_write_back(struct cache_sim *s, uint64_t at)
{
	unsigned char *memory = s->memory + at, *copy = s->copy + at, *fetched = s->fetched + at;
	unsigned int i;

	if (!memcmp(copy, fetched, SIM_LINE))
		return;
	for (i = 0; i < SIM_LINE; i++) {
		if (s->foreign[at + i] && memory[i] != copy[i]) {
			fprintf(stderr, "cache_sim: byte %llu is another's, and is overwritten\n",
				(unsigned long long)(at + i));
			abort();
		}
	}
	memcpy(memory, copy, SIM_LINE);
	memcpy(fetched, copy, SIM_LINE);
}

static inline void sim_fetch(struct cache_sim *s, uint64_t at)
{
	memcpy(s->copy + at, s->memory + at, SIM_LINE);
	memcpy(s->fetched + at, s->memory + at, SIM_LINE);
}

static inline void sim_refetch(struct cache_sim *s)
{
	uint64_t at;

	for (at = 0; at < s->bytes; at += SIM_LINE)
		sim_fetch(s, at);
}

static inline void sim_evict(struct cache_sim *s, uint64_t at)
{
	sim_write_back(s, at);
	sim_fetch(s, at);
}

static inline void sim_evict_some(struct cache_sim *s)
{
	if (s->evict_one_in && sim_random(s) % s->evict_one_in == 0)
		sim_evict(s, sim_random(s) % (s->bytes / SIM_LINE) * SIM_LINE);
}

/* The bytes of dirty lines. */
static inline uint64_t sim_dirty(const struct cache_sim *s)
{
	uint64_t at, n = 0;

	for (at = 0; at < s->bytes; at += SIM_LINE)
		n += memcmp(s->copy + at, s->fetched + at, SIM_LINE) ? SIM_LINE : 0;
	return n;
}

static inline struct cache_sim *sim_of(const void *address)
{
	const unsigned char *at = address;
	struct cache_sim *s;

	for (s = cache_sims; s; s = s->next) {
		if (at >= s->copy && at < s->copy + s->bytes)
			return s;
	}
	fprintf(stderr, "cache_sim: maintenance of what is not in a cache\n");
	abort();
}

static inline void sim_others(struct cache_sim *s)
{
	sim_evict_some(s);
	if (s->meanwhile)
		s->meanwhile(s->arg);
}

static void sim_maintain(const void *address, uint64_t n, int invalidate)
{
	struct cache_sim *s = sim_of(address);
	uint64_t at = (uint64_t)((const unsigned char *)address - s->copy);
	uint64_t end = at + n;

	sim_others(s);
	for (at -= at % SIM_LINE; at < end; at += SIM_LINE) {
		if (at >= s->bytes) {
			fprintf(stderr, "cache_sim: maintenance beyond the range\n");
			abort();
		}
		sim_write_back(s, at);
		if (invalidate)
			sim_fetch(s, at);
		s->lines++;
	}
	sim_others(s);
}

static void sim_clean(const void *address, __u64 n)
{
	sim_of(address)->cleans++;
	sim_maintain(address, n, 0);
}

static void sim_invalidate(const void *address, __u64 n)
{
	sim_of(address)->invalidates++;
	sim_maintain(address, n, 1);
}

/* A cache over @bytes at @memory, full of what lies there now. */
static inline struct cache_sim *sim_make(unsigned char *memory, uint64_t bytes, uint64_t seed)
{
	struct cache_sim *s = calloc(1, sizeof(*s));

	s->memory = memory;
	s->bytes = (bytes + SIM_LINE - 1) / SIM_LINE * SIM_LINE;
	s->copy = aligned_alloc(SIM_LINE, s->bytes);
	s->fetched = malloc(s->bytes);
	s->foreign = calloc(1, s->bytes);
	memcpy(s->copy, memory, s->bytes);
	memcpy(s->fetched, memory, s->bytes);
	s->state = seed;
	s->evict_one_in = 5;
	s->next = cache_sims;
	cache_sims = s;
	return s;
}

static inline void sim_set_foreign(struct cache_sim *s, uint64_t at, uint64_t n, int foreign)
{
	memset(s->foreign + at, foreign, n);
}

static inline void sim_free(struct cache_sim *s)
{
	struct cache_sim **at = &cache_sims;

	if (!s)
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s->copy);
	free(s->fetched);
	free(s->foreign);
	free(s);
}

#endif /* CACHE_SIM_H */
