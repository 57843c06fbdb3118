// SPDX-License-Identifier: GPL-2.0-only
/*
 * The five mappings: what may be mapped how, and to whom the counters attach.
 */
#include "drv_util.h"

FIXTURE(map)
{
	struct drv_pair p;
	size_t page;
};

FIXTURE_VARIANT(map)
{
	int which;
};

FIXTURE_VARIANT_ADD(map, payload) { .which = L3L2Q_MAP_PAYLOAD };
FIXTURE_VARIANT_ADD(map, counters) { .which = L3L2Q_MAP_COUNTERS };
FIXTURE_VARIANT_ADD(map, status) { .which = L3L2Q_MAP_STATUS };
FIXTURE_VARIANT_ADD(map, control) { .which = L3L2Q_MAP_CONTROL };
FIXTURE_VARIANT_ADD(map, peer_control) { .which = L3L2Q_MAP_PEER_CONTROL };

FIXTURE_SETUP(map)
{
	struct l3l2q_create create;

	self->page = (size_t)sysconf(_SC_PAGESIZE);
	drv_create_init(&create);
	create.input_arena_bytes = 16 * self->page;
	drv_pair_create(_metadata, &self->p, &create);
}

FIXTURE_TEARDOWN(map)
{
	drv_pair_close(&self->p);
}

static int map_try(int fd, __u64 offset, size_t length, int prot, int flags)
{
	void *p = mmap(NULL, length, prot, flags, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, length);
	return 0;
}

#define FD (self->p.l3.fd)
#define M (&self->p.l3.info.map[variant->which])
#define WRITABLE (drv_map_prot(variant->which) & PROT_WRITE)

TEST_F(map, shared_with_its_protection_works)
{
	EXPECT_EQ(0, map_try(FD, M->offset, M->length, drv_map_prot(variant->which),
			     MAP_SHARED));
}

TEST_F(map, private_is_einval)
{
	EXPECT_EQ(-EINVAL, map_try(FD, M->offset, M->length, PROT_READ, MAP_PRIVATE));
	EXPECT_EQ(-EINVAL, map_try(FD, M->offset, M->length, drv_map_prot(variant->which),
				   MAP_PRIVATE));
}

TEST_F(map, executable_is_eacces)
{
	EXPECT_EQ(-EACCES, map_try(FD, M->offset, M->length, PROT_READ | PROT_EXEC,
				   MAP_SHARED));
	EXPECT_EQ(-EACCES, map_try(FD, M->offset, M->length,
				   drv_map_prot(variant->which) | PROT_EXEC, MAP_SHARED));
}

TEST_F(map, cannot_become_executable)
{
	int err;
	void *p = drv_mmap(self->p.l3.fd, M, drv_map_prot(variant->which), &err);

	ASSERT_EQ(0, err);
	EXPECT_EQ(-EACCES, drv_errno(mprotect(p, M->length, PROT_READ | PROT_EXEC)));
	EXPECT_EQ(-EACCES, drv_errno(mprotect(p, M->length, PROT_EXEC)));
	munmap(p, M->length);
}

/* Write-only, for of the counters there is one writable mapping in a life. */
TEST_F(map, is_writable_only_where_it_should_be)
{
	int expect = WRITABLE ? 0 : -EACCES;

	EXPECT_EQ(expect, map_try(FD, M->offset, M->length, PROT_WRITE, MAP_SHARED));
}

TEST_F(map, what_was_mapped_read_only_stays_so)
{
	int err;
	void *p = drv_mmap(FD, M, PROT_READ, &err);

	ASSERT_EQ(0, err);
	EXPECT_EQ(-EACCES, drv_errno(mprotect(p, M->length, PROT_READ | PROT_WRITE)));
	EXPECT_EQ(-EACCES, drv_errno(mprotect(p, M->length, PROT_WRITE)));
	munmap(p, M->length);
	p = drv_mmap(FD, M, PROT_NONE, &err);
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, drv_errno(mprotect(p, M->length, PROT_READ)));
	EXPECT_EQ(-EACCES, drv_errno(mprotect(p, M->length, PROT_READ | PROT_WRITE)));
	munmap(p, M->length);
}

