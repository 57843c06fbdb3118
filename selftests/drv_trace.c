// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints: for each operation the events that it emits, in their order and with all of
 * their fields, and no other. Read from an instance of tracefs; without it all is skipped.
 */
#include <stdarg.h>

#include "drv_util.h"

#include "modules/dmabuf_standin/dmabuf_standin.h"

#define TRACEFS	"/sys/kernel/tracing"
#define FOREVER	"deadline=9223372036854775807"

FIXTURE(trace)
{
	struct drv_pair p;
	struct l3l2q_create create;
	char dir[96];
	char text[65536];
	char story[65536];
};

#define CTX	(self->p.ctx)
#define L3	(&self->p.l3)
#define L2	(&self->p.l2)

static int trace_write(FIXTURE_DATA(trace) *self, const char *file, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", self->dir, file);
	return drv_write_file(path, text);
}

/* From here on nothing has happened. */
static void forget(FIXTURE_DATA(trace) *self)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/trace", self->dir);
	close(open(path, O_WRONLY | O_TRUNC | O_CLOEXEC));
}

/*
 * What has happened to the region: a line an event, of which "l3l2q_", the region's id and
 * all before the event's name are left out.
 */
static const char *story(FIXTURE_DATA(trace) *self)
{
	char path[160], region[48], *line, *next, *name, *at;
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/trace", self->dir);
	snprintf(region, sizeof(region), " region=%llu", (unsigned long long)self->create.region_id);
	drv_read_file(path, self->text, sizeof(self->text));
	for (line = self->text; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = 0;
		name = *line == '#' ? NULL : strstr(line, ": l3l2q_");
		at = name ? strstr(name, region) : NULL;
		if (!at || (at[strlen(region)] && at[strlen(region)] != ' '))
			continue;
		name += strlen(": l3l2q_");
		/* without the colon behind the name */
		n += (size_t)snprintf(self->story + n, sizeof(self->story) - n, "%.*s%s\n",
				      (int)(at - name - 1), name, at + strlen(region));
	}
	self->story[n] = 0;
	return self->story;
}

