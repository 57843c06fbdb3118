// SPDX-License-Identifier: MIT
/*
 * l3l2qctl watch: the events of a queue's life, over memfd and the driver, and how it ends.
 * L3L2QCTL is the program.
 */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "proto_transport.h"

#define HANG_MS		120000

FIXTURE(watch) {
	struct pair still;	/* a message waits in it: it is told to be stuck */
	struct pair p;
	char id[32];
	char text[65536];
	size_t n;
	pid_t child;
	int out;
};

static const char *program(void)
{
	const char *name = getenv("L3L2QCTL");

	return name ? name : !access("build/bin/l3l2qctl", X_OK) ? "build/bin/l3l2qctl"
								: "/bin/l3l2qctl";
}

/* Start it; what is told at once of what does not go on says that it has looked. */
static void start(struct __test_metadata *_metadata, FIXTURE_DATA(watch) *self, const char *json)
{
	int fds[2];

	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	fflush(NULL);
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		dup2(fds[1], STDOUT_FILENO);
		execl(program(), "l3l2qctl", "watch", "--delay", "0.01", "--after", "0", json, NULL);
		_exit(127);
	}
	close(fds[1]);
	self->out = fds[0];
}

/* Read on until @words were told of the queue of this id; false if nothing comes. */
static bool tells(FIXTURE_DATA(watch) *self, const char *id, const char *words)
{
	struct pollfd pfd = { .fd = self->out, .events = POLLIN };
	char *line, *end;
	ssize_t n;

	for (;;) {
		for (line = self->text; (end = strchr(line, '\n')); line = end + 1) {
			bool found;

			*end = 0;
			found = strstr(line, id) && strstr(line, words);
			if (found) {
				/* what comes after it is for the next call */
				self->n -= (size_t)(end + 1 - self->text);
				memmove(self->text, end + 1, self->n + 1);
				return true;
			}
			*end = '\n';
		}
		if (self->n == sizeof(self->text) - 1 || poll(&pfd, 1, HANG_MS) != 1)
			break;
		n = read(self->out, self->text + self->n, sizeof(self->text) - 1 - self->n);
		if (n <= 0)
			break;
		self->n += (size_t)n;
		self->text[self->n] = 0;
	}
	fprintf(stderr, "# no \"%s\" of %s in:\n%s", words, id, self->text);
	return false;
}

static int status(FIXTURE_DATA(watch) *self)
{
	int status = -1;

	if (waitpid(self->child, &status, 0) != self->child)
		return -1;
	self->child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void id_of(const struct pair *p, char *id, size_t size)
{
	struct l3l2q_ep_info info;

	l3l2q_ep_info(p->ep[L3L2Q_ROLE_L3], &info);
	snprintf(id, size, "%llu", (unsigned long long)info.region_id);
}

FIXTURE_SETUP(watch)
{
	self->out = -1;
	if (!is_memfd() && !transport_is("driver"))
		SKIP(return, "not over %s", transport());
	self->still.attr = (struct l3l2q_attr){ .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 256, .window = 2, .tag = "still" };
	attr_bind(&self->still.attr);
	self->p.attr = self->still.attr;
	self->p.attr.tag = "lives \"here\"";
	ASSERT_EQ(0, pair_create(&self->still));
	ASSERT_EQ(0, pair_attach(&self->still));
	ASSERT_EQ(0, l3l2q_try_enqueue(l3l2q_ep_producer(self->still.ep[L3L2Q_ROLE_L3]),
				       L3L2Q_OP_DATA, NULL, 0));
}

FIXTURE_TEARDOWN(watch)
{
	if (self->child > 0) {
		kill(self->child, SIGKILL);
		waitpid(self->child, NULL, 0);
	}
	if (self->out >= 0)
		close(self->out);
	pair_close(&self->p);
	pair_close(&self->still);
}

TEST_F(watch, tells_what_happens)
{
	struct l3l2q_message m;
	char still[32], words[96];

	id_of(&self->still, still, sizeof(still));
	start(_metadata, self, NULL);
	EXPECT_TRUE(tells(self, still, " stuck - for at least "));
	ASSERT_EQ(0, l3l2q_try_peek(l3l2q_ep_consumer(self->still.ep[L3L2Q_ROLE_L2]), &m));
	ASSERT_EQ(0, l3l2q_release(l3l2q_ep_consumer(self->still.ep[L3L2Q_ROLE_L2]), &m));
	EXPECT_TRUE(tells(self, still, " resume - after at least "));

	ASSERT_EQ(0, pair_create(&self->p));
	id_of(&self->p, self->id, sizeof(self->id));
	EXPECT_TRUE(tells(self, self->id, is_memfd() ? " create - in memfd, depth 4, "
						     : " create - in ram, depth 4, "));
	ASSERT_EQ(0, pair_attach(&self->p));
	snprintf(words, sizeof(words), " attach L2 by process %d (", getpid());
	EXPECT_TRUE(tells(self, self->id, words));
	l3l2q_abort(self->p.ep[L3L2Q_ROLE_L2]);
	EXPECT_TRUE(tells(self, self->id, " abort L2 its abort flag was set"));
	ASSERT_EQ(0, l3l2q_detach(self->p.ep[L3L2Q_ROLE_L3]));
	EXPECT_TRUE(tells(self, self->id, " end L3 detached"));
	pair_close(&self->p);
	EXPECT_TRUE(tells(self, self->id, " free - "));
	ASSERT_EQ(0, kill(self->child, SIGTERM));
	EXPECT_EQ(0, status(self));
}

TEST_F(watch, json_and_interrupt)
{
	start(_metadata, self, "--json");
	EXPECT_TRUE(tells(self, "\"tag\":\"still\"", "\"event\":\"stuck\""));
	ASSERT_EQ(0, pair_create(&self->p));
	id_of(&self->p, self->id, sizeof(self->id));
	EXPECT_TRUE(tells(self, self->id, "\"event\":\"create\""));
	ASSERT_EQ(0, pair_attach(&self->p));
	ASSERT_EQ(0, l3l2q_detach(self->p.ep[L3L2Q_ROLE_L3]));
	EXPECT_TRUE(tells(self, "\"tag\":\"lives \\\"here\\\"\"", "\"role\":\"l3\",\"text\":\"detached\"}"));
	ASSERT_EQ(0, kill(self->child, SIGINT));
	EXPECT_EQ(0, status(self));
}

TEST_F(watch, ends_with_its_reader)
{
	char still[32];

	id_of(&self->still, still, sizeof(still));
	start(_metadata, self, NULL);
	EXPECT_TRUE(tells(self, still, " stuck "));
	close(self->out);
	self->out = -1;
	EXPECT_EQ(0, status(self));
}

TEST_F(watch, rounds_and_wrong_use)
{
	char command[256];

	snprintf(command, sizeof(command), "%s watch -d 0.01 -n 2 >/dev/null", program());
	EXPECT_EQ(0, WEXITSTATUS(system(command)));
	snprintf(command, sizeof(command), "%s watch --after x 2>/dev/null", program());
	EXPECT_EQ(2, WEXITSTATUS(system(command)));
	snprintf(command, sizeof(command), "%s watch --after 0 -d 0.01 -n 3 >/dev/full 2>/dev/null", program());
	EXPECT_EQ(3, WEXITSTATUS(system(command)));
}

TEST_HARNESS_MAIN
