// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dma-bufs: regions in memory of another driver, which may take it back, and
 * regions of RAM that are handed on. The other driver is a stand-in, a module
 * that DMABUF_STANDIN_KO names; without it most is skipped. Where the kernel has
 * udmabuf, that is another one.
 */
#include "drv_util.h"

#include <linux/udmabuf.h>

#include "modules/dmabuf_standin/dmabuf_standin.h"

#define TEST_UID	4245
#define PARAM_USER	"/sys/module/l3l2q/parameters/max_user_mib"
#define REFCNT		"/sys/module/l3l2q/refcnt"

/* ---- exporters ---------------------------------------------------------- */

static __u64 page_size(void)
{
	return (__u64)sysconf(_SC_PAGESIZE);
}

static __u64 page_align(__u64 bytes)
{
	return (bytes + page_size() - 1) / page_size() * page_size();
}

static int refcnt(void)
{
	char buf[32];

	return atoi(drv_read_file(REFCNT, buf, sizeof(buf)));
}

static int standin_load(void)
{
	return drv_load_module(getenv("DMABUF_STANDIN_KO"), "");
}

/* Refused as long as there is one of its buffers. */
static int standin_unload(void)
{
	return drv_unload_module("dmabuf_standin");
}

static int standin_call(unsigned long cmd, unsigned long arg)
{
	int fd = drv_errno(open(DMABUF_STANDIN_NODE, O_RDWR | O_CLOEXEC)), ret;

	if (fd < 0)
		return fd;
	ret = drv_errno(ioctl(fd, cmd, arg));
	close(fd);
	return ret;
}

/* Returns the buffer's descriptor. */
static int standin_new(__u64 bytes, __u32 flags)
{
	struct dmabuf_standin_new new = { .bytes = bytes, .flags = flags, .fd = -1 };
	int ret = standin_call(DMABUF_STANDIN_NEW, (unsigned long)&new);

	return ret ? ret : new.fd;
}

static int standin_revoke(int fd)
{
	return standin_call(DMABUF_STANDIN_REVOKE, (unsigned long)fd);
}

static struct dmabuf_standin_state standin_state(int fd)
{
	struct dmabuf_standin_state state = { .fd = fd };

	if (standin_call(DMABUF_STANDIN_STATE, (unsigned long)&state))
		state.fd = -1;
	return state;
}

static bool standin_unused(int fd)
{
	struct dmabuf_standin_state state = standin_state(fd);

	return state.fd == fd && !state.attached && !state.pinned && !state.vmapped;
}

static int export_fd(int fd)
{
	struct l3l2q_export_dmabuf export = { .size = sizeof(export), .fd = -1 };
	int ret = drv_ioctl(fd, L3L2Q_IOC_EXPORT_DMABUF, &export);

	return ret ? ret : export.fd;
}

/* Of a region of our own, which nothing else holds afterwards. */
static int export_new(int ctx, __u64 payload, __u64 counters)
{
	struct l3l2q_create create;
	int fd, ret;

	drv_create_init_raw(&create, payload, counters);
	fd = drv_create(ctx, &create);
	if (fd < 0)
		return fd;
	ret = export_fd(fd);
	close(fd);
	return ret;
}

