// SPDX-License-Identifier: MIT
/*
 * l3l2qctl: what it says of a queue in each state that a queue is stuck in, over memfd
 * and the driver, and that its looking changes nothing. L3L2QCTL is the program.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../libuser/src/trace.h"
#include "proto_transport.h"

#define NEVER_NS	(60 * 1000000000ll)
#define TRIES		2000	/* looks until something is seen that will come */

FIXTURE(ctl) {
	struct pair p;
	struct l3l2q_producer *in;
	struct l3l2q_consumer *from_l3;
	char id[32];
	char text[65536];
	size_t length;
	int status;
	pid_t child;
	int talk;		/* to the child */
	char file[64];
};

/* Beside this test if it is there: with the same sanitizers. */
static const char *program(void)
{
	const char *name = getenv("L3L2QCTL");
	static char beside[512];
	char *end;
	ssize_t n;

	if (name)
		return name;
	n = readlink("/proc/self/exe", beside, sizeof(beside) - 16);
	beside[n > 0 ? n : 0] = 0;
	end = strrchr(beside, '/');
	if (end) {
		strcpy(end, "/l3l2qctl");
		if (!access(beside, X_OK))
			return beside;
	}
	return !access("build/bin/l3l2qctl", X_OK) ? "build/bin/l3l2qctl" : "/bin/l3l2qctl";
}

/* What it prints and its exit status. */
static void run(FIXTURE_DATA(ctl) *self, const char *words)
{
	char command[1024];
	FILE *f;

	snprintf(command, sizeof(command), "exec %s %s 2>&1", program(), words);
	fflush(NULL);
	f = popen(command, "re");
	self->length = f ? fread(self->text, 1, sizeof(self->text) - 1, f) : 0;
	self->text[self->length] = 0;
	self->status = f ? pclose(f) : -1;
	self->status = WIFEXITED(self->status) ? WEXITSTATUS(self->status) : -1;
}

static bool shows(FIXTURE_DATA(ctl) *self, const char *sentence)
{
	char words[64];

	snprintf(words, sizeof(words), "show %s", self->id);
	run(self, words);
	if (!self->status && strstr(self->text, sentence))
		return true;
	fprintf(stderr, "# status %d, no \"%s\" in:\n%s", self->status, sentence, self->text);
	return false;
}

/* A file of this test's, which is not there. */
static const char *dump_path(FIXTURE_DATA(ctl) *self)
{
	snprintf(self->file, sizeof(self->file), "/tmp/proto_ctl.%d", getpid());
	unlink(self->file);
	return self->file;
}

static void run_on(FIXTURE_DATA(ctl) *self, const char *before, const char *after)
{
	char words[256];

	snprintf(words, sizeof(words), "%s %s %s", before, self->id, after);
	run(self, words);
}

static void know_id(FIXTURE_DATA(ctl) *self, const struct l3l2q_ep *ep)
{
	struct l3l2q_ep_info info;

	l3l2q_ep_info(ep, &info);
	snprintf(self->id, sizeof(self->id), "%llu", (unsigned long long)info.region_id);
}

FIXTURE_SETUP(ctl)
{
	if (!is_memfd() && !transport_is("driver"))
		SKIP(return, "not over %s", transport());
	self->talk = -1;
	self->p.attr = (struct l3l2q_attr){ .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 256, .window = 2, .tag = "stuck \"here\"" };
	attr_bind(&self->p.attr);
	ASSERT_EQ(0, pair_create(&self->p));
	self->in = l3l2q_ep_producer(self->p.ep[L3L2Q_ROLE_L3]);
	know_id(self, self->p.ep[L3L2Q_ROLE_L3]);
}

FIXTURE_TEARDOWN(ctl)
{
	if (self->talk >= 0)
		close(self->talk);
	if (self->file[0])
		unlink(self->file);
	if (self->child > 0) {
		kill(self->child, SIGKILL);
		waitpid(self->child, NULL, 0);
	}
	pair_close(&self->p);
}

static void attach(struct __test_metadata *_metadata, FIXTURE_DATA(ctl) *self)
{
	ASSERT_EQ(0, pair_attach(&self->p));
	self->from_l3 = l3l2q_ep_consumer(self->p.ep[L3L2Q_ROLE_L2]);
}

/* L2 in a child, which stays until it is killed; it waits for a message if @waits. */
static void attach_child(struct __test_metadata *_metadata, FIXTURE_DATA(ctl) *self, bool waits)
{
	struct l3l2q_message m;
	int fds[2];
	char c;

	ASSERT_EQ(0, pipe(fds));
	fflush(NULL);
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		close(fds[0]);
		if (pair_attach(&self->p) || write(fds[1], "a", 1) != 1)
			_exit(1);
		close(fds[1]);
		if (waits)
			l3l2q_peek(l3l2q_ep_consumer(self->p.ep[L3L2Q_ROLE_L2]), &m, NEVER_NS);
		for (;;)
			pause();
	}
	close(fds[1]);
	EXPECT_EQ(1, read(fds[0], &c, 1));
	close(fds[0]);
	close(self->p.peer_fd);
	self->p.peer_fd = -1;
}

