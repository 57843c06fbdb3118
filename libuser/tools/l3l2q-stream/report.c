// SPDX-License-Identifier: MIT
/* Round trips, rates, and the line at the end. */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define HIST_SHIFT	5	/* log2(HIST_SUB) */
#define PROGRESS_NS	(NSEC_PER_SEC / 10)

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Values below 64 have a bucket each; above, an octave has HIST_SUB of them. */
static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < 2 * HIST_SUB)
		return (unsigned int)ns;
	shift = 63 - HIST_SHIFT - (unsigned int)__builtin_clzll(ns);
	return shift * HIST_SUB + (unsigned int)(ns >> shift);
}

static uint64_t bucket_top(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2 * HIST_SUB)
		return bucket;
	shift = bucket / HIST_SUB - 1;
	return ((uint64_t)(bucket % HIST_SUB + HIST_SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	h->bucket[bucket_of(ns)]++;
	h->count++;
	if (ns > h->max)
		h->max = ns;
}

uint64_t histogram_percentile(const struct histogram *h, unsigned int percent)
{
	uint64_t rank = (h->count * percent + 99) / 100, seen = 0;
	uint64_t top;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank) {
			top = bucket_top(i);
			return top < h->max ? top : h->max;
		}
	}
	return h->max;
}

void tame(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static double micro(uint64_t ns)
{
	return (double)ns / 1e3;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1024 * 1024);
}

static double rate(uint64_t bytes, uint64_t ns)
{
	return ns ? mib(bytes) * 1e9 / (double)ns : 0;
}

static double per_message(const struct summary *s)
{
	return s->messages ? (double)s->syscalls / (double)s->messages : 0;
}

/* What there is to tell of an NPU's doorbells and the driver's part in it. */
static void print_npu(const struct summary *s, const char *indent, const char *end)
{
	if (s->npu)
		fprintf(stderr, "%snpu_rings=%" PRIu64 " npu_sleeps=%" PRIu64 "%s", indent,
			s->npu->rings, s->npu->sleeps, s->driver ? " " : end);
	if (s->driver)
		fprintf(stderr, "interrupts=%" PRIu64 " doorbells=%" PRIu64 " timer_ticks=%" PRIu64
			"%s", (uint64_t)s->driver->interrupts, (uint64_t)s->driver->doorbells,
			(uint64_t)s->driver->timer_ticks, end);
}

static void print_for_people(const struct summary *s)
{
	fprintf(stderr,
		"%s: %s: %" PRIu64 " messages, %.1f MiB in %.2f s, %.1f MiB/s over %s\n"
		"  round trip p50 %.1f us, p90 %.1f us, p99 %.1f us, max %.1f us\n"
		"  %" PRIu64 " sleeps, %" PRIu64 " kicks, %.4f system calls a message%s\n",
		PROGRAM, s->result, s->messages, mib(s->bytes), (double)s->ns / 1e9,
		rate(s->bytes, s->ns), s->transport,
		micro(histogram_percentile(s->rtt, 50)), micro(histogram_percentile(s->rtt, 90)),
		micro(histogram_percentile(s->rtt, 99)), micro(s->rtt->max), s->sleeps, s->kicks,
		per_message(s), s->both_sides ? "" : " (L3 alone)");
	print_npu(s, "  ", "\n");
}

static void print_for_machines(const struct summary *s)
{
	print_npu(s, "", " ");
	fprintf(stderr,
		"messages=%" PRIu64 " bytes=%" PRIu64 " seconds=%.6f rate_mib_s=%.1f"
		" rtt_p50_us=%.1f rtt_p90_us=%.1f rtt_p99_us=%.1f rtt_max_us=%.1f"
		" sleeps=%" PRIu64 " kicks=%" PRIu64 " syscalls=%" PRIu64
		" syscalls_per_message=%.4f sides=%d transport=%s binding=%s"
		" region_version=%u.%u"
		" abort=%s result=%s%s%s\n",
		s->messages, s->bytes, (double)s->ns / 1e9, rate(s->bytes, s->ns),
		micro(histogram_percentile(s->rtt, 50)), micro(histogram_percentile(s->rtt, 90)),
		micro(histogram_percentile(s->rtt, 99)), micro(s->rtt->max), s->sleeps, s->kicks,
		s->syscalls, per_message(s), s->both_sides ? 2 : 1, s->transport,
		s->binding, s->region_version >> 16, s->region_version & 0xffff, s->abort, s->result,
		*s->tag ? " tag=" : "", s->tag);
}

void summary_print(const struct summary *s, bool people)
{
	if (people)
		print_for_people(s);
	else
		print_for_machines(s);
}

void progress_start(struct progress *p, uint64_t now)
{
	p->enabled = isatty(STDERR_FILENO) == 1;
	p->shown = false;
	p->start = now;
	p->next = now + PROGRESS_NS;
}

void progress_show(struct progress *p, uint64_t now, uint64_t messages, uint64_t bytes)
{
	if (!p->enabled || now < p->next)
		return;
	p->next = now + PROGRESS_NS;
	p->shown = true;
	fprintf(stderr, "\r%" PRIu64 " messages, %.1f MiB, %.1f MiB/s \033[K", messages,
		mib(bytes), rate(bytes, now - p->start));
}

void progress_clear(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
