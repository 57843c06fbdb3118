// SPDX-License-Identifier: MIT
/*
 * The L3 side. One thread keeps both directions going: it reads the file straight
 * into the input arena and writes results straight from the output arena (an NPU's
 * by way of a copy), and sleeps only if neither can get on.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stream.h"

#define MAX_HELD	256	/* results written with one system call */
#define SLICE_NS	(NSEC_PER_SEC / 4) /* how late a Ctrl-C may be noticed */
#define END_NS		(5 * NSEC_PER_SEC)
#define LOOK_NS		1000000	/* how often to look where nobody wakes us */

volatile sig_atomic_t stop_signals;
int stop_event = -1;

enum phase { PHASE_READING, PHASE_STOPPING, PHASE_DRAINING };

/* What one step came to; a failure is negative. */
enum { BLOCKED = 0, MOVED = 1, FAILED = -1 };

struct stream {
	const struct options *opt;
	struct l3l2q_ep *ep;
	struct l3l2q_producer *in;
	struct l3l2q_consumer *out;
	struct worker worker;
	struct npu_peer *npu;	/* instead of a worker, or NULL */
	struct external *external;	/* the queue's memory, or NULL */
	bool missed;		/* its worker has left */
	struct npu_result npu_result;
	enum phase phase;
	int input;
	int output;
	bool input_regular;	/* never blocks: no need to poll it */

	struct l3l2q_reservation span; /* being filled, if @reserved */
	size_t filled;
	bool reserved;

	uint64_t sent;
	uint64_t sent_bytes;
	uint64_t received;
	uint64_t received_bytes;
	uint64_t slots;		/* messages that can be on their way, both arenas */
	uint64_t *sent_at;	/* for each of them */
	unsigned char *copies;	/* their bodies, to verify */
	unsigned char *bounce;	/* results, out of memory that may be taken away */
	struct l3l2q_message held[MAX_HELD];
	struct iovec iov[MAX_HELD];
	int max_held;

	uint32_t wants;		/* L3L2Q_EVENT_* that would help */
	bool wants_input;	/* and so would something to read */
	bool killed;		/* the worker was, by us; or the NPU unplugged */
	bool gone;		/* the worker is; what it published may still come */
	int abort_event;	/* eventfd, or -1 */
	const char *abort_how;
	uint64_t last_move;
	uint64_t polls;		/* of the queue, by us: system calls of its path too */

	struct histogram rtt;
	struct progress progress;
	const char *result;
	int status;
	char text[512];
};

