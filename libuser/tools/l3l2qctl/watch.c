// SPDX-License-Identifier: MIT
/*
 * watch: what happens to queues, a line an event, found by looking at an interval and
 * comparing. Tracepoints would tell more, to root only and of the driver only; this works
 * for every user and over memfd too. What begins and ends between two looks is not seen.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define NSEC_PER_SEC 1000000000ull

/* Since when a queue has said the same of itself, and whether that was reported. */
struct patience {
	uint64_t id;
	bool memfd;
	uint64_t since;
	bool reported;
};

struct watch {
	bool json;
	uint64_t after_ns;
	struct queues before;
	struct patience *patience;	/* of @before, in its order */
};

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

/* ---- lines --------------------------------------------------------------- */

/* @role: L3L2Q_ROLES if the event is not about one */
static void event(const struct watch *w, const struct queue *q, const char *name,
		  unsigned int role, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
static void event(const struct watch *w, const struct queue *q, const char *name,
		  unsigned int role, const char *format, ...)
{
	uint64_t now = now_ns(CLOCK_REALTIME);
	time_t seconds = (time_t)(now / NSEC_PER_SEC);
	char text[512], stamp[32] = "";
	struct tm tm;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (gmtime_r(&seconds, &tm))
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	if (w->json) {
		printf("{\"version\":1,\"time\":\"%s.%03uZ\",\"event\":\"%s\",\"id\":%llu,\"tag\":\"",
		       stamp, (unsigned int)(now / 1000000 % 1000), name,
		       (unsigned long long)q->region.id);
		print_escaped(stdout, (const char *)q->region.tag, sizeof(q->region.tag));
		printf("\",\"backend\":\"%s\",\"role\":", backend_name(q));
		if (role < L3L2Q_ROLES)
			printf("\"%s\"", role == L3L2Q_ROLE_L3 ? "l3" : "l2");
		else
			printf("null");
		printf(",\"text\":\"");
		print_escaped(stdout, text, sizeof(text));
		printf("\"}\n");
	} else {
		printf("%s.%03uZ %llu %s %s ", stamp, (unsigned int)(now / 1000000 % 1000),
		       (unsigned long long)q->region.id, name,
		       role < L3L2Q_ROLES ? role_name(role) : "-");
		print_escaped(stdout, text, sizeof(text));
		putchar('\n');
	}
	/* Nobody reads: that is an end, and no failure to write. */
	if (fflush(stdout) && errno == EPIPE) {
		__fpurge(stdout);
		clearerr(stdout);
		ended = 1;
	}
}

/* ---- what has changed ---------------------------------------------------- */

static const struct queue *find(const struct queues *queues, const struct queue *like)
{
	return queues_find(queues, like->memfd, like->region.id);
}

static void compare_state(const struct watch *w, const struct queue *old, const struct queue *q,
			  unsigned int role)
{
	const struct l3l2q_region_end *end = &q->region.ends[role];
	uint32_t before = old ? old->region.ends[role].state : (uint32_t)L3L2Q_STATE_NONE;

	if (end->state == before)
		return;
	if (before < L3L2Q_STATE_ATTACHED && end->process.pid)
		event(w, q, "attach", role, "by process %u (%.16s)", end->process.pid,
		      (const char *)end->process.comm);
	if (end->state == L3L2Q_STATE_DETACHED)
		event(w, q, "end", role, "detached");
	else if (end->state == L3L2Q_STATE_DEAD && end->process.pid)
		event(w, q, "end", role, "process %u (%.16s) ended without detaching",
		      end->process.pid, (const char *)end->process.comm);
	else if (end->state == L3L2Q_STATE_DEAD)
		event(w, q, "end", role, "closed without having attached");
}

static void compare(const struct watch *w, const struct queue *old, const struct queue *q)
{
	unsigned int role;

	if (!old && q->region.creator.pid)
		event(w, q, "create", L3L2Q_ROLES, "in %s, depth %u, %s process %u (%.16s)",
		      backend_name(q), q->region.depth, q->memfd ? "open in" : "by",
		      q->region.creator.pid, (const char *)q->region.creator.comm);
	else if (!old)
		event(w, q, "create", L3L2Q_ROLES, "in %s, depth %u", backend_name(q),
		      q->region.depth);
	if (q->region.removed && !(old && old->region.removed))
		event(w, q, "removed", L3L2Q_ROLES, "%s", removal_name(q->region.removal));
	for (role = 0; role < L3L2Q_ROLES; role++) {
		if (has_aborted(q, role) && !(old && has_aborted(old, role)))
			event(w, q, "abort", role, "%s",
			      !q->memfd && q->region.aborts[role] == L3L2Q_ABORT_DEATH
			      ? "its process has died" : "its abort flag was set");
		compare_state(w, old, q, role);
	}
}

/* ---- what does not change ------------------------------------------------ */

static bool is_live(const struct queue *q)
{
	return !q->region.removed && q->region.ends[0].state == L3L2Q_STATE_ATTACHED &&
	       q->region.ends[1].state == L3L2Q_STATE_ATTACHED;
}

/* Messages are there that nobody takes or releases, or room is waited for. */
static bool is_pending(const struct queue *q)
{
	struct direction in = direction_of(q, L3L2Q_ROLE_L3), out = direction_of(q, L3L2Q_ROLE_L2);

	return in.used || out.used || in.wants_room || out.wants_room;
}

static bool is_waited_for(const struct queue *q)
{
	return (q->region.ends[0].armed | q->region.ends[1].armed) &
	       (L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT);
}

struct sentences {
	char text[480];
	size_t n;
};

static void add_sentence(void *arg, const char *sentence)
{
	struct sentences *s = arg;
	int n = snprintf(s->text + s->n, sizeof(s->text) - s->n, "%s%s", s->n ? " " : "", sentence);

	s->n += n > 0 ? (size_t)n : 0;
	if (s->n >= sizeof(s->text))
		s->n = sizeof(s->text) - 1;
}

/* Its counters have stood still for so long: say once why, and once that they go on. */
static void consider(const struct watch *w, const struct queue *old, const struct queue *q,
		     struct patience *p)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);
	struct sentences s = { .n = 0 };
	bool still = q->region.depth && is_live(q) && (is_pending(q) || is_waited_for(q)) && old &&
		     !memcmp(old->region.counters, q->region.counters, sizeof(q->region.counters));

	if (!still) {
		if (p->reported)
			event(w, q, "resume", L3L2Q_ROLES, "after at least %.1f s",
			      (double)(now - p->since) / (double)NSEC_PER_SEC);
		p->since = now;
		p->reported = false;
	} else if (!p->reported && now - p->since >= w->after_ns) {
		explain(q, add_sentence, &s);
		event(w, q, is_pending(q) ? "stuck" : "wait", L3L2Q_ROLES, "for at least %.1f s: %s",
		      (double)(now - p->since) / (double)NSEC_PER_SEC, s.text);
		p->reported = true;
	}
}

