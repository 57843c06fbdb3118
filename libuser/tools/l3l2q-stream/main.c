// SPDX-License-Identifier: MIT
/* l3l2q-stream: a file through an L3-L2 queue. Options, and signals. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../streams.h"
#include "stream.h"

#define DEFAULT_MESSAGE		(128 * 128 * sizeof(float))
#define DEFAULT_DEPTH		16
#define DEFAULT_WINDOW		4
#define DEFAULT_TIMEOUT_NS	(10 * NSEC_PER_SEC)
#define DEFAULT_ARENA_MAX	(16u << 20)

static const char help_text[] =
"Usage: " PROGRAM " [options]\n"
"       " PROGRAM " --listen SOCKET\n"
"\n"
"Cuts a file into messages, streams them through an L3-L2 queue to a worker in\n"
"another process, and writes what comes back, in order.\n"
"\n"
"  -i, --input FILE       what to read; - is stdin (the default)\n"
"  -o, --output FILE      where results go; - is stdout (the default)\n"
"  --op OP                what the worker does to each message:\n"
"                           echo            nothing (the default)\n"
"                           xor-u8:BYTE     xor each byte with BYTE (0x.. is hex)\n"
"                           add-f32:SCALAR  add SCALAR to each float32; up to three\n"
"                                           bytes at a message's end stay as they are\n"
"  --message BYTES        message size (64K: a tensor of 128x128 float32);\n"
"                         the last message may be shorter\n"
"  --transport T          where the queue is: driver or ram: the driver's RAM (the\n"
"                         default), driver:PATH: of another node, pci, pci:NAME: an NPU\n"
"                         window, dmabuf:FD, ascend:VA:BYTES[,VA:BYTES], memfd: no module,\n"
"                         external: memory that both sides map themselves, npusim:SOCKET:\n"
"                         that of an l3l2q-npusim here, without QEMU\n"
"  --tag NAME             name the queue for people: up to 31 printable characters, which\n"
"                         INFO and /proc show (driver and memfd)\n"
"  --binding B            how L2 gets the queue described: l3q2 (the default) or\n"
"                         spsq[:SESSION:TRANSACTION] (0:1)\n"
"  --region-version V     2.0 (the default) or 3.0: what the region's scalars say\n"
"  --coherent             CPUs and device see each other's writes in cached memory (ascend)\n"
"  --silent               the other side never rings: it is polled\n"
"  --peer WHO             who is L2: worker (the default), or npu: a task of the\n"
"                         l3l2q-npusim whose memory it is\n"
"  --npu-mailbox T        where to ask for that task; by default --transport's T\n"
"  --npu-delay US         how long it takes for each message (0)\n"
"  --npu-unplug N:ID      after N results, have QEMU unplug its device ID\n"
"  --depth N              messages a ring holds, a power of two (16)\n"
"  --input-arena BYTES    memory for messages on their way to the worker, and\n"
"  --output-arena BYTES   for results on their way back: multiples of 64\n"
"                         (depth messages each, at most 16M)\n"
"  --window N             results held, hence written, at once: 1 ... depth (4)\n"
"  --spin US|off          how long a side looks for work before it sleeps; by default\n"
"                         the library decides, learning from recent waits\n"
"  --timeout SECONDS      give up if the worker does nothing for so long (10)\n"
"  --verify[=OP]          compute each result again, in another way, and compare every\n"
"                         byte; with OP instead of --op's to see the check itself fail\n"
"  --connect SOCKET       use the worker that listens there instead of starting one\n"
"  --listen SOCKET        be the worker for one L3 that connects\n"
"  --abort-eventfd        learn of a dead worker by an eventfd (driver only)\n"
"  --kill-worker-after N  kill the worker after N results, to see what happens\n"
"  --help, --version\n"
"\n"
"BYTES may end in K, M or G. The last line on stderr is a summary, key=value unless\n"
"stderr is a terminal. rtt: from a message's commit until its result was seen.\n"
"sleeps, kicks, syscalls: of both sides (sides=2) on the path of messages, without\n"
"the reading and writing of files.\n"
"\n"
"SIGINT or SIGTERM: stop reading, let what was sent come back, write it, exit; a\n"
"second one aborts.\n"
"\n"
"Exit status: 0 all is well; 1 an error, or a byte that --verify finds wrong; 2 bad\n"
"usage; 3 the worker, or the NPU's task, died or misbehaved; 4 the NPU was unplugged;\n"
"130 stopped by a signal.\n";

enum {
	OPT_OP = 256, OPT_MESSAGE, OPT_TRANSPORT, OPT_DEPTH, OPT_INPUT_ARENA, OPT_OUTPUT_ARENA,
	OPT_WINDOW, OPT_SPIN, OPT_TIMEOUT, OPT_VERIFY, OPT_CONNECT, OPT_LISTEN,
	OPT_COHERENT, OPT_SILENT, OPT_PEER, OPT_NPU_MAILBOX, OPT_NPU_DELAY, OPT_NPU_UNPLUG,
	OPT_TAG, OPT_BINDING, OPT_REGION_VERSION, OPT_ABORT_EVENTFD, OPT_KILL_WORKER,
	OPT_HELP, OPT_VERSION, OPT_WORKER,
};

static const struct option long_options[] = {
	{ "input", required_argument, NULL, 'i' },
	{ "output", required_argument, NULL, 'o' },
	{ "op", required_argument, NULL, OPT_OP },
	{ "message", required_argument, NULL, OPT_MESSAGE },
	{ "transport", required_argument, NULL, OPT_TRANSPORT },
	{ "tag", required_argument, NULL, OPT_TAG },
	{ "binding", required_argument, NULL, OPT_BINDING },
	{ "region-version", required_argument, NULL, OPT_REGION_VERSION },
	{ "coherent", no_argument, NULL, OPT_COHERENT },
	{ "silent", no_argument, NULL, OPT_SILENT },
	{ "peer", required_argument, NULL, OPT_PEER },
	{ "npu-mailbox", required_argument, NULL, OPT_NPU_MAILBOX },
	{ "npu-delay", required_argument, NULL, OPT_NPU_DELAY },
	{ "npu-unplug", required_argument, NULL, OPT_NPU_UNPLUG },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "input-arena", required_argument, NULL, OPT_INPUT_ARENA },
	{ "output-arena", required_argument, NULL, OPT_OUTPUT_ARENA },
	{ "window", required_argument, NULL, OPT_WINDOW },
	{ "spin", required_argument, NULL, OPT_SPIN },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "verify", optional_argument, NULL, OPT_VERIFY },
	{ "connect", required_argument, NULL, OPT_CONNECT },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "abort-eventfd", no_argument, NULL, OPT_ABORT_EVENTFD },
	{ "kill-worker-after", required_argument, NULL, OPT_KILL_WORKER },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "worker", required_argument, NULL, OPT_WORKER },
	{ NULL, 0, NULL, 0 },
};

static void usage(const char *option, const char *value, const char *problem)
	__attribute__((noreturn));

static void usage(const char *option, const char *value, const char *problem)
{
	fprintf(stderr, PROGRAM ": %s %s: %s\nTry " PROGRAM " --help.\n", option, value, problem);
	exit(EXIT_USAGE);
}

/* ---- values ------------------------------------------------------------ */