TEST_F(ctl, lists_it_once_with_its_tag)
{
	char *first;

	attach(_metadata, self);
	run(self, "list");
	EXPECT_EQ(0, self->status);
	first = strstr(self->text, self->id);
	ASSERT_NE(NULL, first);
	EXPECT_EQ(NULL, strstr(first + 1, self->id));
	EXPECT_NE(NULL, strstr(first, "stuck \\\"here\\\""));
	EXPECT_NE(NULL, strstr(first, is_memfd() ? "memfd" : "ram"));
}

TEST_F(ctl, full_ring)
{
	int i;

	attach(_metadata, self);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, NULL, 0));
	EXPECT_TRUE(shows(self, is_memfd() ?
			  "The input ring is full: L2 has 4 messages to take or to release." :
			  "The input ring is full: L2 holds 0 messages and has 4 to take."));
	EXPECT_NE(NULL, strstr(self->text, "4 of 4 used"));
}

TEST_F(ctl, full_arena_with_a_held_view)
{
	static const char body[128];
	struct l3l2q_message m;

	attach(_metadata, self);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, sizeof(body)));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, sizeof(body)));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &m));
	ASSERT_EQ(-EAGAIN, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, sizeof(body)));
	if (is_memfd()) {
		EXPECT_TRUE(shows(self, "L2 has 2 input messages to take or to release"));
		return;
	}
	EXPECT_TRUE(shows(self, "L3 waits for room: needs 128 B, 0 B free, oldest message seq 1 held by L2 for at least"));
	ASSERT_EQ(0, l3l2q_release(self->from_l3, &m));
	EXPECT_FALSE(shows(self, "waits for room"));
}

static void *send_more(void *arg)
{
	FIXTURE_DATA(ctl) *self = arg;
	static const char body[192];

	return (void *)(intptr_t)l3l2q_enqueue(self->in, L3L2Q_OP_DATA, body, sizeof(body),
					       NEVER_NS);
}

/* What a sleeper waits for is told over memfd too. */
TEST_F(ctl, sleeps_for_room)
{
	static const char body[128];
	struct l3l2q_message m;
	pthread_t thread;
	int tries, i;
	void *ret;

	attach(_metadata, self);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, body, sizeof(body)));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, NULL, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_more, self));
	for (tries = 0; tries < TRIES; tries++) {
		run_on(self, "show", "");
		if (strstr(self->text, "L3 waits for room: needs 192 B, 128 B free, oldest message seq 1 "))
			break;
	}
	EXPECT_NE(TRIES, tries);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &m));
		ASSERT_EQ(0, l3l2q_release(self->from_l3, &m));
	}
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(0, (intptr_t)ret);
}

TEST_F(ctl, consumer_asleep)
{
	int tries;

	attach_child(_metadata, self, true);
	/* It is asleep once it has armed; nobody else can tell. */
	for (tries = 0; tries < TRIES; tries++) {
		char words[64];

		snprintf(words, sizeof(words), "show %s", self->id);
		run(self, words);
		if (strstr(self->text, "L2 waits for L3 to send input messages."))
			break;
	}
	EXPECT_TRUE(shows(self, "L2 waits for L3 to send input messages."));
}

TEST_F(ctl, consumer_stopped)
{
	int status;

	attach_child(_metadata, self, false);
	ASSERT_EQ(0, kill(self->child, SIGSTOP));
	ASSERT_EQ(self->child, waitpid(self->child, &status, WUNTRACED));
	EXPECT_TRUE(shows(self, "L2 is stopped by a signal: process"));
}

TEST_F(ctl, peer_never_attached)
{
	EXPECT_TRUE(shows(self, is_memfd() ? "L2: nobody has opened this end."
					   : "L2 has not attached."));
	/* Looking is no attaching. */
	EXPECT_TRUE(shows(self, "L2"));
	attach(_metadata, self);
	EXPECT_TRUE(shows(self, "Nothing is waited for."));
}

TEST_F(ctl, peer_dead)
{
	attach_child(_metadata, self, false);
	EXPECT_TRUE(shows(self, "Nothing is waited for."));
	ASSERT_EQ(0, kill(self->child, SIGKILL));
	ASSERT_EQ(self->child, waitpid(self->child, NULL, 0));
	EXPECT_TRUE(shows(self, "L2 is dead: process"));
	self->child = 0;
}