/* ---- the loop ------------------------------------------------------------ */

/* Compare with the last look, unless this is the first; takes @queues over. */
static int look(struct watch *w, struct queues *queues, bool first)
{
	struct patience *patience = calloc(queues->n + 1, sizeof(*patience));
	const struct queue *old;
	size_t i;

	if (!patience)
		return -ENOMEM;
	for (i = 0; i < queues->n; i++) {
		const struct queue *q = &queues->list[i];

		old = find(&w->before, q);
		if (old)
			patience[i] = w->patience[old - w->before.list];
		if (!first)
			compare(w, old, q);
		consider(w, old, q, &patience[i]);
	}
	for (i = 0; i < w->before.n; i++)
		if (!find(queues, &w->before.list[i]))
			event(w, &w->before.list[i], "free", L3L2Q_ROLES, "nobody has it open");
	queues_free(&w->before);
	free(w->patience);
	w->before = *queues;
	w->patience = patience;
	*queues = (struct queues){ 0 };
	return 0;
}

/*
 * True once it is time for the next look; false if a signal came or the reader has gone. It
 * polls once at least, however long the last look took: only here signals get through.
 */
static bool pause_until(uint64_t then, const sigset_t *unblocked)
{
	struct pollfd out = { .fd = STDOUT_FILENO };
	uint64_t now, ns;

	do {
		struct timespec left;

		now = now_ns(CLOCK_MONOTONIC);
		ns = now < then ? then - now : 0;
		left = (struct timespec){ .tv_sec = (time_t)(ns / NSEC_PER_SEC),
					  .tv_nsec = (long)(ns % NSEC_PER_SEC) };
		if (ppoll(&out, 1, &left, unblocked) > 0)
			return false;
	} while (!ended && !ferror(stdout) && ns);
	return !ended && !ferror(stdout);
}

/* 0 once it was told to end, or its output has no reader any more; else -errno. */
int watch_events(const char *node, double seconds, long rounds, double after, bool json)
{
	struct watch w = { .json = json, .after_ns = (uint64_t)(after * (double)NSEC_PER_SEC) };
	struct sigaction action = { .sa_handler = end };
	struct queues queues = { 0 };
	sigset_t blocked, unblocked;
	bool told = false;
	uint64_t then;
	long round;
	int ret = 0;

	/* Blocked but for the pause, so that none comes between a look and it. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &unblocked);
	sigdelset(&unblocked, SIGINT);
	sigdelset(&unblocked, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	for (round = 0; !ret; round++) {
		then = now_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * (double)NSEC_PER_SEC);
		ret = collect(&queues, node);
		if (ret && ret != -ENOMEM) {
			if (!told)
				only_memfds(node, ret);
			told = true;
			ret = 0;
		}
		if (!ret)
			ret = look(&w, &queues, !round);
		if (ret || (rounds && round == rounds) || !pause_until(then, &unblocked))
			break;
	}
	queues_free(&queues);
	queues_free(&w.before);
	free(w.patience);
	return ret;
}