/* The first failure is the one to tell. */
static int fail(struct stream *s, int status, const char *result, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(struct stream *s, int status, const char *result, const char *format, ...)
{
	va_list args;

	if (s->status != EXIT_OK)
		return FAILED;
	s->status = status;
	s->result = result;
	va_start(args, format);
	vsnprintf(s->text, sizeof(s->text), format, args);
	va_end(args);
	return FAILED;
}

/* ---- when the worker is lost ------------------------------------------- */

/* The eventfd is signalled by whoever buries the worker: give it a moment. */
static void look_at_abort_event(struct stream *s)
{
	struct pollfd pfd = { .fd = s->abort_event, .events = POLLIN };
	eventfd_t count;

	s->abort_how = "queue";
	if (s->abort_event < 0 || poll(&pfd, 1, 1000) <= 0)
		return;
	if (!eventfd_read(s->abort_event, &count))
		s->abort_how = "eventfd";
}

/* In words, what the queue says; a blocking call is what looks at the flag. */
static void queue_words(struct stream *s, char *text, size_t size)
{
	struct l3l2q_error error;
	struct l3l2q_message m;

	l3l2q_peek(s->out, &m, 1);
	l3l2q_ep_error(s->ep, &error);
	if (error.kind == L3L2Q_ERR_NONE)
		snprintf(text, size, "the peer hung up");
	else
		snprintf(text, size, "%s: %s: %s", error.op, l3l2q_error_name(error.kind),
			 error.message);
}

/* There was an NPU: was it unplugged, or did its task end? */
static int npu_lost(struct stream *s)
{
	bool eventfd = !strcmp(s->abort_how, "eventfd");
	char words[192], says[256];

	queue_words(s, words, sizeof(words));
	if (queue_removed(s->ep))
		return fail(s, EXIT_REMOVED, "removed", "the NPU was unplugged after %" PRIu64
			    " messages; queue reports: %s%s", s->received, words,
			    eventfd ? "; learnt from the abort eventfd" : "");
	npu_words(s->npu, says, sizeof(says));
	return fail(s, EXIT_WORKER, "killed", "the NPU gave up after %" PRIu64
		    " messages; queue reports: %s; %s%s", s->received, words, says,
		    eventfd ? "; learnt from the abort eventfd" : "");
}

static int worker_lost(struct stream *s)
{
	struct worker_report r;
	char words[192], fate[96], says[300] = "";

	if (s->status != EXIT_OK)
		return FAILED;
	look_at_abort_event(s);
	if (s->npu)
		return npu_lost(s);
	queue_words(s, words, sizeof(words));
	if (worker_report(&s->worker, &r, NSEC_PER_SEC / 10))
		snprintf(says, sizeof(says), "; it says: %s", r.text);
	worker_reap(&s->worker, END_NS);
	worker_fate(&s->worker, fate, sizeof(fate));
	return fail(s, EXIT_WORKER, "killed",
		    "worker (pid %d) %s after %" PRIu64 " messages%s; queue reports: %s%s",
		    (int)s->worker.pid, fate, s->received, says, words,
		    !strcmp(s->abort_how, "eventfd") ?
		    "; learnt from the abort eventfd" : "");
}

/* An error of the queue: the worker's end, or our own. */
static int queue_failed(struct stream *s, int ret)
{
	struct l3l2q_error error;

	if (ret == -ECONNABORTED || ret == -EPIPE)
		return worker_lost(s);
	l3l2q_ep_error(s->ep, &error);
	if (error.kind == L3L2Q_ERR_NONE)
		return fail(s, EXIT_ERROR, "error", "queue: %s", strerror(-ret));
	return fail(s, EXIT_WORKER, "error", "queue: %s: %s: %s", error.op,
		    l3l2q_error_name(error.kind), error.message);
}

/* ---- sending ----------------------------------------------------------- */

static int send_span(struct stream *s)
{
	uint64_t slot = s->sent % s->slots;
	size_t n = s->span.nbytes;
	int ret;

	if (s->copies)
		memcpy(s->copies + slot * s->opt->message, s->span.data, n);
	s->last_move = clock_ns();
	s->sent_at[slot] = s->last_move;
	s->reserved = false;
	ret = l3l2q_commit(s->in, &s->span, L3L2Q_OP_DATA);
	if (ret)
		return queue_failed(s, ret);
	s->sent++;
	s->sent_bytes += n;
	return MOVED;
}

/*
 * The input ended within a message: its span becomes a shorter one. That may lie
 * elsewhere if the long one had to wrap, but in free space like the old one.
 */
static int send_short(struct stream *s)
{
	const void *from = s->span.data;
	int ret = l3l2q_cancel(s->in, &s->span);

	s->reserved = false;
	if (ret || !s->filled)
		return ret ? queue_failed(s, ret) : MOVED;
	ret = l3l2q_try_reserve(s->in, s->filled, &s->span);
	if (ret)
		return queue_failed(s, ret);
	if (s->span.data != from)
		memmove(s->span.data, from, s->filled);
	return send_span(s);
}

static int end_input(struct stream *s)
{
	s->phase = PHASE_STOPPING;
	return s->reserved ? send_short(s) : MOVED;
}

static bool input_ready(const struct stream *s)
{
	struct pollfd pfd = { .fd = s->input, .events = POLLIN };

	return s->input_regular || poll(&pfd, 1, 0) > 0;
}

static int read_input(struct stream *s)
{
	ssize_t n = -1;

	errno = EAGAIN;
	if (input_ready(s))
		n = read(s->input, (char *)s->span.data + s->filled, s->span.nbytes - s->filled);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		s->wants_input = true;
		return BLOCKED;
	}
	if (n < 0)
		return fail(s, EXIT_ERROR, "error", "cannot read %s: %s", s->opt->input,
			    strerror(errno));
	if (n == 0)
		return end_input(s);
	s->filled += (size_t)n;
	return s->filled == s->span.nbytes ? send_span(s) : MOVED;
}