TEST_F(ctl, aborted)
{
	attach(_metadata, self);
	l3l2q_abort(self->p.ep[L3L2Q_ROLE_L2]);
	EXPECT_TRUE(shows(self, "L2 has aborted: its abort flag is 1."));
}

TEST_F(ctl, detached)
{
	attach(_metadata, self);
	ASSERT_EQ(0, l3l2q_detach(self->p.ep[L3L2Q_ROLE_L2]));
	EXPECT_TRUE(shows(self, "L2 has detached."));
}

TEST_F(ctl, silent_peer)
{
	struct l3l2q_attr attr;

	if (is_memfd())
		SKIP(return, "the memory does not say so");
	attr = self->p.attr;
	pair_close(&self->p);
	self->p.attr = attr;
	self->p.attr.flags = L3L2Q_ATTR_SILENT_PEER;
	ASSERT_EQ(0, pair_create(&self->p));
	know_id(self, self->p.ep[L3L2Q_ROLE_L3]);
	EXPECT_TRUE(shows(self, "L2 is silent: the kernel polls its counters for L3."));
}

/* What an L2 refuses that expects the other binding, and what an L3 of it sends. */
TEST_F(ctl, wrong_binding)
{
	struct l3l2q_attr attr = self->p.attr;
	struct l3l2q_ep_info info;
	struct l3l2q_message m;
	struct l3l2q_desc *desc;

	EXPECT_TRUE(shows(self, spsq_wanted() ?
			  "L2 has to expect the SPSQ binding, ten scalars: one for L3Q2 refuses this queue." :
			  "L2 has to expect the L3Q2 binding, twelve scalars: one for SPSQ refuses this queue."));
	pair_close(&self->p);
	self->p.attr = attr;
	self->p.attr.binding = L3L2Q_BINDING_SPSQ;
	self->p.attr.identity[1] = 42;
	ASSERT_EQ(0, pair_create(&self->p));
	know_id(self, self->p.ep[L3L2Q_ROLE_L3]);
	attach(_metadata, self);
	EXPECT_TRUE(shows(self, "Nothing is waited for."));

	region_info(self->p.ep[L3L2Q_ROLE_L3], &info);
	desc = info.payload;
	*desc = (struct l3l2q_desc){ .seq = 1, .opcode = L3L2Q_OP_ERROR };
	__atomic_store_n((__s32 *)info.counters, 1, __ATOMIC_RELEASE);
	EXPECT_TRUE(shows(self, "Input message seq 1 is an ERROR, which the SPSQ binding does not carry: L3 uses the wrong binding, L3Q2."));
	EXPECT_EQ(-EBADMSG, l3l2q_try_peek(self->from_l3, &m));
	EXPECT_TRUE(shows(self, "L3 uses the wrong binding, L3Q2."));
	EXPECT_NE(NULL, strstr(self->text, "L2 has aborted: its abort flag is 1."));
}

TEST_F(ctl, decodes_messages)
{
	struct l3l2q_ep_info info;
	struct l3l2q_message m;
	char line[128];

	attach(_metadata, self);
	region_info(self->p.ep[L3L2Q_ROLE_L3], &info);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, "12345", 5));
	ASSERT_EQ(0, l3l2q_try_stop(self->in));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &m));
	snprintf(line, sizeof(line), "\n  %-12u %-8s %12llu %12u", 1, "DATA",
		 (unsigned long long)info.layout.input_arena_offset, 5);
	EXPECT_TRUE(shows(self, line));
	snprintf(line, sizeof(line), "\n  %-12u %-8s %12u %12u", 2, "STOP", 0, 0);
	EXPECT_NE(NULL, strstr(self->text, line));
	EXPECT_NE(NULL, strstr(self->text, "; 251 B free, 251 in one piece"));
	run_on(self, "--json show", "");
	snprintf(line, sizeof(line), "\"messages\":[{\"seq\":1,\"opcode\":1,\"offset\":%llu,\"bytes\":5,\"current\":true,\"held\":%s}",
		 (unsigned long long)info.layout.input_arena_offset, is_memfd() ? "null" : "true");
	EXPECT_NE(NULL, strstr(self->text, line));
	EXPECT_NE(NULL, strstr(self->text, "\"free_bytes\":251,"));
}

