// SPDX-License-Identifier: MIT
/*
 * The L2 side, and how L3 gets one. On their socket: hello and the endpoint from
 * L3; then reports from the worker.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../l3l2q-npusim/listen.h"
#include "stream.h"

#define HELLO_MAGIC	0x4c335331u	/* another build's worker is refused */
#define START_NS	(30 * NSEC_PER_SEC)
#define FOREVER_NS	((int64_t)(3600 * NSEC_PER_SEC))
#define SLICE_NS	((int64_t)(NSEC_PER_SEC / 10))

struct hello {
	uint32_t magic;
	uint32_t size;
	uint64_t spin_ns;	/* ours */
	uint64_t lib_spin_ns;	/* the library's */
	struct op op;
	uint64_t scalars[L3L2Q_SCALARS];	/* external memory follows; else 0 */
};

/* ---- the socket -------------------------------------------------------- */

/* Wait until there is something to read. */
static bool socket_ready(int sock, uint64_t timeout_ns)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	uint64_t deadline = clock_ns() + timeout_ns, now;

	while ((now = clock_ns()) < deadline) {
		uint64_t ms = (deadline - now) / 1000000 + 1;

		if (poll(&pfd, 1, ms < INT_MAX ? (int)ms : INT_MAX) > 0)
			return true;
	}
	return false;
}