TEST_F(map, a_store_to_a_read_only_one_is_fatal)
{
	struct drv_child child;

	if (!drv_fork(_metadata, &child)) {
		struct rlimit none = { 0 };
		int err;
		void *p = drv_mmap(FD, M, drv_map_prot(variant->which), &err);

		setrlimit(RLIMIT_CORE, &none);
		if (!err)
			*(volatile int *)p = 1;
		_exit(0);
	}
	EXPECT_EQ(WRITABLE ? 0 : 1000 + SIGSEGV, drv_reap(&child));
}

TEST_F(map, a_system_call_cannot_write_to_a_read_only_one)
{
	int err, sv[2];
	void *p = drv_mmap(FD, M, drv_map_prot(variant->which), &err);

	ASSERT_EQ(0, err);
	ASSERT_EQ(0, drv_socketpair(sv));
	ASSERT_TRUE(drv_say(sv[0], 'x'));
	EXPECT_EQ(WRITABLE ? 1 : -EFAULT, drv_errno(read(sv[1], p, 1)));
	munmap(p, M->length);
}

TEST_F(map, writable_ones_can_be_mapped_read_only)
{
	EXPECT_EQ(0, map_try(FD, M->offset, M->length, PROT_READ, MAP_SHARED));
}

TEST_F(map, out_of_bounds_is_einval)
{
	int prot = PROT_READ;
	__u64 end = M->offset + M->length;

	EXPECT_EQ(-EINVAL, map_try(FD, M->offset, M->length + self->page, prot, MAP_SHARED));
	EXPECT_EQ(-EINVAL, map_try(FD, M->offset, M->length + 1, prot, MAP_SHARED));
	EXPECT_EQ(-EINVAL, map_try(FD, M->offset, M->length + (256ul << 20), prot, MAP_SHARED));
	EXPECT_EQ(-EINVAL, map_try(FD, M->offset + self->page, M->length, prot, MAP_SHARED));
	EXPECT_EQ(-EINVAL, map_try(FD, end - self->page, 2 * self->page, prot, MAP_SHARED));
	if (M->offset >= self->page) {
		EXPECT_EQ(-EINVAL, map_try(FD, M->offset - self->page,
					   M->length + self->page, prot, MAP_SHARED));
	}
}

TEST_F(map, cannot_grow)
{
	int err;
	void *p = drv_mmap(self->p.l3.fd, M, drv_map_prot(variant->which), &err), *q;

	ASSERT_EQ(0, err);
	q = mremap(p, M->length, M->length + self->page, MREMAP_MAYMOVE);
	EXPECT_EQ(MAP_FAILED, q);
	if (q == MAP_FAILED)
		munmap(p, M->length);
	else
		munmap(q, M->length + self->page);
}

TEST_F(map, moves_with_its_content)
{
	int err;
	char *p = drv_mmap(self->p.l3.fd, M, drv_map_prot(variant->which), &err), *q;

	ASSERT_EQ(0, err);
	if (WRITABLE)
		p[M->length - 1] = 0x5a;
	q = mremap(p, M->length, M->length, MREMAP_MAYMOVE | MREMAP_FIXED,
		   (uintptr_t)mmap(NULL, M->length, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(MAP_FAILED, (void *)q);
	if (WRITABLE) {
		EXPECT_EQ(0x5a, q[M->length - 1]);
	}
	EXPECT_EQ(0, munmap(q, M->length));
}

/* Whether /proc/self/smaps has @flag for the mapping at @addr; -1 if it does not tell. */
static int vm_flag(const void *addr, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[1024], start[32];
	bool here = false;
	int found = -1;

	snprintf(start, sizeof(start), "%lx-", (unsigned long)addr);
	while (file && found < 0 && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, start, strlen(start)))
			here = true;
		else if (here && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, flag) != NULL;
	}
	if (file)
		fclose(file);
	return found;
}

