// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions in the Ascend driver's memory. modules/npu_standin is that driver: it
 * watches over its rules, and takes memory away when told to. NPU_STANDIN_KO in
 * the environment says where it is; each test loads and unloads it. With a PCI
 * function that looks like an NPU, its BAR2 is device memory; else it is all RAM.
 */
#include "drv_util.h"

#define STANDIN "npu_standin"
#define PARAMS "/sys/module/" STANDIN "/parameters/"
#define PCI "/sys/bus/pci/"

/* What the stand-in has; see there. */
#define RAM_2M 0x120000000000ull
#define RAM_64K 0x121000000000ull
#define RAM_4K 0x122000000000ull
#define BAR_64K 0x123000000000ull
#define BAR_4K 0x124000000000ull
#define MIXED 0x125000000000ull
#define BAR_1G 0x126000000000ull

#define K 1024ull
#define M (1024 * K)
#define G (1024 * M)

#define LIES 13
#define LIE_NOWHERE 10

/* Between stores to write-combining memory and whatever they come before. */
static void drain(void)
{
#if defined(__x86_64__)
	__asm__ volatile("sfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dsb st" ::: "memory");
#endif
}

static __u64 page_up(__u64 bytes)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* Pages of these are too small for a machine's that has larger ones. */
static bool too_small(__u64 page)
{
	return page < (__u64)sysconf(_SC_PAGESIZE);
}

/* ---- the stand-in ------------------------------------------------------- */

static long long standin_get(const char *name)
{
	char path[128], buf[64];

	snprintf(path, sizeof(path), PARAMS "%s", name);
	if (!*drv_read_file(path, buf, sizeof(buf)))
		return -1;
	return *buf == 'Y' ? 1 : strtoll(buf, NULL, 0);
}

static int standin_set(const char *name, long long value)
{
	char path[128], buf[64];

	snprintf(path, sizeof(path), PARAMS "%s", name);
	snprintf(buf, sizeof(buf), "%lld", value);
	return drv_write_file(path, buf);
}

static int standin_revoke(__u64 va)
{
	return standin_set("revoke", (long long)va);
}

/* A process that got tables has a mapping of the stand-in's, until it ends. */
static void *standin_mapping(void)
{
	unsigned long long at = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[npu_standin]"))
			continue;
		sscanf(line, "%llx-", &at);
		break;
	}
	if (maps)
		fclose(maps);
	return (void *)(uintptr_t)at;
}

/* What it has goes away as if it exited. */
static int standin_leave(void)
{
	void *mapping = standin_mapping();

	return mapping ? drv_errno(munmap(mapping, (size_t)sysconf(_SC_PAGESIZE))) : 0;
}

/* A put can come later: once the task that ran the callback has left the kernel. */
static bool standin_is_put(long long more)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);

	while (standin_get("nr_gets") != standin_get("nr_puts") + more) {
		if (drv_now() > deadline)
			return false;
		drv_observe(1);
	}
	return true;
}

static int standin_unload(void)
{
	return drv_unload_module(STANDIN);
}

/* The driver lets go of it a little after the last put. */
static int standin_unload_soon(void)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);
	int ret;

	while ((ret = standin_unload()) == -EAGAIN && drv_now() < deadline)
		drv_observe(1);
	return ret;
}

static int standin_load(const char *bar)
{
	char args[128] = "";

	if (*bar)
		snprintf(args, sizeof(args), "bar=%s", bar);
	return drv_load_module(getenv("NPU_STANDIN_KO"), args);
}

static bool pci_is(const char *name, const char *what, long value)
{
	char path[512], buf[64];

	snprintf(path, sizeof(path), PCI "devices/%s/%s", name, what);
	return strtol(drv_read_file(path, buf, sizeof(buf)), NULL, 0) == value;
}

/* The last function that looks like an NPU, so that others keep the first. */
static void bar_find(char *bar, size_t len)
{
	DIR *dir = opendir(PCI "devices");
	struct dirent *entry;

	*bar = 0;
	while (dir && (entry = readdir(dir)))
		if (pci_is(entry->d_name, "vendor", 0x1af4) &&
		    pci_is(entry->d_name, "device", 0x1110) && strcmp(entry->d_name, bar) > 0)
			snprintf(bar, len, "%.15s", entry->d_name);
	if (dir)
		closedir(dir);
}

/* No driver but @driver may have it, and none has it now. */
static void bar_keep(const char *bar, const char *driver)
{
	char path[128];

	if (!*bar)
		return;
	snprintf(path, sizeof(path), PCI "devices/%s/driver_override", bar);
	drv_write_file(path, driver);
	snprintf(path, sizeof(path), PCI "devices/%s/driver/unbind", bar);
	drv_write_file(path, bar);
}

static void bar_give_back(const char *bar)
{
	if (!*bar)
		return;
	bar_keep(bar, "\n");
	drv_write_file(PCI "drivers_probe", bar);
}

/* Below 4 GiB an x86's firmware forbids to cache device memory. */
static bool bar_can_be_cached(const char *bar)
{
#ifdef __x86_64__
	unsigned long long start[3] = { 0 };
	char path[128], buf[1024];

	snprintf(path, sizeof(path), PCI "devices/%s/resource", bar);
	sscanf(drv_read_file(path, buf, sizeof(buf)), "%llx %*s %*s %llx %*s %*s %llx",
	       &start[0], &start[1], &start[2]);
	return start[2] >= 4 * G;
#else
	return true;
#endif
}

/* ---- creating ----------------------------------------------------------- */

static void ascend_create_init(struct l3l2q_create *create, __u64 va, __u64 bytes)
{
	drv_create_init(create);
	create->backend = L3L2Q_BACKEND_ASCEND;
	create->source = va;
	create->source_bytes = bytes;
}

static void ascend_create_init_raw(struct l3l2q_create *create, __u64 va, __u64 bytes,
				   __u64 payload, __u64 counters)
{
	drv_create_init_raw(create, payload, counters);
	create->backend = L3L2Q_BACKEND_ASCEND;
	create->source = va;
	create->source_bytes = bytes;
}

/* Counters in a range of their own. */
static void ascend_create_init_two(struct l3l2q_create *create, __u64 va, __u64 bytes,
				   __u64 counter_va, __u64 counter_bytes)
{
	ascend_create_init(create, va, bytes);
	create->counter_source = counter_va;
	create->counter_source_bytes = counter_bytes;
}

/* Whether it would work: 0 or -errno. */
static int ascend_try(struct l3l2q_create *create)
{
	int ctx = drv_open(), fd = drv_create(ctx, create);

	if (fd >= 0)
		close(fd);
	close(ctx);
	return fd < 0 ? fd : 0;
}

static int ascend_try_at(__u64 va, __u64 bytes)
{
	struct l3l2q_create create;

	ascend_create_init(&create, va, bytes);
	return ascend_try(&create);
}

/* All that a region's life has, while its memory goes away at some point of it. */
static int race_once(const struct l3l2q_create *from, bool *made)
{
	struct l3l2q_create create = *from;
	struct drv_ep ep;
	int ctx = drv_open(), fd, i, err;
	__u64 at;

	fd = drv_create(ctx, &create);
	close(ctx);
	*made = fd >= 0;
	if (fd < 0)
		return fd == -ENODEV ? 0 : fd;
	drv_ep_init(&ep, fd);
	err = drv_ep_map(&ep);
	if (err && err != -ENODEV)
		return err;
	if (!err) {
		for (i = 0; i < 3; i++) {
			for (at = 0; at < ep.info.region.payload_bytes; at += 4096)
				*(volatile __u32 *)(ep.payload + at) = 1;
			drv_store(&ep, 0, i);
			drv_poll(ep.fd, POLLIN, 0);
		}
		err = drv_set(ep.fd, L3L2Q_CTR_INPUT_TAIL, 1);
		if (err && err != -ENODEV)
			return err;
	}
	drv_ep_unmap_all(&ep);
	return drv_ep_close(&ep);
}

/* ---- fixtures ----------------------------------------------------------- */

FIXTURE(standin)
{
	char bar[16];
};