/* Nothing but these lines has happened since the last time; then forget them. */
static bool happened(FIXTURE_DATA(trace) *self, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static bool happened(FIXTURE_DATA(trace) *self, const char *format, ...)
{
	char expected[2048];
	va_list args;
	bool same;

	va_start(args, format);
	vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	same = !strcmp(expected, story(self));
	if (!same)
		fprintf(stderr, "# expected:\n%s# but there was:\n%s", expected, self->story);
	forget(self);
	return same;
}

FIXTURE_SETUP(trace)
{
	self->p.ctx = self->p.l3.fd = self->p.l2.fd = -1;
	if (access(TRACEFS "/instances", W_OK))
		SKIP(return, "no " TRACEFS "/instances");
	snprintf(self->dir, sizeof(self->dir), TRACEFS "/instances/l3l2q-%d", getpid());
	ASSERT_EQ(0, mkdir(self->dir, 0700));
	/* the same on all processors */
	ASSERT_EQ(0, trace_write(self, "trace_clock", "mono"));
	ASSERT_EQ(0, trace_write(self, "events/l3l2q/enable", "1"));
	drv_create_init(&self->create);
}

FIXTURE_TEARDOWN(trace)
{
	drv_pair_close(&self->p);
	if (!*self->dir)
		return;
	trace_write(self, "events/l3l2q/enable", "0");
	EXPECT_EQ(0, rmdir(self->dir));
}

/* Both ends mapped, and forgotten how that came about. */
static void begin(struct __test_metadata *_metadata, FIXTURE_DATA(trace) *self)
{
	drv_pair_create(_metadata, &self->p, &self->create);
	drv_pair_map(_metadata, &self->p);
	forget(self);
}

TEST_F(trace, the_life_of_a_region)
{
	struct l3l2q_stats stats;

	drv_pair_create(_metadata, &self->p, &self->create);
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_TRUE(happened(self, "create role=L3 backend=0 depth=4 bytes=%llu\nopen_peer role=L2\n",
			     (unsigned long long)stats.region_bytes));
	ASSERT_EQ(0, drv_ep_map(L2));
	EXPECT_TRUE(happened(self, "attach role=L2\n"));
	ASSERT_EQ(0, drv_ep_map(L3));
	EXPECT_TRUE(happened(self, "attach role=L3\n"));

	ASSERT_EQ(0, drv_detach(L2->fd));
	EXPECT_TRUE(happened(self, "end role=L2 state=detached\nwake role=L3 armed=0xc force=1\n"
			     "wake role=L2 armed=0xc force=1\n"));
	drv_ep_unmap_all(L3);
	EXPECT_TRUE(happened(self, "end role=L3 state=dead\nabort role=L3 cause=death\n"
			     "wake role=L2 armed=0xc force=1\nwake role=L3 armed=0xc force=1\n"));
	drv_ep_unmap_all(L2);
	drv_ep_close(L2);
	EXPECT_TRUE(happened(self, "%s", ""));
	drv_ep_close(L3);
	EXPECT_TRUE(happened(self, "free\n"));
}

TEST_F(trace, what_fails_has_not_happened)
{
	struct l3l2q_create bad;
	char *all;

	begin(_metadata, self);
	EXPECT_EQ(-EBUSY, drv_open_peer(L3->fd));
	EXPECT_EQ(-EPERM, drv_open_peer(L2->fd));
	EXPECT_EQ(-ERANGE, drv_set(L3->fd, 1 << 20, 1));
	EXPECT_EQ(-EPERM, drv_set(L3->fd, L3L2Q_CTR_OUTPUT_TAIL, 1));
	EXPECT_EQ(-EINVAL, drv_kick(L3->fd, 1u << 7));
	EXPECT_EQ(-EINVAL, drv_wait(L3->fd, 0, NULL, 0, 0, NULL));
	/* does not sleep */
	EXPECT_EQ(-ETIMEDOUT, drv_wait(L3->fd, L3L2Q_EVENT_IN, NULL, 0, 0, NULL));
	EXPECT_EQ(0, drv_wait(L3->fd, L3L2Q_EVENT_OUT, NULL, 0, 0, NULL));
	EXPECT_TRUE(happened(self, "%s", ""));

	drv_create_init(&bad);
	bad.depth = 3;
	EXPECT_EQ(-EINVAL, drv_create(CTX, &bad));
	story(self);
	all = strstr(self->text, "l3l2q_");
	EXPECT_EQ(NULL, all);
}

TEST_F(trace, notify_and_kick)
{
	begin(_metadata, self);
	ASSERT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 3));
	EXPECT_TRUE(happened(self, "notify role=L3 offset=0 value=3\n"));
	ASSERT_EQ(0, drv_notify(L2->fd, L3L2Q_CTR_INPUT_HEAD, L3L2Q_NOTIFY_ADD, -1));
	EXPECT_TRUE(happened(self, "notify role=L2 offset=64 value=-1\n"));
	ASSERT_EQ(0, drv_kick(L2->fd, 0));
	EXPECT_TRUE(happened(self, "kick role=L2 flags=0x0\n"));
	drv_arm_store(L2, L3L2Q_EVENT_IN);
	ASSERT_EQ(0, drv_kick(L2->fd, L3L2Q_KICK_SELF));
	EXPECT_TRUE(happened(self, "kick role=L2 flags=0x1\nwake role=L2 armed=0x1 force=0\n"));
	drv_arm_store(L2, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT);
	ASSERT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 4));
	EXPECT_TRUE(happened(self, "notify role=L3 offset=0 value=4\n"
			     "wake role=L2 armed=0x3 force=0\n"));
}

TEST_F(trace, a_wait_for_an_event)
{
	struct drv_sleeper s;

	begin(_metadata, self);
	drv_sleeper_start(_metadata, &s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	EXPECT_TRUE(happened(self, "wait_begin role=L2 events=IN|ABORT|HUP conditions=0 " FOREVER "\n"));
	ASSERT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(happened(self, "notify role=L3 offset=0 value=1\n"
			     "wake role=L2 armed=0x5 force=0\n"
			     "wait_end role=L2 reason=event events=IN condition=-1\n"));
	drv_sleeper_done(&s);
}

TEST_F(trace, a_wait_for_a_condition)
{
	struct l3l2q_condition conditions[2] = {
		{ .offset = L3L2Q_CTR_INPUT_TAIL, .cmp = L3L2Q_CMP_GE, .value = 100 },
		{ .offset = L3L2Q_CTR_L3_ABORT, .cmp = L3L2Q_CMP_EQ, .value = -5 },
	};
	struct drv_sleeper s;

	begin(_metadata, self);
	drv_sleeper_start_wait(_metadata, &s, L2->fd, 0, conditions, 2);
	EXPECT_TRUE(happened(self, "wait_begin role=L2 events=ABORT|HUP conditions=2 " FOREVER "\n"));
	ASSERT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_L3_ABORT, -5));
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(happened(self, "notify role=L3 offset=256 value=-5\n"
			     "wake role=L2 armed=0x14 force=0\n"
			     "wait_end role=L2 reason=condition events= condition=1\n"));
	drv_sleeper_done(&s);
}