static uint64_t parse_count(const char *option, const char *text, uint64_t max)
{
	char problem[48];
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end)
		usage(option, text, "not a number");
	snprintf(problem, sizeof(problem), "too large: at most %" PRIu64, max);
	if (errno || value > max)
		usage(option, text, problem);
	return value;
}

static uint64_t parse_bytes(const char *option, const char *text)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;
	uint64_t value;
	int shift = 0;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9')
		usage(option, text, "not a number of bytes");
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		shift = 10 * (int)(suffix - suffixes + 1);
		end++;
	}
	if (*end)
		usage(option, text, "not a number of bytes (with K, M or G)");
	if (errno || value > (UINT64_MAX >> 1) >> shift)
		usage(option, text, "too large");
	if (!value)
		usage(option, text, "must not be zero");
	return value << shift;
}

/* In units of @unit nanoseconds; zero is zero. */
static uint64_t parse_time(const char *option, const char *text, double unit)
{
	char *end;
	double value = strtod(text, &end);

	if (!*text || *end || !(value >= 0))
		usage(option, text, "not a time");
	if (value * unit > 1e16)
		usage(option, text, "too long");
	return (uint64_t)(value * unit);
}

/* We spin for as long as was asked for; then the library has no need to. */
static void parse_spin(const char *text, struct options *opt)
{
	opt->spin_ns = strcmp(text, "off") ? parse_time("--spin", text, 1e3) : 0;
	opt->attr.spin_ns = L3L2Q_SPIN_OFF;
}