static int udmabuf_new(__u64 bytes)
{
	struct udmabuf_create create = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = bytes };
	int node = drv_errno(open("/dev/udmabuf", O_RDWR | O_CLOEXEC)), memfd, ret;

	if (node < 0)
		return node;
	memfd = drv_errno(memfd_create("udmabuf", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	create.memfd = (__u32)memfd;
	ret = drv_errno(ftruncate(memfd, (off_t)bytes));
	if (!ret)
		ret = drv_errno(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	if (!ret)
		ret = drv_errno(ioctl(node, UDMABUF_CREATE, &create));
	close(memfd);
	close(node);
	return ret;
}

static void *map_fd(int fd, __u64 bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/* ---- a queue in a buffer ------------------------------------------------- */

static void import_init(struct l3l2q_create *create, int fd)
{
	drv_create_init(create);
	create->backend = L3L2Q_BACKEND_DMABUF;
	create->flags = L3L2Q_CREATE_COHERENT;
	create->source = (__u64)fd;
}

/* What the usual queue needs. */
static __u64 queue_bytes(void)
{
	struct l3l2q_layout layout;

	l3l2q_layout_make(DRV_DEPTH, DRV_ARENA, DRV_ARENA, &layout);
	return page_align(layout.payload_bytes) + page_align(layout.counter_bytes);
}

enum exporter { RAM, UDMABUF, STANDIN, STANDIN_DYNAMIC };

FIXTURE(import)
{
	int idle;	/* references to the driver */
	int fds;
	int ctx;
	int buf;
	bool loaded;
	struct drv_pair p;
};

FIXTURE_VARIANT(import)
{
	enum exporter exporter;
};

FIXTURE_VARIANT_ADD(import, ram) { .exporter = RAM };
FIXTURE_VARIANT_ADD(import, udmabuf) { .exporter = UDMABUF };
FIXTURE_VARIANT_ADD(import, standin) { .exporter = STANDIN };
FIXTURE_VARIANT_ADD(import, dynamic) { .exporter = STANDIN_DYNAMIC };

/* Large enough for the usual queue, and not a page more. */
static int import_buffer(FIXTURE_DATA(import) *self, enum exporter exporter)
{
	switch (exporter) {
	case RAM:
		return export_new(self->ctx, queue_bytes() - page_size(), 64);
	case UDMABUF:
		return udmabuf_new(queue_bytes());
	case STANDIN:
		return standin_new(queue_bytes(), 0);
	default:
		return standin_new(queue_bytes(), DMABUF_STANDIN_DYNAMIC);
	}
}

FIXTURE_SETUP(import)
{
	struct l3l2q_query query;

	self->idle = refcnt();
	self->fds = drv_count_fds();
	self->buf = -1;
	self->ctx = drv_open();
	self->p.ctx = self->p.l3.fd = self->p.l2.fd = -1;
	ASSERT_LE(0, self->ctx);
	ASSERT_EQ(0, drv_query(self->ctx, &query));
	if (!(query.features & L3L2Q_FEATURE_DMABUF))
		SKIP(return, "this kernel has no dma-bufs");
	if (variant->exporter == UDMABUF && access("/dev/udmabuf", F_OK))
		SKIP(return, "this kernel has no udmabuf");
	if (variant->exporter >= STANDIN) {
		if (!getenv("DMABUF_STANDIN_KO"))
			SKIP(return, "DMABUF_STANDIN_KO is not set");
		ASSERT_EQ(0, standin_load());
		self->loaded = true;
	}
	self->buf = import_buffer(self, variant->exporter);
	ASSERT_LE(0, self->buf);
}

/* All is closed, and nobody holds anything. */
FIXTURE_TEARDOWN(import)
{
	drv_pair_close(&self->p);
	if (self->buf >= 0)
		close(self->buf);
	close(self->ctx);
	if (self->loaded)
		EXPECT_EQ(0, standin_unload());
	EXPECT_EQ(self->fds, drv_count_fds());
	EXPECT_EQ(self->idle, refcnt());
}

static void import_pair(struct __test_metadata *_metadata, FIXTURE_DATA(import) *self)
{
	struct l3l2q_create create;

	import_init(&create, self->buf);
	drv_pair_create(_metadata, &self->p, &create);
	drv_pair_map(_metadata, &self->p);
}

TEST_F(import, is_described)
{
	struct l3l2q_info *info = &self->p.l3.info;
	char path[64], text[4096];

	import_pair(_metadata, self);
	EXPECT_EQ(L3L2Q_BACKEND_DMABUF, info->backend);
	EXPECT_EQ(L3L2Q_MEMORY_CACHED, info->memory);
	EXPECT_EQ(L3L2Q_PEER_ARMS, info->peer_kind);
	EXPECT_NE(0, info->region.payload_base);
	EXPECT_NE(0, info->region.counter_base);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->p.l3.fd);
	drv_read_file(path, text, sizeof(text));
	EXPECT_NE(NULL, strstr(text, "l3l2q-backend:\tdmabuf\n"));
	EXPECT_NE(NULL, strstr(text, "l3l2q-removed:\t0\n"));
}

TEST_F(import, is_zeroed)
{
	__u64 bytes = queue_bytes(), i;
	char *p = map_fd(self->buf, bytes);

	ASSERT_NE(MAP_FAILED, (void *)p);
	memset(p, 0xa5, bytes);
	import_pair(_metadata, self);
	for (i = 0; i < bytes && !p[i]; i++)
		;
	EXPECT_EQ(bytes, i);
	munmap(p, bytes);
}

TEST_F(import, has_the_payload_first_and_counters_at_the_next_page)
{
	__u64 bytes = queue_bytes();
	char *p = map_fd(self->buf, bytes), *counters;

	ASSERT_NE(MAP_FAILED, (void *)p);
	import_pair(_metadata, self);
	counters = p + page_align(self->p.l3.info.region.payload_bytes);

	memcpy(self->p.l3.payload + 100, "hello", 5);
	EXPECT_EQ(0, memcmp(p + 100, "hello", 5));
	memcpy(p + 4000, "world", 5);
	EXPECT_EQ(0, memcmp(self->p.l2.payload + 4000, "world", 5));

	drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, 3);
	EXPECT_EQ(3, *(__s32 *)(counters + L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(3, drv_load(&self->p.l2, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(3, drv_load_fd(self->p.l2.fd, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(0, drv_set(self->p.l2.fd, L3L2Q_CTR_INPUT_HEAD, 2));
	EXPECT_EQ(2, *(__s32 *)(counters + L3L2Q_CTR_INPUT_HEAD));
	EXPECT_EQ(2, drv_load(&self->p.l3, L3L2Q_CTR_INPUT_HEAD));
	munmap(p, bytes);
}

/* An observer's mapping of the exporter's memory could not be taken back. */
TEST_F(import, observers_read_it_and_cannot_map_it)
{
	struct l3l2q_observe o;
	char text[8] = "";
	int value, err;
	void *map;

	import_pair(_metadata, self);
	drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, 3);
	memcpy(self->p.l3.payload + 4094, "hello", 5);
	ASSERT_LE(0, drv_observer(self->p.ctx, self->p.l3.info.region.region_id,
				  L3L2Q_OBSERVE_PAYLOAD, &o));
	EXPECT_EQ(4, drv_read_at(o.fd, &value, 4, &o.map[L3L2Q_MAP_COUNTERS], 0));
	EXPECT_EQ(3, value);
	EXPECT_EQ(5, drv_read_at(o.fd, text, 5, &o.map[L3L2Q_MAP_PAYLOAD], 4094));
	EXPECT_STREQ("hello", text);
	EXPECT_EQ(0, o.map[L3L2Q_MAP_PAYLOAD].length);
	EXPECT_EQ(0, o.map[L3L2Q_MAP_COUNTERS].length);
	EXPECT_EQ(NULL, drv_mmap(o.fd, &self->p.l3.info.map[L3L2Q_MAP_COUNTERS], PROT_READ, &err));
	EXPECT_EQ(-EOPNOTSUPP, err);
	map = drv_mmap(o.fd, &o.map[L3L2Q_MAP_STATUS], PROT_READ, &err);
	EXPECT_EQ(0, err);
	munmap(map, o.map[L3L2Q_MAP_STATUS].length);
	close(o.fd);
}

TEST_F(import, sleepers_are_woken)
{
	struct drv_sleeper s;
	enum drv_how how;

	import_pair(_metadata, self);
	for (how = 0; how < DRV_HOWS; how++) {
		drv_sleeper_start(_metadata, &s, how, self->p.l2.fd, L3L2Q_EVENT_IN);
		EXPECT_EQ(0, drv_publish_tail(&self->p.l3, (__u32)how + 1));
		drv_sleeper_join(_metadata, &s);
		EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
		drv_sleeper_done(&s);
		EXPECT_EQ(0, drv_publish_head(&self->p.l2, (__u32)how + 1));
	}
}

/* Take @n words off the input ring and send each back, plus one. */
static int import_echo(struct drv_ep *l2, __u32 n)
{
	__u32 i, word;
	int ret;

	for (i = 0; i < n; i++) {
		drv_consumer(l2, L3L2Q_CONSUMER_SEEN, i);
		ret = drv_wait(l2->fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER, NULL);
		if (ret)
			return ret;
		memcpy(&word, l2->payload + i % DRV_DEPTH * 64, sizeof(word));
		ret = drv_publish_head(l2, i + 1);
		word++;
		memcpy(l2->payload + 4096 + i % DRV_DEPTH * 64, &word, sizeof(word));
		ret = ret ? ret : drv_publish_tail(l2, i + 1);
		if (ret)
			return ret;
	}
	return 0;
}

TEST_F(import, messages_go_to_another_process_and_back)
{
	__u32 i, word, n = (__u32)drv_rounds(400);
	struct l3l2q_create create;
	struct drv_child child;

	import_init(&create, self->buf);
	drv_pair_create(_metadata, &self->p, &create);
	ASSERT_EQ(0, drv_ep_map(&self->p.l3));
	if (!drv_fork(_metadata, &child)) {
		if (drv_ep_map(&self->p.l2))
			_exit(1);
		_exit(import_echo(&self->p.l2, n) ? 2 : 0);
	}
	for (i = 0; i < n; i++) {
		word = i * 2654435761u;
		memcpy(self->p.l3.payload + i % DRV_DEPTH * 64, &word, sizeof(word));
		ASSERT_EQ(0, drv_publish_tail(&self->p.l3, i + 1));
		drv_consumer(&self->p.l3, L3L2Q_CONSUMER_SEEN, i);
		ASSERT_EQ(0, drv_wait(self->p.l3.fd, L3L2Q_EVENT_IN, NULL, 0, L3L2Q_WAIT_FOREVER,
				      NULL));
		ASSERT_EQ(i + 1, drv_load(&self->p.l3, L3L2Q_CTR_OUTPUT_TAIL));
		memcpy(&word, self->p.l3.payload + 4096 + i % DRV_DEPTH * 64, sizeof(word));
		ASSERT_EQ(i * 2654435761u + 1, word);
		ASSERT_EQ(0, drv_publish_head(&self->p.l3, i + 1));
	}
	EXPECT_EQ(0, drv_reap(&child));
}

/* Its control page is what attaches it. */
TEST_F(import, a_killed_peer_is_dead)
{
	struct l3l2q_create create;
	struct drv_child child;
	struct drv_sleeper s;

	import_init(&create, self->buf);
	drv_pair_create(_metadata, &self->p, &create);
	ASSERT_EQ(0, drv_ep_map(&self->p.l3));
	if (!drv_fork(_metadata, &child)) {
		if (drv_ep_map(&self->p.l2) || !drv_say(child.sock, 'm'))
			_exit(1);
		drv_hear_forever(child.sock);
	}
	ASSERT_EQ('m', drv_hear(child.sock));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->p.l3.status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(-EBUSY, drv_ep_map(&self->p.l2));
	drv_sleeper_start(_metadata, &s, DRV_BY_WAIT, self->p.l3.fd, L3L2Q_EVENT_IN);
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&child));
	drv_sleeper_join(_metadata, &s);
	EXPECT_EQ(0, s.ret);
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, s.waited.revents);
	EXPECT_EQ(1, drv_load(&self->p.l3, L3L2Q_CTR_L2_ABORT));
	EXPECT_EQ(L3L2Q_STATE_DEAD, self->p.l3.status->state[L3L2Q_ROLE_L2]);
}

static __u32 import_state(int fd)
{
	struct l3l2q_info info;

	return drv_info(fd, &info) ? UINT32_MAX : info.state;
}

/* Map a part and unmap it again; the state meanwhile. */
static __u32 import_look(struct drv_ep *ep, int which, int prot)
{
	struct l3l2q_mapping *m = &ep->info.map[which];
	__u32 state;
	void *at;
	int err;

	at = drv_mmap(ep->fd, m, prot, &err);
	if (err)
		return UINT32_MAX;
	state = import_state(ep->fd);
	if (!(prot & PROT_WRITE) && mprotect(at, m->length, PROT_READ | PROT_WRITE) != -1)
		state = UINT32_MAX;
	munmap(at, m->length);
	return state;
}

/* Neither what the exporter maps, nor looking at the page, even while it is attached. */
TEST_F(import, only_a_writable_mapping_of_its_control_page_attaches)
{
	struct drv_ep *ep = &self->p.l3;
	struct l3l2q_create create;
	struct drv_child child;
	int err, which;
	void *at;

	import_init(&create, self->buf);
	drv_pair_create(_metadata, &self->p, &create);
	for (which = L3L2Q_MAP_STATUS; which < L3L2Q_MAPS; which++)
		EXPECT_EQ(L3L2Q_STATE_OPEN, import_look(ep, which, PROT_READ)) TH_LOG("%d", which);
	EXPECT_EQ(L3L2Q_STATE_OPEN, import_look(ep, L3L2Q_MAP_PAYLOAD, PROT_READ | PROT_WRITE));
	EXPECT_EQ(L3L2Q_STATE_OPEN, import_look(ep, L3L2Q_MAP_COUNTERS, PROT_READ | PROT_WRITE));
	EXPECT_EQ(L3L2Q_STATE_OPEN, import_state(ep->fd));

	at = drv_mmap(ep->fd, &ep->info.map[L3L2Q_MAP_CONTROL], PROT_READ | PROT_WRITE, &err);
	ASSERT_EQ(0, err);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, import_state(ep->fd));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, import_look(ep, L3L2Q_MAP_CONTROL, PROT_READ));
	if (!drv_fork(_metadata, &child)) {
		EXPECT_EQ(L3L2Q_STATE_ATTACHED, import_look(ep, L3L2Q_MAP_CONTROL, PROT_READ));
		drv_mmap(ep->fd, &ep->info.map[L3L2Q_MAP_CONTROL], PROT_READ | PROT_WRITE, &err);
		EXPECT_EQ(-EBUSY, err);
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, import_state(ep->fd));
	EXPECT_EQ(0, drv_poll(self->p.l2.fd, POLLPRI, 0));
	munmap(at, ep->info.map[L3L2Q_MAP_CONTROL].length);
	EXPECT_EQ(L3L2Q_STATE_DEAD, import_state(ep->fd));
}

TEST_F(import, mappings_are_as_strict_as_others)
{
	struct l3l2q_mapping m;
	struct drv_ep *ep = &self->p.l3;
	void *p;
	int err;

	import_pair(_metadata, self);
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE, ep->fd,
		 (off_t)ep->info.map[L3L2Q_MAP_PAYLOAD].offset);
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, drv_mmap(ep->fd, &ep->info.map[L3L2Q_MAP_PAYLOAD],
				 PROT_READ | PROT_EXEC, &err));
	EXPECT_EQ(-EACCES, err);
	EXPECT_EQ(-EACCES, drv_errno(mprotect(ep->payload, page_size(), PROT_READ | PROT_EXEC)));
	m = ep->info.map[L3L2Q_MAP_COUNTERS];
	m.length += page_size();
	EXPECT_EQ(NULL, drv_mmap(ep->fd, &m, PROT_READ, &err));
	EXPECT_EQ(-EINVAL, err);
	m = ep->info.map[L3L2Q_MAP_PAYLOAD];
	m.offset += m.length;
	EXPECT_EQ(NULL, drv_mmap(ep->fd, &m, PROT_READ, &err));
	EXPECT_EQ(-EINVAL, err);
}