static void standin_up(struct __test_metadata *_metadata, char *bar, size_t len)
{
	if (!getenv("NPU_STANDIN_KO"))
		SKIP(return, "NPU_STANDIN_KO does not say where the stand-in is");
	standin_unload();
	bar_find(bar, len);
	bar_keep(bar, STANDIN);
	ASSERT_EQ(0, standin_load(bar));
}

/* Whatever a test did: no rule was broken, and nothing is left. */
static void standin_down(struct __test_metadata *_metadata, const char *bar)
{
	EXPECT_TRUE(standin_is_put(0));
	EXPECT_EQ(0, standin_get("violations"));
	EXPECT_EQ(0, standin_leave());
	EXPECT_EQ(0, standin_unload_soon());
	bar_give_back(bar);
}

/*
 * The stand-in, if it has memory as @create takes it: words if it has not, and is down
 * again. Pages that are too @small for this machine are refused.
 */
static const char *standin_up_for(struct __test_metadata *_metadata, char *bar, size_t len,
				  struct l3l2q_create *create, bool needs_bar, bool small)
{
	standin_up(_metadata, bar, len);
	if (_metadata->exit_code)
		return NULL;
	if (needs_bar && !*bar) {
		standin_down(_metadata, bar);
		return "no PCI function that looks like an NPU";
	}
	if (small) {
		EXPECT_EQ(-EOPNOTSUPP, ascend_try(create));
		standin_down(_metadata, bar);
		return "this machine's pages are too large";
	}
	return NULL;
}

FIXTURE_SETUP(standin)
{
	standin_up(_metadata, self->bar, sizeof(self->bar));
}

FIXTURE_TEARDOWN(standin)
{
	standin_down(_metadata, self->bar);
}

/* Each kind of memory. */
FIXTURE(memory)
{
	char bar[16];
	struct drv_pair p;
};

FIXTURE_VARIANT(memory)
{
	__u64 va;
	__u64 bytes;
	__u64 page;
	__u32 flags;
	__u32 memory;
	bool bar;
};

FIXTURE_VARIANT_ADD(memory, ram_2m) { RAM_2M, 16 * M, 2 * M };
FIXTURE_VARIANT_ADD(memory, ram_64k) { RAM_64K, 4 * M, 64 * K };
FIXTURE_VARIANT_ADD(memory, ram_4k) { RAM_4K, 4 * M, 4 * K };
FIXTURE_VARIANT_ADD(memory, bar_64k) { BAR_64K, 4 * M, 64 * K, 0, L3L2Q_MEMORY_WC, true };
FIXTURE_VARIANT_ADD(memory, bar_4k) { BAR_4K, 4 * M, 4 * K, 0, L3L2Q_MEMORY_WC, true };
FIXTURE_VARIANT_ADD(memory, bar_1g) { BAR_1G, 1 * G, 1 * G, 0, L3L2Q_MEMORY_WC, true };
FIXTURE_VARIANT_ADD(memory, bar_64k_coherent)
{
	BAR_64K, 4 * M, 64 * K, L3L2Q_CREATE_COHERENT, L3L2Q_MEMORY_CACHED, true
};

FIXTURE_SETUP(memory)
{
	struct l3l2q_create create;
	const char *missing;

	memset(self, 0, sizeof(*self));
	ascend_create_init(&create, variant->va, variant->bytes);
	create.flags = variant->flags;
	missing = standin_up_for(_metadata, self->bar, sizeof(self->bar), &create, variant->bar,
				 too_small(variant->page));
	if (missing)
		SKIP(return, "%s", missing);
	if (_metadata->exit_code)
		return;
	drv_pair_create(_metadata, &self->p, &create);
	drv_pair_map(_metadata, &self->p);
}

FIXTURE_TEARDOWN(memory)
{
	drv_pair_close(&self->p);
	standin_down(_metadata, self->bar);
}

#define L3 (&self->p.l3)
#define L2 (&self->p.l2)

/* ---- what CREATE takes -------------------------------------------------- */

TEST(without_the_driver_there_is_no_device)
{
	struct l3l2q_query query;
	int ctx = drv_open();

	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, drv_query(ctx, &query));
	EXPECT_TRUE(query.features & L3L2Q_FEATURE_ASCEND);
	close(ctx);
	standin_unload();
	EXPECT_EQ(-ENODEV, ascend_try_at(RAM_2M, 16 * M));
	EXPECT_EQ(-EINVAL, ascend_try_at(0, 16 * M));
}

TEST_F(standin, bad_sources_are_refused)
{
	EXPECT_EQ(0, ascend_try_at(RAM_2M, 16 * M));
	EXPECT_EQ(-EINVAL, ascend_try_at(0, 16 * M));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M, 0));
	EXPECT_EQ(-EINVAL, ascend_try_at(0, 0));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M + 64, 16 * M));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M + 2 * K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M, 16 * M - 64));
	EXPECT_EQ(-EINVAL, ascend_try_at(-(16 * M), 16 * M + 4 * K));
	EXPECT_EQ(-EINVAL, ascend_try_at(-(4 * K), 1ull << 63));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M, -RAM_2M + 4 * K));
	/* these the driver knows better */
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M + 4 * K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M + 64 * K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M, 2 * M - 4 * K));
	EXPECT_EQ(-EINVAL, ascend_try_at(RAM_2M - 2 * M, 16 * M));
	EXPECT_EQ(1, standin_get("nr_gets"));
	/* and what is not taken nobody asks for */
	EXPECT_EQ(0, ascend_try_at(RAM_2M, 16 * M + 2 * M));
	EXPECT_EQ(0, ascend_try_at(RAM_2M, 2 * M + 4 * K));
	EXPECT_EQ(0, ascend_try_at(RAM_2M, 1ull << 62));
}

static long long got_of(__u64 va, __u64 payload)
{
	long long before = standin_get("got_bytes");
	struct l3l2q_create create;

	ascend_create_init_raw(&create, va, 4 * M, payload, 4);
	if (ascend_try(&create))
		return -1;
	return standin_get("got_bytes") - before;
}

TEST_F(standin, only_what_is_taken_is_got)
{
	__u64 page = page_up(1);

	if (!too_small(4 * K)) {
		EXPECT_EQ(2 * page, got_of(RAM_4K, 1));
		EXPECT_EQ(2 * M + page, got_of(RAM_4K, 2 * M));
	}
	EXPECT_EQ(page < 64 * K ? 64 * K : 2 * page, got_of(RAM_64K, 1));
	EXPECT_EQ(128 * K, got_of(RAM_64K, 64 * K));
	EXPECT_EQ(2 * M, got_of(RAM_2M, 1));
	EXPECT_EQ(2 * M, got_of(RAM_2M, 2 * M - page));
	EXPECT_EQ(4 * M, got_of(RAM_2M, 2 * M));
	EXPECT_EQ(-1, got_of(RAM_2M, 4 * M));
}

TEST_F(standin, bad_flags_are_refused)
{
	struct l3l2q_create create;

	ascend_create_init(&create, RAM_2M, 16 * M);
	create.flags = L3L2Q_CREATE_NUMA;
	EXPECT_EQ(-EINVAL, ascend_try(&create));
	create.flags = 1u << 5;
	EXPECT_EQ(-EINVAL, ascend_try(&create));
	create.flags = L3L2Q_CREATE_SHARE_ADDRESSES | L3L2Q_CREATE_SILENT_PEER |
		       L3L2Q_CREATE_COHERENT;
	EXPECT_EQ(0, ascend_try(&create));
}

TEST_F(standin, the_region_has_to_fit)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);
	struct l3l2q_create create;

	ascend_create_init_raw(&create, RAM_64K, 4 * M, 4 * M - page, page);
	EXPECT_EQ(0, ascend_try(&create));
	ascend_create_init_raw(&create, RAM_64K, 4 * M, 4 * M - page, page + 4);
	EXPECT_EQ(-ENOSPC, ascend_try(&create));
	ascend_create_init_raw(&create, RAM_64K, 4 * M, 4 * M - page + 1, 4);
	EXPECT_EQ(-ENOSPC, ascend_try(&create));
	ascend_create_init_raw(&create, RAM_64K, 4 * M, 1, 1 * M);
	EXPECT_EQ(0, ascend_try(&create));
	ascend_create_init_raw(&create, RAM_64K, 64 * K, 1 * G, 4);
	EXPECT_EQ(-ENOSPC, ascend_try(&create));
}