/* Until a deadline lies far enough in the future for a WAIT to sleep. */
TEST_F(trace, a_wait_that_times_out)
{
	char *at = NULL;
	__u64 ms;

	begin(_metadata, self);
	for (ms = 2; !at && ms < DRV_HANG_MS; ms *= 2) {
		forget(self);
		ASSERT_EQ(-ETIMEDOUT, drv_wait(L2->fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(ms), NULL));
		at = strchr(story(self), '\n');
	}
	ASSERT_NE(NULL, at);
	EXPECT_EQ(0, strncmp(self->story, "wait_begin role=L2 ", 19));
	EXPECT_EQ(NULL, strstr(self->story, FOREVER));
	EXPECT_STREQ("\nwait_end role=L2 reason=timeout events= condition=-1\n", at);
}

static void ignore_signal(int signal)
{
	(void)signal;
}

TEST_F(trace, what_else_ends_a_wait)
{
	struct sigaction action = { .sa_handler = ignore_signal };
	struct drv_sleeper s;

	begin(_metadata, self);
	drv_sleeper_start_flags(_metadata, &s, L2->fd, L3L2Q_WAIT_CONSUMER, L3L2Q_EVENT_IN, NULL, 0);
	forget(self);
	ASSERT_EQ(0, drv_interrupt(L2->fd));
	drv_sleeper_join(_metadata, &s);
	EXPECT_EQ(-EINTR, s.ret);
	story(self);
	EXPECT_EQ(0, strncmp(self->story, "wait_end role=L2 reason=interrupt ", 34));
	drv_sleeper_done(&s);

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	drv_sleeper_start_flags(_metadata, &s, L2->fd, L3L2Q_WAIT_NO_RESTART, L3L2Q_EVENT_IN, NULL, 0);
	forget(self);
	ASSERT_EQ(0, pthread_kill(s.thread, SIGUSR1));
	drv_sleeper_join(_metadata, &s);
	EXPECT_EQ(-EINTR, s.ret);
	story(self);
	EXPECT_EQ(0, strncmp(self->story, "wait_end role=L2 reason=signal ", 31));
	drv_sleeper_done(&s);

	/* A peer that may not have fenced counts as one that has stored. */
	drv_sleeper_start(_metadata, &s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	forget(self);
	__atomic_store_n(&L3->own->tail_unfenced, 1, __ATOMIC_SEQ_CST);
	drv_arm_store(L2, L3L2Q_ARM_ASKS);
	ASSERT_EQ(0, drv_kick(L3->fd, 0));
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(happened(self, "kick role=L3 flags=0x0\nwake role=L2 armed=0x5 force=0\n"
			     "wait_end role=L2 reason=fence events= condition=-1\n"));
	drv_sleeper_done(&s);
	__atomic_store_n(&L3->own->tail_unfenced, 0, __ATOMIC_SEQ_CST);

	drv_sleeper_start(_metadata, &s, DRV_BY_WAIT, L2->fd, L3L2Q_EVENT_IN);
	forget(self);
	ASSERT_EQ(0, drv_detach(L2->fd));
	drv_sleeper_join(_metadata, &s);
	EXPECT_EQ(-ESHUTDOWN, s.ret);
	EXPECT_NE(NULL, strstr(story(self), "wait_end role=L2 reason=end "));
	drv_sleeper_done(&s);
}

TEST_F(trace, eventfds)
{
	int in, slot;

	begin(_metadata, self);
	in = drv_eventfd_new();
	slot = drv_eventfd_new();
	ASSERT_EQ(0, drv_eventfd(L2->fd, L3L2Q_EVENTFD_IN, in));
	ASSERT_EQ(0, drv_eventfd_counter(L2->fd, 2, slot, L3L2Q_CTR_INPUT_TAIL, L3L2Q_CMP_GE, 2));
	EXPECT_TRUE(happened(self, "%s", ""));
	ASSERT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 1));
	EXPECT_TRUE(happened(self, "notify role=L3 offset=0 value=1\n"
			     "wake role=L2 armed=%#x force=0\n"
			     "eventfd role=L2 kind=0 slot=0\n", L3L2Q_EVENT_IN | L3L2Q_ARM_SLOT(2)));
	ASSERT_EQ(0, drv_set(L3->fd, L3L2Q_CTR_INPUT_TAIL, 2));
	EXPECT_TRUE(happened(self, "notify role=L3 offset=0 value=2\n"
			     "wake role=L2 armed=%#x force=0\n"
			     "eventfd role=L2 kind=3 slot=2\n", L3L2Q_ARM_SLOT(2)));
	close(in);
	close(slot);
}