/* Mapping a part that begins inside the payload. */
TEST_F(import, parts_can_be_mapped_in_pieces)
{
	struct l3l2q_mapping m;
	char *p;
	int err;

	import_pair(_metadata, self);
	m = self->p.l3.info.map[L3L2Q_MAP_PAYLOAD];
	m.offset += page_size();
	m.length = page_size();
	p = drv_mmap(self->p.l3.fd, &m, PROT_READ | PROT_WRITE, &err);
	ASSERT_NE(NULL, p);
	strcpy(self->p.l3.payload + page_size() + 8, "piece");
	EXPECT_STREQ("piece", p + 8);
	munmap(p, page_size());
}

TEST_F(import, is_not_exported_again)
{
	import_pair(_metadata, self);
	EXPECT_EQ(-EOPNOTSUPP, export_fd(self->p.l3.fd));
}

/* The fixture's end says whether anything was left. */
TEST_F(import, can_be_closed_in_any_order)
{
	unsigned int order, i, n, what, left;

	close(self->buf);
	for (order = 0; order < 24; order++) {
		self->buf = import_buffer(self, variant->exporter);
		ASSERT_LE(0, self->buf);
		import_pair(_metadata, self);
		for (i = 0, left = 0xf, n = order; i < 4; n /= 4 - i, i++) {
			/* the n % (4 - i)th of those that are left */
			unsigned int skip = n % (4 - i);

			for (what = 0; !(left >> what & 1) || skip--; what++)
				;
			left &= ~(1u << what);
			switch (what) {
			case 0:
				close(self->buf);
				break;
			case 1:
				drv_ep_close(&self->p.l3);
				break;
			case 2:
				drv_ep_close(&self->p.l2);
				break;
			case 3:
				drv_ep_unmap_all(&self->p.l3);
				drv_ep_unmap_all(&self->p.l2);
				break;
			}
		}
		drv_pair_close(&self->p);
	}
	self->buf = -1;
}

