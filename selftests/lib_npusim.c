// SPDX-License-Identifier: GPL-2.0-only
/*
 * l3l2q-npusim without QEMU: this program is the guest, connects to its socket,
 * carves mailbox and queues from its memory, and is L3 by the external transport.
 *
 * NPUSIM names the program; by default it is looked for where make puts it.
 */
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <l3l2q.h>

#include "../libuser/tools/l3l2q-npusim/client.h"
#include "../libuser/tools/l3l2q-npusim/launch.h"
#include "proto_util.h"

#define LONG_NS (60 * 1000000000ll)
#define SHORT_NS (50 * 1000000ll)
#define VECTORS 2
#define BYTES (8u << 20)

/* ---- the program ------------------------------------------------------- */

static const char *npusim_path(void)
{
	static char path[PATH_MAX];
	const char *env = getenv("NPUSIM");
	const char *const where[] = { "l3l2q-npusim", "../bin/l3l2q-npusim" };
	char self[PATH_MAX / 2];
	ssize_t n;

	if (env && *env)
		return env;
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return NULL;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", self, where[i]);
		if (!access(path, X_OK))
			return path;
	}
	return NULL;
}

struct sim {
	char dir[64];
	char socket[96];
	char monitor[96];
	pid_t pid;
};

static void sim_exec(const struct sim *sim, const char *path, int out, const char *option)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, STDOUT_FILENO);
	if (!getenv("L3L2Q_VERBOSE"))
		dup2(null, STDERR_FILENO);
	execl(path, path, "--socket", sim->socket, "--size", "8M", "--vectors", "2", "--monitor",
	      sim->monitor, option, (char *)NULL);
	_exit(127);
}

