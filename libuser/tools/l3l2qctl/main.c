// SPDX-License-Identifier: MIT
/* l3l2qctl: what queues there are, and why they are stuck. Options and commands. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <l3l2q.h>

#include "../streams.h"
#include "ctl.h"

static const char help_text[] =
"Usage: " PROGRAM " [options] COMMAND\n"
"\n"
"  list              the queues and raw regions that you may see: the driver's,\n"
"                    and those in memfds of your processes\n"
"  show ID           one of them: its ends, its counters and messages, and why it\n"
"                    does not go on; where two have that id, driver:ID or memfd:ID\n"
"  show FILE         the same of a file that dump has written\n"
"  dump ID [FILE]    write what show knows to a file, or standard output\n"
"  top               all of them again and again, with messages a second\n"
"  watch             what happens to them, a line an event\n"
"  metrics           all of them as OpenMetrics\n"
"  doctor            what stands between a program and its queues\n"
"\n"
"  -j, --json        list, show and doctor: JSON; watch: JSON a line\n"
"  -p, --payload     dump: the payload too; it takes CAP_SYS_PTRACE over the driver\n"
"  -d, --delay S     top, watch, show: seconds between two looks (1; show: 0.1)\n"
"  -n, --rounds N    top, watch: end after N looks\n"
"      --after S     watch: seconds after which it tells that nothing goes on (10)\n"
"      --node PATH   the device node (/dev/l3l2q)\n"
"  -h, --help        this text\n"
"      --version     the version\n"
"\n"
"Looking attaches nothing and changes nothing. Regions of others are shown to\n"
"CAP_SYS_PTRACE. Exit status: 0 done; 1 there is no such queue, or doctor has found\n"
"something bad; 2 wrong use; 3 it did not work.\n";

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "payload", no_argument, NULL, 'p' },
	{ "delay", required_argument, NULL, 'd' },
	{ "rounds", required_argument, NULL, 'n' },
	{ "after", required_argument, NULL, 'a' },
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
		only_memfds(node, ret);
	return 0;
}

/* False unless it is all digits. */
static bool parse_id(const char *text, uint64_t *id)
{
	char *end;

	errno = 0;
	*id = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* What a queue is called: ids of the driver's regions and of memfds may be the same. */
struct name {
	uint64_t id;
	const char *digits;
	bool driver;		/* it may be one of the driver's */
	bool memfd;
};

static bool parse_name(const char *text, struct name *name)
{
	static const char driver[] = "driver:", memfd[] = "memfd:";

	*name = (struct name){ .digits = text, .driver = true, .memfd = true };
	if (!strncmp(text, driver, strlen(driver))) {
		name->digits += strlen(driver);
		name->memfd = false;
	} else if (!strncmp(text, memfd, strlen(memfd))) {
		name->digits += strlen(memfd);
		name->driver = false;
	}
	return parse_id(name->digits, &name->id);
}

/*
 * Look twice if there are messages: how long the oldest has been there at least. Returns
 * the queue as it was seen last.
 */
static struct queue *watch(struct queues *queues, const char *node, struct queue *before,
			   double delay)
{
	struct queues again = { 0 };
	double then = now_seconds();
	struct queue *q;
	unsigned int role;

	if (!direction_of(before, 0).used && !direction_of(before, 1).used)
		return before;
	sleep_seconds(delay);
	if (collect(&again, node) == -ENOMEM ||
	    !(q = queues_find(&again, before->memfd, before->region.id))) {
		queues_free(&again);
		return before;
	}
	for (role = 0; role < L3L2Q_ROLES; role++) {
		struct direction d = direction_of(q, role), old = direction_of(before, role);

		if (d.used && old.used && d.head == old.head)
			q->unmoved_ns[role] = (uint64_t)((now_seconds() - then) * 1e9);
	}
	queues_free(queues);
	*queues = again;
	return q;
}

/* The one of this name, with its detail, or NULL and an exit status. */
static const struct queue *find(struct queues *queues, const char *node, const char *text,
				double delay, int *status)
{
	struct queue *driver, *memfd, *q;
	struct name name;

	*status = parse_name(text, &name) ? gather(queues, node) : usage("not an id", text);
	if (*status)
		return NULL;
	driver = name.driver ? queues_find(queues, false, name.id) : NULL;
	memfd = name.memfd ? queues_find(queues, true, name.id) : NULL;
	q = driver ? driver : memfd;
	if (!q) {
		fprintf(stderr, PROGRAM ": no queue %s that you may see\n", text);
		*status = EXIT_TROUBLE;
		return NULL;
	}
	if (driver && memfd) {
		fprintf(stderr, PROGRAM ": two queues have this id: driver:%s and memfd:%s\n",
			name.digits, name.digits);
		*status = EXIT_USAGE;
		return NULL;
	}
	q = watch(queues, node, q, delay);
	if (detail_read(q, node)) {
		fprintf(stderr, PROGRAM ": %s\n", strerror(ENOMEM));
		*status = EXIT_FAILED;
	}
	return *status ? NULL : q;
}

static void show_one(const struct queue *q, bool json)
{
	struct queues one = { .list = (struct queue *)q, .n = 1 };

	if (json)
		list_json(&one);
	else
		show_text(q);
}

static int show_file(const char *path, bool json)
{
	struct queue q = { 0 };
	int ret = dump_read(&q, path);

	if (!ret)
		show_one(&q, json);
	else if (ret != -EINVAL)
		fprintf(stderr, PROGRAM ": %s: neither an id nor a file: %s\n", path, strerror(-ret));
	detail_free(&q);
	return !ret ? 0 : ret == -ENOENT ? EXIT_USAGE : EXIT_FAILED;
}

static int show(struct queues *queues, const char *node, const char *what, double delay, bool json)
{
	const struct queue *q;
	struct name name;
	int status;

	if (!parse_name(what, &name))
		return show_file(what, json);
	q = find(queues, node, what, delay, &status);
	if (q)
		show_one(q, json);
	return status;
}

/* Nobody else may read it; an unfinished one does not stay. */
static int dump_to(const struct queue *q, const char *node, const char *path, bool payload)
{
	FILE *out = path ? fopen(path, "wxe") : stdout;
	int ret;

	if (!out)
		return -errno;
	ret = dump_write(q, out, node, payload);
	if (!ret && (fflush(out) || ferror(out)))
		ret = -EIO;
	if (path && fclose(out) && !ret)
		ret = -errno;
	if (path && ret)
		unlink(path);
	return ret;
}

static int dump(struct queues *queues, const char *node, char *const *words, double delay,
		bool payload)
{
	const char *path = words[1];
	const struct queue *q;
	int status, ret;

	if (!path && isatty(STDOUT_FILENO))
		return usage("a dump is not for terminals: name a file", NULL);
	umask(077);
	q = find(queues, node, words[0], delay, &status);
	if (!q)
		return status;
	ret = dump_to(q, node, path, payload);
	if (!ret)
		return 0;
	fprintf(stderr, PROGRAM ": %s: %s\n", path ? path : "standard output", strerror(-ret));
	return EXIT_FAILED;
}

/* How many words a command takes after its name. */
static bool words_fit(const char *command, int n)
{
	if (!strcmp(command, "show"))
		return n == 1;
	if (!strcmp(command, "dump"))
		return n == 1 || n == 2;
	return !n;
}

int main(int argc, char **argv)
{
	const char *node = "/dev/l3l2q", *command;
	struct queues queues = { 0 };
	double delay = 0, rounds = 0, after = 10;
	bool json = false, payload = false;
	int c, ret;

	streams_open();
	while ((c = getopt_long(argc, argv, "jpd:n:h", options, NULL)) >= 0) {
		switch (c) {
		case 'j': json = true; break;
		case 'p': payload = true; break;
		case 'd':
			if (!parse_number(optarg, 0.01, &delay))
				return usage("not a delay of 0.01 seconds or more", optarg);
			break;
		case 'n':
			if (!parse_number(optarg, 1, &rounds) || rounds != (double)(long)rounds)
				return usage("not a number of looks", optarg);
			break;
		case 'a':
			if (!parse_number(optarg, 0, &after))
				return usage("not a number of seconds", optarg);
			break;
		case 'N': node = optarg; break;
		case 'h':
			fputs(help_text, stdout);
			return streams_end(PROGRAM, 0, EXIT_FAILED);
		case 'V':
			printf(PROGRAM " %s\n", l3l2q_version());
			return streams_end(PROGRAM, 0, EXIT_FAILED);
		default: return EXIT_USAGE;
		}
	}
	command = argv[optind];
	if (!command)
		return usage("no command", NULL);
	if (!words_fit(command, argc - optind - 1))
		return usage(argc - optind > 1 ? "too many words" : "no id, for", command);

	if (!strcmp(command, "doctor"))
		ret = doctor(node, json);
	else if (!strcmp(command, "top"))
		ret = top(node, delay ? delay : 1, (long)rounds) ? EXIT_FAILED : 0;
	else if (!strcmp(command, "watch"))
		ret = watch_events(node, delay ? delay : 1, (long)rounds, after, json) ?
		      EXIT_FAILED : 0;
	else if (!strcmp(command, "show"))
		ret = show(&queues, node, argv[optind + 1], delay ? delay : 0.1, json);
	else if (!strcmp(command, "dump"))
		ret = dump(&queues, node, argv + optind + 1, delay ? delay : 0.1, payload);
	else if (strcmp(command, "list") && strcmp(command, "metrics"))
		ret = usage("no such command", command);
	else if ((ret = gather(&queues, node)))
		;
	else if (!strcmp(command, "metrics"))
		ret = metrics(&queues) ? EXIT_FAILED : 0;
	else if (json)
		list_json(&queues);
	else
		list_text(&queues);
	queues_free(&queues);
	return streams_end(PROGRAM, ret, EXIT_FAILED);
}