/* The endpoints are the last to hold it, then their mappings are. */
TEST_F(import, outlives_the_descriptor)
{
	import_pair(_metadata, self);
	close(self->buf);
	self->buf = -1;
	strcpy(self->p.l3.payload, "still there");
	EXPECT_STREQ("still there", self->p.l2.payload);
	drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, 4);
	EXPECT_EQ(4, drv_load_fd(self->p.l2.fd, L3L2Q_CTR_INPUT_TAIL));
	drv_ep_close(&self->p.l3);
	drv_ep_close(&self->p.l2);
	EXPECT_EQ(4, drv_load(&self->p.l2, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_STREQ("still there", self->p.l2.payload);
}

/* ---- what is refused ---------------------------------------------------- */

FIXTURE(refused)
{
	int idle;
	int ctx;
	int buf;
	bool loaded;
};

FIXTURE_SETUP(refused)
{
	struct l3l2q_query query;

	self->idle = refcnt();
	self->buf = -1;
	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	ASSERT_EQ(0, drv_query(self->ctx, &query));
	if (!(query.features & L3L2Q_FEATURE_DMABUF))
		SKIP(return, "this kernel has no dma-bufs");
	self->loaded = !standin_load();
	self->buf = export_new(self->ctx, queue_bytes() - page_size(), 64);
	ASSERT_LE(0, self->buf);
}

FIXTURE_TEARDOWN(refused)
{
	close(self->buf);
	close(self->ctx);
	if (self->loaded)
		EXPECT_EQ(0, standin_unload());
	EXPECT_EQ(self->idle, refcnt());
}

static int refused_create(int ctx, struct l3l2q_create *create)
{
	int fds = drv_count_fds(), ret = drv_create(ctx, create);

	if (ret >= 0)
		close(ret);
	return fds == drv_count_fds() ? ret : -EXFULL;
}

TEST_F(refused, unless_declared_coherent)
{
	struct l3l2q_create create;

	import_init(&create, self->buf);
	create.flags = 0;
	EXPECT_EQ(-EOPNOTSUPP, refused_create(self->ctx, &create));
	create.flags = L3L2Q_CREATE_SILENT_PEER | L3L2Q_CREATE_SHARE_ADDRESSES;
	EXPECT_EQ(-EOPNOTSUPP, refused_create(self->ctx, &create));
	create.flags |= L3L2Q_CREATE_COHERENT;
	EXPECT_LE(0, refused_create(self->ctx, &create));
}

TEST_F(refused, what_it_has_no_use_for)
{
	struct l3l2q_create create;

	import_init(&create, self->buf);
	create.source_bytes = 4096;
	EXPECT_EQ(-EINVAL, refused_create(self->ctx, &create));
	import_init(&create, self->buf);
	create.flags |= L3L2Q_CREATE_NUMA;
	EXPECT_EQ(-EINVAL, refused_create(self->ctx, &create));
	drv_create_init(&create);
	create.flags = L3L2Q_CREATE_COHERENT;
	EXPECT_EQ(-EINVAL, refused_create(self->ctx, &create));
}

TEST_F(refused, what_is_no_dma_buf)
{
	int memfd = memfd_create("no", MFD_CLOEXEC), lonely, path;
	struct l3l2q_create create;

	drv_create_init(&create);
	lonely = drv_create(self->ctx, &create);
	path = open("/", O_PATH | O_CLOEXEC);
	import_init(&create, memfd);
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	create.source = (__u64)self->ctx;
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	create.source = (__u64)lonely;
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	create.source = (__u64)path;
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	create.source = 1000;
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	create.source = INT_MAX;
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	create.source = ~0ull;
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	/* not cut to 32 bits */
	create.source = 1ull << 32 | (__u32)self->buf;
	EXPECT_EQ(-EBADF, refused_create(self->ctx, &create));
	close(path);
	close(lonely);
	close(memfd);
}

TEST_F(refused, what_is_too_small)
{
	__u64 page = page_size();
	struct l3l2q_create create;
	int buf;

	buf = export_new(self->ctx, 2 * page, page);
	ASSERT_LE(0, buf);
	drv_create_init_raw(&create, 2 * page, page);
	create.backend = L3L2Q_BACKEND_DMABUF;
	create.flags = L3L2Q_CREATE_COHERENT;
	create.source = (__u64)buf;
	EXPECT_LE(0, refused_create(self->ctx, &create));
	create.payload_bytes = page + 1;
	EXPECT_LE(0, refused_create(self->ctx, &create));
	create.payload_bytes = 2 * page + 1;
	EXPECT_EQ(-ENOSPC, refused_create(self->ctx, &create));
	create.payload_bytes = 3 * page;
	EXPECT_EQ(-ENOSPC, refused_create(self->ctx, &create));
	create.payload_bytes = 2 * page;
	create.counter_bytes = page + 4;
	EXPECT_EQ(-ENOSPC, refused_create(self->ctx, &create));
	create.payload_bytes = page;
	EXPECT_LE(0, refused_create(self->ctx, &create));
	create.payload_bytes = 1ull << 35;
	EXPECT_EQ(-ENOSPC, refused_create(self->ctx, &create));
	close(buf);
}

/* CREATE on one of the stand-in's, which is let go of again. */
static int refused_standin(struct __test_metadata *_metadata, FIXTURE_DATA(refused) *self,
			   __u32 flags)
{
	int buf = standin_new(queue_bytes(), flags), ret;
	struct l3l2q_create create;

	if (!self->loaded)
		return INT_MIN;
	EXPECT_LE(0, buf);
	import_init(&create, buf);
	ret = refused_create(self->ctx, &create);
	EXPECT_TRUE(standin_unused(buf));
	close(buf);
	return ret < 0 ? ret : 0;
}

TEST_F(refused, what_exporters_do_not_offer)
{
	if (!self->loaded)
		SKIP(return, "no dmabuf_standin.ko");
#define REFUSED(flags) refused_standin(_metadata, self, flags)
	EXPECT_EQ(0, REFUSED(0));
	EXPECT_EQ(0, REFUSED(DMABUF_STANDIN_DYNAMIC));
	EXPECT_EQ(-EOPNOTSUPP, REFUSED(DMABUF_STANDIN_NO_VMAP));
	EXPECT_EQ(-EOPNOTSUPP, REFUSED(DMABUF_STANDIN_NO_VMAP | DMABUF_STANDIN_DYNAMIC));
	EXPECT_EQ(-EOPNOTSUPP, REFUSED(DMABUF_STANDIN_NO_MMAP));
	EXPECT_EQ(-EOPNOTSUPP, REFUSED(DMABUF_STANDIN_IOMEM));
	EXPECT_EQ(-EOPNOTSUPP, REFUSED(DMABUF_STANDIN_IOMEM | DMABUF_STANDIN_DYNAMIC));
	EXPECT_EQ(-EOPNOTSUPP, REFUSED(DMABUF_STANDIN_NO_PIN | DMABUF_STANDIN_DYNAMIC));
	EXPECT_EQ(-EOPNOTSUPP, REFUSED(DMABUF_STANDIN_NO_ATTACH | DMABUF_STANDIN_DYNAMIC));
	/* nobody attaches to this one */
	EXPECT_EQ(0, REFUSED(DMABUF_STANDIN_NO_ATTACH));
	EXPECT_EQ(-EACCES, REFUSED(DMABUF_STANDIN_READ_ONLY));
	EXPECT_EQ(-EACCES, REFUSED(DMABUF_STANDIN_READ_ONLY | DMABUF_STANDIN_DYNAMIC));
}

TEST_F(refused, what_is_lost_half_way)
{
	if (!self->loaded)
		SKIP(return, "no dmabuf_standin.ko");
	/* moved in order to be pinned is not lost */
	EXPECT_EQ(0, REFUSED(DMABUF_STANDIN_MOVES | DMABUF_STANDIN_DYNAMIC));
	EXPECT_EQ(-ENODEV, REFUSED(DMABUF_STANDIN_VMAP_LOSES | DMABUF_STANDIN_DYNAMIC));
}

/* ---- revocation --------------------------------------------------------- */

FIXTURE(revoked)
{
	int idle;
	int ctx;
	int buf;
	bool loaded;
	struct drv_pair p;
};

FIXTURE_SETUP(revoked)
{
	struct l3l2q_query query;
	struct l3l2q_create create;

	self->idle = refcnt();
	self->buf = -1;
	self->p.ctx = self->p.l3.fd = self->p.l2.fd = -1;
	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	ASSERT_EQ(0, drv_query(self->ctx, &query));
	if (!(query.features & L3L2Q_FEATURE_DMABUF))
		SKIP(return, "this kernel has no dma-bufs");
	if (!getenv("DMABUF_STANDIN_KO"))
		SKIP(return, "DMABUF_STANDIN_KO is not set");
	ASSERT_EQ(0, standin_load());
	self->loaded = true;
	self->buf = standin_new(queue_bytes(), DMABUF_STANDIN_DYNAMIC);
	ASSERT_LE(0, self->buf);
	import_init(&create, self->buf);
	drv_pair_create(_metadata, &self->p, &create);
	drv_pair_map(_metadata, &self->p);
}

FIXTURE_TEARDOWN(revoked)
{
	drv_pair_close(&self->p);
	if (self->buf >= 0) {
		EXPECT_TRUE(standin_unused(self->buf));
		close(self->buf);
	}
	close(self->ctx);
	if (self->loaded)
		EXPECT_EQ(0, standin_unload());
	EXPECT_EQ(self->idle, refcnt());
}

static bool revoked_mapping_is_gone(const char *p, size_t n)
{
	while (n && *p == DMABUF_STANDIN_GONE)
		p++, n--;
	return !n;
}

TEST_F(revoked, shows_in_status_and_mappings_are_the_exporters)
{
	memset(self->p.l3.payload, 1, 100);
	drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, 2);
	EXPECT_EQ(0, self->p.l3.status->removed);
	EXPECT_EQ(1, standin_state(self->buf).pinned);
	EXPECT_EQ(0, standin_revoke(self->buf));
	EXPECT_EQ(1, standin_state(self->buf).notified);
	EXPECT_EQ(1, self->p.l3.status->removed);
	EXPECT_EQ(1, self->p.l2.status->removed);
	EXPECT_TRUE(revoked_mapping_is_gone(self->p.l3.payload, 100));
	EXPECT_TRUE(revoked_mapping_is_gone(self->p.l2.counters, 384));
	/* nobody is told twice */
	EXPECT_EQ(0, standin_revoke(self->buf));
	/* own words of the dead region still are */
	drv_consumer(&self->p.l3, L3L2Q_CONSUMER_SEEN, 7);
	EXPECT_EQ(7, self->p.l3.own->seen_tail);
}