TEST_F(map, is_left_out_of_core_dumps)
{
	int err, found;
	void *p = drv_mmap(FD, M, drv_map_prot(variant->which), &err);

	ASSERT_EQ(0, err);
	found = vm_flag(p, " dd");
	if (found < 0)
		SKIP(return, "the kernel does not tell the flags of mappings");
	EXPECT_EQ(1, found);
	/* nor may it be put back */
	EXPECT_EQ(-EINVAL, drv_errno(madvise(p, M->length, MADV_DODUMP)));
	EXPECT_EQ(1, vm_flag(p, " dd"));
	munmap(p, M->length);
}

TEST_F(map, a_forked_child_does_not_have_it)
{
	struct drv_child child;
	unsigned char vec;
	int err;
	void *p = drv_mmap(self->p.l3.fd, M, drv_map_prot(variant->which), &err);

	ASSERT_EQ(0, err);
	EXPECT_EQ(0, mincore(p, self->page, &vec));
	if (!drv_fork(_metadata, &child)) {
		EXPECT_EQ(-ENOMEM, drv_errno(mincore(p, self->page, &vec)));
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
	munmap(p, M->length);
}

/* ---- what is shared with whom ------------------------------------------ */

FIXTURE(share)
{
	struct drv_pair p;
};

FIXTURE_SETUP(share)
{
	drv_pair_queue(_metadata, &self->p);
}

FIXTURE_TEARDOWN(share)
{
	drv_pair_close(&self->p);
}

TEST_F(share, offsets_of_nothing_are_einval)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct l3l2q_mapping *m = self->p.l3.info.map;
	__u64 end = 0, offset;
	int i;

	for (i = 0; i < L3L2Q_MAPS; i++)
		if (m[i].offset + m[i].length > end)
			end = m[i].offset + m[i].length;
	EXPECT_EQ(-EINVAL, map_try(FD, end, page, PROT_READ, MAP_SHARED));
	for (offset = end; offset < 1ull << 62; offset *= 2) {
		EXPECT_EQ(-EINVAL, map_try(FD, offset & ~(__u64)(page - 1), page, PROT_READ,
					   MAP_SHARED))
			TH_LOG("offset %#llx", offset);
	}
}

TEST_F(share, both_ends_see_the_same_payload)
{
	__u64 n = self->p.l3.info.region.payload_bytes, i;

	for (i = 0; i < n; i++)
		self->p.l3.payload[i] = (char)(i * 7 + i / 251);
	for (i = 0; i < n; i++) {
		ASSERT_EQ((char)(i * 7 + i / 251), self->p.l2.payload[i]);
	}
	self->p.l2.payload[0] = 'L';
	self->p.l2.payload[n - 1] = '2';
	EXPECT_EQ('L', self->p.l3.payload[0]);
	EXPECT_EQ('2', self->p.l3.payload[n - 1]);
}

TEST_F(share, both_ends_see_the_same_counters)
{
	__u32 offset;

	for (offset = 0; offset < L3L2Q_COUNTER_BYTES; offset += 4)
		drv_store(&self->p.l3, offset, offset + 1);
	for (offset = 0; offset < L3L2Q_COUNTER_BYTES; offset += 4) {
		EXPECT_EQ(offset + 1, drv_load(&self->p.l2, offset));
	}
}

TEST_F(share, the_control_pages_cross)
{
	self->p.l3.own->seen_tail = 33;
	self->p.l2.own->seen_tail = 22;
	EXPECT_EQ(33, self->p.l2.peer->seen_tail);
	EXPECT_EQ(22, self->p.l3.peer->seen_tail);
}

TEST_F(share, the_status_page_shows_both_states)
{
	struct l3l2q_create create;
	struct drv_pair p;

	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->p.l3.status->state[L3L2Q_ROLE_L3]);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->p.l3.status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->p.l2.status->state[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, self->p.l2.status->removed);

	memset(&p, 0, sizeof(p));
	drv_create_init(&create);
	p.ctx = drv_open();
	drv_ep_init(&p.l3, drv_create(p.ctx, &create));
	drv_ep_init(&p.l2, -1);
	ASSERT_EQ(0, drv_ep_map(&p.l3));
	EXPECT_EQ(L3L2Q_STATE_NONE, p.l3.status->state[L3L2Q_ROLE_L2]);
	p.l2.fd = drv_open_peer(p.l3.fd);
	ASSERT_LE(0, p.l2.fd);
	EXPECT_EQ(L3L2Q_STATE_OPEN, p.l3.status->state[L3L2Q_ROLE_L2]);
	ASSERT_EQ(0, drv_ep_map(&p.l2));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, p.l3.status->state[L3L2Q_ROLE_L2]);
	EXPECT_EQ(0, drv_detach(p.l2.fd));
	EXPECT_EQ(L3L2Q_STATE_DETACHED, p.l3.status->state[L3L2Q_ROLE_L2]);
	drv_pair_close(&p);
}

