// SPDX-License-Identifier: MIT
/*
 * The copies of memory that is not cached (l3l2q/memory.h): every path that this
 * processor has, every alignment of either side, every size up to 4 KiB. The
 * shared side begins or ends at a page that nobody may touch, so that an access
 * outside of it, or a wider one than was asked for, is a fault.
 */
#include <sys/mman.h>

#include "proto_util.h"

#define MOST 4096u
#define ROOM 64u	/* alignments tried, and the canary before and after */

static bool path_works(uint32_t path)
{
	switch (path) {
#ifdef __x86_64__
	case L3L2Q_PATH_WC_SSE2: return true;
	case L3L2Q_PATH_WC_SSE41: return __builtin_cpu_supports("sse4.1");
	case L3L2Q_PATH_WC_AVX2: return __builtin_cpu_supports("avx2");
#endif
#ifdef __aarch64__
	case L3L2Q_PATH_WC_NEON: return true;
#endif
	case L3L2Q_PATH_DEVICE:
	case L3L2Q_PATH_WC: return true;
	default: return false;
	}
}

/* An emulated guest takes some of the alignments: it shows that it works there too. */
static size_t stride(void)
{
	const char *variant = getenv("L3L2Q_VARIANT");

	return variant && !strncmp(variant, "guest", 5) ? 9 : 1;
}

FIXTURE(copy) {
	size_t length, page;
	unsigned char *map;	/* guard, room for the most, guard */
	unsigned char *first, *end;
	unsigned char local[MOST + 4 * ROOM], pattern[MOST + 4 * ROOM];
};

FIXTURE_VARIANT(copy) {
	uint32_t path;
};

FIXTURE_VARIANT_ADD(copy, device) { L3L2Q_PATH_DEVICE };
FIXTURE_VARIANT_ADD(copy, wc) { L3L2Q_PATH_WC };
FIXTURE_VARIANT_ADD(copy, wc_sse2) { L3L2Q_PATH_WC_SSE2 };
FIXTURE_VARIANT_ADD(copy, wc_sse41) { L3L2Q_PATH_WC_SSE41 };
FIXTURE_VARIANT_ADD(copy, wc_avx2) { L3L2Q_PATH_WC_AVX2 };
FIXTURE_VARIANT_ADD(copy, wc_neon) { L3L2Q_PATH_WC_NEON };