TEST_F(revoked, all_calls_are_enodev)
{
	struct l3l2q_stats stats;
	struct l3l2q_create create;
	struct l3l2q_info info;
	int fd = self->p.l3.fd, err, efd = drv_eventfd_new();

	ASSERT_EQ(0, standin_revoke(self->buf));
	EXPECT_EQ(-ENODEV, drv_info(fd, &info));
	EXPECT_EQ(-ENODEV, drv_open_peer(fd));
	EXPECT_EQ(-ENODEV, drv_set(fd, L3L2Q_CTR_INPUT_TAIL, 1));
	EXPECT_EQ(-ENODEV, drv_load_fd(fd, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(-ENODEV, drv_wait(fd, L3L2Q_EVENT_IN, NULL, 0, 0, NULL));
	EXPECT_EQ(-ENODEV, drv_arm(fd, L3L2Q_EVENT_IN));
	EXPECT_EQ(-ENODEV, drv_eventfd(fd, L3L2Q_EVENTFD_IN, efd));
	EXPECT_EQ(-ENODEV, drv_kick(fd, 0));
	EXPECT_EQ(-ENODEV, drv_detach(fd));
	EXPECT_EQ(-ENODEV, drv_set_polling(fd, L3L2Q_PEER_SILENT, 0, 0));
	EXPECT_EQ(-ENODEV, drv_stats(fd, &stats));
	EXPECT_EQ(-ENODEV, export_fd(fd));
	EXPECT_EQ(NULL, drv_mmap(fd, &self->p.l3.info.map[L3L2Q_MAP_PAYLOAD], PROT_READ, &err));
	EXPECT_EQ(-ENODEV, err);
	import_init(&create, self->buf);
	EXPECT_EQ(-ENODEV, refused_create(self->ctx, &create));
	EXPECT_EQ(DRV_DEAD, drv_poll(fd, EPOLLIN | EPOLLOUT | EPOLLPRI, 0) & DRV_DEAD);
	EXPECT_EQ(DRV_DEAD, drv_poll(self->p.l2.fd, EPOLLIN | EPOLLPRI, 0) & DRV_DEAD);
	close(efd);
}

TEST_F(revoked, wakes_all_who_sleep)
{
	struct drv_sleeper s[L3L2Q_ROLES][DRV_HOWS];
	struct l3l2q_condition c = { .offset = 0, .cmp = L3L2Q_CMP_EQ, .value = 99 };
	struct drv_sleeper counter;
	enum drv_how how;
	int role;

	for (role = 0; role < L3L2Q_ROLES; role++)
		for (how = 0; how < DRV_HOWS; how++)
			drv_sleeper_start(_metadata, &s[role][how], how,
					  role ? self->p.l2.fd : self->p.l3.fd,
					  how == DRV_BY_EVENTFD ? L3L2Q_EVENT_ABORT : L3L2Q_EVENT_IN);
	drv_sleeper_start_wait(_metadata, &counter, self->p.l3.fd, 0, &c, 1);
	ASSERT_EQ(0, standin_revoke(self->buf));
	for (role = 0; role < L3L2Q_ROLES; role++)
		for (how = 0; how < DRV_HOWS; how++) {
			drv_sleeper_join(_metadata, &s[role][how]);
			EXPECT_EQ(0, s[role][how].ret);
			if (how == DRV_BY_WAIT) {
				EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP,
					  s[role][how].waited.revents &
					  (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP));
			} else if (how != DRV_BY_EVENTFD) {
				EXPECT_EQ(EPOLLERR | EPOLLHUP,
					  s[role][how].polled & (EPOLLERR | EPOLLHUP));
			}
			drv_sleeper_done(&s[role][how]);
		}
	drv_sleeper_join(_metadata, &counter);
	EXPECT_EQ(0, counter.ret);
	EXPECT_EQ(-1, counter.waited.index);
}

TEST_F(revoked, a_raw_region_hangs_up)
{
	struct l3l2q_create create;
	int buf = standin_new(2 * page_size(), DMABUF_STANDIN_DYNAMIC), fd;

	ASSERT_LE(0, buf);
	drv_create_init_raw(&create, page_size(), 64);
	create.backend = L3L2Q_BACKEND_DMABUF;
	create.flags = L3L2Q_CREATE_COHERENT;
	create.source = (__u64)buf;
	fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, drv_poll(fd, EPOLLIN | EPOLLPRI, 0));
	EXPECT_EQ(0, standin_revoke(buf));
	EXPECT_EQ(EPOLLHUP, drv_poll(fd, EPOLLIN | EPOLLPRI, 0) & DRV_DEAD);
	close(fd);
	EXPECT_TRUE(standin_unused(buf));
	close(buf);
	/* the other one has nothing to do with it */
	EXPECT_EQ(0, self->p.l3.status->removed);
}