TEST_F(share, regions_are_apart)
{
	struct drv_pair other;
	__u64 i;

	drv_pair_queue(_metadata, &other);
	memset(self->p.l3.payload, 0x77, self->p.l3.info.region.payload_bytes);
	memset(self->p.l3.map[L3L2Q_MAP_COUNTERS], 0x77,
	       self->p.l3.info.map[L3L2Q_MAP_COUNTERS].length);
	memset(self->p.l3.map[L3L2Q_MAP_CONTROL], 0x77,
	       self->p.l3.info.map[L3L2Q_MAP_CONTROL].length);
	for (i = 0; i < other.l3.info.map[L3L2Q_MAP_PAYLOAD].length; i++) {
		ASSERT_EQ(0, ((char *)other.l3.map[L3L2Q_MAP_PAYLOAD])[i]);
	}
	for (i = 0; i < other.l3.info.map[L3L2Q_MAP_COUNTERS].length; i++) {
		ASSERT_EQ(0, ((char *)other.l3.map[L3L2Q_MAP_COUNTERS])[i]);
	}
	EXPECT_EQ(0, other.l3.own->seen_tail);
	EXPECT_EQ(0, other.l2.own->seen_tail);
	drv_pair_close(&other);
}

TEST_F(share, mappings_outlive_the_fds)
{
	drv_ep_close(&self->p.l3);
	drv_ep_close(&self->p.l2);
	drv_store(&self->p.l3, L3L2Q_CTR_INPUT_TAIL, 99);
	EXPECT_EQ(99, drv_load(&self->p.l2, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, self->p.l2.status->state[L3L2Q_ROLE_L3]);
	EXPECT_EQ(0, drv_load(&self->p.l2, L3L2Q_CTR_L3_ABORT));
}

TEST_F(share, an_exported_buffer_is_left_out_of_core_dumps)
{
	struct l3l2q_export_dmabuf export = { .size = sizeof(export), .fd = -1 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;
	int found, err = drv_ioctl(self->p.l3.fd, L3L2Q_IOC_EXPORT_DMABUF, &export);

	if (err == -EOPNOTSUPP)
		SKIP(return, "no dma-bufs");
	ASSERT_EQ(0, err);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, export.fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	found = vm_flag(p, " dd");
	munmap(p, page);
	close(export.fd);
	if (found < 0)
		SKIP(return, "the kernel does not tell the flags of mappings");
	EXPECT_EQ(1, found);
}

TEST_F(share, memory_can_be_the_buffer_of_system_calls)
{
	struct drv_ep *l3 = &self->p.l3;
	int sv[2];

	ASSERT_EQ(0, drv_socketpair(sv));
	memcpy(l3->payload, "tensor", 6);
	EXPECT_EQ(6, drv_errno(write(sv[0], l3->payload, 6)));
	EXPECT_EQ(6, drv_errno(read(sv[1], self->p.l2.payload + 64, 6)));
	EXPECT_EQ(0, memcmp(l3->payload + 64, "tensor", 6));
	/* and hold the argument of our own calls */
	memset(l3->payload + 128, 0, sizeof(struct l3l2q_stats));
	*(__u32 *)(l3->payload + 128) = sizeof(struct l3l2q_stats);
	EXPECT_EQ(0, drv_ioctl(l3->fd, L3L2Q_IOC_STATS, l3->payload + 128));
}

/* ---- to whom the counters attach --------------------------------------- */

FIXTURE(attach)
{
	struct drv_pair p;
};

FIXTURE_SETUP(attach)
{
	struct l3l2q_create create;

	/* counters of several pages */
	drv_create_init_raw(&create, 4096, 3 * (__u64)sysconf(_SC_PAGESIZE));
	drv_pair_create(_metadata, &self->p, &create);
	ASSERT_EQ(0, drv_ep_map(&self->p.l2));
}

FIXTURE_TEARDOWN(attach)
{
	drv_pair_close(&self->p);
}

#define ATTACHED() (self->p.l2.status->state[L3L2Q_ROLE_L3])

TEST_F(attach, only_mapping_the_counters_attaches)
{
	struct drv_ep *l3 = &self->p.l3;
	int i, err;

	for (i = 0; i < L3L2Q_MAPS; i++) {
		if (i == L3L2Q_MAP_COUNTERS)
			continue;
		l3->map[i] = drv_mmap(l3->fd, &l3->info.map[i], drv_map_prot(i), &err);
		ASSERT_EQ(0, err);
		EXPECT_EQ(L3L2Q_STATE_OPEN, ATTACHED());
	}
	i = L3L2Q_MAP_COUNTERS;
	l3->map[i] = drv_mmap(l3->fd, &l3->info.map[i], drv_map_prot(i), &err);
	ASSERT_EQ(0, err);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
}

TEST_F(attach, unmapping_everything_else_is_no_end)
{
	int i;

	ASSERT_EQ(0, drv_ep_map(&self->p.l3));
	for (i = 0; i < L3L2Q_MAPS; i++)
		if (i != L3L2Q_MAP_COUNTERS)
			drv_ep_unmap(&self->p.l3, i);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	drv_ep_unmap(&self->p.l3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

TEST_F(attach, a_refused_mapping_does_not_attach)
{
	struct drv_ep *l3 = &self->p.l3;
	const struct l3l2q_mapping *m = &l3->info.map[L3L2Q_MAP_COUNTERS];

	EXPECT_EQ(MAP_FAILED, mmap(NULL, m->length, PROT_READ, MAP_PRIVATE, l3->fd,
				   (off_t)m->offset));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, m->length * 2, PROT_READ, MAP_SHARED, l3->fd,
				   (off_t)m->offset));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, m->length, PROT_READ | PROT_EXEC, MAP_SHARED, l3->fd,
				   (off_t)m->offset));
	EXPECT_EQ(L3L2Q_STATE_OPEN, ATTACHED());
	/* so that another process still can */
	ASSERT_EQ(0, drv_ep_map(l3));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
}