/* Started, and ready. */
static bool sim_start_in(struct sim *sim, const char *option)
{
	const char *path = npusim_path();
	char word[8] = "";
	int out[2];

	if (!path || pipe2(out, O_CLOEXEC))
		return false;
	snprintf(sim->socket, sizeof(sim->socket), "%s/sock", sim->dir);
	snprintf(sim->monitor, sizeof(sim->monitor), "%s/monitor", sim->dir);
	sim->pid = fork();
	if (!sim->pid)
		sim_exec(sim, path, out[1], option);
	close(out[1]);
	for (size_t n = 0; n < 6;) {
		ssize_t got = read(out[0], word + n, 6 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(out[0]);
	return !strcmp(word, "ready\n");
}

static bool sim_start(struct sim *sim, const char *option)
{
	strcpy(sim->dir, "/tmp/npusim.XXXXXX");
	return mkdtemp(sim->dir) && sim_start_in(sim, option);
}

/* Its exit status, or -1 for anything else. */
static int sim_status(struct sim *sim)
{
	int status;

	if (waitpid(sim->pid, &status, 0) != sim->pid)
		return -1;
	sim->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int sim_end(struct sim *sim)
{
	int status = 0;

	if (sim->pid) {
		kill(sim->pid, SIGTERM);
		status = sim_status(sim);
	}
	unlink(sim->socket);
	unlink(sim->monitor);
	rmdir(sim->dir);
	return status;
}

/* ---- a guest with a mailbox -------------------------------------------- */

static int mailbox_make(struct npu_client *c, struct npu *npu)
{
	uint64_t scalars[L3L2Q_SCALARS];
	void *payload, *counters;
	int ret = npu_client_carve(c, sizeof(struct npu_mailbox), NPU_COUNTER_BYTES, scalars,
				   &payload, &counters);

	return ret ? ret : npu_open_memory(npu, payload, counters, scalars);
}

FIXTURE(npu)
{
	struct sim sim;
	struct npu_client c;
	struct npu npu;
};

FIXTURE_SETUP(npu)
{
	ASSERT_TRUE(sim_start(&self->sim, NULL)) {
		TH_LOG("no l3l2q-npusim that gets ready");
	}
	ASSERT_EQ(0, npu_client_open(&self->c, self->sim.socket, VECTORS));
	ASSERT_EQ(0, mailbox_make(&self->c, &self->npu));
}

FIXTURE_TEARDOWN(npu)
{
	int status;

	npu_close(&self->npu);
	npu_client_close(&self->c);
	status = sim_end(&self->sim);
	EXPECT_EQ(0, status);
}

/* One queue of the guest's, and its L3 end. */
struct queue {
	struct l3l2q_external ext;
	struct l3l2q_ep *ep;
	struct l3l2q_producer *p;
	struct l3l2q_consumer *c;
};

static int queue_make(struct queue *q, struct npu_client *c, uint32_t depth, uint64_t in,
		      uint64_t out, uint32_t window)
{
	const struct l3l2q_attr attr = { .window = window };
	int ret = npu_client_queue(c, depth, in, out, &q->ext);

	if (!ret)
		ret = l3l2q_attach_external(&q->ep, &q->ext, &attr, NULL);
	if (ret)
		return ret;
	q->p = l3l2q_ep_producer(q->ep);
	q->c = l3l2q_ep_consumer(q->ep);
	return 0;
}

/* An external endpoint has no scalars of its own for the NPU: they are the guest's. */
static int launch(struct npu *npu, const struct queue *q, const struct npu_request *job,
		  struct npu_reply *reply)
{
	struct npu_request request = *job;

	memcpy(request.scalars, q->ext.scalars, sizeof(request.scalars));
	return npu_launch(npu, NULL, &request, reply, LONG_NS);
}

/* @n messages there and back, of all sizes, as many on their way as fit. */
static int echo_all(struct queue *q, uint64_t n, uint64_t max, uint8_t xor)
{
	uint64_t state = 1, sent = 0, got = 0, sizes[64];
	unsigned char *body = malloc(max), *back = malloc(max);
	struct l3l2q_message m;
	int ret = 0;

	while (got < n && !ret) {
		if (sent < n && sent - got < 64) {
			sizes[sent % 64] = rnd_size(&state, max);
			body_fill(body, sizes[sent % 64], sent);
			ret = l3l2q_try_enqueue(q->p, L3L2Q_OP_DATA,
						sizes[sent % 64] ? body : NULL,
						sizes[sent % 64]);
			if (!ret) {
				sent++;
				continue;
			}
			/* the size is drawn anew, which harms nothing */
			if (ret != -EAGAIN)
				break;
		}
		ret = l3l2q_dequeue(q->c, &m, back, max, LONG_NS);
		if (ret)
			break;
		for (uint64_t i = 0; i < m.nbytes; i++)
			back[i] ^= xor;
		if (m.nbytes != sizes[got % 64] || !body_is(back, m.nbytes, got))
			ret = -EILSEQ;
		got++;
	}
	free(body);
	free(back);
	return ret;
}

/* ---- what the server says ---------------------------------------------- */

TEST_F(npu, peers_are_numbered_and_introduced)
{
	struct npu_client second, third;

	EXPECT_EQ(1, self->c.id);
	EXPECT_EQ(BYTES, self->c.bytes);
	ASSERT_EQ(0, npu_client_open(&second, self->sim.socket, VECTORS));
	EXPECT_EQ(2, second.id);
	second.gm[BYTES - 1] = 77;
	EXPECT_EQ(77, self->c.gm[BYTES - 1]);
	npu_client_close(&second);

	/* the first is told that one came, and that it went */
	for (int i = 0; i <= VECTORS; i++) {
		int64_t number = 0;
		int fd = -1;

		ASSERT_EQ(0, npu_client_recv(self->c.sock, &number, &fd));
		EXPECT_EQ(2, number);
		EXPECT_EQ(i < VECTORS, fd >= 0);
		if (fd >= 0)
			close(fd);
	}
	/* the number is free again */
	ASSERT_EQ(0, npu_client_open(&third, self->sim.socket, VECTORS));
	EXPECT_EQ(2, third.id);
	npu_client_close(&third);
}

TEST_F(npu, the_next_guest_finds_zeros)
{
	struct npu_client again;

	self->c.gm[BYTES / 2] = 1;
	npu_close(&self->npu);
	npu_client_close(&self->c);
	/* whether it has noticed or not, it serves us; the order is its own */
	for (int tries = 0; tries < 1000; tries++) {
		const struct timespec nap = { .tv_nsec = 10000000 };

		ASSERT_EQ(0, npu_client_open(&again, self->sim.socket, VECTORS));
		if (again.id == 1)
			break;
		npu_client_close(&again);
		nanosleep(&nap, NULL);
	}
	EXPECT_EQ(1, again.id);
	EXPECT_EQ(0, again.gm[BYTES / 2]);
	self->c = again;
	ASSERT_EQ(0, mailbox_make(&self->c, &self->npu));
}

TEST_F(npu, a_client_that_talks_nonsense)
{
	struct npu_client rude;
	struct npu_reply reply;
	char junk[300];

	memset(junk, 0x5a, sizeof(junk));
	ASSERT_EQ(0, npu_client_open(&rude, self->sim.socket, VECTORS));
	EXPECT_EQ(sizeof(junk), send(rude.sock, junk, sizeof(junk), MSG_NOSIGNAL));
	EXPECT_EQ(-ESRCH, npu_query(&self->npu, 1, &reply, LONG_NS));
	npu_client_close(&rude);
}

/* A connection that is never read from. */
static int silent_client(const struct sim *sim)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(name.sun_path, sim->socket);
	if (sock < 0 || connect(sock, (struct sockaddr *)&name, sizeof(name))) {
		close(sock);
		return -1;
	}
	return sock;
}

/*
 * With 64 vectors the first of them has 64 descriptors to take for each of the others,
 * more than its socket holds. All are served meanwhile; those that take nothing of what
 * is queued for them are dropped.
 */
TEST(clients_that_never_read_delay_nobody)
{
	struct pollfd dropped = { .events = POLLRDHUP };
	struct npu_reply reply;
	struct npu_client c;
	uint64_t start;
	struct sim sim;
	struct npu npu;
	int mute[10];

	ASSERT_TRUE(sim_start(&sim, "--vectors=64"));
	for (int i = 0; i < 10; i++) {
		mute[i] = silent_client(&sim);
		ASSERT_LE(0, mute[i]);
	}
	start = npu_clock();
	ASSERT_EQ(0, npu_client_open(&c, sim.socket, 64));
	ASSERT_EQ(0, mailbox_make(&c, &npu));
	EXPECT_EQ(-ESRCH, npu_query(&npu, 1, &reply, LONG_NS));
	EXPECT_GT(1500 * 1000000ull, npu_clock() - start);
	dropped.fd = mute[0];
	EXPECT_EQ(1, poll(&dropped, 1, 60000));
	EXPECT_EQ(-ESRCH, npu_query(&npu, 1, &reply, LONG_NS));
	for (int i = 0; i < 10; i++)
		close(mute[i]);
	npu_close(&npu);
	npu_client_close(&c);
	EXPECT_EQ(0, sim_end(&sim));
}

/* The eventfds' flags are shared: one that blocks, and is full, delays nobody either. */
TEST_F(npu, a_full_eventfd_that_blocks)
{
	struct npu_reply reply;

	for (int v = 0; v < VECTORS; v++) {
		ASSERT_EQ(0, eventfd_write(self->c.own[v], UINT64_MAX - 1));
		ASSERT_EQ(0, fcntl(self->c.own[v], F_SETFL, 0));
	}
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(-ESRCH, npu_query(&self->npu, 1, &reply, LONG_NS));
}

/*
 * A guest that takes a ring back has npusim wait for nothing. The ring comes with a new
 * guest and is taken while npusim introduces that one.
 */
TEST(a_doorbell_that_blocks_and_is_emptied)
{
	struct pollfd greeted = { .events = POLLIN };
	struct npu_reply reply;
	struct npu_client c;
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
	struct sim sim;
	struct npu npu;

	ASSERT_TRUE(sim_start(&sim, "--vectors=64"));
	ASSERT_EQ(0, npu_client_open(&c, sim.socket, 64));
	ASSERT_EQ(0, fcntl(c.npu[0], F_SETFL, 0));
	for (int i = 0; i < 20; i++) {
		kill(sim.pid, SIGSTOP);
		ASSERT_EQ(sim.pid, waitpid(sim.pid, NULL, WUNTRACED));
		greeted.fd = silent_client(&sim);
		ASSERT_LE(0, greeted.fd);
		ASSERT_EQ(0, eventfd_write(c.npu[0], 1));
		kill(sim.pid, SIGCONT);
		ASSERT_EQ(1, poll(&greeted, 1, 20000));
		preadv2(c.npu[0], &iov, 1, -1, RWF_NOWAIT);
		close(greeted.fd);
	}
	ASSERT_EQ(0, mailbox_make(&c, &npu));
	EXPECT_EQ(-ESRCH, npu_query(&npu, 1, &reply, LONG_NS));
	npu_close(&npu);
	npu_client_close(&c);
	EXPECT_EQ(0, sim_end(&sim));
}

/* The number that the next descriptor of a process gets. */
static int next_descriptor(pid_t pid)
{
	char path[64];
	struct stat st;
	int n = -1;

	do
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, ++n);
	while (!lstat(path, &st));
	return n;
}

TEST_F(npu, a_client_that_no_descriptor_is_left_for)
{
	struct pollfd closed = { .events = POLLRDHUP };
	struct npu_reply reply;
	struct rlimit limit;

	ASSERT_EQ(0, prlimit(self->sim.pid, RLIMIT_NOFILE, NULL, &limit));
	limit.rlim_cur = (rlim_t)next_descriptor(self->sim.pid);
	ASSERT_EQ(0, prlimit(self->sim.pid, RLIMIT_NOFILE, &limit, NULL));
	for (int i = 0; i < 3; i++) {
		closed.fd = silent_client(&self->sim);
		ASSERT_LE(0, closed.fd);
		EXPECT_EQ(1, poll(&closed, 1, 60000));
		close(closed.fd);
		EXPECT_EQ(-ESRCH, npu_query(&self->npu, 1, &reply, LONG_NS));
	}
}

static void at_the_socket(const struct sim *sim, const char *out)
{
	char command[512];

	snprintf(command, sizeof(command), "%s --socket %s --size 8M </dev/null >%s 2>&1",
		 npusim_path(), sim->socket, out);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* What a killed one left is no obstacle; the socket of one that lives is. */
TEST(the_socket_of_a_killed_one_is_taken_over)
{
	struct npu_client c;
	struct sim sim, next;
	char out[128], text[512] = "";
	int fd, status;
	pid_t pid;

	ASSERT_TRUE(sim_start(&sim, NULL));
	snprintf(out, sizeof(out), "%s/out", sim.dir);
	pid = fork();
	if (!pid)
		at_the_socket(&sim, out);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	fd = open(out, O_RDONLY);
	EXPECT_LT(0, read(fd, text, sizeof(text) - 1));
	close(fd);
	unlink(out);
	EXPECT_NE(NULL, strstr(text, "another process listens there")) {
		TH_LOG("%s", text);
	}
	ASSERT_EQ(0, npu_client_open(&c, sim.socket, VECTORS));
	EXPECT_EQ(1, c.id);
	npu_client_close(&c);

	kill(sim.pid, SIGKILL);
	sim_status(&sim);
	next = sim;
	ASSERT_TRUE(sim_start_in(&next, NULL));
	ASSERT_EQ(0, npu_client_open(&c, next.socket, VECTORS));
	npu_client_close(&c);
	EXPECT_EQ(0, sim_end(&next));
}

/* ---- requests ---------------------------------------------------------- */

TEST_F(npu, requests_that_make_no_sense)
{
	struct npu_request r = { .op = 99 };
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	EXPECT_EQ(-EINVAL, npu_call(&self->npu, &r, &reply, LONG_NS));
	EXPECT_EQ(-ESRCH, npu_wait(&self->npu, 12345, &reply, LONG_NS));
	EXPECT_EQ(-ESRCH, npu_stop(&self->npu, 0, &reply, LONG_NS));

	r = (struct npu_request){ .kind = 77 };
	EXPECT_EQ(-EINVAL, launch(&self->npu, &q, &r, &reply));
	r = (struct npu_request){ .flags = 1u << 31 };
	EXPECT_EQ(-EINVAL, launch(&self->npu, &q, &r, &reply));
	r = (struct npu_request){ .end = 77 };
	EXPECT_EQ(-EINVAL, launch(&self->npu, &q, &r, &reply));
	r = (struct npu_request){ .window = 9 };
	EXPECT_EQ(-EINVAL, launch(&self->npu, &q, &r, &reply));
	r = (struct npu_request){ .window = 2, .batch = 3 };
	EXPECT_EQ(-EINVAL, launch(&self->npu, &q, &r, &reply));
	/* books for that many are 128 GiB, which an allocator may even promise */
	r = (struct npu_request){ .window = UINT32_MAX };
	EXPECT_EQ(-EINVAL, launch(&self->npu, &q, &r, &reply));
	EXPECT_EQ(0, strcmp(reply.text, "a window larger than the depth"));
	r = (struct npu_request){ .kind = NPU_WINDOW, .window = 3 };
	EXPECT_EQ(-EINVAL, launch(&self->npu, &q, &r, &reply));
	l3l2q_close(q.ep);
}

/* A task is L2 of a queue in the SPSQ binding; scalars of both are refused. */
TEST_F(npu, a_queue_in_the_spsq_binding)
{
	const uint64_t identity[2] = { SPSQ_SESSION, SPSQ_TRANSACTION };
	struct npu_request r = { .op = NPU_OP_LAUNCH, .kind = NPU_ECHO };
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	l3l2q_close(q.ep);
	memcpy(r.scalars, q.ext.scalars, sizeof(r.scalars));
	r.scalars[6] = L3L2Q_SPSQ_VERSION;
	EXPECT_EQ(-EPROTO, npu_call(&self->npu, &r, &reply, LONG_NS));
	npu_client_spsq(&q.ext, identity);
	ASSERT_EQ(0, l3l2q_attach_external(&q.ep, &q.ext, NULL, NULL));
	q.p = l3l2q_ep_producer(q.ep);
	q.c = l3l2q_ep_consumer(q.ep);
	memcpy(r.scalars, q.ext.scalars, sizeof(r.scalars));
	r.scalars[2] = 0;
	EXPECT_EQ(-EPROTO, npu_call(&self->npu, &r, &reply, LONG_NS));
	r.scalars[2] = SPSQ_TRANSACTION;
	ASSERT_EQ(0, launch(&self->npu, &q, &r, &reply));
	EXPECT_EQ(0, echo_all(&q, 2000, 4096, 0));
	ASSERT_EQ(0, l3l2q_stop(q.p, LONG_NS));
	EXPECT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_DONE, reply.state);
	l3l2q_close(q.ep);
}

/* Each scalar in turn with numbers that somebody may find clever. */
TEST_F(npu, scalars_that_make_no_sense)
{
	const uint64_t clever[] = { 0, 1, 63, UINT64_MAX, UINT64_MAX - 63, 1ull << 63, BYTES,
				    NPU_CLIENT_GM + BYTES, NPU_CLIENT_GM - 4096, 1ull << 32 };
	struct npu_request r = { .op = NPU_OP_LAUNCH };
	struct npu_reply reply;
	struct queue q;
	int ret;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	for (unsigned int i = 0; i < L3L2Q_SCALARS; i++) {
		for (unsigned int k = 0; k < sizeof(clever) / sizeof(clever[0]); k++) {
			if (i == 1 && clever[k])
				continue; /* any number will do for a region */
			memcpy(r.scalars, q.ext.scalars, sizeof(r.scalars));
			r.scalars[i] = clever[k];
			ret = npu_call(&self->npu, &r, &reply, LONG_NS);
			EXPECT_TRUE(ret == -EPROTO || ret == -ERANGE) {
				TH_LOG("scalar %u = 0x%llx: %d", i,
				       (unsigned long long)clever[k], ret);
			}
			if (ret != -EINVAL)
				EXPECT_NE('\0', reply.text[0]);
		}
	}
	/* it was none of that: */
	memcpy(r.scalars, q.ext.scalars, sizeof(r.scalars));
	EXPECT_EQ(0, npu_call(&self->npu, &r, &reply, LONG_NS));
	EXPECT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_STOPPED, reply.state);
	l3l2q_close(q.ep);
}