TEST_F(ctl, raw_regions)
{
	struct l3l2q_attr attr = { .transport = transport(), .payload_bytes = 64,
		.counter_bytes = 128, .tag = "raw" };

	pair_close(&self->p);
	self->p.attr = attr;
	ASSERT_EQ(0, pair_create(&self->p));
	know_id(self, self->p.ep[L3L2Q_ROLE_L3]);
	ASSERT_EQ(0, l3l2q_notify(self->p.ep[L3L2Q_ROLE_L3], 64, L3L2Q_NOTIFY_SET, -7));
	EXPECT_TRUE(shows(self, "counter     at 64: -7\n"));
	run_on(self, "--json show", "");
	EXPECT_NE(NULL, strstr(self->text, "\"counters\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,-7,"));
	run_on(self, "dump", dump_path(self));
	ASSERT_EQ(0, self->status);
	snprintf(self->id, sizeof(self->id), "%.31s", self->file);
	EXPECT_TRUE(shows(self, "counter     at 64: -7\n"));
}

/* There is a limit to what is looked at, and a dump of that much can be read. */
TEST_F(ctl, many_counters)
{
	struct l3l2q_attr attr = { .transport = transport(), .payload_bytes = 64,
		.counter_bytes = 2 << 20, .tag = "raw" };
	struct l3l2q_ep *ep;

	if (!is_memfd())
		SKIP(return, "the driver has a limit of its own");
	pair_close(&self->p);
	self->p.attr = attr;
	ASSERT_EQ(0, pair_create(&self->p));
	ep = self->p.ep[L3L2Q_ROLE_L3];
	know_id(self, ep);
	ASSERT_EQ(0, l3l2q_notify(ep, (1 << 20) - 4, L3L2Q_NOTIFY_SET, 5));
	ASSERT_EQ(0, l3l2q_notify(ep, 1 << 20, L3L2Q_NOTIFY_SET, 6));
	EXPECT_TRUE(shows(self, "counter     at 1048572: 5\n"));
	EXPECT_EQ(NULL, strstr(self->text, ": 6\n"));
	run_on(self, "dump", dump_path(self));
	ASSERT_EQ(0, self->status);
	snprintf(self->id, sizeof(self->id), "%.31s", self->file);
	EXPECT_TRUE(shows(self, "counter     at 1048572: 5\n"));
}

/* ---- dumps ---------------------------------------------------------------- */

static const char secret[] = "this is the body of a message";

/* Two messages, one of which is taken, in a file. */
static void make_dump(struct __test_metadata *_metadata, FIXTURE_DATA(ctl) *self, const char *how)
{
	struct l3l2q_message m;

	attach(_metadata, self);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, secret, sizeof(secret)));
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, NULL, 0));
	ASSERT_EQ(0, l3l2q_try_peek(self->from_l3, &m));
	run_on(self, how, dump_path(self));
	ASSERT_EQ(0, self->status);
}

static size_t load(const char *path, char *bytes, size_t max)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(bytes, 1, max, f) : 0;

	if (f)
		fclose(f);
	return n;
}

static void store(const char *path, const char *bytes, size_t n)
{
	FILE *f = fopen(path, "we");

	if (f) {
		fwrite(bytes, 1, n, f);
		fclose(f);
	}
}

static bool contains(const char *bytes, size_t n, const char *text)
{
	return memmem(bytes, n, text, strlen(text));
}

TEST_F(ctl, a_dump_shows_what_was)
{
	static char bytes[65536];
	char id[32], line[64];
	struct stat st;
	size_t n;

	make_dump(_metadata, self, "dump");
	snprintf(line, sizeof(line), "id          %s", self->id);
	strcpy(id, self->id);
	EXPECT_EQ(0, stat(self->file, &st));
	EXPECT_EQ(0600, st.st_mode & 0777);
	n = load(self->file, bytes, sizeof(bytes));
	EXPECT_FALSE(contains(bytes, n, secret));
	/* It is not written over. */
	run_on(self, "dump", self->file);
	EXPECT_EQ(3, self->status);
	EXPECT_EQ(n, load(self->file, bytes, sizeof(bytes)));

	/* What has gone on since does not matter. */
	l3l2q_abort(self->p.ep[L3L2Q_ROLE_L2]);
	strcpy(self->id, self->file);
	EXPECT_TRUE(shows(self, line));
	EXPECT_EQ(NULL, strstr(self->text, "aborted"));
	EXPECT_NE(NULL, strstr(self->text, "2 of 4 used"));
	EXPECT_NE(NULL, strstr(self->text, "\n  2            DATA "));
	EXPECT_NE(NULL, strstr(self->text, "\nthen\n"));
	run_on(self, "--json show", "");
	snprintf(line, sizeof(line), "{\"version\":1,\"queues\":[{\"id\":%s,", id);
	EXPECT_NE(NULL, strstr(self->text, line));
	EXPECT_EQ(NULL, strstr(self->text, "\"dumped_ns\":null"));
}