static int send_step(struct stream *s)
{
	int ret = 0;

	if (s->phase == PHASE_DRAINING)
		return BLOCKED;
	if (s->phase == PHASE_READING && stop_signals)
		return end_input(s);
	if (s->phase == PHASE_READING && s->reserved)
		return read_input(s);

	if (s->phase == PHASE_STOPPING)
		ret = l3l2q_try_stop(s->in);
	else
		ret = l3l2q_try_reserve(s->in, s->opt->message, &s->span);
	if (ret == -EAGAIN) {
		s->wants |= L3L2Q_EVENT_OUT;
		return BLOCKED;
	}
	if (ret)
		return queue_failed(s, ret);
	if (s->phase == PHASE_STOPPING) {
		s->phase = PHASE_DRAINING;
	} else {
		s->reserved = true;
		s->filled = 0;
	}
	return MOVED;
}

/* ---- receiving --------------------------------------------------------- */

/*
 * Where to write a result from. What is written cannot be taken back, so what an
 * unplug can turn into zeros is copied first, and known to be whole then.
 */
static int fetch(struct stream *s, int i)
{
	const struct l3l2q_message *m = &s->held[i];
	int ret;

	s->iov[i].iov_base = (void *)(uintptr_t)m->data;
	s->iov[i].iov_len = m->nbytes;
	if (!s->bounce || !m->nbytes)
		return 0;
	s->iov[i].iov_base = s->bounce + (size_t)i * s->opt->message;
	ret = l3l2q_read_into(s->out, m, s->iov[i].iov_base, s->opt->message);
	return ret ? queue_failed(s, ret) : 0;
}

static int worker_error(struct stream *s, const struct l3l2q_message *m, uint64_t index)
{
	char words[256] = "";

	if (m->nbytes)
		memcpy(words, m->data, m->nbytes < sizeof(words) ? m->nbytes : sizeof(words) - 1);
	tame(words);
	return fail(s, EXIT_WORKER, "error", "the worker reports an error for message %" PRIu64
		    ": %s", index, words);
}

/* Is it the result of the message that is due? */
static int check_result(struct stream *s, int i, uint64_t index, uint64_t offset)
{
	const struct l3l2q_message *m = &s->held[i];
	const unsigned char *body;
	uint64_t due = s->sent_bytes - offset;
	unsigned char expected;
	size_t at;

	if (m->opcode == L3L2Q_OP_ERROR)
		return worker_error(s, m, index);
	if (due > s->opt->message)
		due = s->opt->message;
	if (index >= s->sent || m->nbytes != due)
		return fail(s, EXIT_WORKER, "error", "the worker returned %" PRIu64
			    " bytes for message %" PRIu64 " of %" PRIu64, (uint64_t)m->nbytes,
			    index, due);
	if (fetch(s, i))
		return FAILED;
	if (!s->copies)
		return 0;
	body = s->iov[i].iov_base;
	at = op_check(&s->opt->verify_op, s->copies + index % s->slots * s->opt->message, body,
		      m->nbytes, &expected);
	if (at == m->nbytes)
		return 0;
	return fail(s, EXIT_ERROR, "mismatch", "verify: first mismatch at byte %" PRIu64
		    ": 0x%02x is there, 0x%02x is right", offset + at, body[at], expected);
}

static int check_results(struct stream *s, int n)
{
	uint64_t offset = s->received_bytes;

	for (int i = 0; i < n; i++) {
		uint64_t index = s->received + (uint64_t)i;

		if (check_result(s, i, index, offset))
			return FAILED;
		histogram_add(&s->rtt, s->last_move - s->sent_at[index % s->slots]);
		offset += s->held[i].nbytes;
	}
	return 0;
}