TEST_F(standin, tables_are_not_believed)
{
	struct l3l2q_create create;
	int i, err;

	for (i = 1; i <= LIES; i++) {
		ASSERT_EQ(0, standin_set("lie", i));
		ascend_create_init_raw(&create, RAM_2M, 16 * M, 4 * M, 4);
		err = ascend_try(&create);
		/* not every machine knows where its addresses end */
		if (i == LIE_NOWHERE && err == -ENOMEM)
			continue;
		EXPECT_EQ(-EOPNOTSUPP, err)
			TH_LOG("lie %d", i);
	}
	ASSERT_EQ(0, standin_set("lie", 0));
	EXPECT_EQ(0, ascend_try_at(RAM_2M, 16 * M));
	/* one get came without a table */
	EXPECT_EQ(standin_get("nr_gets"), standin_get("nr_puts") + 1);
	EXPECT_EQ(0, standin_leave());
	EXPECT_EQ(0, standin_unload());
	ASSERT_EQ(0, standin_load(self->bar));
}

TEST_F(standin, two_kinds_of_memory_at_once_are_refused)
{
	struct l3l2q_create create;

	if (!*self->bar)
		SKIP(return, "no PCI function that looks like an NPU");
	ascend_create_init_raw(&create, MIXED, 128 * K, 4, 4);
	EXPECT_EQ(too_small(64 * K) ? -EOPNOTSUPP : 0, ascend_try(&create));
	ascend_create_init_raw(&create, MIXED, 128 * K, 100 * K, 4);
	EXPECT_EQ(-EOPNOTSUPP, ascend_try(&create));
	create.flags = L3L2Q_CREATE_COHERENT;
	EXPECT_EQ(-EOPNOTSUPP, ascend_try(&create));
}

TEST_F(standin, counters_of_a_device_are_in_one_piece)
{
	struct l3l2q_create create;

	if (!*self->bar)
		SKIP(return, "no PCI function that looks like an NPU");
	if (too_small(4 * K))
		SKIP(return, "this machine's pages are too large");
	ascend_create_init_raw(&create, BAR_4K, 4 * M, 4, 4 * K);
	EXPECT_EQ(0, ascend_try(&create));
	ascend_create_init_raw(&create, BAR_4K, 4 * M, 4, 4 * K + 4);
	EXPECT_EQ(-EOPNOTSUPP, ascend_try(&create));
	ascend_create_init_raw(&create, BAR_64K, 4 * M, 4, 1 * M);
	EXPECT_EQ(0, ascend_try(&create));
	/* RAM's need not be */
	ascend_create_init_raw(&create, RAM_4K, 4 * M, 4, 1 * M);
	EXPECT_EQ(0, ascend_try(&create));
}

TEST_F(standin, errors_of_the_driver_are_passed_on)
{
	ASSERT_EQ(0, standin_set("fail", -ENXIO));
	EXPECT_EQ(-ENXIO, ascend_try_at(RAM_2M, 16 * M));
	ASSERT_EQ(0, standin_set("fail", -ENOMEM));
	EXPECT_EQ(-ENOMEM, ascend_try_at(RAM_2M, 16 * M));
	ASSERT_EQ(0, standin_set("fail", 42));
	EXPECT_EQ(-EOPNOTSUPP, ascend_try_at(RAM_2M, 16 * M));
	ASSERT_EQ(0, standin_set("fail", 0));
	EXPECT_EQ(0, ascend_try_at(RAM_2M, 16 * M));
}

TEST_F(standin, a_ring_of_one_needs_cached_memory)
{
	struct l3l2q_create create;

	ascend_create_init(&create, RAM_2M, 16 * M);
	create.depth = 1;
	EXPECT_EQ(0, ascend_try(&create));
	if (!*self->bar)
		SKIP(return, "no PCI function that looks like an NPU");
	create.source = BAR_64K;
	create.source_bytes = 4 * M;
	EXPECT_EQ(-EINVAL, ascend_try(&create));
	create.flags = L3L2Q_CREATE_COHERENT;
	EXPECT_EQ(bar_can_be_cached(self->bar) ? 0 : -EINVAL, ascend_try(&create));
}

TEST_F(standin, is_needed_while_a_region_is_there)
{
	struct l3l2q_create create;
	struct drv_pair p;

	ascend_create_init(&create, RAM_2M, 16 * M);
	drv_pair_create(_metadata, &p, &create);
	EXPECT_EQ(-EAGAIN, standin_unload());
	ASSERT_EQ(0, standin_leave());
	EXPECT_EQ(1, standin_get("nr_callbacks"));
	EXPECT_EQ(-EAGAIN, standin_unload());
	drv_ep_close(&p.l3);
	EXPECT_EQ(-EAGAIN, standin_unload());
	drv_pair_close(&p);
	EXPECT_EQ(1, standin_get("nr_puts"));
	EXPECT_EQ(0, standin_unload());
	EXPECT_EQ(-ENODEV, ascend_try_at(RAM_2M, 16 * M));
	ASSERT_EQ(0, standin_load(self->bar));
}

/* ---- two ranges --------------------------------------------------------- */

static int ascend_try_two(__u64 va, __u64 bytes, __u64 counter_va, __u64 counter_bytes)
{
	struct l3l2q_create create;

	ascend_create_init_two(&create, va, bytes, counter_va, counter_bytes);
	return ascend_try(&create);
}

TEST_F(standin, bad_ranges_of_counters_are_refused)
{
	__u64 page = page_up(1), payload = 2 * DRV_ARENA + 2 * 32 * DRV_DEPTH;

	EXPECT_EQ(0, ascend_try_two(RAM_2M, 16 * M, RAM_64K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, 0, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, RAM_64K, 0));
	EXPECT_EQ(-EINVAL, ascend_try_two(0, 16 * M, RAM_64K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 0, RAM_64K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(0, 0, RAM_64K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, RAM_64K + 64, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, RAM_64K + 2 * K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, RAM_64K, 4 * M - 64));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, -(4 * M), 4 * M + 4 * K));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, -(4 * K), 1ull << 63));
	/* each has to be large enough */
	EXPECT_EQ(-ENOSPC, ascend_try_two(RAM_2M, 4 * K, RAM_64K, 4 * M));
	EXPECT_EQ(page > 4 * K ? -ENOSPC : -EINVAL,
		  ascend_try_two(RAM_2M, 16 * M, RAM_64K, 4 * K));
	/* and what is taken of one must not be taken of the other */
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_4K, 4 * M, RAM_4K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_4K, 4 * M, RAM_4K + page_up(payload) - page, 1 * M));
	EXPECT_EQ(standin_get("nr_gets"), standin_get("nr_puts"));
	EXPECT_EQ(page > 4 * K ? 2 : 3, standin_get("nr_gets"));
	if (too_small(4 * K))
		return;
	EXPECT_EQ(0, ascend_try_two(RAM_4K, 4 * M, RAM_4K + page_up(payload), 1 * M));
	EXPECT_EQ(0, ascend_try_two(RAM_4K + page, 4 * M - page, RAM_4K, page));
}

