/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers share: the input as a stream of bytes, failures, and memory between
 * guard pages.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sanitizer/asan_interface.h>

#define FUZZ_PAGE 4096u

/* The bytes are the program; behind their end all is 0. */
struct fuzz_input {
	const uint8_t *at;
	const uint8_t *end;
};

static inline unsigned int take(struct fuzz_input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint64_t take_bytes(struct fuzz_input *in, int n)
{
	uint64_t value = 0;

	while (n--)
		value = value << 8 | take(in);
	return value;
}

static inline bool more(const struct fuzz_input *in)
{
	return in->at < in->end;
}

/* Report and end: libFuzzer keeps the input. */
#define FUZZ_FAIL(...) do { \
	fuzz_trace_print(); \
	fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
	fprintf(stderr, __VA_ARGS__); \
	fprintf(stderr, "\n"); \
	abort(); \
} while (0)

#define FUZZ_CHECK(condition, ...) do { \
	if (!(condition)) \
		FUZZ_FAIL(__VA_ARGS__); \
} while (0)

/* The calls made for this input, printed if it fails. */
void fuzz_trace_print(void);
void fuzz_trace_clear(void);
void fuzz_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Memory of the given size whose last byte is followed by a page that faults; what
 * lies before it in its first page is poisoned.
 */
struct fuzz_guarded {
	unsigned char *base;
	unsigned char *start;
	size_t pages;
	size_t size;
};

bool fuzz_guard(struct fuzz_guarded *g, size_t size);
void fuzz_unguard(struct fuzz_guarded *g);

/*
 * The clock of the library under test, which reads it and naps through these. Virtual
 * time stands still but for what reading and napping take; then a blocking call costs
 * no time and does the same in every run. The hook runs at each, and where the library
 * sleeps in an epoll. In real time the slices in which it sleeps are short, so that what
 * it does after one is reached.
 */
struct timespec;
struct fuzz_clock {
	bool is_virtual;
	bool in_hook;
	uint64_t now_ns;
	uint64_t looks;			/* since fuzz_clock_start() */
	void (*hook)(void *arg);
	void *arg;
	unsigned int hook_at;		/* which look runs the hook; 0: none */
	unsigned int hook_ran;
};

extern struct fuzz_clock fuzz_clock;

/* pidfd_open() of the library is refused, as by seccomp. */
extern bool fuzz_no_pidfd;

#endif /* FUZZ_H */