TEST_F(ctl, a_dump_has_the_payload_on_request)
{
	static char bytes[65536];
	size_t n;

	make_dump(_metadata, self, "--payload dump");
	n = load(self->file, bytes, sizeof(bytes));
	EXPECT_TRUE(contains(bytes, n, secret));
	strcpy(self->id, self->file);
	EXPECT_TRUE(shows(self, "with 768 bytes of payload"));
	store(self->file, bytes, n - 1);
	run_on(self, "show", "");
	EXPECT_EQ(3, self->status);
	EXPECT_NE(NULL, strstr(self->text, "it is cut off"));
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Whatever is in a file, it is shown or refused. */
TEST_F(ctl, a_dump_is_not_trusted)
{
	static char good[65536], bad[65536];
	const char *variant_env = getenv("L3L2Q_VARIANT");
	int rounds = variant_env && strstr(variant_env, "guest") ? 30 : 80, i, k;
	uint64_t random = 0x1234567;
	size_t n, at;

	make_dump(_metadata, self, "dump");
	n = load(self->file, good, sizeof(good));
	ASSERT_LT(400, n);
	strcpy(self->id, self->file);
	for (i = 0; i < rounds; i++) {
		memcpy(bad, good, n);
		if (i % 4 == 0) {
			at = next_random(&random) % n;
		} else {
			at = n;
			for (k = 0; k <= i % 4; k++) {
				size_t where = next_random(&random) % n;

				/* Lengths and counts more than the rest. */
				if (k & 1)
					where &= ~7ull;
				bad[where] = (char)next_random(&random);
				if (k == 2)
					memset(bad + where, 0xff, n - where < 8 ? n - where : 8);
			}
		}
		store(self->file, bad, at);
		run_on(self, i & 1 ? "show" : "--json show", "");
		if (self->status != 0 && self->status != 3) {
			TH_LOG("round %d: status %d: %s", i, self->status, self->text);
			ASSERT_TRUE(false);
		}
		if (at < 64) {
			EXPECT_EQ(3, self->status);
		}
	}
	/* Others' files, and what is no file. */
	store(self->file, "hello", 5);
	EXPECT_FALSE(shows(self, "id"));
	EXPECT_EQ(3, self->status);
	EXPECT_NE(NULL, strstr(self->text, "it is no dump of l3l2qctl"));
	strcpy(self->id, "/dev/zero");
	run_on(self, "show", "");
	EXPECT_EQ(3, self->status);
	strcpy(self->id, "/tmp");
	run_on(self, "show", "");
	EXPECT_EQ(3, self->status);
	/* One that nobody writes is not waited for. */
	ASSERT_EQ(0, mkfifo(dump_path(self), 0600));
	strcpy(self->id, self->file);
	run_on(self, "show", "");
	EXPECT_EQ(3, self->status);
	EXPECT_NE(NULL, strstr(self->text, "it is no file"));
}

TEST_F(ctl, json_and_metrics)
{
	char start[128];
	const char *json;

	attach(_metadata, self);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, NULL, 0));
	snprintf(start, sizeof(start), "--json show %s", self->id);
	run(self, start);
	EXPECT_EQ(0, self->status);
	snprintf(start, sizeof(start), "{\"version\":1,\"queues\":[{\"id\":%s,\"tag\":", self->id);
	EXPECT_NE(NULL, strstr(self->text, start));
	json = strstr(self->text, "\"input\":{\"tail\":1,\"head\":0,\"used\":1,\"held\":");
	EXPECT_NE(NULL, json);
	EXPECT_NE(NULL, strstr(self->text, "\"tag\":\"stuck \\\"here\\\"\""));
	run(self, "metrics");
	EXPECT_EQ(0, self->status);
	snprintf(start, sizeof(start), "l3l2q_pending_messages{id=\"%s\",", self->id);
	json = strstr(self->text, start);
	ASSERT_NE(NULL, json);
	json = strstr(json, "ring=\"input\"} ");
	ASSERT_NE(NULL, json);
	EXPECT_EQ('1', json[14]);
	EXPECT_STREQ("# EOF\n", self->text + strlen(self->text) - 6);
}

/* ---- names that others choose ---------------------------------------------- */

/* Escapes, controls, quotes and what is no UTF-8, and how text and JSON show them. */
static const char wild[16] = "\033[31m\r\n\t\"\\\xff\xc3(\x7f";
#define WILD_SHOWN	"\\u001b[31m\\u000d\\u000a\\u0009\\\"\\\\\\u00ff\\u00c3(\\u007f"
#define WILD_LABEL	"tag=\"\\\\u001b[31m\\\\u000d\\n\\\\u0009\\\"\\\\\\\\u00ff\\\\u00c3(\\\\u007f\""

static const char *json_string(const char *p)
{
	if (*p != '"')
		return NULL;
	for (p++; *p != '"'; p++) {
		if ((unsigned char)*p < ' ')
			return NULL;
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u' && strspn(p + 1, "0123456789abcdef") >= 4)
			p += 4;
		else if (!*p || !strchr("\"\\/bfnrt", *p))
			return NULL;
	}
	return p + 1;
}