/* A writable mapping of the counters, here or in a child; 0 or -errno. */
static int attach_again(const struct drv_ep *ep)
{
	const struct l3l2q_mapping *m = &ep->info.map[L3L2Q_MAP_COUNTERS];
	int err;

	drv_mmap(ep->fd, m, PROT_READ | PROT_WRITE, &err);
	if (err == -EBUSY)
		drv_mmap(ep->fd, m, PROT_WRITE, &err);
	return err;
}

TEST_F(attach, a_second_attach_is_ebusy_and_ends_nothing)
{
	struct drv_ep *l3 = &self->p.l3;
	struct drv_child child;
	int other;

	ASSERT_EQ(0, drv_ep_map(l3));
	EXPECT_EQ(-EBUSY, attach_again(l3));
	/* by another descriptor of the same endpoint */
	other = dup(l3->fd);
	ASSERT_LE(0, other);
	drv_ep_close(l3);
	l3->fd = other;
	EXPECT_EQ(-EBUSY, attach_again(l3));
	if (!drv_fork(_metadata, &child)) {
		EXPECT_EQ(-EBUSY, attach_again(l3));
		_exit(0);
	}
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	EXPECT_EQ(0, self->p.l2.status->gone[L3L2Q_ROLE_L2]);
	EXPECT_EQ(0, drv_set(l3->fd, 0, 5));
	drv_ep_unmap(l3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

/* Two parts of the counters are two mappings. */
TEST_F(attach, another_part_of_the_counters_is_ebusy_too)
{
	struct drv_ep *l3 = &self->p.l3;
	const struct l3l2q_mapping *m = &l3->info.map[L3L2Q_MAP_COUNTERS];
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *first;

	first = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, l3->fd, (off_t)m->offset);
	ASSERT_NE(MAP_FAILED, first);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	EXPECT_EQ(-EBUSY, map_try(l3->fd, m->offset + page, page, PROT_READ | PROT_WRITE,
				  MAP_SHARED));
	EXPECT_EQ(0, map_try(l3->fd, m->offset + page, page, PROT_READ, MAP_SHARED));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	munmap(first, page);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

/* Map the counters read-only, look, unmap: what a tool does. */
static void attach_look(struct __test_metadata *_metadata, const struct drv_ep *ep, int expect)
{
	const struct l3l2q_mapping *m = &ep->info.map[L3L2Q_MAP_COUNTERS];
	int err;
	char *p = drv_mmap(ep->fd, m, PROT_READ, &err);

	ASSERT_EQ(0, err);
	EXPECT_EQ(expect, *(volatile __s32 *)(p + m->delta));
	EXPECT_EQ(-EACCES, drv_errno(mprotect(p, m->length, PROT_READ | PROT_WRITE)));
	munmap(p, m->length);
}

TEST_F(attach, looking_never_attaches_and_never_ends)
{
	struct drv_ep *l3 = &self->p.l3;
	struct drv_child child;

	EXPECT_EQ(0, drv_set(l3->fd, 0, 77));
	attach_look(_metadata, l3, 77);
	EXPECT_EQ(L3L2Q_STATE_OPEN, ATTACHED());
	ASSERT_EQ(0, drv_ep_map(l3));
	attach_look(_metadata, l3, 77);
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	if (!drv_fork(_metadata, &child)) {
		attach_look(_metadata, l3, 77);
		_exit(__test_passed(_metadata) ? 0 : 1);
	}
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	EXPECT_EQ(0, self->p.l2.status->gone[L3L2Q_ROLE_L2]);
	EXPECT_EQ(0, drv_set(l3->fd, 0, 78));
}

/* The process that looks holds the file, not the role. */
TEST_F(attach, one_that_looks_does_not_keep_the_role_alive)
{
	struct drv_ep *l3 = &self->p.l3;
	struct drv_child child;
	int err;

	ASSERT_EQ(0, drv_ep_map(l3));
	if (!drv_fork(_metadata, &child)) {
		drv_mmap(l3->fd, &l3->info.map[L3L2Q_MAP_COUNTERS], PROT_READ, &err);
		drv_say(child.sock, err ? 'e' : 'm');
		drv_hear_forever(child.sock);
	}
	ASSERT_EQ('m', drv_hear(child.sock));
	drv_ep_unmap(l3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
	EXPECT_EQ(L3L2Q_GONE_ABORTED, self->p.l2.status->gone[L3L2Q_ROLE_L2]);
	drv_kill(&child);
}

TEST_F(attach, unmapping_it_piece_by_piece_ends_with_the_last)
{
	struct drv_ep *l3 = &self->p.l3;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t n = l3->info.map[L3L2Q_MAP_COUNTERS].length / page;
	char *base;
	size_t i;

	ASSERT_LE(3, n);
	ASSERT_EQ(0, drv_ep_map(l3));
	base = l3->map[L3L2Q_MAP_COUNTERS];
	l3->map[L3L2Q_MAP_COUNTERS] = NULL;
	/* a hole in the middle splits it in two */
	EXPECT_EQ(0, munmap(base + page, page));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	EXPECT_EQ(0, munmap(base, page));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	for (i = 2; i < n; i++) {
		EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
		EXPECT_EQ(0, munmap(base + i * page, page));
	}
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

TEST_F(attach, moving_the_mapping_is_no_end)
{
	struct drv_ep *l3 = &self->p.l3;
	size_t length = l3->info.map[L3L2Q_MAP_COUNTERS].length;
	void *moved;

	ASSERT_EQ(0, drv_ep_map(l3));
	moved = mremap(l3->map[L3L2Q_MAP_COUNTERS], length, length,
		       MREMAP_MAYMOVE | MREMAP_FIXED,
		       (uintptr_t)mmap(NULL, length, PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(MAP_FAILED, moved);
	l3->map[L3L2Q_MAP_COUNTERS] = moved;
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	drv_ep_unmap(l3, L3L2Q_MAP_COUNTERS);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

TEST_F(attach, mapping_over_it_ends_it)
{
	struct drv_ep *l3 = &self->p.l3;
	size_t length = l3->info.map[L3L2Q_MAP_COUNTERS].length;

	ASSERT_EQ(0, drv_ep_map(l3));
	ASSERT_EQ(l3->map[L3L2Q_MAP_COUNTERS],
		  mmap(l3->map[L3L2Q_MAP_COUNTERS], length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

TEST_F(attach, changing_protection_is_no_end)
{
	struct drv_ep *l3 = &self->p.l3;
	size_t length = l3->info.map[L3L2Q_MAP_COUNTERS].length;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	ASSERT_EQ(0, drv_ep_map(l3));
	EXPECT_EQ(0, mprotect(l3->map[L3L2Q_MAP_COUNTERS], page, PROT_READ));
	EXPECT_EQ(0, mprotect(l3->map[L3L2Q_MAP_COUNTERS], page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, mprotect(l3->map[L3L2Q_MAP_COUNTERS], length, PROT_NONE));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
}

TEST_F(attach, an_ended_side_cannot_attach_again)
{
	struct drv_ep *l3 = &self->p.l3;
	int err;

	ASSERT_EQ(0, drv_ep_map(l3));
	drv_ep_unmap(l3, L3L2Q_MAP_COUNTERS);
	drv_mmap(l3->fd, &l3->info.map[L3L2Q_MAP_COUNTERS], PROT_READ | PROT_WRITE, &err);
	EXPECT_EQ(-ESHUTDOWN, err);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

TEST_F(attach, a_handed_over_endpoint_attaches_to_its_receiver)
{
	struct drv_child child;
	int err;

	if (!drv_fork(_metadata, &child)) {
		ASSERT_EQ(0, drv_ep_map(&self->p.l3));
		EXPECT_TRUE(drv_say(child.sock, 'm'));
		drv_hear_forever(child.sock);
	}
	ASSERT_EQ('m', drv_hear(child.sock));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	drv_mmap(self->p.l3.fd, &self->p.l3.info.map[L3L2Q_MAP_COUNTERS],
		 PROT_READ | PROT_WRITE, &err);
	EXPECT_EQ(-EBUSY, err);
	drv_kill(&child);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
}

TEST_F(attach, dofork_does_not_share_it_with_a_child)
{
	struct drv_ep *l3 = &self->p.l3;
	struct drv_child parent, child;
	int ret;

	/* P maps and allows inheriting; its child C stays when P dies */
	if (!drv_fork(_metadata, &parent)) {
		ASSERT_EQ(0, drv_ep_map(l3));
		ret = drv_errno(madvise(l3->map[L3L2Q_MAP_COUNTERS],
					l3->info.map[L3L2Q_MAP_COUNTERS].length, MADV_DOFORK));
		EXPECT_TRUE(ret == 0 || ret == -EINVAL);
		if (!drv_fork(_metadata, &child)) {
			prctl(PR_SET_PDEATHSIG, 0);
			drv_say(parent.sock, 'c');
			drv_hear_forever(parent.sock);
		}
		drv_hear_forever(parent.sock);
	}
	ASSERT_EQ('c', drv_hear(parent.sock));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
	kill(parent.pid, SIGKILL);
	waitpid(parent.pid, NULL, 0);
	EXPECT_EQ(L3L2Q_STATE_DEAD, ATTACHED());
	/* C hears the end of file and goes */
	close(parent.sock);
}

TEST_F(attach, a_childs_exit_is_not_its_parents_end)
{
	struct drv_ep *l3 = &self->p.l3;
	struct drv_child child;

	ASSERT_EQ(0, drv_ep_map(l3));
	madvise(l3->map[L3L2Q_MAP_COUNTERS], l3->info.map[L3L2Q_MAP_COUNTERS].length,
		MADV_DOFORK);
	if (!drv_fork(_metadata, &child))
		_exit(0);
	EXPECT_EQ(0, drv_reap(&child));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, ATTACHED());
}

TEST_HARNESS_MAIN