FIXTURE_SETUP(copy)
{
	uint64_t state = 1;
	size_t i;

	if (!path_works(variant->path))
		SKIP(return, "not on this processor");
	self->page = (size_t)sysconf(_SC_PAGESIZE);
	self->length = (MOST + 2 * ROOM + self->page - 1) / self->page * self->page;
	self->map = mmap(NULL, self->length + 2 * self->page, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	self->first = self->map + self->page;
	self->end = self->first + self->length;
	ASSERT_EQ(0, mprotect(self->map, self->page, PROT_NONE));
	ASSERT_EQ(0, mprotect(self->end, self->page, PROT_NONE));
	for (i = 0; i < sizeof(self->pattern); i++)
		self->pattern[i] = (unsigned char)(rnd(&state) >> 7);
}

FIXTURE_TEARDOWN(copy)
{
	if (self->map)
		munmap(self->map, self->length + 2 * self->page);
}

/* All equal to one byte? */
static bool blank(const unsigned char *at, size_t n, unsigned char byte)
{
	while (n--)
		if (*at++ != byte)
			return false;
	return true;
}

/* Where a copy of n bytes lies: from the first byte that may be touched, or to the last. */
static unsigned char *place(const FIXTURE_DATA(copy) *self, size_t shift, size_t n, bool at_end)
{
	return at_end ? self->end - shift - n : self->first + shift;
}

/* Sizes: each of the small ones, then with strides that meet all residues. */
static size_t next_size(size_t n)
{
	return n < 320 ? n + 1 : n + 61;
}

static bool to_shared(FIXTURE_DATA(copy) *self, uint32_t path, size_t shift, size_t from,
		      size_t n, bool at_end)
{
	unsigned char *to = place(self, shift, n, at_end);
	size_t before = (size_t)(to - self->first) < ROOM ? (size_t)(to - self->first) : ROOM;
	size_t after = (size_t)(self->end - to) - n < ROOM ? (size_t)(self->end - to) - n : ROOM;

	memset(to - before, 0x5a, before + n + after);
	l3l2q_copy_to(path, to, self->pattern + from, n);
	l3l2q_drain(L3L2Q_MEMORY_WC);
	return !memcmp(to, self->pattern + from, n) && blank(to - before, before, 0x5a) &&
	       blank(to + n, after, 0x5a);
}

static bool from_shared(FIXTURE_DATA(copy) *self, uint32_t path, size_t shift, size_t to,
			size_t n, bool at_end)
{
	unsigned char *from = place(self, shift, n, at_end), *local = self->local + ROOM;

	memcpy(from, self->pattern + 3, n);
	memset(local, 0x5a, n + 2 * ROOM);
	l3l2q_copy_from(path, local + to, from, n);
	return !memcmp(local + to, self->pattern + 3, n) && blank(local, to, 0x5a) &&
	       blank(local + to + n, 2 * ROOM - to, 0x5a);
}

TEST_F(copy, s7_to_shared)
{
	size_t shift, from, n;
	int end;

	for (shift = 0; shift < ROOM; shift += stride())
		for (n = 0; n <= MOST; n = next_size(n))
			for (from = 0; from < 16; from += from < 2 ? 1 : 5)
				for (end = 0; end < 2; end++)
					ASSERT_TRUE(to_shared(self, variant->path, shift, from,
							      n, end)) {
						TH_LOG("shift %zu from %zu size %zu end %d",
						       shift, from, n, end);
					}
}

TEST_F(copy, s7_from_shared)
{
	size_t shift, to, n;
	int end;

	for (shift = 0; shift < ROOM; shift += stride())
		for (n = 0; n <= MOST; n = next_size(n))
			for (to = 0; to < 16; to += to < 2 ? 1 : 5)
				for (end = 0; end < 2; end++)
					ASSERT_TRUE(from_shared(self, variant->path, shift, to,
								n, end)) {
						TH_LOG("shift %zu to %zu size %zu end %d",
						       shift, to, n, end);
					}
}

/* Each size there is, around the alignments that matter. */
TEST_F(copy, s7_every_size)
{
	static const size_t shifts[] = { 0, 1, 3, 7, 8, 15, 16, 31, 33, 63 };
	size_t n, i;

	for (i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i += stride()) {
		for (n = 0; n <= MOST; n++) {
			size_t shift = shifts[i];

			ASSERT_TRUE(to_shared(self, variant->path, shift, 0, n, false));
			ASSERT_TRUE(to_shared(self, variant->path, shift, 7, n, true));
			ASSERT_TRUE(from_shared(self, variant->path, shift, 0, n, false));
			ASSERT_TRUE(from_shared(self, variant->path, shift, 9, n, true));
		}
	}
}

/* The narrow accesses are the widest aligned ones that fit, and no others. */
TEST(s7_steps_are_aligned)
{
	uintptr_t at;
	uint64_t n, left, step;

	for (at = 4096; at < 4096 + 64; at++) {
		for (n = 1; n <= 200; n++) {
			for (left = n; left; left -= step) {
				const void *p = (const void *)(at + n - left);

				step = l3l2q_step(p, left);
				ASSERT_TRUE(step == 1 || step == 2 || step == 4 || step == 8);
				ASSERT_LE(step, left);
				ASSERT_EQ(0, (uintptr_t)p % step);
				ASSERT_TRUE(step == 8 || (uintptr_t)p % (2 * step) ||
					    2 * step > left);
			}
		}
	}
}

TEST(s7_blocks_are_aligned)
{
	__u64 before, blocks, n;
	uint32_t path;
	uintptr_t at;

	for (path = L3L2Q_PATH_DEVICE; path < L3L2Q_PATHS; path++) {
		for (at = 4096; at < 4096 + 64; at++) {
			for (n = 0; n <= 300; n++) {
				blocks = l3l2q_blocks(path, (const void *)at, n, &before);
				ASSERT_EQ(0, blocks % 32);
				if (path < L3L2Q_PATH_WC_SSE2)
					ASSERT_EQ(0, blocks);
				if (!blocks)
					continue;
				ASSERT_EQ(0, (at + before) % 32);
				ASSERT_LE(before + blocks, n);
				ASSERT_GT(32, n - before - blocks);
			}
		}
	}
}

TEST(s7_paths_have_names)
{
	uint32_t path, other;

	for (path = 0; path < L3L2Q_PATHS; path++) {
		EXPECT_STRNE("unknown", l3l2q_path_name(path));
		for (other = 0; other < path; other++)
			EXPECT_STRNE(l3l2q_path_name(other), l3l2q_path_name(path));
	}
	EXPECT_STREQ("unknown", l3l2q_path_name(L3L2Q_PATHS));
	EXPECT_STREQ("cached", l3l2q_path_name(l3l2q_path_for(L3L2Q_MEMORY_CACHED)));
	EXPECT_STREQ("device", l3l2q_path_name(l3l2q_path_for(L3L2Q_MEMORY_DEVICE)));
	EXPECT_EQ(0, strncmp("wc", l3l2q_path_name(l3l2q_path_for(L3L2Q_MEMORY_WC)), 2));
	EXPECT_TRUE(path_works(l3l2q_path_for(L3L2Q_MEMORY_WC)));
}

/* ---- which copies a queue makes ---------------------------------------- */

/* A queue goes through the copies of its path, both ways, whatever the path. */
TEST(s7_a_queue_over_each_path)
{
	uint32_t path;
	uint64_t i;

	for (path = L3L2Q_PATH_DEVICE; path < L3L2Q_PATHS; path++) {
		struct l3l2q_message m;
		unsigned char body[1024];
		struct world w;

		if (!path_works(path))
			continue;
		ASSERT_TRUE(world_make_of(&w, path == L3L2Q_PATH_DEVICE ? L3L2Q_MEMORY_DEVICE
									: L3L2Q_MEMORY_WC,
					  4, 1024, 1088, 1));
		l3(&w)->core.path = l2(&w)->core.path = path;
		for (i = 0; i < 3000; i++) {
			uint64_t n = i % 1025;

			ASSERT_EQ(0, send_data(l3(&w), n, i));
			ASSERT_EQ(0, l3l2q_core_try_peek(&l2(&w)->c, &m));
			ASSERT_EQ(n, m.nbytes);
			ASSERT_EQ(0, l3l2q_core_read_into(&l2(&w)->c, &m, n ? body : NULL, n));
			ASSERT_TRUE(body_is(body, n, i));
			ASSERT_EQ(0, l3l2q_core_release(&l2(&w)->c, &m));
			ASSERT_EQ(0, send_data(l2(&w), n, ~i));
			ASSERT_EQ(0, l3l2q_core_try_peek(&l3(&w)->c, &m));
			ASSERT_EQ(0, l3l2q_core_read_into(&l3(&w)->c, &m, n ? body : NULL, n));
			ASSERT_TRUE(body_is(body, n, ~i));
			ASSERT_EQ(0, l3l2q_core_release(&l3(&w)->c, &m));
		}
		world_free(&w);
	}
}

TEST(s2_depth_1_needs_cached_memory)
{
	struct l3l2q_core core = { 0 };

	core.layout.depth = 1;
	EXPECT_EQ(-EINVAL, l3l2q_core_set_memory(&core, L3L2Q_MEMORY_WC));
	EXPECT_EQ(-EINVAL, l3l2q_core_set_memory(&core, L3L2Q_MEMORY_DEVICE));
	EXPECT_EQ(L3L2Q_MEMORY_CACHED, core.memory);
	EXPECT_EQ(0, l3l2q_core_set_memory(&core, L3L2Q_MEMORY_CACHED));
	core.layout.depth = 2;
	EXPECT_EQ(-EINVAL, l3l2q_core_set_memory(&core, L3L2Q_MEMORY_DEVICE + 1));
	EXPECT_EQ(0, l3l2q_core_set_memory(&core, L3L2Q_MEMORY_DEVICE));
	EXPECT_EQ(L3L2Q_PATH_DEVICE, core.path);
}

TEST_HARNESS_MAIN