static void parse_op(const char *option, const char *text, struct op *op)
{
	if (!op_parse(op, text))
		usage(option, text, "not echo, xor-u8:BYTE or add-f32:SCALAR");
}

static const char *parse_tag(const char *text)
{
	size_t i;

	for (i = 0; text[i] >= ' ' && text[i] <= '~'; i++)
		;
	if (!i || text[i] || i >= L3L2Q_TAG_BYTES)
		usage("--tag", text, "not 1 to 31 printable ASCII characters");
	return text;
}

/* A number in C's notation, up to @end. */
static bool parse_identity(const char *text, char end, uint64_t *value, const char **rest)
{
	char *after;

	errno = 0;
	*value = strtoull(text, &after, 0);
	*rest = after + 1;
	return *text >= '0' && *text <= '9' && *after == end && !errno;
}

static void parse_binding(const char *text, struct l3l2q_attr *attr)
{
	const char *rest;

	if (!strcmp(text, "l3q2")) {
		attr->binding = L3L2Q_BINDING_L3Q2;
		attr->identity[0] = attr->identity[1] = 0;
		return;
	}
	attr->binding = L3L2Q_BINDING_SPSQ;
	attr->identity[0] = 0;
	attr->identity[1] = 1;
	if (!strcmp(text, "spsq"))
		return;
	if (strncmp(text, "spsq:", 5))
		usage("--binding", text, "not l3q2 or spsq[:SESSION:TRANSACTION]");
	if (!parse_identity(text + 5, ':', &attr->identity[0], &rest))
		usage("--binding", text, "not spsq:SESSION:TRANSACTION, two numbers");
	if (!parse_identity(rest, '\0', &attr->identity[1], &rest) || !attr->identity[1])
		usage("--binding", text, "a transaction is a number that is not 0");
}

static uint32_t parse_region_version(const char *text)
{
	if (!strcmp(text, "2.0"))
		return 2 << 16;
	if (strcmp(text, "3.0"))
		usage("--region-version", text, "not 2.0 or 3.0");
	return 3 << 16;
}

static void parse_unplug(const char *text, struct options *opt)
{
	char *colon;

	opt->unplug_after = strtoull(text, &colon, 10);
	opt->unplug_id = colon + 1;
	if (*text < '0' || *text > '9' || !opt->unplug_after || *colon != ':' ||
	    !*opt->unplug_id)
		usage("--npu-unplug", text, "not N:ID");
}

/* ---- options ----------------------------------------------------------- */