TEST_F(standin, a_second_get_that_fails_releases_the_first)
{
	ASSERT_EQ(0, standin_set("fail", -ENXIO));
	ASSERT_EQ(0, standin_set("fail_after", 1));
	EXPECT_EQ(-ENXIO, ascend_try_two(RAM_4K, 4 * M, RAM_4K + 2 * M, 1 * M));
	EXPECT_EQ(too_small(4 * K) ? 0 : 1, standin_get("nr_gets"));
	EXPECT_TRUE(standin_is_put(0));
	ASSERT_EQ(0, standin_set("fail", 0));
	/* as one that the driver refuses does */
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, RAM_2M + 2 * M + 4 * K, 4 * M));
	EXPECT_EQ(-EINVAL, ascend_try_two(RAM_2M, 16 * M, MIXED + 128 * K, 4 * M));
	EXPECT_LE(2, standin_get("nr_gets"));
	EXPECT_TRUE(standin_is_put(0));
	/* or one that goes away before the other came */
	ASSERT_EQ(0, standin_set("in_get", 1));
	EXPECT_EQ(-ENODEV, ascend_try_two(RAM_2M, 16 * M, RAM_64K, 4 * M));
	EXPECT_TRUE(standin_is_put(0));
}

TEST_F(standin, two_ranges_of_two_kinds_are_refused)
{
	if (!*self->bar)
		SKIP(return, "no PCI function that looks like an NPU");
	EXPECT_EQ(-EOPNOTSUPP, ascend_try_two(RAM_64K, 4 * M, BAR_64K, 1 * M));
	EXPECT_EQ(-EOPNOTSUPP, ascend_try_two(BAR_64K, 1 * M, RAM_64K, 4 * M));
	EXPECT_EQ(standin_get("nr_gets"), standin_get("nr_puts"));
}

/* Regions of one user, until one is refused. */
static int ascend_fill(int ctx, __u64 va, __u64 payload, int *fds, int max)
{
	struct l3l2q_create create;
	int n;

	for (n = 0; n < max; n++) {
		ascend_create_init_raw(&create, va, 4 * M, payload, 4);
		fds[n] = drv_create(ctx, &create);
		if (fds[n] < 0)
			break;
	}
	return n;
}

#define PARAM_USER "/sys/module/l3l2q/parameters/max_user_mib"
#define TEST_UID 4246
#define FILL 600

TEST_F(standin, tables_count_against_the_limits)
{
	int fds[FILL + 1], few, many, again, round, ctx = drv_open();
	char old[32];

	drv_read_file(PARAM_USER, old, sizeof(old));
	ASSERT_EQ(0, drv_write_file(PARAM_USER, "4"));
	ASSERT_EQ(0, setresuid(TEST_UID, TEST_UID, 0));
	for (round = 0; round < 2; round++) {
		many = ascend_fill(ctx, RAM_2M, 2 * M, fds, FILL);
		EXPECT_EQ(-EDQUOT, fds[many]);
		for (again = 0; again < many; again++)
			close(fds[again]);
		few = too_small(4 * K) ? 0 : ascend_fill(ctx, RAM_4K, 2 * M, fds, FILL);
		for (again = 0; again < few; again++)
			close(fds[again]);
		if (too_small(4 * K))
			continue;
		EXPECT_EQ(-EDQUOT, fds[few]);
		/* 512 pages at 40 bytes each are not nothing beside their own 6 */
		EXPECT_LT(few * 3 / 2, many);
		EXPECT_LT(4 * M / (20 * K + 40 * K), few);
		EXPECT_GT(4 * M / (20 * K), few);
	}
	ASSERT_EQ(0, setresuid(0, 0, 0));
	EXPECT_EQ(0, drv_write_file(PARAM_USER, old));
	close(ctx);
}

/* Page sizes of both, and whether they are in the BAR. */
FIXTURE(two)
{
	char bar[16];
	struct drv_pair p;
};

FIXTURE_VARIANT(two)
{
	__u64 va;
	__u64 page;
	__u64 counter_va;
	__u64 counter_page;
	bool bar;
};

FIXTURE_VARIANT_ADD(two, ram_2m_ram_4k) { RAM_2M, 2 * M, RAM_4K, 4 * K };
FIXTURE_VARIANT_ADD(two, ram_2m_ram_64k) { RAM_2M, 2 * M, RAM_64K, 64 * K };
FIXTURE_VARIANT_ADD(two, ram_64k_ram_2m) { RAM_64K, 64 * K, RAM_2M, 2 * M };
FIXTURE_VARIANT_ADD(two, ram_4k_ram_64k) { RAM_4K, 4 * K, RAM_64K, 64 * K };
FIXTURE_VARIANT_ADD(two, ram_64k_itself) { RAM_64K + 2 * M, 64 * K, RAM_64K, 64 * K };
FIXTURE_VARIANT_ADD(two, bar_64k_bar_4k) { BAR_64K, 64 * K, BAR_4K, 4 * K, true };
FIXTURE_VARIANT_ADD(two, bar_4k_bar_64k) { BAR_4K, 4 * K, BAR_64K, 64 * K, true };
FIXTURE_VARIANT_ADD(two, bar_1g_bar_64k) { BAR_1G, 1 * G, BAR_64K + 1 * M, 64 * K, true };

static void two_create_init(struct l3l2q_create *create, __u64 va, __u64 counter_va)
{
	ascend_create_init_two(create, va, va == BAR_1G ? 1 * G : 2 * M, counter_va, 2 * M);
}

FIXTURE_SETUP(two)
{
	struct l3l2q_create create;
	const char *missing;

	memset(self, 0, sizeof(*self));
	two_create_init(&create, variant->va, variant->counter_va);
	missing = standin_up_for(_metadata, self->bar, sizeof(self->bar), &create, variant->bar,
				 too_small(variant->page) || too_small(variant->counter_page));
	if (missing)
		SKIP(return, "%s", missing);
	if (_metadata->exit_code)
		return;
	drv_pair_create(_metadata, &self->p, &create);
	drv_pair_map(_metadata, &self->p);
}

FIXTURE_TEARDOWN(two)
{
	drv_pair_close(&self->p);
	standin_down(_metadata, self->bar);
}

TEST_F(two, info_says_where_each_is)
{
	EXPECT_EQ(variant->va, L3->info.region.payload_base);
	EXPECT_EQ(variant->counter_va, L3->info.region.counter_base);
	EXPECT_EQ(variant->bar ? L3L2Q_MEMORY_WC : L3L2Q_MEMORY_CACHED, L3->info.memory);
	EXPECT_EQ(2, standin_get("nr_gets"));
}

/* Another region over the same counters alone sees what the first does. */
TEST_F(two, each_is_where_the_device_has_it)
{
	__u64 i, n = L3->info.map[L3L2Q_MAP_PAYLOAD].length / 8, page = page_up(1);
	struct l3l2q_create create;
	struct drv_pair b;

	for (i = 0; i < n; i++)
		ASSERT_EQ(0, ((volatile __u64 *)L3->payload)[i]);
	for (i = 0; i < L3->info.map[L3L2Q_MAP_COUNTERS].length; i++)
		ASSERT_EQ(0, L3->counters[i]);
	if (variant->page == 1 * G)
		SKIP(return, "a region of its payload alone would overlap");
	/* swapped: its counters are the start of the payload here, and the other way round */
	ascend_create_init_raw(&create, variant->counter_va, 2 * M, page, page - 64);
	create.counter_source = variant->va;
	create.counter_source_bytes = 2 * M;
	drv_pair_create(_metadata, &b, &create);
	drv_pair_map(_metadata, &b);
	for (i = 0; i < n; i++)
		((volatile __u64 *)L3->payload)[i] = i + 1;
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 77);
	drain();
	EXPECT_EQ(77, *(volatile __u32 *)(b.l2.payload + L3L2Q_CTR_INPUT_TAIL));
	for (i = 0; i < (page - 64) / 8; i++)
		ASSERT_EQ(i + 1, ((volatile __u64 *)b.l2.counters)[i]);
	drv_pair_close(&b);
}