static bool socket_hung_up(int sock)
{
	struct pollfd pfd = { .fd = sock, .events = POLLRDHUP };

	return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Exactly @size bytes within the time. */
static bool socket_read(int sock, void *data, size_t size, uint64_t timeout_ns)
{
	uint64_t deadline = clock_ns() + timeout_ns;
	unsigned char *to = data;

	while (size) {
		uint64_t now = clock_ns();
		ssize_t n;

		if (now >= deadline || !socket_ready(sock, deadline - now))
			return false;
		n = recv(sock, to, size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		size -= (size_t)n;
	}
	return true;
}

/* What goes over it is far smaller than its buffer. */
static bool socket_write(int sock, const void *data, size_t size)
{
	ssize_t n;

	do {
		n = send(sock, data, size, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)size;
}

static bool socket_name(struct sockaddr_un *name, const char *path)
{
	memset(name, 0, sizeof(*name));
	name->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(name->sun_path))
		return false;
	strcpy(name->sun_path, path);
	return true;
}

/* ---- L2: serving ------------------------------------------------------- */

static void report(int sock, uint32_t kind, struct l3l2q_ep *ep, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void report(int sock, uint32_t kind, struct l3l2q_ep *ep, const char *format, ...)
{
	struct worker_report r = { .kind = kind };
	va_list args;

	va_start(args, format);
	vsnprintf(r.text, sizeof(r.text), format, args);
	va_end(args);
	if (ep)
		l3l2q_ep_stats(ep, &r.stats);
	socket_write(sock, &r, sizeof(r));
}

struct job {
	const struct hello *hello;
	int sock;
};

/* Over external memory a dead L3 shows by its socket only. */
static bool is_external(const struct job *job)
{
	return job->hello->scalars[0];
}

static int64_t wait_ns(const struct job *job)
{
	return is_external(job) ? SLICE_NS : FOREVER_NS;
}

static bool left_alone(const struct job *job)
{
	return is_external(job) && socket_hung_up(job->sock);
}

/* Has this wait lasted as long as we spin? The clock is read at the first turn. */
static bool spun(const struct job *job, uint64_t *start)
{
	uint64_t now = clock_ns();

	if (!*start)
		*start = now;
	return now - *start >= job->hello->spin_ns;
}

/* L3 may have nothing to send, and no room for results, as long as it likes. */
static int next_message(struct l3l2q_consumer *in, const struct job *job,
			struct l3l2q_message *m)
{
	uint64_t start = 0;
	int ret;

	do {
		ret = l3l2q_try_peek(in, m);
	} while (ret == -EAGAIN && !spun(job, &start));
	while (ret == -EAGAIN || (ret == -ETIMEDOUT && !left_alone(job)))
		ret = l3l2q_peek(in, m, wait_ns(job));
	return ret;
}

static int next_span(struct l3l2q_producer *out, const struct job *job, size_t nbytes,
		     struct l3l2q_reservation *span)
{
	uint64_t start = 0;
	int ret;

	do {
		ret = l3l2q_try_reserve(out, nbytes, span);
	} while (ret == -EAGAIN && !spun(job, &start));
	while (ret == -EAGAIN || (ret == -ETIMEDOUT && !left_alone(job)))
		ret = l3l2q_reserve(out, nbytes, span, wait_ns(job));
	return ret;
}

/* One message: the result is computed where L3 will read it. */
static int serve_message(struct l3l2q_producer *out, const struct job *job,
			 const struct l3l2q_message *m)
{
	struct l3l2q_reservation span;
	int ret = next_span(out, job, m->nbytes, &span);

	if (ret)
		return ret;
	if (m->nbytes)
		op_apply(&job->hello->op, m->data, span.data, m->nbytes);
	return l3l2q_commit(out, &span, m->opcode);
}

static int serve(struct l3l2q_ep *ep, const struct job *job)
{
	struct l3l2q_consumer *in = l3l2q_ep_consumer(ep);
	struct l3l2q_producer *out = l3l2q_ep_producer(ep);
	struct l3l2q_message m;
	int ret;

	while (!l3l2q_drained(in)) {
		ret = next_message(in, job, &m);
		if (ret)
			return ret;
		if (m.opcode != L3L2Q_OP_STOP)
			ret = serve_message(out, job, &m);
		if (!ret)
			ret = l3l2q_release(in, &m);
		if (ret)
			return ret;
	}
	return 0;
}

static int serve_endpoint(int sock, struct l3l2q_ep *ep, const struct hello *hello)
{
	const struct job job = { .hello = hello, .sock = sock };
	struct l3l2q_error error;
	int ret;

	report(sock, REPORT_READY, ep, "ready");
	ret = serve(ep, &job);
	if (ret == -ETIMEDOUT) {
		l3l2q_abort(ep);
		return EXIT_WORKER;
	}
	if (!ret) {
		report(sock, REPORT_DONE, ep, "done");
		return EXIT_OK;
	}
	l3l2q_ep_error(ep, &error);
	if (error.kind == L3L2Q_ERR_NONE) {
		report(sock, REPORT_FAILED, ep, "%s", strerror(-ret));
		l3l2q_abort(ep);
	} else {
		report(sock, REPORT_FAILED, ep, "%s: %s", error.op, error.message);
	}
	return error.kind == L3L2Q_ERR_REMOTE_ABORTED ? EXIT_WORKER : EXIT_ERROR;
}

int worker_serve(int sock)
{
	struct l3l2q_failure why = { .text = "" };
	struct l3l2q_attr attr = { .role = L3L2Q_ROLE_L2 };
	struct external *x = NULL;
	struct l3l2q_ep *ep;
	struct hello hello;
	int fd, ret;

	/* One that was started through /proc/self/exe would be listed as "exe". */
	prctl(PR_SET_NAME, PROGRAM);
	if (!socket_read(sock, &hello, sizeof(hello), START_NS)) {
		report(sock, REPORT_FAILED, NULL, "L3 sent no job");
		return EXIT_ERROR;
	}
	if (hello.magic != HELLO_MAGIC || hello.size != sizeof(hello)) {
		report(sock, REPORT_FAILED, NULL, "the worker is of another version");
		return EXIT_ERROR;
	}
	fd = l3l2q_recv_fd(sock);
	if (fd < 0) {
		report(sock, REPORT_FAILED, NULL, "no endpoint came: %s", strerror(-fd));
		return EXIT_ERROR;
	}
	attr.spin_ns = hello.lib_spin_ns;
	if (hello.scalars[0])
		ret = external_attach(&x, &ep, fd, hello.scalars, &attr, &why);
	else
		ret = l3l2q_attach(&ep, fd, &attr, &why);
	if (ret) {
		report(sock, REPORT_FAILED, NULL, "cannot attach: %s",
		       why.text[0] ? why.text : strerror(-ret));
		if (!hello.scalars[0])
			close(fd);
		external_free(x);
		return EXIT_ERROR;
	}
	ret = serve_endpoint(sock, ep, &hello);
	l3l2q_close(ep);
	external_free(x);
	return ret;
}

int worker_listen(const char *path)
{
	struct pollfd pfd = { .events = POLLIN };
	char why[LISTEN_WHY];
	int sock, conn, ret;

	sock = listen_at(path, 1, why, sizeof(why));
	if (sock < 0) {
		fprintf(stderr, PROGRAM ": %s\n", why);
		return EXIT_ERROR;
	}
	pfd.fd = sock;
	do {
		conn = poll(&pfd, 1, -1) < 0 ? -1 : accept4(sock, NULL, NULL, SOCK_CLOEXEC);
	} while (conn < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED));
	unlink(path);
	close(sock);
	if (conn < 0) {
		fprintf(stderr, PROGRAM ": cannot accept on %s: %s\n", path, strerror(errno));
		return EXIT_ERROR;
	}
	ret = worker_serve(conn);
	close(conn);
	return ret;
}

/* ---- L3: getting a worker ---------------------------------------------- */

/* In the child: nothing of L3's stays open but the socket. */
static void become_worker(int sock)
{
	char number[16];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Ctrl-C goes to the whole group, but when to stop is for L3 to say. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    fcntl(sock, F_SETFD, 0))
		_exit(EXIT_ERROR);
	snprintf(number, sizeof(number), "%d", sock);
	execl("/proc/self/exe", PROGRAM, "--worker", number, (char *)NULL);
	fprintf(stderr, PROGRAM ": cannot start a worker: %s\n", strerror(errno));
	_exit(EXIT_ERROR);
}

static int worker_fork(struct worker *w, char *why, size_t size)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		snprintf(why, size, "cannot make a socket: %s", strerror(errno));
		return -1;
	}
	w->pid = fork();
	if (w->pid == 0)
		become_worker(pair[1]);
	close(pair[1]);
	w->sock = pair[0];
	if (w->pid < 0) {
		snprintf(why, size, "cannot fork: %s", strerror(errno));
		return -1;
	}
	w->child = true;
	return 0;
}