/* A header that is wrong is no mailbox, wherever its counters are said to be. */
TEST_F(npu, mailboxes_that_make_no_sense)
{
	struct npu_header header, bad;
	struct npu_reply reply;
	uint64_t *place = (void *)(self->c.gm + BYTES - 65536);

	memcpy(&header, self->npu.payload, sizeof(header));
	for (int i = 0; i < 12; i++) {
		bad = header;
		switch (i) {
		case 0: bad.version++; break;
		case 1: bad.slots = 1000; break;
		case 2: bad.scalars[4] = NPU_CLIENT_GM; break;
		case 3: bad.scalars[4] += BYTES; break;
		case 4: bad.scalars[4] = UINT64_MAX - 63; break;
		case 5: bad.scalars[5] = 4; break;
		case 6: bad.scalars[3] = 64; break;
		case 7: bad.scalars[2] = UINT64_MAX - 7; break;
		case 8: bad.scalars[0] = 0; break;
		case 9: bad.scalars[1] = 0; break;
		case 10: bad.scalars[4] += 4; break;
		case 11: bad.check++; break;
		}
		if (i != 11)
			bad.check = npu_header_check(&bad);
		memcpy(place, &bad, sizeof(bad));
		/* it looks at both, and answers one */
		EXPECT_EQ(-ESRCH, npu_query(&self->npu, 1, &reply, LONG_NS));
		memset(place, 0, sizeof(bad));
	}
}

