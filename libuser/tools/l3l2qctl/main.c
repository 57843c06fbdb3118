// SPDX-License-Identifier: MIT
/* l3l2qctl: what queues there are, and why they are stuck. Options and commands. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <l3l2q.h>

#include "ctl.h"

static const char help_text[] =
"Usage: " PROGRAM " [options] COMMAND\n"
"\n"
"  list              the queues and raw regions that you may see: the driver's,\n"
"                    and those in memfds of your processes\n"
"  show ID           one of them: its ends, its counters, and why it does not go on\n"
"  top               all of them again and again, with messages a second\n"
"  metrics           all of them as OpenMetrics\n"
"  doctor            what stands between a program and its queues\n"
"\n"
"  -j, --json        list, show and doctor: JSON\n"
"  -d, --delay S     top: seconds between two looks (1)\n"
"  -n, --rounds N    top: end after N looks\n"
"      --node PATH   the device node (/dev/l3l2q)\n"
"  -h, --help        this text\n"
"      --version     the version\n"
"\n"
"Looking attaches nothing and changes nothing. Regions of others are shown to\n"
"CAP_SYS_PTRACE. Exit status: 0 done; 1 there is no such queue, or doctor has found\n"
"something bad; 2 wrong use; 3 it did not work.\n";

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "delay", required_argument, NULL, 'd' },
	{ "rounds", required_argument, NULL, 'n' },
	{ "node", required_argument, NULL, 'N' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 }
};

static int usage(const char *what, const char *value)
{
	fprintf(stderr, PROGRAM ": %s%s%s; see " PROGRAM " --help\n", what, value ? ": " : "",
		value ? value : "");
	return EXIT_USAGE;
}

static bool parse_number(const char *text, double least, double *number)
{
	char *end;

	errno = 0;
	*number = strtod(text, &end);
	return end != text && !*end && !errno && *number >= least && *number <= 1e9;
}

/* Without the module there may still be queues in memfds. */
static int gather(struct queues *queues, const char *node)
{
	int ret = collect(queues, node);

	if (ret == -ENOMEM || (ret && !queues->n)) {
		fprintf(stderr, PROGRAM ": %s: %s; try " PROGRAM " doctor\n", node, strerror(-ret));
		return EXIT_FAILED;
	}
	if (ret)
		fprintf(stderr, PROGRAM ": only memfd queues: %s: %s\n", node, strerror(-ret));
	return 0;
}

static int show(const struct queues *queues, const char *id, bool json)
{
	struct queues one = { .n = 1 };
	const struct queue *q;
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(id, &end, 10);
	if (errno || end == id || *end)
		return usage("not an id", id);
	q = queues_find(queues, number);
	if (!q) {
		fprintf(stderr, PROGRAM ": no queue %s that you may see\n", id);
		return EXIT_TROUBLE;
	}
	one.list = (struct queue *)q;
	if (json)
		list_json(&one);
	else
		show_text(q);
	return 0;
}

int main(int argc, char **argv)
{
	const char *node = "/dev/l3l2q", *command;
	struct queues queues = { 0 };
	double delay = 1, rounds = 0;
	bool json = false;
	int c, ret;

	while ((c = getopt_long(argc, argv, "jd:n:h", options, NULL)) >= 0) {
		switch (c) {
		case 'j': json = true; break;
		case 'd':
			if (!parse_number(optarg, 0.01, &delay))
				return usage("not a delay of 0.01 seconds or more", optarg);
			break;
		case 'n':
			if (!parse_number(optarg, 1, &rounds) || rounds != (double)(long)rounds)
				return usage("not a number of looks", optarg);
			break;
		case 'N': node = optarg; break;
		case 'h': fputs(help_text, stdout); return 0;
		case 'V': printf(PROGRAM " %s\n", l3l2q_version()); return 0;
		default: return EXIT_USAGE;
		}
	}
	command = argv[optind];
	if (!command)
		return usage("no command", NULL);
	if (argc - optind != 1 + !strcmp(command, "show"))
		return usage(strcmp(command, "show") ? "too many words" : "show needs an id", NULL);

	if (!strcmp(command, "doctor"))
		ret = doctor(node, json);
	else if (!strcmp(command, "top"))
		ret = top(node, delay, (long)rounds) ? EXIT_FAILED : 0;
	else if (strcmp(command, "list") && strcmp(command, "show") && strcmp(command, "metrics"))
		ret = usage("no such command", command);
	else if ((ret = gather(&queues, node)))
		;
	else if (!strcmp(command, "show"))
		ret = show(&queues, argv[optind + 1], json);
	else if (!strcmp(command, "metrics"))
		ret = metrics(&queues) ? EXIT_FAILED : 0;
	else if (json)
		list_json(&queues);
	else
		list_text(&queues);
	queues_free(&queues);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, PROGRAM ": cannot write: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return ret;
}