/* The end of the JSON value at @p, or NULL if it is none. */
static const char *json_value(const char *p)
{
	char end = *p == '{' ? '}' : ']';
	size_t n;

	if (*p == '"')
		return json_string(p);
	if (*p != '{' && *p != '[') {
		n = strspn(p, "-.0123456789aeflnrstu");
		return n ? p + n : NULL;
	}
	for (p++; *p != end; p += *p == ',') {
		if (end == '}') {
			p = json_string(p);
			if (!p || *p++ != ':')
				return NULL;
		}
		p = json_value(p);
		if (!p || (*p != ',' && *p != end))
			return NULL;
	}
	return p + 1;
}

/* True if each line is a JSON value, but for the one about a node that is not there. */
static bool is_json(const char *text)
{
	if (!strncmp(text, "l3l2qctl: ", 10))
		text = strchr(text, '\n') + 1;
	while (text && *text) {
		text = json_value(text);
		if (text && *text++ != '\n')
			text = NULL;
	}
	return text;
}

/* True if what it prints has no control byte but newline, and is JSON if that was asked for. */
static bool is_tame(FIXTURE_DATA(ctl) *self, const char *words)
{
	size_t i;

	run(self, words);
	for (i = 0; i < self->length; i++) {
		unsigned char c = (unsigned char)self->text[i];

		if ((c < ' ' && c != '\n') || c > '~') {
			fprintf(stderr, "# %s: byte %#x at %zu\n", words, c, i);
			return false;
		}
	}
	if (!strstr(words, "--json") || is_json(self->text))
		return true;
	fprintf(stderr, "# %s: no JSON: %s\n", words, self->text);
	return false;
}

/* The queue's memory. */
static int memory_fd(FIXTURE_DATA(ctl) *self)
{
	ino_t id = strtoull(self->id, NULL, 10);
	struct stat st;
	int fd = 0;

	while (fd < 64 && (fstat(fd, &st) || st.st_ino != id || fcntl(fd, F_GET_SEALS) < 0))
		fd++;
	return fd;
}

/* The library lets no such tag through, but any process that has the memory can store one. */
static void store_wild_tag(struct __test_metadata *_metadata, FIXTURE_DATA(ctl) *self)
{
	int fd = memory_fd(self);

	ASSERT_EQ(sizeof(wild), pwrite(fd, wild, sizeof(wild), L3L2Q_TRACE_OFFSET +
				       offsetof(struct l3l2q_trace, tag)));
}

/* @said: in a sentence about L2, after its name */
static void all_is_tame(struct __test_metadata *_metadata, FIXTURE_DATA(ctl) *self, const char *said)
{
	const char *looks[] = { "list", "--json list", "top -d 0.01 -n 1", "metrics",
				"watch --after 0 -d 0.01 -n 2", "--json watch --after 0 -d 0.01 -n 2",
				"doctor", "--json doctor" };
	const char *shows[] = { "-d 0.01 show %s", "--json -d 0.01 show %s" };
	char words[128], sentence[128];
	unsigned int i;

	snprintf(sentence, sizeof(sentence), "(" WILD_SHOWN ")%s", said);
	for (i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		EXPECT_TRUE(is_tame(self, looks[i]));
	for (i = 0; i < 2; i++) {
		snprintf(words, sizeof(words), shows[i], self->id);
		EXPECT_TRUE(is_tame(self, words));
		EXPECT_EQ(0, self->status);
		EXPECT_NE(NULL, strstr(self->text, sentence));
	}
	run_on(self, "-d 0.01 dump", dump_path(self));
	EXPECT_EQ(0, self->status);
	for (i = 0; i < 2; i++) {
		snprintf(words, sizeof(words), shows[i], self->file);
		EXPECT_TRUE(is_tame(self, words));
		EXPECT_EQ(0, self->status);
		EXPECT_NE(NULL, strstr(self->text, sentence));
	}
}

/* Whoever has a queue may be called anything, and terminals and parsers of others see its name. */
TEST_F(ctl, names_are_escaped)
{
	struct l3l2q_attr attr = self->p.attr;
	int status;

	pair_close(&self->p);
	self->p.attr = attr;
	self->p.attr.tag = "\\ \"here\"";
	ASSERT_EQ(0, prctl(PR_SET_NAME, wild));
	ASSERT_EQ(0, pair_create(&self->p));
	self->in = l3l2q_ep_producer(self->p.ep[L3L2Q_ROLE_L3]);
	know_id(self, self->p.ep[L3L2Q_ROLE_L3]);
	if (is_memfd())
		store_wild_tag(_metadata, self);
	attach_child(_metadata, self, false);
	ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, NULL, 0));
	ASSERT_EQ(0, kill(self->child, SIGSTOP));
	ASSERT_EQ(self->child, waitpid(self->child, &status, WUNTRACED));
	all_is_tame(_metadata, self, ".");
	run(self, "watch --after 0 -d 0.01 -n 2");
	EXPECT_NE(NULL, strstr(self->text, "(" WILD_SHOWN ")."));
	run(self, "metrics");
	EXPECT_NE(NULL, strstr(self->text, is_memfd() ? WILD_LABEL : "tag=\"\\\\ \\\"here\\\"\""));

	/* A memfd's dead process has its name until it is waited for. */
	ASSERT_EQ(0, kill(self->child, SIGKILL));
	ASSERT_EQ(0, waitid(P_PID, (id_t)self->child, NULL, WEXITED | WNOWAIT));
	all_is_tame(_metadata, self, " ended");
}

