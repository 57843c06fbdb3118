// SPDX-License-Identifier: MIT
/* l3l2q-bench: options, and what is run in which order. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job.h"

#define LONGEST_S 540

struct bench_options options = {
	.transport = "memfd",
	.rounds = 41,
	.round_ns = 3000000,
};

static const char usage[] =
	"usage: l3l2q-bench [options]\n"
	"  -t, --transport T   as for l3l2q_create (default memfd)\n"
	"  -o, --only NAME     contests whose name begins so\n"
	"  -r, --rounds N      of each contest (default 41)\n"
	"  -m, --ms N          how long a turn takes, in milliseconds (default 3)\n"
	"  -j, --json FILE     results for programs\n"
	"  -q, --quick         too short to mean anything: to see that all works\n"
	"\n"
	"Exit status: 0 measured, whether targets are met or not; 1 it did not work;\n"
	"2 wrong use.\n";

static const struct option longopts[] = {
	{ "transport", required_argument, NULL, 't' },
	{ "only", required_argument, NULL, 'o' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "ms", required_argument, NULL, 'm' },
	{ "json", required_argument, NULL, 'j' },
	{ "quick", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static bool number(const char *text, unsigned long max, unsigned long *value)
{
	char *end;

	*value = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && *value >= 1 && *value <= max;
}

static void parse(int argc, char **argv)
{
	unsigned long value;
	bool ok = true;
	int c;

	while ((c = getopt_long(argc, argv, "t:o:r:m:j:qh", longopts, NULL)) != -1) {
		switch (c) {
		case 't':
			options.transport = optarg;
			break;
		case 'o':
			options.only = optarg;
			break;
		case 'j':
			options.json = optarg;
			break;
		case 'r':
			ok &= number(optarg, MAX_ROUNDS, &value);
			options.rounds = (unsigned int)value;
			break;
		case 'm':
			ok &= number(optarg, 1000, &value);
			options.round_ns = value * 1000000;
			break;
		case 'q':
			options.quick = true;
			options.rounds = 2;
			options.round_ns = 1000000;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			ok = false;
		}
	}
	if (!ok || optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

/* The guest's program has none of them. */
static void say_left_out(void)
{
	WITHOUT_DPDK(puts("left out: rte_ring (libdpdk-dev was not there)");)
	WITHOUT_URING(puts("left out: io_uring (liburing-dev was not there)");)
	WITHOUT_BOOST(puts("left out: boost::lockfree::spsc_queue (libboost-dev or g++ was not there)");)
}

int main(int argc, char **argv)
{
	int (*const benches[])(void) = {
		bench_spin,
		bench_sleep,
		bench_create,
		bench_epoll,
		bench_abort,
		bench_silent,
		bench_rate,
		bench_nap,
		bench_copied,
		bench_idle,
	};
	unsigned int i;
	int ret;

	parse(argc, argv);
	/* Those who spin for a message that does not come end here. */
	alarm(LONGEST_S);
	say_left_out();
	ret = pair_start();
	if (ret)
		return 1;
	for (i = 0; i < LENGTH(benches) && !ret; i++)
		ret = benches[i]();
	pair_stop();
	report_targets();
	if (options.json && report_json(options.json))
		ret = -1;
	return ret ? 1 : 0;
}