TEST_F(two, either_that_goes_takes_the_region)
{
	__u64 gone[2] = { variant->va, variant->counter_va };
	struct l3l2q_create create;
	struct l3l2q_info info;
	int i;

	drv_pair_close(&self->p);
	for (i = 0; i < 2; i++) {
		two_create_init(&create, variant->va, variant->counter_va);
		drv_pair_create(_metadata, &self->p, &create);
		drv_pair_map(_metadata, &self->p);
		*(volatile __u64 *)L3->payload = 1;
		drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 3);
		drain();
		ASSERT_EQ(0, standin_revoke(gone[i]));
		EXPECT_EQ(1, L3->status->removed);
		EXPECT_EQ(-ENODEV, drv_info(L3->fd, &info));
		EXPECT_EQ(0, *(volatile __u64 *)L3->payload);
		EXPECT_EQ(3, drv_load(L2, L3L2Q_CTR_INPUT_TAIL));
		EXPECT_EQ(1, drv_load(L2, L3L2Q_CTR_L3_ABORT));
		/* the other one may follow */
		ASSERT_EQ(0, standin_revoke(gone[!i]));
		drv_pair_close(&self->p);
		EXPECT_TRUE(standin_is_put(0));
	}
	EXPECT_LE(3, standin_get("nr_callbacks"));
}

/* Both at any time, and never in an order that one could rely on. */
TEST_F(two, either_goes_at_any_time)
{
	int i, rounds = drv_rounds(40);
	struct l3l2q_create create;
	bool made;

	drv_pair_close(&self->p);
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, standin_set("race_us", 1 + i * 37 % 1500));
		two_create_init(&create, variant->va, variant->counter_va);
		ASSERT_EQ(0, race_once(&create, &made));
	}
	ASSERT_EQ(0, standin_set("race_us", 0));
}

/* ---- what is made ------------------------------------------------------- */

TEST_F(memory, info_says_what_it_is)
{
	__u64 payload = L3->info.region.payload_bytes;
	__u32 memory = variant->memory;

	EXPECT_EQ(L3L2Q_BACKEND_ASCEND, L3->info.backend);
	if (variant->bar && (variant->flags & L3L2Q_CREATE_COHERENT) && !bar_can_be_cached(self->bar))
		memory = L3L2Q_MEMORY_WC;
	EXPECT_EQ(memory, L3->info.memory);
	EXPECT_EQ(L3->info.memory, L2->info.memory);
	EXPECT_EQ(L3L2Q_PEER_SILENT, L3->info.peer_kind);
	EXPECT_EQ(L3L2Q_PEER_ARMS, L2->info.peer_kind);
	EXPECT_EQ(variant->va, L3->info.region.payload_base);
	EXPECT_EQ(variant->va + page_up(payload), L3->info.region.counter_base);
	/* a process that was only handed the other end is not told */
	EXPECT_EQ(L3L2Q_INFO_DEVICE_ADDRESSES, L3->info.flags);
	EXPECT_EQ(0, L2->info.flags);
	EXPECT_EQ(L2->info.map[L3L2Q_MAP_PAYLOAD].offset, L2->info.region.payload_base);
	EXPECT_EQ(L2->info.map[L3L2Q_MAP_COUNTERS].offset, L2->info.region.counter_base);
	EXPECT_EQ(-EINVAL, drv_set_polling(L3->fd, L3L2Q_PEER_RINGS, 0, 0));
	EXPECT_EQ(0, drv_set_polling(L3->fd, L3L2Q_PEER_ARMS, 0, 0));
}

/* To the creator, whichever role it has; to the other end if the creator says so. */
TEST_F(memory, addresses_are_the_creators_to_share)
{
	__u64 base[L3L2Q_ROLES];
	struct l3l2q_create create;
	struct drv_pair p;
	__u32 role, shared;

	drv_pair_close(&self->p);
	for (role = 0; role < L3L2Q_ROLES; role++) {
		for (shared = 0; shared < 2; shared++) {
			const struct l3l2q_info *own, *other;

			ascend_create_init(&create, variant->va, variant->bytes);
			create.flags = variant->flags;
			if (shared)
				create.flags |= L3L2Q_CREATE_SHARE_ADDRESSES;
			create.role = role;
			drv_pair_create(_metadata, &p, &create);
			own = role == L3L2Q_ROLE_L3 ? &p.l3.info : &p.l2.info;
			other = role == L3L2Q_ROLE_L3 ? &p.l2.info : &p.l3.info;
			EXPECT_EQ(L3L2Q_INFO_DEVICE_ADDRESSES, own->flags);
			EXPECT_EQ(variant->va, own->region.payload_base);
			base[0] = shared ? own->region.payload_base
					 : other->map[L3L2Q_MAP_PAYLOAD].offset;
			base[1] = shared ? own->region.counter_base
					 : other->map[L3L2Q_MAP_COUNTERS].offset;
			EXPECT_EQ(shared ? L3L2Q_INFO_DEVICE_ADDRESSES : 0, other->flags);
			EXPECT_EQ(base[0], other->region.payload_base);
			EXPECT_EQ(base[1], other->region.counter_base);
			EXPECT_EQ(0, memcmp(&own->queue, &other->queue, sizeof(own->queue)));
			drv_pair_close(&p);
		}
	}
}

/* The stand-in's is not. */
TEST_F(memory, is_zero)
{
	const struct l3l2q_mapping *m = L3->info.map;
	__u64 i;

	for (i = 0; i < m[L3L2Q_MAP_PAYLOAD].length; i++)
		ASSERT_EQ(0, L3->payload[i]);
	for (i = 0; i < m[L3L2Q_MAP_COUNTERS].length; i++)
		ASSERT_EQ(0, L3->counters[i]);
}

TEST_F(memory, is_shared)
{
	__u64 i, n = L3->info.region.payload_bytes / 8;
	volatile __u64 *l3 = (__u64 *)L3->payload, *l2 = (__u64 *)L2->payload;

	for (i = 0; i < n; i++)
		l3[i] = i * 0x9e3779b97f4a7c15u;
	drain();
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 7);
	drain();
	EXPECT_EQ(7, drv_load(L2, L3L2Q_CTR_INPUT_TAIL));
	EXPECT_EQ(7, drv_load_fd(L2->fd, L3L2Q_CTR_INPUT_TAIL));
	for (i = 0; i < n; i++)
		ASSERT_EQ(i * 0x9e3779b97f4a7c15u, l2[i]);
	ASSERT_EQ(0, drv_set(L2->fd, L3L2Q_CTR_INPUT_HEAD, -5));
	EXPECT_EQ((__u32)-5, drv_load(L3, L3L2Q_CTR_INPUT_HEAD));
}

/* Two regions over the same pages see the same bytes at the same addresses. */
TEST_F(memory, is_where_the_device_has_it)
{
	__u64 page = variant->page < 64 * K ? 64 * K : variant->page;
	__u64 payload, shift, i;
	struct l3l2q_create create;
	struct drv_pair a, b;

	if (page > 2 * M)
		SKIP(return, "this one is too large");
	shift = page;
	payload = 3 * page;
	drv_pair_close(&self->p);
	ascend_create_init_raw(&create, variant->va, variant->bytes, payload, 64);
	create.flags = variant->flags;
	drv_pair_create(_metadata, &a, &create);
	drv_pair_map(_metadata, &a);
	for (i = 0; i < payload; i += 8)
		*(volatile __u64 *)(a.l3.payload + i) = i + 1;
	drain();
	/* of one page: its own page is cleared, and the next for its counter */
	ascend_create_init_raw(&create, variant->va + shift, page * 2, page - 64, 64);
	create.flags = variant->flags;
	drv_pair_create(_metadata, &b, &create);
	drv_pair_map(_metadata, &b);
	for (i = 0; i < payload; i += 8) {
		bool cleared = i >= shift && i < shift + page + page_up(64);

		ASSERT_EQ(cleared ? 0 : i + 1, *(volatile __u64 *)(a.l3.payload + i));
	}
	drv_store(&b.l3, 0, 77);
	for (i = 0; i < page - 64; i += 8)
		*(volatile __u64 *)(b.l3.payload + i) = ~i;
	drain();
	for (i = 0; i < page - 64; i += 8)
		ASSERT_EQ(~i, *(volatile __u64 *)(a.l2.payload + shift + i));
	EXPECT_EQ(77, *(volatile __u32 *)(a.l2.payload + shift + page));
	drv_pair_close(&a);
	drv_pair_close(&b);
}