static int worker_connect(struct worker *w, const char *path, char *why, size_t size)
{
	socklen_t length = sizeof(struct ucred);
	struct sockaddr_un name;
	struct ucred peer;

	if (!socket_name(&name, path)) {
		snprintf(why, size, "%.150s: path too long for a socket: at most %d bytes", path,
			 (int)sizeof(name.sun_path) - 1);
		return -1;
	}
	w->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->sock < 0 || connect(w->sock, (struct sockaddr *)&name, sizeof(name)) ||
	    getsockopt(w->sock, SOL_SOCKET, SO_PEERCRED, &peer, &length)) {
		snprintf(why, size, "no worker at %s: %s", path, strerror(errno));
		return -1;
	}
	w->pid = peer.pid;
	return 0;
}

static int send_job(struct worker *w, struct l3l2q_ep *ep, const struct external *x,
		    const struct options *opt, char *why, size_t size)
{
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.size = sizeof(hello),
		.spin_ns = opt->spin_ns,
		.lib_spin_ns = opt->attr.spin_ns,
		.op = opt->op,
	};
	int fd, ret;

	fd = x ? external_fd(x, hello.scalars) : l3l2q_open_peer(ep);
	if (fd < 0) {
		snprintf(why, size, "cannot open the peer endpoint: %s", strerror(-fd));
		return -1;
	}
	ret = socket_write(w->sock, &hello, sizeof(hello)) ? l3l2q_send_fd(w->sock, fd) : -EPIPE;
	if (!x)
		close(fd);
	if (ret < 0) {
		snprintf(why, size, "cannot hand the endpoint to the worker: %s", strerror(-ret));
		return -1;
	}
	return 0;
}

int worker_start(struct worker *w, struct l3l2q_ep *ep, const struct external *x,
		 const struct options *opt, char *why, size_t size)
{
	struct worker_report r;
	char fate[96];
	int ret;

	*w = (struct worker){ .sock = -1, .pid = -1 };
	ret = opt->connect ? worker_connect(w, opt->connect, why, size) : worker_fork(w, why, size);
	if (ret || send_job(w, ep, x, opt, why, size))
		return -1;
	if (!worker_report(w, &r, START_NS)) {
		worker_reap(w, NSEC_PER_SEC);
		worker_fate(w, fate, sizeof(fate));
		snprintf(why, size, "the worker (pid %d) %s before it was ready", (int)w->pid, fate);
		return -1;
	}
	if (r.kind != REPORT_READY) {
		snprintf(why, size, "the worker (pid %d) says: %s", (int)w->pid, r.text);
		return -1;
	}
	return 0;
}

bool worker_left(const struct worker *w)
{
	return socket_hung_up(w->sock);
}

bool worker_report(struct worker *w, struct worker_report *r, uint64_t timeout_ns)
{
	if (!socket_read(w->sock, r, sizeof(*r), timeout_ns))
		return false;
	r->text[sizeof(r->text) - 1] = '\0';
	tame(r->text);
	return true;
}

void worker_reap(struct worker *w, uint64_t timeout_ns)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t deadline = clock_ns() + timeout_ns;
	pid_t got;

	if (!w->child || w->reaped)
		return;
	while ((got = waitpid(w->pid, &w->status, WNOHANG)) == 0 && clock_ns() < deadline)
		nanosleep(&nap, NULL);
	if (got == 0) {
		kill(w->pid, SIGKILL);
		do {
			got = waitpid(w->pid, &w->status, 0);
		} while (got < 0 && errno == EINTR);
	}
	w->reaped = got == w->pid;
}

void worker_fate(const struct worker *w, char *text, size_t size)
{
	if (!w->reaped)
		snprintf(text, size, "is gone");
	else if (WIFSIGNALED(w->status))
		snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(w->status),
			 strsignal(WTERMSIG(w->status)));
	else
		snprintf(text, size, "exited with status %d", WEXITSTATUS(w->status));
}