/* ---- files that others choose ----------------------------------------------- */

static bool lists(FIXTURE_DATA(ctl) *self, int fd)
{
	char id[32];
	struct stat st;

	run(self, "list");
	snprintf(id, sizeof(id), "\n%llu ", fstat(fd, &st) ? 0ull : (unsigned long long)st.st_ino);
	return strstr(self->text, id);
}

/* One that can shrink, or has holes, could end who looks by a signal. */
TEST_F(ctl, memory_that_may_go_is_not_looked_at)
{
	static char bytes[65536];
	int fd, real;
	ssize_t n;

	if (!is_memfd())
		SKIP(return, "the driver's memory stays");
	real = memory_fd(self);
	fd = memfd_create(L3L2Q_TRACE_NAME "copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ASSERT_LE(0, fd);
	n = pread(real, bytes, sizeof(bytes), 0);
	ASSERT_LT(0, n);
	ASSERT_GT(sizeof(bytes), n);
	ASSERT_EQ(n, pwrite(fd, bytes, (size_t)n, 0));
	EXPECT_FALSE(lists(self, fd));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	EXPECT_TRUE(lists(self, fd));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       n - getpagesize(), getpagesize()));
	EXPECT_FALSE(lists(self, fd));
	EXPECT_TRUE(lists(self, real));
	close(fd);
}

/* Be able to mount, as any user is in namespaces of its own. */
static bool own_mounts(void)
{
	unsigned int uid = getuid(), gid = getgid();
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %u 1", uid);
	snprintf(groups, sizeof(groups), "0 %u 1", gid);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	store("/proc/self/setgroups", "deny", 4);
	store("/proc/self/uid_map", users, strlen(users));
	store("/proc/self/gid_map", groups, strlen(groups));
	return !getuid();
}

/* A FIFO that looks like a memfd: of a mount that is nowhere any more, with nobody to write. */
static int open_false_memfd(const char *dir)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/memfd:" L3L2Q_TRACE_NAME "x", dir);
	if (!own_mounts() || mount("none", dir, "tmpfs", 0, NULL) || mkfifo(path, 0666))
		return -1;
	fd = open(path, O_RDONLY | O_NONBLOCK);
	return umount2(dir, MNT_DETACH) ? -1 : fd;
}