/* The device's own view of what is write-combining here. */
TEST_F(memory, is_in_the_bar)
{
	__u64 counters = page_up(L3->info.region.payload_bytes), i;
	char path[128], *bar;
	int fd;

	if (variant->memory != L3L2Q_MEMORY_WC)
		SKIP(return, "not in a BAR, or cached");
	snprintf(path, sizeof(path), PCI "devices/%s/resource2_wc", self->bar);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "no %s", path);
	bar = mmap(NULL, 4 * M, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, bar);
	for (i = 0; i < counters; i += 4)
		*(volatile __u32 *)(L3->payload + i) = (__u32)i * 3;
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 5);
	drain();
	for (i = 0; i <= counters; i += 4) {
		/* pages of 4 KiB are last one first */
		__u64 at = variant->page == 4 * K ? 4 * M - 4 * K - i / (4 * K) * 4 * K + i % (4 * K) : i;

		ASSERT_EQ(i == counters ? 5 : (__u32)i * 3, *(volatile __u32 *)(bar + at));
	}
	munmap(bar, 4 * M);
	close(fd);
}

/* L2 as another process, that sleeps in the kernel; L3 is woken by its timer. */
TEST_F(memory, carries_messages_between_processes)
{
	int i, rounds = drv_rounds(100);
	struct drv_child child;
	struct drv_pair p;
	struct l3l2q_create create;

	drv_pair_close(&self->p);
	ascend_create_init(&create, variant->va, variant->bytes);
	create.flags = variant->flags;
	drv_pair_create(_metadata, &p, &create);
	if (!drv_fork(_metadata, &child)) {
		if (drv_ep_map(&p.l2))
			_exit(1);
		drv_say(child.sock, 'r');
		for (i = 1; i <= rounds; i++) {
			drv_consumer(&p.l2, L3L2Q_CONSUMER_SEEN, i - 1);
			if (drv_wait(p.l2.fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(DRV_HANG_MS), NULL))
				_exit(2);
			if (drv_load(&p.l2, L3L2Q_CTR_INPUT_TAIL) != (__u32)i)
				_exit(3);
			*(volatile __u32 *)(p.l2.payload + 4096) =
				*(volatile __u32 *)p.l2.payload + 1;
			drain();
			/* an NPU kicks nobody */
			drv_store(&p.l2, L3L2Q_CTR_OUTPUT_TAIL, i);
			drain();
		}
		_exit(drv_detach(p.l2.fd) ? 4 : 0);
	}
	drv_ep_close(&p.l2);
	ASSERT_EQ(0, drv_ep_map(&p.l3));
	ASSERT_EQ('r', drv_hear(child.sock));
	for (i = 1; i <= rounds; i++) {
		*(volatile __u32 *)p.l3.payload = i * 7;
		drain();
		ASSERT_EQ(0, drv_publish_tail(&p.l3, i));
		drain();
		drv_consumer(&p.l3, L3L2Q_CONSUMER_SEEN, i - 1);
		ASSERT_EQ(0, drv_wait(p.l3.fd, L3L2Q_EVENT_IN, NULL, 0, drv_deadline(DRV_HANG_MS), NULL));
		ASSERT_EQ(i, (int)drv_load(&p.l3, L3L2Q_CTR_OUTPUT_TAIL));
		ASSERT_EQ((__u32)i * 7 + 1, *(volatile __u32 *)(p.l3.payload + 4096));
	}
	EXPECT_EQ(0, drv_reap(&child));
	drv_pair_close(&p);
}

TEST_F(memory, silent_peers_are_polled_for)
{
	struct l3l2q_stats stats;
	struct drv_sleeper s;

	drv_sleeper_start(_metadata, &s, DRV_BY_EPOLL, L3->fd, L3L2Q_EVENT_IN);
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 1);
	drain();
	drv_sleeper_join(_metadata, &s);
	EXPECT_TRUE(drv_sleeper_saw(&s, L3L2Q_EVENT_IN));
	drv_sleeper_done(&s);
	ASSERT_EQ(0, drv_stats(L3->fd, &stats));
	EXPECT_LE(1, stats.timer_wakeups);
}

/* The kernel's fault injection, as in drv_fault. */
TEST_F(memory, every_allocation_fails_once)
{
	static const char *const knobs[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/min-order", "1" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_usercopy/verbose", "0" },
	};
	int nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC), n, len, fd, failed = 0;
	char path[128], text[16], old[ARRAY_SIZE(knobs)][16];
	struct l3l2q_create create;
	bool injected = true;
	size_t i;

	if (nth < 0 || access("/sys/kernel/debug/failslab", X_OK))
		SKIP(return, "this kernel cannot make allocations fail");
	for (i = 0; i < ARRAY_SIZE(knobs); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", knobs[i][0]);
		drv_read_file(path, old[i], sizeof(old[i]));
		drv_write_file(path, knobs[i][1]);
	}
	for (n = 1; n < 400 && injected; n++) {
		ascend_create_init(&create, variant->va, variant->bytes);
		create.flags = variant->flags;
		len = snprintf(text, sizeof(text), "%d", n);
		ASSERT_EQ(len, pwrite(nth, text, (size_t)len, 0));
		fd = drv_create(self->p.ctx, &create);
		memset(text, 0, sizeof(text));
		injected = pread(nth, text, sizeof(text) - 1, 0) > 0 && !atoi(text);
		while (!injected && pwrite(nth, "0", 1, 0) != 1)
			;
		EXPECT_TRUE(fd >= 0 || fd == -ENOMEM || fd == -EFAULT || fd == -ENFILE)
			TH_LOG("chance %d: %d", n, fd);
		failed += fd < 0;
		if (fd >= 0)
			close(fd);
		/* all but the fixture's */
		ASSERT_EQ(standin_get("nr_gets"), standin_get("nr_puts") + 1)
			TH_LOG("chance %d: not put", n);
	}
	for (i = 0; i < ARRAY_SIZE(knobs); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", knobs[i][0]);
		drv_write_file(path, old[i]);
	}
	close(nth);
	EXPECT_FALSE(injected);
	EXPECT_LT(3, failed);
}

/* ---- revocation --------------------------------------------------------- */