static void set_option(struct options *opt, int c, const char *arg)
{
	switch (c) {
	case 'i': opt->input = arg; break;
	case 'o': opt->output = arg; break;
	case OPT_OP: parse_op("--op", arg, &opt->op); break;
	case OPT_MESSAGE: opt->message = parse_bytes("--message", arg); break;
	case OPT_TRANSPORT: opt->attr.transport = arg; break;
	case OPT_TAG: opt->attr.tag = parse_tag(arg); break;
	case OPT_BINDING: parse_binding(arg, &opt->attr); break;
	case OPT_REGION_VERSION: opt->attr.region_version = parse_region_version(arg); break;
	case OPT_COHERENT: opt->attr.flags |= L3L2Q_ATTR_COHERENT; break;
	case OPT_SILENT: opt->attr.flags |= L3L2Q_ATTR_SILENT_PEER; break;
	case OPT_PEER:
		if (strcmp(arg, "npu") && strcmp(arg, "worker"))
			usage("--peer", arg, "not worker or npu");
		opt->npu = !strcmp(arg, "npu");
		break;
	case OPT_NPU_MAILBOX: opt->mailbox = arg; break;
	case OPT_NPU_DELAY:
		opt->npu_delay_us = (uint32_t)parse_count("--npu-delay", arg, UINT32_MAX);
		break;
	case OPT_NPU_UNPLUG: parse_unplug(arg, opt); break;
	case OPT_DEPTH: opt->attr.depth = (uint32_t)parse_count("--depth", arg, UINT32_MAX); break;
	case OPT_INPUT_ARENA: opt->attr.input_arena_bytes = parse_bytes("--input-arena", arg); break;
	case OPT_OUTPUT_ARENA:
		opt->attr.output_arena_bytes = parse_bytes("--output-arena", arg);
		break;
	case OPT_WINDOW:
		opt->attr.window = (uint32_t)parse_count("--window", arg, UINT32_MAX);
		if (!opt->attr.window)
			usage("--window", arg, "must be 1 ... depth");
		break;
	case OPT_SPIN: parse_spin(arg, opt); break;
	case OPT_TIMEOUT: opt->timeout_ns = parse_time("--timeout", arg, 1e9); break;
	case OPT_VERIFY:
		opt->verify = true;
		if (arg)
			parse_op("--verify", arg, &opt->verify_op);
		break;
	case OPT_CONNECT: opt->connect = arg; break;
	case OPT_ABORT_EVENTFD: opt->abort_eventfd = true; break;
	case OPT_KILL_WORKER:
		opt->kill_after = parse_count("--kill-worker-after", arg, UINT64_MAX);
		if (!opt->kill_after)
			usage("--kill-worker-after", arg, "must not be zero");
		break;
	}
}

/* Depth times the message, rounded up, within reason; always one message. */
static uint64_t default_arena(const struct options *opt)
{
	uint64_t message = (opt->message + 63) / 64 * 64;
	uint64_t arena = DEFAULT_ARENA_MAX / message;

	if (arena > opt->attr.depth)
		arena = opt->attr.depth;
	return arena ? arena * message : message;
}

static void check_arena(const char *option, uint64_t arena, uint64_t message)
{
	char value[24], problem[64];

	snprintf(value, sizeof(value), "%" PRIu64, arena);
	if (arena % 64)
		usage(option, value, "not a multiple of 64");
	if (message <= arena)
		return;
	snprintf(problem, sizeof(problem), "a message of %" PRIu64 " bytes does not fit", message);
	usage(option, value, problem);
}

static void check_depth(uint32_t depth)
{
	char value[12];

	snprintf(value, sizeof(value), "%" PRIu32, depth);
	if (!depth || depth & (depth - 1) || depth > L3L2Q_MAX_DEPTH)
		usage("--depth", value, "must be a power of two, from 1 to 2^30");
}

static void check_window(uint32_t window, uint32_t depth)
{
	char value[12], problem[48];

	snprintf(value, sizeof(value), "%" PRIu32, window);
	snprintf(problem, sizeof(problem), "must be 1 ... depth (%" PRIu32 ")", depth);
	if (window > depth)
		usage("--window", value, problem);
}