/* Until a line that begins so is there. */
static bool comes(FIXTURE_DATA(trace) *self, const char *start)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);

	while (!strstr(story(self), start))
		if (drv_now() > deadline)
			return false;
	return true;
}

TEST_F(trace, scans_of_a_silent_peer)
{
	struct drv_sleeper s;
	char *at;

	self->create.flags = L3L2Q_CREATE_SILENT_PEER;
	begin(_metadata, self);
	/* nobody sleeps: no scan */
	EXPECT_TRUE(happened(self, "%s", ""));
	drv_sleeper_start(_metadata, &s, DRV_BY_WAIT, L3->fd, L3L2Q_EVENT_IN);
	EXPECT_TRUE(comes(self, "\nscan role=L3 ready=0 period_ns="));
	EXPECT_EQ(NULL, strstr(self->story, "wake"));
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drv_sleeper_join(_metadata, &s);
	at = strstr(story(self), "\nscan role=L3 ready=1 period_ns=");
	ASSERT_NE(NULL, at);
	at = strchr(at + 1, '\n');
	EXPECT_EQ(0, strncmp(at, "\nwake role=L3 armed=0x5 force=0\n", 32));
	EXPECT_NE(NULL, strstr(at, "\nwait_end role=L3 reason=event events=IN condition=-1\n"));
	drv_sleeper_done(&s);
}

TEST_F(trace, an_abort_by_its_flag)
{
	begin(_metadata, self);
	drv_store(L3, L3L2Q_CTR_L3_ABORT, 1);
	EXPECT_TRUE(happened(self, "%s", ""));
	ASSERT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_TRUE(happened(self, "kick role=L3 flags=0x0\nabort role=L3 cause=flag\n"));
	ASSERT_EQ(0, drv_kick(L3->fd, 0));
	EXPECT_TRUE(happened(self, "kick role=L3 flags=0x0\n"));
	/* seen by who looks */
	drv_store(L2, L3L2Q_CTR_L2_ABORT, 1);
	EXPECT_LT(0, drv_poll(L3->fd, POLLIN, 0));
	EXPECT_TRUE(happened(self, "abort role=L2 cause=flag\n"));
}

/* It had aborted before it died: the flag is its own. */
TEST_F(trace, an_abort_before_death)
{
	begin(_metadata, self);
	drv_store(L3, L3L2Q_CTR_L3_ABORT, 1);
	drv_ep_unmap_all(L3);
	EXPECT_NE(NULL, strstr(story(self), "end role=L3 state=dead\nabort role=L3 cause=flag\n"));
}

TEST_F(trace, a_revocation)
{
	struct dmabuf_standin_new new = { .flags = DMABUF_STANDIN_DYNAMIC, .fd = -1 };
	struct l3l2q_layout layout;
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);
	int node;

	if (drv_load_module(getenv("DMABUF_STANDIN_KO"), ""))
		SKIP(return, "no dmabuf_standin.ko");
	node = open(DMABUF_STANDIN_NODE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, node);
	ASSERT_EQ(0, l3l2q_layout_make(DRV_DEPTH, DRV_ARENA, DRV_ARENA, &layout));
	new.bytes = (layout.payload_bytes + page - 1) / page * page + page;
	ASSERT_EQ(0, ioctl(node, DMABUF_STANDIN_NEW, &new));
	self->create.backend = L3L2Q_BACKEND_DMABUF;
	self->create.flags = L3L2Q_CREATE_COHERENT;
	self->create.source = (__u64)new.fd;
	begin(_metadata, self);
	ASSERT_EQ(0, ioctl(node, DMABUF_STANDIN_REVOKE, (unsigned long)new.fd));
	EXPECT_TRUE(happened(self, "revoke removal=5\nabort role=L2 cause=revoke\n"
			     "wake role=L3 armed=0xc force=1\nabort role=L3 cause=revoke\n"
			     "wake role=L2 armed=0xc force=1\n"));
	close(new.fd);
	drv_pair_close(&self->p);
	close(node);
	EXPECT_EQ(0, drv_unload_module("dmabuf_standin"));
}

TEST_HARNESS_MAIN
