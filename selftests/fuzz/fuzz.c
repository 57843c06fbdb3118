// SPDX-License-Identifier: MIT
/* Trace, guarded memory and clock of the fuzzers. */
#include <errno.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define TRACE_LINES 320
#define TRACE_WIDTH 160

static char trace[TRACE_LINES][TRACE_WIDTH];
static unsigned int trace_next;

struct fuzz_clock fuzz_clock;

void fuzz_trace_clear(void)
{
	trace_next = 0;
}

void fuzz_trace(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(trace[trace_next++ % TRACE_LINES], TRACE_WIDTH, format, args);
	va_end(args);
}

void fuzz_trace_print(void)
{
	unsigned int i = trace_next > TRACE_LINES ? trace_next - TRACE_LINES : 0;

	for (; i < trace_next; i++)
		fprintf(stderr, "  %3u %s\n", i, trace[i % TRACE_LINES]);
}

bool fuzz_guard(struct fuzz_guarded *g, size_t size)
{
	size_t pages = (size + FUZZ_PAGE - 1) / FUZZ_PAGE;

	g->base = mmap(NULL, (pages + 2) * FUZZ_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	if (g->base == MAP_FAILED)
		return false;
	if (mprotect(g->base + FUZZ_PAGE, pages * FUZZ_PAGE, PROT_READ | PROT_WRITE))
		return false;
	g->pages = pages;
	g->size = size;
	g->start = g->base + FUZZ_PAGE + pages * FUZZ_PAGE - size;
	ASAN_POISON_MEMORY_REGION(g->base + FUZZ_PAGE, pages * FUZZ_PAGE - size);
	return true;
}

void fuzz_unguard(struct fuzz_guarded *g)
{
	ASAN_UNPOISON_MEMORY_REGION(g->base + FUZZ_PAGE, g->pages * FUZZ_PAGE);
	munmap(g->base, (g->pages + 2) * FUZZ_PAGE);
}

/* ---- the clock of the library ------------------------------------------- */

#define SLICE_NS 100000000		/* of the library, by the coarse clock */
#define SHORT_SLICE_NS 5000000
#define SHORT_SLEEP_MS 1

bool fuzz_no_pidfd;

int fuzz_clock_gettime(clockid_t id, struct timespec *ts);
int fuzz_nanosleep(const struct timespec *request, struct timespec *rest);
int fuzz_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
long fuzz_syscall(long number, ...);

static void look(void)
{
	struct fuzz_clock *c = &fuzz_clock;

	c->looks++;
	if (c->hook && !c->in_hook && c->hook_at && c->looks >= c->hook_at) {
		c->hook_at = 0;
		c->hook_ran++;
		c->in_hook = true;
		c->hook(c->arg);
		c->in_hook = false;
	}
}

int fuzz_clock_gettime(clockid_t id, struct timespec *ts)
{
	look();
	if (!fuzz_clock.is_virtual) {
		if (clock_gettime(id, ts))
			return -1;
		if (id != CLOCK_MONOTONIC_COARSE)
			return 0;
		ts->tv_nsec -= SLICE_NS - SHORT_SLICE_NS;
		if (ts->tv_nsec < 0) {
			ts->tv_sec--;
			ts->tv_nsec += 1000000000;
		}
		return 0;
	}
	fuzz_clock.now_ns += 100;
	ts->tv_sec = (time_t)(fuzz_clock.now_ns / 1000000000u);
	ts->tv_nsec = (long)(fuzz_clock.now_ns % 1000000000u);
	return 0;
}

int fuzz_nanosleep(const struct timespec *request, struct timespec *rest)
{
	look();
	if (!fuzz_clock.is_virtual)
		return nanosleep(request, rest);
	fuzz_clock.now_ns += (uint64_t)request->tv_sec * 1000000000u + (uint64_t)request->tv_nsec;
	return 0;
}

int fuzz_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
	look();
	if (fuzz_clock.hook_at && timeout_ms > SHORT_SLEEP_MS)
		timeout_ms = SHORT_SLEEP_MS;
	return epoll_wait(epoll, events, max, timeout_ms);
}

long fuzz_syscall(long number, ...)
{
	va_list args;
	long a[6];
	int i;

	if (number == SYS_pidfd_open && fuzz_no_pidfd) {
		errno = EPERM;
		return -1;
	}
	va_start(args, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