TEST_F(npu, a_second_mailbox_has_tasks_of_its_own)
{
	struct npu_request r = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct npu other;
	struct queue q;
	uint32_t task;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, mailbox_make(&self->c, &other));
	ASSERT_EQ(0, launch(&other, &q, &r, &reply));
	task = reply.task;
	EXPECT_EQ(-ESRCH, npu_query(&self->npu, task, &reply, LONG_NS));
	EXPECT_EQ(0, npu_query(&other, task, &reply, LONG_NS));
	EXPECT_EQ(NPU_RUNNING, reply.state);
	EXPECT_EQ(0, echo_all(&q, 100, 512, 0));
	npu_close(&other);
	l3l2q_close(q.ep);
}

/* ---- tasks that do their work ------------------------------------------ */

/* Echo, STOP, and what the task says of it. */
static void stream(struct __test_metadata *_metadata, struct npu *npu, struct queue *q,
		   const struct npu_request *job, uint64_t n, uint64_t max)
{
	struct npu_reply reply;
	uint32_t task;

	ASSERT_EQ(0, launch(npu, q, job, &reply)) {
		TH_LOG("%s", reply.text);
	}
	task = reply.task;
	ASSERT_EQ(0, echo_all(q, n, max, job->kind == NPU_XOR_U8 ? (uint8_t)job->arg : 0));
	ASSERT_EQ(0, l3l2q_stop(q->p, LONG_NS));
	ASSERT_EQ(0, npu_wait(npu, task, &reply, LONG_NS));
	EXPECT_EQ(NPU_DONE, reply.state);
	EXPECT_EQ(L3L2Q_ERR_NONE, reply.error);
	EXPECT_EQ(n + 1, reply.received + 1);
	EXPECT_EQ(n, reply.sent);
	EXPECT_EQ(reply.received_bytes, reply.sent_bytes);
}

TEST_F(npu, echo_is_the_same_byte_for_byte)
{
	const struct npu_request jobs[] = {
		{ .kind = NPU_ECHO },
		{ .kind = NPU_ECHO, .window = 4 },
		{ .kind = NPU_ECHO, .window = 8, .batch = 4 },
		{ .kind = NPU_ECHO, .window = 8, .batch = 8 },
		{ .kind = NPU_XOR_U8, .arg = 0x5a },
	};

	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		struct queue q;

		ASSERT_EQ(0, queue_make(&q, &self->c, 8, 16384, 8192, 1 + i % 3));
		stream(_metadata, &self->npu, &q, &jobs[i], 2000, 8192);
		l3l2q_close(q.ep);
	}
}

TEST_F(npu, sixteen_tasks_at_a_time)
{
	struct npu_request job = { .kind = NPU_ECHO, .window = 2 };
	struct queue q[16];
	struct npu_reply reply;
	uint32_t task[16];

	for (int i = 0; i < 16; i++) {
		ASSERT_EQ(0, queue_make(&q[i], &self->c, 4, 4096, 4096, 1));
		ASSERT_EQ(0, launch(&self->npu, &q[i], &job, &reply));
		task[i] = reply.task;
	}
	for (int i = 0; i < 16; i++)
		EXPECT_EQ(0, l3l2q_enqueue(q[i].p, L3L2Q_OP_DATA, &task[i], 4, LONG_NS));
	for (int i = 15; i >= 0; i--) {
		struct l3l2q_message m;
		uint32_t back = 0;

		EXPECT_EQ(0, l3l2q_dequeue(q[i].c, &m, &back, 4, LONG_NS));
		EXPECT_EQ(task[i], back);
		EXPECT_EQ(0, l3l2q_stop(q[i].p, LONG_NS));
		EXPECT_EQ(0, npu_wait(&self->npu, task[i], &reply, LONG_NS));
		EXPECT_EQ(NPU_DONE, reply.state);
		l3l2q_close(q[i].ep);
	}
}