/* What goes with an NPU does not go with a worker, and the reverse. */
static void check_peer(const struct options *opt)
{
	bool by_hand = !strncmp(opt->attr.transport, NPUSIM_PREFIX, strlen(NPUSIM_PREFIX));

	if (by_hand && !opt->npu)
		usage("--transport", opt->attr.transport, "needs --peer npu");
	if (!strcmp(opt->attr.transport, EXTERNAL) && opt->npu)
		usage("--transport", EXTERNAL, "no NPU sees it");
	if (opt->npu && opt->connect)
		usage("--connect", opt->connect, "not with --peer npu");
	if (opt->npu && opt->kill_after)
		usage("--peer", "npu", "there is no worker to kill");
	if (!opt->npu && (opt->mailbox || opt->npu_delay_us || opt->unplug_after))
		usage("--peer", "worker", "--npu-... is for --peer npu");
}

/* What is external is described by its scalars alone, and those of npusim are its own. */
static void check_description(const struct options *opt)
{
	bool by_hand = !strncmp(opt->attr.transport, NPUSIM_PREFIX, strlen(NPUSIM_PREFIX));

	if (opt->attr.tag && (by_hand || !strcmp(opt->attr.transport, EXTERNAL)))
		usage("--tag", opt->attr.tag, "needs the driver or memfd");
	if (opt->attr.region_version && by_hand)
		usage("--transport", opt->attr.transport, "has a region version of its own");
}

static void complete(struct options *opt)
{
	check_peer(opt);
	check_description(opt);
	/* Nobody takes one that is not; a user who names one says so. */
	if (!strncmp(opt->attr.transport, "dmabuf:", 7))
		opt->attr.flags |= L3L2Q_ATTR_COHERENT;
	check_depth(opt->attr.depth);
	if (!opt->attr.window)
		opt->attr.window = opt->attr.depth < DEFAULT_WINDOW ? opt->attr.depth
								    : DEFAULT_WINDOW;
	check_window(opt->attr.window, opt->attr.depth);
	if (!opt->timeout_ns)
		usage("--timeout", "0", "must not be zero");
	if (!opt->attr.input_arena_bytes)
		opt->attr.input_arena_bytes = default_arena(opt);
	if (!opt->attr.output_arena_bytes)
		opt->attr.output_arena_bytes = default_arena(opt);
	check_arena("--input-arena", opt->attr.input_arena_bytes, opt->message);
	check_arena("--output-arena", opt->attr.output_arena_bytes, opt->message);
}

/* ---- running ----------------------------------------------------------- */

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	stop_signals++;
	eventfd_write(stop_event, 1);
	errno = saved;
}

static int catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_signal };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_event < 0 || sigaction(SIGINT, &stop, NULL) ||
	    sigaction(SIGTERM, &stop, NULL) || sigaction(SIGPIPE, &ignore, NULL)) {
		fprintf(stderr, PROGRAM ": cannot catch signals: %s\n", strerror(errno));
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options opt = {
		.input = "-",
		.output = "-",
		.message = DEFAULT_MESSAGE,
		.timeout_ns = DEFAULT_TIMEOUT_NS,
		.attr = {
			.transport = "driver",
			.role = L3L2Q_ROLE_L3,
			.depth = DEFAULT_DEPTH,
		},
	};
	bool other_op = false;
	int c;

	streams_open();
	while ((c = getopt_long(argc, argv, "i:o:", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_HELP:
			fputs(help_text, stdout);
			return streams_end(PROGRAM, EXIT_OK, EXIT_ERROR);
		case OPT_VERSION:
			printf(PROGRAM " %s\n", l3l2q_version());
			return streams_end(PROGRAM, EXIT_OK, EXIT_ERROR);
		case OPT_WORKER:
			return worker_serve((int)parse_count("--worker", optarg, INT16_MAX));
		case OPT_LISTEN:
			return worker_listen(optarg);
		case '?':
			fprintf(stderr, "Try " PROGRAM " --help.\n");
			return EXIT_USAGE;
		default:
			set_option(&opt, c, optarg);
			other_op |= c == OPT_VERIFY && optarg;
		}
	}
	if (optind < argc)
		usage("argument", argv[optind], "not expected; the input is -i FILE");
	if (!other_op)
		opt.verify_op = opt.op;
	complete(&opt);
	if (catch_signals())
		return EXIT_ERROR;
	return stream_run(&opt);
}