/* Two regions in one buffer, a third that closed before. */
TEST_F(revoked, reaches_every_region_of_the_buffer)
{
	struct l3l2q_create create;
	int fds[2], i;

	import_init(&create, self->buf);
	for (i = 0; i < 2; i++) {
		fds[i] = drv_create(self->ctx, &create);
		ASSERT_LE(0, fds[i]);
	}
	close(fds[0]);
	EXPECT_EQ(2, standin_state(self->buf).pinned);
	EXPECT_EQ(0, standin_revoke(self->buf));
	EXPECT_EQ(1, self->p.l3.status->removed);
	EXPECT_EQ(-ENODEV, drv_load_fd(fds[1], 0));
	close(fds[1]);
}

/* The timer that watches a silent peer reads counters all the time. */
TEST_F(revoked, under_the_timer)
{
	int i, n = drv_rounds(20), buf, fd;
	struct l3l2q_create create;
	struct drv_sleeper s;

	for (i = 0; i < n; i++) {
		buf = standin_new(queue_bytes(), DMABUF_STANDIN_DYNAMIC);
		ASSERT_LE(0, buf);
		import_init(&create, buf);
		create.flags |= L3L2Q_CREATE_SILENT_PEER;
		fd = drv_create(self->ctx, &create);
		ASSERT_LE(0, fd);
		drv_sleeper_start(_metadata, &s, DRV_BY_WAIT, fd, L3L2Q_EVENT_IN);
		ASSERT_EQ(0, standin_revoke(buf));
		drv_sleeper_join(_metadata, &s);
		EXPECT_EQ(0, s.ret);
		EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP,
			  s.waited.revents & (L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP));
		close(fd);
		EXPECT_TRUE(standin_unused(buf));
		close(buf);
	}
}