TEST_F(npu, sink_sums_up_all_bytes)
{
	struct npu_request job = { .kind = NPU_SINK, .window = 4, .batch = 2 };
	uint64_t sum = NPU_CHECKSUM_START, bytes = 0;
	struct npu_reply reply;
	struct queue q;
	char body[1000];

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 64, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	for (uint64_t i = 0; i < 500; i++) {
		uint64_t n = mix(i) % sizeof(body);

		body_fill(body, n, i);
		ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, n ? body : NULL, n, LONG_NS));
		sum = npu_checksum(sum, body, n);
		bytes += n;
	}
	ASSERT_EQ(0, l3l2q_stop(q.p, LONG_NS));
	ASSERT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_DONE, reply.state);
	EXPECT_EQ(500, reply.received);
	EXPECT_EQ(0, reply.sent);
	EXPECT_EQ(bytes, reply.received_bytes);
	EXPECT_EQ(sum, reply.checksum);
	l3l2q_close(q.ep);
}

TEST_F(npu, add_f32_adds)
{
	const float add = 1.25f;
	struct npu_request job = { .kind = NPU_ADD_F32 };
	struct npu_reply reply;
	struct l3l2q_message m;
	float tile[256], back[256];
	struct queue q;

	memcpy(&job.arg, &add, sizeof(add));
	ASSERT_EQ(0, queue_make(&q, &self->c, 2, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	for (int i = 0; i < 256; i++)
		tile[i] = (float)i * 0.5f - 7;
	ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, tile, sizeof(tile), LONG_NS));
	ASSERT_EQ(0, l3l2q_dequeue(q.c, &m, back, sizeof(back), LONG_NS));
	ASSERT_EQ(sizeof(back), m.nbytes);
	for (int i = 0; i < 256; i++)
		EXPECT_EQ(tile[i] + add, back[i]);
	EXPECT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
	l3l2q_close(q.ep);
}

TEST_F(npu, a_message_that_cannot_come_back_is_an_error_in_words)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct l3l2q_message m;
	char body[2048] = "", words[256] = "";
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 2, 4096, 1024, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, body, sizeof(body), LONG_NS));
	ASSERT_EQ(0, l3l2q_dequeue(q.c, &m, words, sizeof(words) - 1, LONG_NS));
	EXPECT_EQ(L3L2Q_OP_ERROR, m.opcode);
	EXPECT_NE(NULL, strstr(words, "larger"));
	EXPECT_EQ(0, echo_all(&q, 10, 1024, 0));
	EXPECT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_STOPPED, reply.state);
	l3l2q_close(q.ep);
}

TEST_F(npu, delay_is_at_least_that)
{
	struct npu_request job = { .kind = NPU_ECHO, .delay_us = 20000 };
	struct npu_reply reply;
	struct queue q;
	uint64_t start;

	ASSERT_EQ(0, queue_make(&q, &self->c, 2, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	start = npu_clock();
	EXPECT_EQ(0, echo_all(&q, 3, 16, 0));
	EXPECT_LE(3 * 20000 * 1000, npu_clock() - start);
	EXPECT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
	l3l2q_close(q.ep);
}

/* ---- the reference's example of a window -------------------------------- */

#define FLOATS 1024
#define TILE_BYTES (NPU_TILE_OFFSET + FLOATS * sizeof(float))

struct tile {
	struct npu_input input;
	char pad[NPU_TILE_OFFSET - sizeof(struct npu_input)];
	float x[FLOATS];
};

static int send_tile(struct queue *q, uint64_t request, uint64_t mode)
{
	struct tile t = { .input = { .request = request, .mode = mode } };

	for (int i = 0; i < FLOATS; i++)
		t.x[i] = (float)request * 100 + (float)i;
	return l3l2q_enqueue(q->p, L3L2Q_OP_DATA, &t, sizeof(t), LONG_NS);
}

/* Take the next answer: is it this one, all of it? */
static bool answer_is(struct queue *q, uint64_t request, uint64_t kind, uint64_t aux)
{
	struct {
		struct npu_output output;
		char pad[NPU_TILE_OFFSET - sizeof(struct npu_output)];
		float x[FLOATS];
	} got;
	struct l3l2q_message m;
	float first, second;

	if (l3l2q_dequeue(q->c, &m, &got, sizeof(got), LONG_NS) || m.nbytes != sizeof(got) ||
	    m.opcode != L3L2Q_OP_DATA || got.output.request != request ||
	    got.output.kind != kind || got.output.aux != aux)
		return false;
	for (size_t i = 0; i < sizeof(got.pad); i++)
		if (got.pad[i])
			return false;
	for (int i = 0; i < FLOATS; i++) {
		first = (float)request * 100 + (float)i;
		second = aux ? (float)aux * 100 + (float)i : (float)kind;
		if (got.x[i] != first + second)
			return false;
	}
	return true;
}

TEST_F(npu, window_holds_reorders_splits_and_merges)
{
	struct npu_request job = { .kind = NPU_WINDOW, .window = 4 };
	struct npu_reply reply;
	struct l3l2q_message m;
	char words[128] = "";
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 8 * 4160, 8 * 4160, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	/* more rounds than the ring has slots, the arenas wrap in between */
	for (uint64_t r = 1; r < 100; r += 2) {
		ASSERT_EQ(0, send_tile(&q, r, NPU_MODE_HOLD));
		EXPECT_EQ(-ETIMEDOUT, l3l2q_dequeue(q.c, &m, words, 1, 1000000));
		ASSERT_EQ(0, send_tile(&q, r + 1, NPU_MODE_FLUSH));
		ASSERT_TRUE(answer_is(&q, r + 1, NPU_ANSWER_FLUSH, 0));
		ASSERT_TRUE(answer_is(&q, r, NPU_ANSWER_HELD, 0));
		ASSERT_TRUE(answer_is(&q, r, NPU_ANSWER_HELD_AGAIN, 0));
	}
	ASSERT_EQ(0, send_tile(&q, 0, NPU_MODE_HOLD));
	ASSERT_EQ(0, l3l2q_dequeue(q.c, &m, words, sizeof(words) - 1, LONG_NS));
	EXPECT_EQ(L3L2Q_OP_ERROR, m.opcode);
	EXPECT_EQ(0, strcmp(words, "no number"));
	/* two are held for long, two pass them by: more do not fit into the window */
	ASSERT_EQ(0, send_tile(&q, 201, NPU_MODE_PAIR));
	ASSERT_EQ(0, send_tile(&q, 202, NPU_MODE_PAIR));
	ASSERT_EQ(0, send_tile(&q, 301, NPU_MODE_HOLD));
	ASSERT_EQ(0, send_tile(&q, 302, NPU_MODE_FLUSH));
	ASSERT_TRUE(answer_is(&q, 302, NPU_ANSWER_FLUSH, 0));
	ASSERT_TRUE(answer_is(&q, 301, NPU_ANSWER_HELD, 0));
	ASSERT_TRUE(answer_is(&q, 301, NPU_ANSWER_HELD_AGAIN, 0));
	ASSERT_EQ(0, l3l2q_stop(q.p, LONG_NS));
	ASSERT_TRUE(answer_is(&q, 201, NPU_ANSWER_PAIR, 202));
	ASSERT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_DONE, reply.state);
	EXPECT_EQ(100 + 1 + 4, reply.received);
	EXPECT_EQ(150 + 1 + 3 + 1, reply.sent);
	l3l2q_close(q.ep);
}

/* ---- ringing ----------------------------------------------------------- */

static uint64_t ring_count(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	if (poll(&pfd, 1, timeout_ms) > 0 && read(fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	return n;
}

/* Rung for each of our stores, it rings for each of its own, on our vector only. */
TEST_F(npu, doorbells_go_by_the_region_id)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct npu_reply reply;

	for (int i = 0; i < 4; i++) {
		struct l3l2q_message m;
		struct queue q;
		unsigned int v;
		uint64_t quiet;

		ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
		v = q.ext.scalars[1] % VECTORS;
		ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
		ring_count(self->c.own[0], 0);
		ring_count(self->c.own[1], 0);
		quiet = 0;
		for (int k = 0; k < 50; k++) {
			uint32_t body = k, back = 0;

			ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, &body, 4, LONG_NS));
			ASSERT_EQ(0, eventfd_write(self->c.npu[v], 1));
			ASSERT_LT(0, ring_count(self->c.own[v], 60000));
			ASSERT_EQ(0, l3l2q_try_dequeue(q.c, &m, &back, 4));
			EXPECT_EQ(body, back);
			ASSERT_EQ(0, eventfd_write(self->c.npu[v], 1));
			quiet += ring_count(self->c.own[!v], 0);
		}
		/* on the mailbox's own it may just have rung for a reply */
		if (v == 1 % VECTORS)
			EXPECT_EQ(0, quiet);
		EXPECT_EQ(0, l3l2q_stop(q.p, LONG_NS));
		ASSERT_EQ(0, eventfd_write(self->c.npu[v], 1));
		ASSERT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
		EXPECT_EQ(NPU_DONE, reply.state);
		EXPECT_LE(50, reply.rings);
		l3l2q_close(q.ep);
	}
}

