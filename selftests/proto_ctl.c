// SPDX-License-Identifier: MIT
/*
 * l3l2qctl: what it says of a queue in each state that a queue is stuck in, over memfd
 * and the driver, and that its looking changes nothing. L3L2QCTL is the program.
 */
#include <signal.h>
#include <sys/wait.h>

#include "proto_transport.h"

#define NEVER_NS	(60 * 1000000000ll)

FIXTURE(ctl) {
	struct pair p;
	struct l3l2q_producer *in;
	struct l3l2q_consumer *from_l3;
	char id[32];
	char text[65536];
	int status;
	pid_t child;
	int talk;		/* to the child */
};

static const char *program(void)
{
	const char *name = getenv("L3L2QCTL");

	return name ? name : !access("build/bin/l3l2qctl", X_OK) ? "build/bin/l3l2qctl"
								: "/bin/l3l2qctl";
}

/* What it prints and its exit status. */
static void run(FIXTURE_DATA(ctl) *self, const char *words)
{
	char command[256];
	size_t n;
	FILE *f;

	snprintf(command, sizeof(command), "exec %s %s 2>&1", program(), words);
	fflush(NULL);
	f = popen(command, "re");
	n = f ? fread(self->text, 1, sizeof(self->text) - 1, f) : 0;
	self->text[n] = 0;
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
	EXPECT_TRUE(shows(self, "L3 waits for room in the input arena: until L2 has released message 1; 0 are released, 1 held."));
	ASSERT_EQ(0, l3l2q_release(self->from_l3, &m));
	EXPECT_FALSE(shows(self, "waits for room"));
}

TEST_F(ctl, consumer_asleep)
{
	int tries;

	attach_child(_metadata, self, true);
	/* It is asleep once it has armed; nobody else can tell. */
	for (tries = 0; tries < 2000; tries++) {
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
		run(self, words);
		_exit(self->status || !strstr(self->text, self->id));
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
	run(self, "list >/dev/full");
	EXPECT_EQ(3, self->status);
}

TEST_HARNESS_MAIN