TEST_F(memory, revoked_it_turns_into_a_tomb)
{
	__u64 length = L3->info.map[L3L2Q_MAP_PAYLOAD].length, i, word = 0;
	struct l3l2q_query_region region;
	struct l3l2q_observe o;
	struct l3l2q_info info;
	__u32 r;
	int err;

	for (i = 0; i < length; i += 8)
		*(volatile __u64 *)(L3->payload + i) = ~0ull;
	ASSERT_LE(0, drv_observer(self->p.ctx, L3->info.region.region_id,
				  L3L2Q_OBSERVE_PAYLOAD, &o));
	drv_store(L3, L3L2Q_CTR_INPUT_TAIL, 3);
	drv_store(L2, L3L2Q_CTR_INPUT_HEAD, 2);
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 0x80000001);
	drain();
	EXPECT_EQ(8, drv_read_at(o.fd, &word, 8, &o.map[L3L2Q_MAP_PAYLOAD], 4092));
	EXPECT_EQ(~0ull, word);
	EXPECT_EQ(4, drv_read_at(o.fd, &err, 4, &o.map[L3L2Q_MAP_COUNTERS], L3L2Q_CTR_INPUT_HEAD));
	EXPECT_EQ(2, err);
	ASSERT_EQ(0, standin_revoke(variant->va));
	EXPECT_EQ(1, standin_get("nr_callbacks"));
	EXPECT_EQ(0, standin_get("nr_puts"));
	EXPECT_EQ(8, drv_read_at(o.fd, &word, 8, &o.map[L3L2Q_MAP_PAYLOAD], 4092));
	EXPECT_EQ(0, word);
	close(o.fd);
	ASSERT_EQ(0, drv_find_region(self->p.ctx, L3->info.region.region_id, &region));
	EXPECT_EQ(L3L2Q_REMOVAL_PROVIDER, region.removal);
	EXPECT_TRUE(drv_ctl_shows(region.id, "The memory was removed by its provider, which has taken it back."));

	EXPECT_EQ(1, L3->status->removed);
	for (r = 0; r < L3L2Q_ROLES; r++) {
		struct drv_ep *ep = r == L3L2Q_ROLE_L3 ? L3 : L2;

		EXPECT_EQ(3, drv_load(ep, L3L2Q_CTR_INPUT_TAIL));
		EXPECT_EQ(2, drv_load(ep, L3L2Q_CTR_INPUT_HEAD));
		EXPECT_EQ(0x80000001, drv_load(ep, L3L2Q_CTR_OUTPUT_TAIL));
		EXPECT_EQ(0, drv_load(ep, L3L2Q_CTR_OUTPUT_HEAD));
		EXPECT_EQ(0, drv_load(ep, l3l2q_ctr_abort(r)));
		EXPECT_EQ(1, drv_load(ep, l3l2q_ctr_abort(l3l2q_peer_role(r))));
		for (i = 0; i < length; i += 8)
			ASSERT_EQ(0, *(volatile __u64 *)(ep->payload + i));
		EXPECT_EQ(DRV_DEAD, drv_poll(ep->fd, POLLPRI, 0) & DRV_DEAD);
		EXPECT_EQ(-ENODEV, drv_info(ep->fd, &info));
		EXPECT_EQ(-ENODEV, drv_set(ep->fd, l3l2q_ctr_tail(r), 1));
		EXPECT_EQ(-ENODEV, drv_load_fd(ep->fd, 0));
		EXPECT_EQ(-ENODEV, drv_wait(ep->fd, L3L2Q_EVENT_IN, NULL, 0, 0, NULL));
		EXPECT_EQ(-ENODEV, drv_kick(ep->fd, 0));
		EXPECT_EQ(-ENODEV, drv_detach(ep->fd));
		EXPECT_EQ(NULL, drv_mmap(ep->fd, &ep->info.map[L3L2Q_MAP_PAYLOAD],
					 PROT_READ | PROT_WRITE, &err));
		EXPECT_EQ(-ENODEV, err);
	}
	/* whoever has not noticed yet may go on, and harms nobody */
	for (i = 0; i < length; i += 8)
		*(volatile __u64 *)(L2->payload + i) = 0x1234;
	drv_store(L2, L3L2Q_CTR_OUTPUT_TAIL, 9);
	EXPECT_EQ(0x80000001, drv_load(L3, L3L2Q_CTR_OUTPUT_TAIL));

	/* there is other memory at the address, for others */
	EXPECT_EQ(0, ascend_try_at(variant->va, variant->bytes));
	EXPECT_EQ(1, standin_get("nr_puts"));
	EXPECT_EQ(1, standin_get("nr_callbacks"));
	drv_pair_close(&self->p);
	EXPECT_EQ(2, standin_get("nr_puts"));
}

TEST_F(memory, revoked_it_wakes_everybody)
{
	struct drv_sleeper s[2 * DRV_HOWS], raw;
	struct l3l2q_condition condition = {
		.offset = 0,
		.cmp = L3L2Q_CMP_EQ,
		.value = 99,
	};
	int i;

	for (i = 0; i < 2 * DRV_HOWS; i++)
		drv_sleeper_start(_metadata, &s[i], i % DRV_HOWS, i < DRV_HOWS ? L3->fd : L2->fd,
				  i % DRV_HOWS == DRV_BY_EVENTFD ? L3L2Q_EVENT_ABORT
								 : L3L2Q_EVENT_IN | L3L2Q_EVENT_ABORT);
	drv_sleeper_start_wait(_metadata, &raw, L3->fd, 0, &condition, 1);
	ASSERT_EQ(0, standin_revoke(variant->va));
	for (i = 0; i < 2 * DRV_HOWS; i++) {
		drv_sleeper_join(_metadata, &s[i]);
		EXPECT_TRUE(drv_sleeper_saw(&s[i], L3L2Q_EVENT_ABORT))
			TH_LOG("sleeper %d: %d, %#x, %#x", i, s[i].ret, s[i].polled, s[i].waited.revents);
		if (s[i].how == DRV_BY_WAIT) {
			EXPECT_TRUE(s[i].waited.revents & L3L2Q_EVENT_HUP);
		} else if (s[i].how != DRV_BY_EVENTFD) {
			EXPECT_EQ(DRV_DEAD, s[i].polled & DRV_DEAD);
		}
		drv_sleeper_done(&s[i]);
	}
	drv_sleeper_join(_metadata, &raw);
	EXPECT_EQ(0, raw.ret);
	EXPECT_EQ(L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP, raw.waited.revents);
}

/* A process that streams until it is told that the memory is gone. */
static void stream(struct drv_ep *ep, int sock)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS), n;
	__u32 i = 0;

	if (drv_ep_map(ep))
		_exit(1);
	n = ep->info.region.payload_bytes / 8;
	drv_say(sock, 'r');
	while (!ep->status->removed) {
		__u64 *p = (__u64 *)ep->payload + (__u64)i * 511 % n;

		*(volatile __u64 *)p = i;
		drain();
		if (drv_publish_tail(ep, ++i) && !ep->status->removed)
			_exit(2);
		drv_load(ep, l3l2q_ctr_tail(l3l2q_peer_role(ep->role)));
		if (drv_now() > deadline)
			_exit(3);
	}
	/* the flag was there before the memory went */
	if (drv_kick(ep->fd, 0) != -ENODEV)
		_exit(4);
	while (!drv_load(ep, l3l2q_ctr_abort(l3l2q_peer_role(ep->role))))
		if (drv_now() > deadline)
			_exit(5);
	_exit(0);
}

TEST_F(memory, revoked_in_the_middle_of_a_stream)
{
	int i, rounds = drv_rounds(8);

	drv_pair_close(&self->p);
	for (i = 0; i < rounds; i++) {
		struct drv_child l3, l2;
		struct l3l2q_create create;
		struct drv_pair p;

		ascend_create_init(&create, variant->va, variant->bytes);
		create.flags = variant->flags;
		drv_pair_create(_metadata, &p, &create);
		if (!drv_fork(_metadata, &l3))
			stream(&p.l3, l3.sock);
		if (!drv_fork(_metadata, &l2))
			stream(&p.l2, l2.sock);
		drv_pair_close(&p);
		ASSERT_EQ('r', drv_hear(l3.sock));
		ASSERT_EQ('r', drv_hear(l2.sock));
		drv_observe(i);
		ASSERT_EQ(0, standin_revoke(variant->va));
		EXPECT_EQ(0, drv_reap(&l3));
		EXPECT_EQ(0, drv_reap(&l2));
	}
	EXPECT_EQ(rounds, standin_get("nr_callbacks"));
}

/* ---- races -------------------------------------------------------------- */

TEST_F(memory, revoked_before_it_was_returned)
{
	struct l3l2q_create create;
	int i;

	drv_pair_close(&self->p);
	ASSERT_EQ(0, standin_set("in_get", 1));
	for (i = 0; i < 4; i++) {
		ascend_create_init(&create, variant->va, variant->bytes);
		create.flags = variant->flags;
		EXPECT_EQ(-ENODEV, ascend_try(&create));
	}
	EXPECT_EQ(4, standin_get("nr_callbacks"));
	ASSERT_EQ(0, standin_set("in_get", 0));
	EXPECT_EQ(0, ascend_try(&create));
}

/* The most where there is most to do. */
static int race_rounds(__u64 page, int n)
{
	return drv_rounds(page == 4 * K ? n : n / 5);
}

TEST_F(memory, revoked_at_any_time)
{
	int i, rounds = race_rounds(variant->page, 300), nr_made = 0;
	struct l3l2q_create create;
	bool made;

	drv_pair_close(&self->p);
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, standin_set("race_us", 1 + i * 37 % 1500));
		ascend_create_init(&create, variant->va, variant->bytes);
		create.flags = variant->flags;
		/* more to clear and to map, now and then */
		create.input_arena_bytes = i % 4 ? DRV_ARENA : 1 * M;
		ASSERT_EQ(0, race_once(&create, &made));
		nr_made += made;
	}
	ASSERT_EQ(0, standin_set("race_us", 0));
	TH_LOG("%d of %d were made, %lld callbacks", nr_made, rounds, standin_get("nr_callbacks"));
	EXPECT_EQ(0, ascend_try_at(variant->va, variant->bytes));
}