TEST_F(npu, a_ringing_task_sleeps_until_rung)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct npu_reply reply;
	struct l3l2q_message m;
	struct queue q;
	char back;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	do {
		ASSERT_EQ(0, npu_query(&self->npu, reply.task, &reply, LONG_NS));
	} while (!reply.sleeps);
	ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, "x", 1, LONG_NS));
	ASSERT_EQ(0, eventfd_write(self->c.npu[q.ext.scalars[1] % VECTORS], 1));
	EXPECT_EQ(0, l3l2q_dequeue(q.c, &m, &back, 1, LONG_NS));
	EXPECT_EQ('x', back);
	/* and it does not sleep for ever if somebody forgets to ring */
	ASSERT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, "y", 1, LONG_NS));
	EXPECT_EQ(0, l3l2q_dequeue(q.c, &m, &back, 1, LONG_NS));
	EXPECT_EQ('y', back);
	EXPECT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
	l3l2q_close(q.ep);
}

TEST_F(npu, a_silent_task_never_rings)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct queue q;
	unsigned int v;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	/* the mailbox has the other vector */
	v = q.ext.scalars[1] % VECTORS;
	ASSERT_NE(v, 1 % VECTORS);
	stream(_metadata, &self->npu, &q, &job, 500, 4096);
	EXPECT_EQ(0, ring_count(self->c.own[v], 0));
	npu_query(&self->npu, 1, &reply, LONG_NS);
	EXPECT_EQ(0, reply.rings);
	l3l2q_close(q.ep);
}

TEST_F(npu, a_batch_rings_once)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING, .window = 8, .batch = 8 };
	struct npu_reply reply;
	struct l3l2q_message m;
	struct queue q;
	uint32_t back;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, l3l2q_batch_begin(q.p));
	for (uint32_t i = 0; i < 8; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(q.p, L3L2Q_OP_DATA, &i, 4));
	ASSERT_EQ(0, l3l2q_batch_publish(q.p));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	for (uint32_t i = 0; i < 8; i++) {
		ASSERT_EQ(0, l3l2q_dequeue(q.c, &m, &back, 4, LONG_NS));
		EXPECT_EQ(i, back);
	}
	ASSERT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(1, reply.rings);
	l3l2q_close(q.ep);
}

/* ---- tasks that come to grief ------------------------------------------- */

TEST_F(npu, abort_is_a_remote_abort)
{
	struct npu_request job = { .kind = NPU_ECHO, .end = NPU_END_ABORT, .end_after = 5 };
	struct npu_reply reply;
	struct l3l2q_message m;
	struct queue q;
	char c;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	EXPECT_EQ(0, echo_all(&q, 5, 512, 0));
	EXPECT_EQ(-ECONNABORTED, l3l2q_dequeue(q.c, &m, &c, 1, LONG_NS));
	ASSERT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_CRASHED, reply.state);
	EXPECT_EQ(L3L2Q_ERR_ENDPOINT_ERROR, reply.error);
	EXPECT_EQ(5, reply.received);
	l3l2q_close(q.ep);
}

TEST_F(npu, hang_is_a_time_out_and_nothing_else)
{
	struct npu_request job = { .kind = NPU_ECHO, .end = NPU_END_HANG, .end_after = 3 };
	struct npu_reply reply;
	struct l3l2q_message m;
	struct l3l2q_error error;
	struct queue q;
	char c;

	ASSERT_EQ(0, queue_make(&q, &self->c, 4, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	EXPECT_EQ(0, echo_all(&q, 3, 512, 0));
	ASSERT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_CRASHED, reply.state);
	EXPECT_EQ(L3L2Q_ERR_NONE, reply.error);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, &job, 1, SHORT_NS));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, &job, 1, SHORT_NS));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_dequeue(q.c, &m, &c, 1, SHORT_NS));
	l3l2q_ep_error(q.ep, &error);
	EXPECT_EQ(L3L2Q_ERR_NONE, error.kind);
	l3l2q_close(q.ep);
}