/* What others do with a buffer while it is taken away. */
struct traffic {
	int ctx;
	int buf;
	struct drv_ep *ep;
	bool stop;
	int bad;
	long rounds;
};

/* Counters, by calls: they work, and then they are ENODEV. */
static void *traffic_calls(void *arg)
{
	struct traffic *t = arg;
	int ret;

	do {
		ret = drv_set(t->ep->fd, L3L2Q_CTR_INPUT_TAIL, (int)t->rounds);
		if (!ret)
			ret = drv_load_fd(t->ep->fd, L3L2Q_CTR_INPUT_HEAD);
		t->rounds++;
	} while (!ret && !__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE));
	t->bad = ret == -ENODEV ? 0 : ret;
	return NULL;
}

static void *traffic_maps(void *arg)
{
	const struct l3l2q_mapping *m;
	struct traffic *t = arg;
	char *p;
	int err;

	m = &t->ep->info.map[L3L2Q_MAP_PAYLOAD];
	do {
		p = drv_mmap(t->ep->fd, m, PROT_READ | PROT_WRITE, &err);
		if (!p)
			break;
		memset(p, 1, m->length);
		munmap(p, m->length);
		t->rounds++;
	} while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE));
	t->bad = err == -ENODEV ? 0 : err;
	return NULL;
}

static void *traffic_creates(void *arg)
{
	struct l3l2q_create create;
	struct traffic *t = arg;
	int ret;

	do {
		import_init(&create, t->buf);
		ret = drv_create(t->ctx, &create);
		if (ret >= 0)
			close(ret);
		t->rounds++;
	} while (ret >= 0 && !__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE));
	t->bad = ret >= 0 || ret == -ENODEV ? 0 : ret;
	return NULL;
}

static void *traffic_closes(void *arg)
{
	struct traffic *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE))
		;
	t->bad = drv_ep_close(t->ep);
	return NULL;
}

TEST_F(revoked, in_the_middle_of_everything)
{
	void *(*const mains[])(void *) = { traffic_calls, traffic_maps, traffic_creates };
	pthread_t threads[ARRAY_SIZE(mains)];
	int round, i, n = drv_rounds(24);
	struct l3l2q_create create;

	for (round = 0; round < n; round++) {
		struct traffic t[ARRAY_SIZE(mains)];
		struct drv_pair p;
		int buf = standin_new(queue_bytes(), DMABUF_STANDIN_DYNAMIC);

		ASSERT_LE(0, buf);
		import_init(&create, buf);
		drv_pair_create(_metadata, &p, &create);
		drv_pair_map(_metadata, &p);
		for (i = 0; i < (int)ARRAY_SIZE(mains); i++) {
			t[i] = (struct traffic) { .ctx = self->ctx, .buf = buf, .ep = &p.l3 };
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, mains[i], &t[i]));
		}
		/* each has begun */
		for (i = 0; i < (int)ARRAY_SIZE(mains); i++)
			while (__atomic_load_n(&t[i].rounds, __ATOMIC_RELAXED) < round % 4 + 1 &&
			       !__atomic_load_n(&t[i].bad, __ATOMIC_RELAXED))
				sched_yield();
		ASSERT_EQ(0, standin_revoke(buf));
		for (i = 0; i < (int)ARRAY_SIZE(mains); i++) {
			ASSERT_EQ(0, pthread_join(threads[i], NULL));
			EXPECT_EQ(0, t[i].bad)
				TH_LOG("round %d, thread %d", round, i);
		}
		EXPECT_EQ(1, p.l2.status->removed);
		drv_pair_close(&p);
		EXPECT_TRUE(standin_unused(buf));
		close(buf);
	}
}

TEST_F(revoked, while_the_last_reference_goes)
{
	int round, n = drv_rounds(60);

	for (round = 0; round < n; round++) {
		int buf = standin_new(queue_bytes(), DMABUF_STANDIN_DYNAMIC);
		struct traffic t = { .stop = false };
		struct l3l2q_create create;
		struct drv_ep ep;
		pthread_t thread;

		ASSERT_LE(0, buf);
		import_init(&create, buf);
		drv_ep_init(&ep, drv_create(self->ctx, &create));
		ASSERT_LE(0, ep.fd);
		t.ep = &ep;
		ASSERT_EQ(0, pthread_create(&thread, NULL, traffic_closes, &t));
		__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
		if (round & 1)
			sched_yield();
		ASSERT_EQ(0, standin_revoke(buf));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, t.bad);
		EXPECT_TRUE(standin_unused(buf));
		close(buf);
	}
}

/* ---- export ------------------------------------------------------------- */

FIXTURE(export)
{
	int idle;
	int fds;
	struct drv_pair p;
	int buf;
	__u64 bytes;
	char *map;
};

FIXTURE_SETUP(export)
{
	struct l3l2q_query query;

	self->idle = refcnt();
	self->fds = drv_count_fds();
	self->buf = -1;
	self->map = MAP_FAILED;
	drv_pair_queue(_metadata, &self->p);
	ASSERT_EQ(0, drv_query(self->p.ctx, &query));
	if (!(query.features & L3L2Q_FEATURE_EXPORT))
		SKIP(return, "this kernel has no dma-bufs");
	self->buf = export_fd(self->p.l3.fd);
	ASSERT_LE(0, self->buf);
	self->bytes = queue_bytes();
	self->map = map_fd(self->buf, self->bytes);
	ASSERT_NE(MAP_FAILED, (void *)self->map);
}

FIXTURE_TEARDOWN(export)
{
	if (self->map != MAP_FAILED)
		munmap(self->map, self->bytes);
	if (self->buf >= 0)
		close(self->buf);
	drv_pair_close(&self->p);
	EXPECT_EQ(self->fds, drv_count_fds());
	EXPECT_EQ(self->idle, refcnt());
}