static void *revoker(void *arg)
{
	const __u64 *va = arg;

	while (__atomic_load_n(va, __ATOMIC_RELAXED)) {
		standin_revoke(__atomic_load_n(va, __ATOMIC_RELAXED));
		sched_yield();
	}
	return NULL;
}

/* Several processes at it, and somebody who revokes all the time. */
TEST_F(memory, revoked_all_the_time)
{
	int i, k, rounds = race_rounds(variant->page, 60);
	struct l3l2q_create create;
	struct drv_child child[3];
	pthread_t thread;
	__u64 va = variant->va;
	bool made;

	drv_pair_close(&self->p);
	ascend_create_init(&create, variant->va, variant->bytes);
	create.flags = variant->flags;
	for (k = 0; k < 3; k++) {
		if (drv_fork(_metadata, &child[k]))
			continue;
		for (i = 0; i < rounds; i++)
			if (race_once(&create, &made))
				_exit(1);
		_exit(0);
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, revoker, &va));
	for (k = 0; k < 3; k++)
		EXPECT_EQ(0, drv_reap(&child[k]));
	__atomic_store_n(&va, 0, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/* The creator is killed, and the memory goes with it. */
TEST_F(memory, survives_its_creator)
{
	struct drv_child child;
	struct drv_sleeper s;
	struct drv_ep l3;
	int fd;

	drv_pair_close(&self->p);
	if (!drv_fork(_metadata, &child)) {
		struct l3l2q_create create;
		int ctx = drv_open();

		ascend_create_init(&create, variant->va, variant->bytes);
		create.flags = variant->flags;
		create.role = L3L2Q_ROLE_L2;
		fd = drv_create(ctx, &create);
		drv_ep_init(&l3, fd);
		if (drv_ep_map(&l3) || !drv_send_fd(child.sock, drv_open_peer(fd)))
			_exit(1);
		drv_hear_forever(child.sock);
	}
	fd = drv_recv_fd(child.sock);
	ASSERT_LE(0, fd);
	drv_ep_init(&l3, fd);
	ASSERT_EQ(0, drv_ep_map(&l3));
	EXPECT_EQ(L3L2Q_PEER_ARMS, l3.info.peer_kind);
	drv_sleeper_start(_metadata, &s, DRV_BY_EPOLL, fd, L3L2Q_EVENT_IN | L3L2Q_EVENT_ABORT);
	EXPECT_EQ(1000 + SIGKILL, drv_kill(&child));
	drv_sleeper_join(_metadata, &s);
	EXPECT_EQ(DRV_DEAD, s.polled & DRV_DEAD);
	drv_sleeper_done(&s);
	/* before anybody can see that the process is gone */
	EXPECT_EQ(1, standin_get("nr_callbacks"));
	EXPECT_EQ(1, l3.status->removed);
	EXPECT_EQ(1, drv_load(&l3, L3L2Q_CTR_L2_ABORT));
	EXPECT_EQ(1, standin_get("nr_puts"));
	drv_ep_unmap_all(&l3);
	drv_ep_close(&l3);
	EXPECT_EQ(2, standin_get("nr_puts"));
}

/* ---- the owner's exit --------------------------------------------------- */

/* Of the 10000 exits that L3L2Q_EXITS can ask for, and else for this long. */
#define EXITS 400
#define EXITS_MS 15000

/* A process that owns a region, of which it hands out both ends, or one. */
static void owner(struct drv_child *child, int i)
{
	struct l3l2q_create create;
	int ctx = drv_open(), l2, l3;

	ascend_create_init_two(&create, RAM_64K, 128 * K, RAM_64K + 2 * M, 64 * K);
	if (i & 1)
		create.counter_source = create.counter_source_bytes = 0;
	create.role = L3L2Q_ROLE_L2;
	l2 = drv_create(ctx, &create);
	l3 = drv_open_peer(l2);
	if (l2 < 0 || l3 < 0 || !drv_send_fd(child->sock, l3) || !drv_send_fd(child->sock, l2))
		_exit(1);
	close(ctx);
	close(l3);
	if (i % 4)
		close(l2);
	drv_say(child->sock, 'r');
	drv_hear_forever(child->sock);
}

static void spin_us(__u64 us)
{
	__u64 end = drv_now() + us * 1000;

	while (drv_now() < end)
		;
}

/* It exits while the last other descriptors of its region are closed. */
static void exit_once(struct __test_metadata *_metadata, int i)
{
	struct drv_child child;
	int l3, l2;

	if (!drv_fork(_metadata, &child))
		owner(&child, i);
	l3 = drv_recv_fd(child.sock);
	l2 = drv_recv_fd(child.sock);
	ASSERT_LE(0, l3);
	ASSERT_LE(0, l2);
	ASSERT_EQ('r', drv_hear(child.sock));
	kill(child.pid, SIGKILL);
	spin_us((__u64)i * 37 % 2500);
	close(l2);
	close(l3);
	ASSERT_EQ(1000 + SIGKILL, drv_reap(&child));
}

TEST_F_TIMEOUT(standin, its_exit_while_the_other_end_closes, 6000)
{
	const char *exits = getenv("L3L2Q_EXITS");
	__u64 start = drv_now(), deadline = drv_deadline(EXITS_MS);
	int i, n = exits ? atoi(exits) : EXITS;

	for (i = 0; i < n && (exits || drv_now() < deadline); i++) {
		if (i % 64 == 0) {
			ASSERT_EQ(0, standin_set("gap_us", i / 64 % 2 * 300));
			ASSERT_EQ(0, standin_set("tail_us", i / 64 % 3 * 200));
		}
		exit_once(_metadata, i);
	}
	TH_LOG("%d exits in %d ms, %lld callbacks, %lld puts", i, (int)((drv_now() - start) / 1000000),
	       standin_get("nr_callbacks"), standin_get("nr_puts"));
	EXPECT_LT(0, standin_get("nr_callbacks"));
}

/* The module stays until the last callback has left it, and no longer. */
TEST_F(standin, its_exit_and_then_rmmod)
{
	int i, ret, rounds = drv_rounds(12);
	__u64 deadline;

	if (!getenv("L3L2Q_KO"))
		SKIP(return, "L3L2Q_KO does not say where the module is");
	ASSERT_EQ(0, standin_set("tail_us", 1000));
	for (i = 0; i < rounds; i++) {
		exit_once(_metadata, 1 + 4 * i);
		deadline = drv_deadline(DRV_HANG_MS);
		do {
			ret = drv_unload_module("l3l2q");
		} while (ret == -EAGAIN && drv_now() < deadline);
		EXPECT_EQ(0, ret);
		EXPECT_EQ(standin_get("nr_gets"), standin_get("nr_puts"));
		ASSERT_EQ(0, system("load-module \"$L3L2Q_KO\""));
	}
}

/* What the owner does, it may also do slowly: munmap, and calls that hold mmap_lock. */
TEST_F(standin, its_munmap_while_the_other_end_closes)
{
	int i, rounds = drv_rounds(200), fd;
	struct l3l2q_create create;
	struct drv_child child;

	ASSERT_EQ(0, standin_set("gap_us", 300));
	ASSERT_EQ(0, standin_set("tail_us", 200));
	for (i = 0; i < rounds; i++) {
		int ctx = drv_open();

		ascend_create_init(&create, RAM_64K, 128 * K);
		fd = drv_create(ctx, &create);
		close(ctx);
		ASSERT_LE(0, fd);
		if (!drv_fork(_metadata, &child)) {
			drv_hear(child.sock);
			spin_us((__u64)i * 37 % 2500);
			close(fd);
			_exit(0);
		}
		close(fd);
		drv_say(child.sock, 'g');
		ASSERT_EQ(0, standin_leave());
		EXPECT_EQ(0, drv_reap(&child));
	}
}

TEST_HARNESS_MAIN