TEST_F(npu, exit_takes_the_socket_along)
{
	struct npu_request job = { .kind = NPU_ECHO, .end = NPU_END_EXIT, .end_after = 3 };
	struct pollfd gone = { .fd = self->c.sock, .events = POLLIN };
	struct npu_reply reply;
	struct l3l2q_message m;
	struct queue q;
	char c;

	ASSERT_EQ(0, queue_make(&q, &self->c, 4, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	EXPECT_EQ(0, echo_all(&q, 3, 512, 0));
	EXPECT_EQ(1, poll(&gone, 1, 60000));
	EXPECT_EQ(0, recv(self->c.sock, &c, 1, 0));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_dequeue(q.c, &m, &c, 1, SHORT_NS));
	EXPECT_EQ(-ETIMEDOUT, npu_query(&self->npu, reply.task, &reply, SHORT_NS));
	EXPECT_EQ(NPU_EXIT_TOLD, sim_status(&self->sim));
	l3l2q_close(q.ep);
}

/*
 * Whatever it writes, L3 gets a message, nothing, or an error; never a view
 * outside its arena, and it stays alive.
 */
TEST_F(npu, scribbling_harms_nobody_but_its_own_queue)
{
	const uint32_t what[] = {
		NPU_SCRIBBLE_COUNTERS,
		NPU_SCRIBBLE_RINGS,
		NPU_SCRIBBLE_ARENAS,
		NPU_SCRIBBLE_RINGS | NPU_SCRIBBLE_ARENAS | NPU_SCRIBBLE_COUNTERS,
	};
	struct npu_request good = { .kind = NPU_ECHO };
	struct npu_reply reply, other;
	struct queue bystander;
	unsigned int ended = 0;

	ASSERT_EQ(0, queue_make(&bystander, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &bystander, &good, &other));
	for (unsigned int round = 0; round < 40; round++) {
		struct npu_request job = {
			.kind = NPU_ECHO, .end = NPU_END_SCRIBBLE, .end_after = round % 7,
			.arg = round + 1, .arg2 = 100, .flags = what[round % 4],
		};
		struct l3l2q_message m;
		struct l3l2q_error error;
		struct queue q;
		uint64_t used = self->c.used;
		ptrdiff_t from;
		int ret = 0;

		ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 2));
		ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
		ret = echo_all(&q, job.end_after, 512, 0);
		/* the scribbling may already have begun with the last of them */
		for (int i = 0; i < 2000 && (!ret || ret == -EAGAIN); i++) {
			l3l2q_try_enqueue(q.p, L3L2Q_OP_DATA, "x", 1);
			ret = l3l2q_try_peek(q.c, &m);
			if (ret)
				continue;
			from = (unsigned char *)m.data - (unsigned char *)q.ext.payload;
			if (m.nbytes)
				ASSERT_TRUE(from >= 0 && (uint64_t)from + m.nbytes <=
					    q.ext.scalars[3]);
			ret = l3l2q_release(q.c, &m);
		}
		l3l2q_ep_error(q.ep, &error);
		EXPECT_TRUE(error.kind == L3L2Q_ERR_NONE ||
			    error.kind == L3L2Q_ERR_INVALID_DESCRIPTOR ||
			    error.kind == L3L2Q_ERR_REMOTE_ABORTED) {
			TH_LOG("%s: %s", error.op, error.message);
		}
		ended += error.kind != L3L2Q_ERR_NONE;
		ASSERT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
		l3l2q_close(q.ep);
		self->c.used = used; /* its memory is the next one's */
	}
	/* it does do harm to its own */
	EXPECT_LT(0, ended);
	EXPECT_EQ(0, echo_all(&bystander, 100, 1024, 0));
	EXPECT_EQ(0, npu_stop(&self->npu, other.task, &other, LONG_NS));
	l3l2q_close(bystander.ep);
}

TEST_F(npu, an_abort_of_l3_ends_the_task)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	EXPECT_EQ(0, echo_all(&q, 5, 512, 0));
	EXPECT_EQ(0, l3l2q_abort(q.ep));
	ASSERT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_FAILED, reply.state);
	EXPECT_EQ(L3L2Q_ERR_REMOTE_ABORTED, reply.error);
	EXPECT_EQ(0, *(int32_t *)((char *)q.ext.counters + L3L2Q_CTR_L2_ABORT));
	l3l2q_close(q.ep);
}

/* A queue is freed under a task: whoever has the memory next is left alone. */
TEST_F(npu, a_task_whose_memory_is_reused_goes_quietly)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
	EXPECT_EQ(0, echo_all(&q, 5, 512, 0));
	l3l2q_close(q.ep);
	for (int at = L3L2Q_COUNTER_BYTES - 4; at >= 0; at -= 4)
		__atomic_store_n((int32_t *)((char *)q.ext.counters + at), 0, __ATOMIC_RELEASE);
	ASSERT_EQ(0, npu_wait(&self->npu, reply.task, &reply, LONG_NS));
	EXPECT_EQ(NPU_GONE, reply.state);
	for (unsigned int i = 0; i < L3L2Q_COUNTER_BYTES; i++)
		EXPECT_EQ(0, ((char *)q.ext.counters)[i]);
}

/* A removal tells the NPU nothing: until it notices, a task goes on as we do here. */
TEST_F(npu, a_task_that_stored_into_the_next_queue)
{
	static const uint32_t its[] = { L3L2Q_CTR_INPUT_HEAD, L3L2Q_CTR_OUTPUT_TAIL,
					L3L2Q_CTR_L2_ABORT };
	struct npu_request job = { .kind = NPU_ECHO };
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	for (int i = 0; i < 3; i++)
		__atomic_store_n((int32_t *)((char *)q.ext.counters + its[i]), 1, __ATOMIC_RELEASE);
	stream(_metadata, &self->npu, &q, &job, 10, 64);
	EXPECT_EQ(0, *(int32_t *)((char *)q.ext.counters + L3L2Q_CTR_L2_ABORT));
	l3l2q_close(q.ep);
}

TEST_F(npu, a_used_queue_is_refused)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct queue q;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	stream(_metadata, &self->npu, &q, &job, 10, 64);
	EXPECT_EQ(-EPROTO, launch(&self->npu, &q, &job, &reply));
	l3l2q_close(q.ep);
}

TEST_F(npu, tasks_end_with_their_mailbox)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct npu other;
	struct queue q, r;

	ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, queue_make(&r, &self->c, 8, 4096, 4096, 1));
	ASSERT_EQ(0, mailbox_make(&self->c, &other));
	ASSERT_EQ(0, launch(&other, &q, &job, &reply));
	EXPECT_EQ(0, echo_all(&q, 5, 512, 0));
	npu_close(&other);
	/* by the time that it has taken another request it has seen that */
	ASSERT_EQ(0, launch(&self->npu, &r, &job, &reply));
	EXPECT_EQ(0, l3l2q_enqueue(q.p, L3L2Q_OP_DATA, "x", 1, LONG_NS));
	EXPECT_EQ(-ETIMEDOUT, l3l2q_dequeue(q.c, &(struct l3l2q_message){ 0 }, &(char){ 0 }, 1,
					    SHORT_NS));
	EXPECT_EQ(0, npu_stop(&self->npu, reply.task, &reply, LONG_NS));
	l3l2q_close(q.ep);
	l3l2q_close(r.ep);
}