/* Somebody else made our stdout non-blocking. */
static void wait_writable(const struct stream *s)
{
	struct pollfd pfd = { .fd = s->output, .events = POLLOUT };

	poll(&pfd, 1, 1000);
}

/* All of it, however little the file takes at a time. */
static int write_results(struct stream *s, int n)
{
	struct iovec *iov = s->iov;

	while (n) {
		ssize_t done = writev(s->output, iov, n);

		if (done < 0 && errno == EAGAIN)
			wait_writable(s);
		else if (done < 0 && errno != EINTR)
			return fail(s, EXIT_ERROR, "error", "cannot write %s: %s",
				    s->opt->output, strerror(errno));
		if (stop_signals > 1)
			return fail(s, EXIT_SIGNAL, "aborted", "aborted");
		if (done <= 0)
			continue;
		while (n && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return 0;
}

static int kill_worker(struct stream *s)
{
	if (!s->opt->kill_after || s->received < s->opt->kill_after || s->killed)
		return 0;
	s->killed = true;
	/* One of another PID namespace has none here; 0 would be our own group. */
	if (s->worker.pid <= 0)
		return fail(s, EXIT_ERROR, "error", "cannot kill the worker: it has no pid here");
	if (kill(s->worker.pid, SIGKILL))
		return fail(s, EXIT_ERROR, "error", "cannot kill the worker (pid %d): %s",
			    (int)s->worker.pid, strerror(errno));
	return 0;
}

/* Ask for it; it comes when it comes. */
static int unplug(struct stream *s)
{
	int ret;

	if (!s->opt->unplug_after || s->received < s->opt->unplug_after || s->killed)
		return 0;
	s->killed = true;
	ret = npu_pull(s->npu, s->opt->unplug_id);
	if (ret == -ECONNABORTED || ret == -ENODEV)
		ret = 0; /* that was quick */
	return ret ? fail(s, EXIT_ERROR, "error", "cannot have %s unplugged: %s",
			  s->opt->unplug_id, strerror(-ret)) : 0;
}

static int receive_step(struct stream *s)
{
	int n = l3l2q_try_peek_batch(s->out, s->held, s->max_held), ret;

	if (n == -EAGAIN) {
		s->wants |= L3L2Q_EVENT_IN;
		return BLOCKED;
	}
	if (n < 0)
		return queue_failed(s, n);
	s->last_move = clock_ns();
	if (check_results(s, n) || write_results(s, n))
		return FAILED;
	s->received += (uint64_t)n;
	for (int i = 0; i < n; i++)
		s->received_bytes += s->held[i].nbytes;
	ret = l3l2q_release_batch(s->out, s->held, n);
	if (ret)
		return queue_failed(s, ret);
	progress_show(&s->progress, s->last_move, s->received, s->received_bytes);
	return kill_worker(s) || unplug(s) ? FAILED : MOVED;
}

/* ---- sleeping ---------------------------------------------------------- */

static int note_events(struct stream *s, int events)
{
	if (events == -ETIMEDOUT || events == -EINTR)
		return 0;
	if (events < 0)
		return queue_failed(s, events);
	if (events & (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP))
		s->gone = true;
	return 0;
}

/* How long to sleep at most: a worker that does nothing is an error at some time. */
static int64_t sleep_limit(const struct stream *s, uint64_t now)
{
	uint64_t deadline = s->last_move + s->opt->timeout_ns;

	if (s->sent == s->received && s->phase == PHASE_READING)
		return INT64_MAX;
	return deadline > now ? (int64_t)(deadline - now) : 0;
}

/* Sleep in a poll of our own, for what the queue alone cannot wait for. */
static int poll_all(struct stream *s, int64_t limit)
{
	struct pollfd fds[] = {
		{ .fd = l3l2q_fd(s->ep), .events = POLLIN | POLLPRI },
		{ .fd = stop_event, .events = POLLIN },
		{ .fd = s->abort_event, .events = POLLIN },
		{ .fd = s->wants_input ? s->input : -1, .events = POLLIN },
	};
	struct timespec ts = {
		.tv_sec = limit / (int64_t)NSEC_PER_SEC,
		.tv_nsec = limit % (int64_t)NSEC_PER_SEC,
	};
	int ret = l3l2q_arm(s->ep, s->wants);
	eventfd_t count;

	if (ret)
		return note_events(s, ret);
	if (s->wants & L3L2Q_EVENT_OUT)
		fds[0].events |= POLLOUT;
	if (fds[0].fd < 0 && limit > LOOK_NS) {
		limit = LOOK_NS;
		ts = (struct timespec){ .tv_nsec = LOOK_NS };
	}
	s->polls++;
	ret = ppoll(fds, 4, limit == INT64_MAX ? NULL : &ts, NULL);
	if (ret < 0 && errno != EINTR)
		return fail(s, EXIT_ERROR, "error", "cannot poll: %s", strerror(errno));
	if (ret > 0 && (fds[2].revents || fds[0].revents & (POLLERR | POLLHUP)))
		s->gone = true;
	if (ret > 0 && fds[1].revents)
		eventfd_read(stop_event, &count);
	return 0;
}

/* Over external memory a dead worker shows by its socket only. */
static int miss_worker(struct stream *s)
{
	char fate[96];

	if (!s->external || !worker_left(&s->worker))
		return 0;
	/* Once more round: its last results may have come in between. */
	if (!s->missed) {
		s->missed = true;
		return 0;
	}
	worker_reap(&s->worker, END_NS);
	worker_fate(&s->worker, fate, sizeof(fate));
	return fail(s, EXIT_WORKER, "killed", "worker (pid %d) %s after %" PRIu64 " messages",
		    (int)s->worker.pid, fate, s->received);
}

static int idle(struct stream *s)
{
	uint64_t now = clock_ns();
	int64_t limit = sleep_limit(s, now);

	if (miss_worker(s))
		return FAILED;
	if (!limit)
		return fail(s, EXIT_ERROR, "timeout", "no progress for %.1f s: %" PRIu64
			    " messages sent, %" PRIu64 " came back",
			    (double)s->opt->timeout_ns / 1e9, s->sent, s->received);
	if (now - s->last_move < s->opt->spin_ns)
		return 0;	/* go round again */
	if (s->wants_input || s->abort_event >= 0)
		return poll_all(s, limit);
	if (limit > (int64_t)SLICE_NS)
		limit = SLICE_NS;
	if (s->missed)
		return 0;
	return note_events(s, l3l2q_wait(s->ep, s->wants, limit));
}

/* ---- all of it --------------------------------------------------------- */

static bool finished(const struct stream *s)
{
	return s->phase == PHASE_DRAINING && s->received == s->sent;
}

static int pump(struct stream *s)
{
	int sent, got;

	while (!finished(s)) {
		if (stop_signals > 1)
			return fail(s, EXIT_SIGNAL, "aborted", "aborted");
		s->wants = 0;
		s->wants_input = false;
		sent = send_step(s);
		/* After STOP the worker may leave at once, which is no error. */
		if (finished(s))
			break;
		got = sent < 0 ? sent : receive_step(s);
		if (got < 0)
			return FAILED;
		if (sent || got)
			continue;
		if (s->gone)
			return worker_lost(s);
		if (idle(s))
			return FAILED;
	}
	return 0;
}

static int open_input(struct stream *s)
{
	const char *path = s->opt->input;
	struct stat st;

	s->input = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (s->input < 0 || fstat(s->input, &st))
		return fail(s, EXIT_ERROR, "error", "cannot open %s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return fail(s, EXIT_ERROR, "error", "cannot read %s: %s", path, strerror(EISDIR));
	s->input_regular = S_ISREG(st.st_mode);
	return 0;
}

/* The old content goes only now that all the rest is in place. */
static int open_output(struct stream *s)
{
	const char *path = s->opt->output;
	struct stat in, out;

	if (!strcmp(path, "-")) {
		s->output = STDOUT_FILENO;
		return 0;
	}
	s->output = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	if (s->output < 0 || fstat(s->output, &out) || fstat(s->input, &in))
		return fail(s, EXIT_ERROR, "error", "cannot open %s: %s", path, strerror(errno));
	if (S_ISREG(out.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
		return fail(s, EXIT_ERROR, "error", "%s is the input", path);
	if (S_ISREG(out.st_mode) && ftruncate(s->output, 0))
		return fail(s, EXIT_ERROR, "error", "cannot write %s: %s", path, strerror(errno));
	return 0;
}

static int open_queue(struct stream *s)
{
	struct l3l2q_failure why = { .text = "" };
	int ret;

	if (s->opt->npu)
		ret = npu_create(&s->npu, &s->ep, s->opt, &why);
	else if (!strcmp(s->opt->attr.transport, EXTERNAL))
		ret = external_create(&s->external, &s->ep, &s->opt->attr, &why);
	else
		ret = l3l2q_create(&s->ep, &s->opt->attr, &why);
	if (ret)
		return fail(s, ret == -EINVAL ? EXIT_USAGE : EXIT_ERROR, "error",
			    "cannot make a queue: %s", why.text[0] ? why.text : strerror(-ret));
	s->in = l3l2q_ep_producer(s->ep);
	s->out = l3l2q_ep_consumer(s->ep);
	s->max_held = s->opt->attr.window < MAX_HELD ? (int)s->opt->attr.window : MAX_HELD;
	return 0;
}

static int open_abort_event(struct stream *s)
{
	int ret;

	if (!s->opt->abort_eventfd)
		return 0;
	s->abort_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = s->abort_event < 0 ? -errno
				 : l3l2q_eventfd(s->ep, L3L2Q_EVENTFD_ABORT, s->abort_event);
	if (ret == -EOPNOTSUPP)
		return fail(s, EXIT_ERROR, "error", "--abort-eventfd needs the driver transport");
	if (ret)
		return fail(s, EXIT_ERROR, "error", "cannot register an eventfd: %s",
			    strerror(-ret));
	return 0;
}

/* As many messages as the rings and the arenas can have on their way, and one. */
static int make_room(struct stream *s)
{
	const struct l3l2q_attr *attr = &s->opt->attr;
	uint64_t message = s->opt->message;

	s->slots = attr->input_arena_bytes / message + attr->output_arena_bytes / message + 2;
	if (s->slots > 2 * (uint64_t)attr->depth + 1)
		s->slots = 2 * (uint64_t)attr->depth + 1;
	s->sent_at = calloc(s->slots, sizeof(*s->sent_at));
	if (s->sent_at && s->opt->verify)
		s->copies = calloc(s->slots, message);
	if (s->npu)
		s->bounce = calloc((size_t)s->max_held, message);
	if (!s->sent_at || (s->opt->verify && !s->copies) || (s->npu && !s->bounce))
		return fail(s, EXIT_ERROR, "error", "out of memory");
	return 0;
}

static int set_up(struct stream *s)
{
	char why[400];

	int ret;

	if (open_input(s) || open_queue(s) || open_abort_event(s) || make_room(s))
		return FAILED;
	if (s->npu)
		ret = npu_start(s->npu, s->opt, why, sizeof(why));
	else
		ret = worker_start(&s->worker, s->ep, s->external, s->opt, why, sizeof(why));
	return ret ? fail(s, EXIT_WORKER, "error", "%s", why) : open_output(s);
}

/* Say what went wrong, once. */
static void complain(struct stream *s)
{
	if (s->text[0])
		fprintf(stderr, PROGRAM ": %s\n", s->text);
	s->text[0] = '\0';
}

static void end_npu(struct stream *s)
{
	char why[300];

	if (npu_finish(s->npu, &s->npu_result, (int64_t)s->opt->timeout_ns, why, sizeof(why)))
		fail(s, EXIT_WORKER, "error", "all results came, but %s", why);
}

/* The worker's last word and exit status. */
static void end_worker(struct stream *s, struct worker_report *r)
{
	char fate[96];
	bool told;

	memset(r, 0, sizeof(*r));
	if (s->npu) {
		end_npu(s);
		return;
	}
	told = worker_report(&s->worker, r, s->opt->timeout_ns);
	if (!told)
		memset(r, 0, sizeof(*r));
	worker_reap(&s->worker, END_NS);
	worker_fate(&s->worker, fate, sizeof(fate));
	if (!told || r->kind != REPORT_DONE)
		fail(s, EXIT_WORKER, "error", "all results came, but the worker (pid %d) %s%s%s",
		     (int)s->worker.pid, fate, told ? "; it says: " : "", told ? r->text : "");
	else if (s->worker.reaped && s->worker.status)
		fail(s, EXIT_WORKER, "error", "all results came, but the worker (pid %d) %s",
		     (int)s->worker.pid, fate);
}

/* After a failure: let the worker see it, and go. */
static void abandon_worker(struct stream *s)
{
	if (s->reserved)
		l3l2q_cancel(s->in, &s->span);
	l3l2q_abort(s->ep);
	npu_leave(s->npu);
	worker_reap(&s->worker, END_NS);
}

static void summarize(struct stream *s, const struct worker_report *r, uint64_t ns)
{
	struct l3l2q_ep_info info;
	struct l3l2q_ep_stats own;
	struct l3l2q_stats driver;
	struct summary sum = {
		.result = s->result,
		.abort = s->abort_how,
		.messages = s->received,
		.bytes = s->received_bytes,
		.ns = ns,
		.both_sides = r->kind == REPORT_DONE,
		.rtt = &s->rtt,
	};

	l3l2q_ep_info(s->ep, &info);
	l3l2q_ep_stats(s->ep, &own);
	sum.transport = info.transport;
	sum.tag = info.tag;
	sum.region_version = info.region_version;
	sum.binding = info.binding == L3L2Q_BINDING_SPSQ ? "spsq" : "l3q2";
	sum.sleeps = own.sleeps + r->stats.sleeps + s->polls;
	sum.kicks = own.kicks + r->stats.kicks;
	sum.syscalls = own.syscalls + r->stats.syscalls + s->polls;
	sum.npu = s->npu ? &s->npu_result : NULL;
	sum.driver = s->npu && queue_stats(s->ep, &driver) ? &driver : NULL;
	summary_print(&sum, s->progress.enabled);
}

static void stream_through(struct stream *s)
{
	struct worker_report last = { .kind = 0 };
	uint64_t start = clock_ns(), ns;

	s->last_move = start;
	progress_start(&s->progress, start);
	pump(s);
	ns = clock_ns() - start;
	if (s->status == EXIT_OK)
		end_worker(s, &last);
	else
		abandon_worker(s);
	if (s->status == EXIT_OK && stop_signals) {
		s->status = EXIT_SIGNAL;
		s->result = "interrupted";
	}
	progress_clear(&s->progress);
	complain(s);
	summarize(s, &last, ns);
}

static void tear_down(struct stream *s)
{
	npu_leave(s->npu);
	l3l2q_close(s->ep);
	external_free(s->external);
	if (s->worker.sock >= 0)
		close(s->worker.sock);
	worker_reap(&s->worker, END_NS);
	npu_free(s->npu);
	if (s->abort_event >= 0)
		close(s->abort_event);
	if (s->input > STDIN_FILENO)
		close(s->input);
	if (s->output >= 0 && close(s->output) && errno != EINTR)
		fail(s, EXIT_ERROR, "error", "cannot write %s: %s", s->opt->output,
		     strerror(errno));
	free(s->sent_at);
	free(s->copies);
	free(s->bounce);
}

int stream_run(const struct options *opt)
{
	struct stream *s = calloc(1, sizeof(*s));
	int status;

	if (!s) {
		fprintf(stderr, PROGRAM ": out of memory\n");
		return EXIT_ERROR;
	}
	s->opt = opt;
	s->result = "ok";
	s->abort_how = "none";
	s->input = -1;
	s->output = -1;
	s->abort_event = -1;
	s->worker.sock = -1;
	if (!set_up(s))
		stream_through(s);
	else if (s->ep)
		l3l2q_abort(s->ep);
	tear_down(s);
	complain(s);
	status = s->status;
	free(s);
	return status;
}
