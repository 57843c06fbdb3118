// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frequency of this machine's TSC in kHz, which under TCG is the guest's too.
 * The guest's own calibration goes wrong by factors when the host is busy.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* A reading of both clocks, the tightest of many: we may be preempted. */
static void sample(uint64_t *ns, uint64_t *tsc)
{
	uint64_t best = UINT64_MAX;
	int i;

	for (i = 0; i < 1000; i++) {
		uint64_t before = now(), t = __rdtsc(), after = now();

		if (after - before < best) {
			best = after - before;
			*ns = before + best / 2;
			*tsc = t;
		}
	}
}

int main(void)
{
	const struct timespec pause = { .tv_nsec = 200000000 };
	uint64_t ns[2], tsc[2];

	sample(&ns[0], &tsc[0]);
	nanosleep(&pause, NULL);
	sample(&ns[1], &tsc[1]);
	printf("%llu\n", (unsigned long long)((tsc[1] - tsc[0]) * 1000000 / (ns[1] - ns[0])));
	return 0;
}