/* As after a removal: nobody said good-bye, and another mailbox lies there. */
TEST_F(npu, a_mailbox_in_the_place_of_another)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	uint64_t used = self->c.used;
	struct queue q;

	for (int i = 0; i < 50; i++) {
		self->c.used = used;
		ASSERT_EQ(0, queue_make(&q, &self->c, 8, 4096, 4096, 1));
		ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
		EXPECT_EQ(0, echo_all(&q, 5, 512, 0));
		l3l2q_close(q.ep);
		self->c.used = NPU_PAGE;
		/* at times with the same number, as after a reload of the driver */
		self->c.region_id = i % 2 ? 0 : 1000 + i;
		ASSERT_EQ(0, mailbox_make(&self->c, &self->npu));
		EXPECT_EQ(-ESRCH, npu_query(&self->npu, reply.task, &reply, LONG_NS));
	}
}

/* More than the table holds, one after the other. */
TEST_F(npu, a_thousand_tasks_in_turn)
{
	struct npu_request job = { .kind = NPU_ECHO, .end = NPU_END_HANG };
	struct npu_reply reply;
	uint32_t last = 0;

	for (int i = 0; i < 1000; i++) {
		struct queue q;
		uint64_t used = self->c.used;

		ASSERT_EQ(0, queue_make(&q, &self->c, 1, 64, 64, 1));
		ASSERT_EQ(0, launch(&self->npu, &q, &job, &reply));
		EXPECT_EQ(last + 1, reply.task);
		last = reply.task;
		ASSERT_EQ(0, npu_wait(&self->npu, last, &reply, LONG_NS));
		EXPECT_EQ(NPU_CRASHED, reply.state);
		l3l2q_close(q.ep);
		self->c.used = used;
	}
}

TEST_F(npu, too_many_tasks_are_refused)
{
	struct npu_request job = { .kind = NPU_ECHO };
	struct npu_reply reply;
	struct queue q;
	int n = 0, ret;

	do {
		ASSERT_EQ(0, queue_make(&q, &self->c, 1, 64, 64, 1));
		ret = launch(&self->npu, &q, &job, &reply);
		l3l2q_close(q.ep);
	} while (!ret && ++n < 1000);
	EXPECT_EQ(-ENOSPC, ret);
	EXPECT_EQ(256, n);
}

/* ---- the monitor ------------------------------------------------------- */

/* A monitor that refuses a line @refusals times. What it was told, in @heard. */
static bool monitor_serve(int listener, int refusals, char *heard, size_t size, int lines)
{
	const char *greeting = "QEMU 0 monitor - type 'help'\r\n(qemu) ";
	const char *error = "\x1b[Kx\r\nError: Chardev 'npu' is busy\r\n(qemu) ";
	const char *fine = "\x1b[Kx\r\n(qemu) ";
	int sock = accept(listener, NULL, NULL);
	size_t used = 0;

	send(sock, greeting, strlen(greeting), MSG_NOSIGNAL);
	heard[0] = '\0';
	while (lines) {
		const char *answer = fine;
		ssize_t n = recv(sock, heard + used, size - 1 - used, 0);

		if (n <= 0)
			break;
		used += (size_t)n;
		heard[used] = '\0';
		if (heard[used - 1] != '\n')
			continue;
		if (refusals-- > 0)
			answer = error;
		else
			lines--;
		send(sock, answer, strlen(answer), MSG_NOSIGNAL);
	}
	close(sock);
	return !lines;
}

TEST_F(npu, the_monitor_is_told_until_it_obeys)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char heard[512];
	int ret;

	strcpy(name.sun_path, self->sim.monitor);
	ASSERT_EQ(0, bind(listener, (struct sockaddr *)&name, sizeof(name)));
	ASSERT_EQ(0, listen(listener, 1));
	ASSERT_EQ(0, npu_monitor(&self->npu, "device_del npu\nchardev-remove npu", LONG_NS));
	EXPECT_EQ(-EBUSY, npu_monitor(&self->npu, "quit", LONG_NS));
	EXPECT_TRUE(monitor_serve(listener, 2, heard, sizeof(heard), 2));
	EXPECT_EQ(0, strcmp(heard, "device_del npu\ndevice_del npu\ndevice_del npu\n"
			    "chardev-remove npu\n")) {
		TH_LOG("%s", heard);
	}
	/* another one, once it has seen that the first is done */
	do {
		ret = npu_monitor(&self->npu, "info status", LONG_NS);
	} while (ret == -EBUSY);
	EXPECT_EQ(0, ret);
	EXPECT_TRUE(monitor_serve(listener, 0, heard, sizeof(heard), 1));
	EXPECT_EQ(0, strcmp(heard, "info status\n"));
	close(listener);
}

/* ---- options ----------------------------------------------------------- */

TEST(a_silent_npu_never_rings)
{
	struct npu_request job = { .kind = NPU_ECHO, .flags = NPU_RING };
	struct npu_client c;
	struct sim sim;
	struct npu npu;
	struct queue q;

	ASSERT_TRUE(sim_start(&sim, "--silent"));
	ASSERT_EQ(0, npu_client_open(&c, sim.socket, VECTORS));
	ASSERT_EQ(0, mailbox_make(&c, &npu));
	ASSERT_EQ(0, queue_make(&q, &c, 8, 4096, 4096, 1));
	stream(_metadata, &npu, &q, &job, 100, 512);
	EXPECT_EQ(0, ring_count(c.own[0], 0));
	EXPECT_EQ(0, ring_count(c.own[1], 0));
	l3l2q_close(q.ep);
	npu_client_close(&c);
	EXPECT_EQ(0, sim_end(&sim));
}

TEST(memory_can_outlive_the_guest)
{
	struct npu_client c;
	struct sim sim;

	ASSERT_TRUE(sim_start(&sim, "--keep"));
	ASSERT_EQ(0, npu_client_open(&c, sim.socket, VECTORS));
	c.gm[12345] = 99;
	npu_client_close(&c);
	ASSERT_EQ(0, npu_client_open(&c, sim.socket, VECTORS));
	EXPECT_EQ(99, c.gm[12345]);
	npu_client_close(&c);
	EXPECT_EQ(0, sim_end(&sim));
}

TEST_HARNESS_MAIN