TEST_F(ctl, a_false_memfd_is_not_waited_for)
{
	char dir[] = "/tmp/proto_ctl.XXXXXX", c = 0;
	int fds[2];

	if (!is_memfd())
		SKIP(return, "the driver's memory is no file");
	ASSERT_NE(NULL, mkdtemp(dir));
	ASSERT_EQ(0, pipe(fds));
	fflush(NULL);
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		c = open_false_memfd(dir) < 0 ? 'n' : 'y';
		if (write(fds[1], &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	EXPECT_EQ(1, read(fds[0], &c, 1));
	close(fds[0]);
	close(fds[1]);
	rmdir(dir);
	if (c != 'y')
		SKIP(return, "no mount of one's own");
	EXPECT_TRUE(lists(self, memory_fd(self)));
}

/* Messages go on, and are the same, while it looks again and again. */
TEST_F(ctl, a_stream_goes_on_while_it_looks)
{
	struct l3l2q_message m;
	int status, i, taken = 0;
	char words[] = "top -d 0.01 -n 20";
	uint64_t got;
	pid_t looker;

	attach(_metadata, self);
	fflush(NULL);
	looker = fork();
	ASSERT_LE(0, looker);
	if (!looker) {
		bool seen;

		run(self, words);
		seen = !self->status && strstr(self->text, self->id);
		for (i = 0; i < 5 && seen; i++) {
			run_on(self, "-d 0.01 show", "");
			seen = !self->status;
			run_on(self, "-d 0.01 --payload dump", ">/dev/null");
			seen &= !self->status;
		}
		_exit(!seen);
	}
	for (i = 0; !taken || !waitpid(looker, &status, WNOHANG); i++) {
		uint64_t value = (uint64_t)i;

		ASSERT_EQ(0, l3l2q_try_enqueue(self->in, L3L2Q_OP_DATA, &value, sizeof(value)));
		ASSERT_EQ(0, l3l2q_try_dequeue(self->from_l3, &m, &got, sizeof(got)));
		ASSERT_EQ(value, got);
		taken++;
	}
	EXPECT_EQ(0, status);
	EXPECT_TRUE(shows(self, "Nothing is waited for."));
}

/* Each kind of queue has ids of its own. */
TEST_F(ctl, an_id_says_which_kind_it_is_of)
{
	const char *kind = is_memfd() ? "memfd" : "driver", *other = is_memfd() ? "driver" : "memfd";
	char words[64];

	snprintf(words, sizeof(words), "show %s:%s", kind, self->id);
	run(self, words);
	EXPECT_EQ(0, self->status);
	EXPECT_NE(NULL, strstr(self->text, self->id));
	snprintf(words, sizeof(words), "show %s:%s", other, self->id);
	run(self, words);
	EXPECT_EQ(1, self->status);
	EXPECT_NE(NULL, strstr(self->text, "no queue"));
	run(self, "dump memfd:x");
	EXPECT_EQ(2, self->status);
}

static uint64_t create_another(struct l3l2q_ep **ep, const char *transport)
{
	const struct l3l2q_attr attr = { .transport = transport, .payload_bytes = 64,
		.counter_bytes = 64 };
	struct l3l2q_ep_info info = { 0 };

	l3l2q_close(*ep);
	if (l3l2q_create(ep, &attr, NULL))
		return 0;
	l3l2q_ep_info(*ep, &info);
	return info.region_id;
}

/* Both kinds of ids count up, so that the one which is behind catches up. */
TEST_F(ctl, two_queues_of_one_id_are_told_apart)
{
	struct l3l2q_ep *region = NULL, *memfd = NULL;
	uint64_t id, inode, tries = 0;
	char words[64];

	if (is_memfd())
		SKIP(return, "there is no driver");
	id = create_another(&region, "driver");
	inode = create_another(&memfd, "memfd");
	while (id != inode && tries++ < 100000) {
		if (id < inode)
			id = create_another(&region, "driver");
		else
			inode = create_another(&memfd, "memfd");
		ASSERT_TRUE(id && inode);
	}
	ASSERT_EQ(id, inode);
	snprintf(words, sizeof(words), "show %llu", (unsigned long long)id);
	run(self, words);
	EXPECT_EQ(2, self->status);
	snprintf(words, sizeof(words), "driver:%llu and memfd:%llu", (unsigned long long)id,
		 (unsigned long long)id);
	EXPECT_NE(NULL, strstr(self->text, words)) {
		TH_LOG("%s", self->text);
	}
	snprintf(words, sizeof(words), "--json show driver:%llu", (unsigned long long)id);
	run(self, words);
	EXPECT_NE(NULL, strstr(self->text, "\"backend\":\"ram\""));
	snprintf(words, sizeof(words), "--json show memfd:%llu", (unsigned long long)id);
	run(self, words);
	EXPECT_NE(NULL, strstr(self->text, "\"backend\":\"memfd\""));
	l3l2q_close(memfd);
	l3l2q_close(region);
}

TEST_F(ctl, top_says_once_what_it_leaves_out)
{
	const char said[] = "only memfd queues: /nowhere: ";
	char *first;

	run(self, "--node /nowhere -d 0.01 -n 3 top");
	EXPECT_EQ(0, self->status);
	first = strstr(self->text, said);
	ASSERT_NE(NULL, first);
	EXPECT_EQ(NULL, strstr(first + 1, said));
}

TEST_F(ctl, wrong_use_is_said)
{
	run(self, "show 18446744073709551614");
	EXPECT_EQ(1, self->status);
	EXPECT_NE(NULL, strstr(self->text, "no queue 18446744073709551614"));
	run(self, "show x");
	EXPECT_EQ(2, self->status);
	run(self, "show");
	EXPECT_EQ(2, self->status);
	run(self, "lst");
	EXPECT_EQ(2, self->status);
	EXPECT_NE(NULL, strstr(self->text, "no such command: lst"));
	run(self, "-d 0 top");
	EXPECT_EQ(2, self->status);
	run(self, "");
	EXPECT_EQ(2, self->status);
	run(self, "--help");
	EXPECT_EQ(0, self->status);
	run(self, "--help >/dev/full");
	EXPECT_EQ(3, self->status);
	run(self, "list >/dev/full");
	EXPECT_EQ(3, self->status);
}

TEST_HARNESS_MAIN