TEST_F(export, is_the_payload_and_then_the_counters)
{
	char *counters = self->map + page_align(self->p.l3.info.region.payload_bytes);
	__u64 i, n = self->p.l3.info.region.payload_bytes;

	EXPECT_EQ((off_t)self->bytes, lseek(self->buf, 0, SEEK_END));
	for (i = 0; i < n; i++)
		self->p.l3.payload[i] = (char)(i * 7 + i / 4096);
	EXPECT_EQ(0, memcmp(self->map, self->p.l2.payload, n));
	for (i = 0; i < n; i++)
		self->map[i] = (char)(i * 3 + i / 512);
	EXPECT_EQ(0, memcmp(self->map, self->p.l2.payload, n));
	drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, 5);
	EXPECT_EQ(5, *(__s32 *)(counters + L3L2Q_CTR_INPUT_TAIL));
	*(__s32 *)(counters + L3L2Q_CTR_OUTPUT_TAIL) = 6;
	EXPECT_EQ(6, drv_load(&self->p.l3, L3L2Q_CTR_OUTPUT_TAIL));
	EXPECT_EQ(6, drv_load_fd(self->p.l3.fd, L3L2Q_CTR_OUTPUT_TAIL));
}

TEST_F(export, is_close_on_exec_and_writable)
{
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->buf, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(self->buf, F_GETFL) & O_ACCMODE);
}

TEST_F(export, by_either_end_any_number_of_times)
{
	int again = export_fd(self->p.l2.fd);
	char *p;

	ASSERT_LE(0, again);
	p = map_fd(again, self->bytes);
	ASSERT_NE(MAP_FAILED, (void *)p);
	strcpy(p, "twice");
	EXPECT_STREQ("twice", self->map);
	munmap(p, self->bytes);
	close(again);
}

TEST_F(export, maps_shared_only_not_executable_within_bounds)
{
	__u64 page = page_size();

	EXPECT_EQ(MAP_FAILED, mmap(NULL, page, PROT_READ, MAP_PRIVATE, self->buf, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED, self->buf, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-EACCES, drv_errno(mprotect(self->map, page, PROT_READ | PROT_EXEC)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->bytes + page, PROT_READ, MAP_SHARED, self->buf, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, page, PROT_READ, MAP_SHARED, self->buf, (off_t)self->bytes));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mremap(self->map, self->bytes, self->bytes + page, MREMAP_MAYMOVE));
}

TEST_F(export, goes_to_another_process)
{
	struct drv_child child;
	char *p;
	int fd;

	strcpy(self->map, "from here");
	if (!drv_fork(_metadata, &child)) {
		close(self->buf);
		munmap(self->map, self->bytes);
		fd = drv_recv_fd(child.sock);
		p = map_fd(fd, self->bytes);
		if (p == MAP_FAILED || strcmp(p, "from here"))
			_exit(1);
		strcpy(p + page_size(), "from there");
		_exit(0);
	}
	ASSERT_TRUE(drv_send_fd(child.sock, self->buf));
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_STREQ("from there", self->p.l3.payload + page_size());
}

/* Also for the mapping alone. */
TEST_F(export, outlives_the_endpoints)
{
	strcpy(self->p.l3.payload, "kept");
	drv_pair_close(&self->p);
	EXPECT_LT(self->idle, refcnt());
	EXPECT_STREQ("kept", self->map);
	close(self->buf);
	self->buf = -1;
	EXPECT_STREQ("kept", self->map);
	strcpy(self->map + self->bytes - 8, "end");
	EXPECT_STREQ("end", self->map + self->bytes - 8);
	EXPECT_LT(self->idle, refcnt());
}

/* Dying without DETACH, the first one would abort the second. */
TEST_F(export, is_a_region_again)
{
	struct l3l2q_create create;
	struct drv_sleeper s;
	struct drv_pair q;

	import_init(&create, self->buf);
	drv_pair_create(_metadata, &q, &create);
	drv_pair_map(_metadata, &q);
	EXPECT_EQ(0, drv_detach(self->p.l3.fd));
	EXPECT_EQ(0, drv_detach(self->p.l2.fd));
	drv_pair_close(&self->p);
	close(self->buf);
	self->buf = -1;

	drv_sleeper_start(_metadata, &s, DRV_BY_POLL, q.l2.fd, L3L2Q_EVENT_IN);
	strcpy(q.l3.payload + 512, "through two");
	EXPECT_EQ(0, drv_publish_tail(&q.l3, 1));
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
	EXPECT_STREQ("through two", q.l2.payload + 512);
	EXPECT_STREQ("through two", self->map + 512);
	drv_pair_close(&q);
}

/* A device reaches all of it, large chunks and single pages alike. */
TEST_F(export, can_be_mapped_for_dma)
{
	__u64 payload = (5ull << 20) + 12345, counters = 3 * page_size() + 4, i, sum = 0;
	struct dmabuf_standin_look look = { .fd = -1 };
	struct l3l2q_create create;
	struct drv_pair q;
	int buf;

	if (standin_load())
		SKIP(return, "no dmabuf_standin.ko");
	drv_create_init_raw(&create, payload, counters);
	drv_pair_create(_metadata, &q, &create);
	drv_pair_map(_metadata, &q);
	for (i = 0; i < payload; i += 509) {
		q.l3.payload[i] = (char)(i / 509);
		sum += (__u8)(i / 509);
	}
	for (i = 0; i < counters; i += 4) {
		q.l3.counters[i] = 1;
		sum++;
	}
	buf = export_fd(q.l3.fd);
	ASSERT_LE(0, buf);
	drv_pair_close(&q);
	look.fd = buf;
	EXPECT_EQ(0, standin_call(DMABUF_STANDIN_LOOK, (unsigned long)&look));
	EXPECT_EQ(page_align(payload) + page_align(counters), look.bytes);
	EXPECT_EQ(sum, look.sum);
	close(buf);
	EXPECT_EQ(0, standin_unload());
}

/* Who is over the limit stays so until the dma-buf is gone too. */
TEST_F(export, stays_charged)
{
	struct l3l2q_create create;
	char old[32];
	int fd, buf;

	drv_read_file(PARAM_USER, old, sizeof(old));
	ASSERT_EQ(0, drv_write_file(PARAM_USER, "8"));
	ASSERT_EQ(0, setresuid(TEST_UID, TEST_UID, 0));
	drv_create_init_raw(&create, 5ull << 20, 64);
	fd = drv_create(self->p.ctx, &create);
	EXPECT_LE(0, fd);
	buf = export_fd(fd);
	EXPECT_LE(0, buf);
	close(fd);
	EXPECT_EQ(-EDQUOT, drv_create(self->p.ctx, &create));
	close(buf);
	fd = drv_create(self->p.ctx, &create);
	EXPECT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, setresuid(0, 0, 0));
	EXPECT_EQ(0, drv_write_file(PARAM_USER, old));
}

TEST_HARNESS_MAIN
