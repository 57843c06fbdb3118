// SPDX-License-Identifier: GPL-2.0-only
/*
 * Payloads in RAM are ordinary memory: the kernel reads and writes them for other
 * calls, debuggers see them, and what pins a page has it for as long as it wants.
 * All else is none of that, for a pin cannot be taken back from a peer or a device.
 */
#include <linux/io_uring.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "npu_util.h"

/* More than the 2 MiB that come in one piece, and a rest of single pages */
#define BYTES ((5u << 20) + 3 * 4096u)

FIXTURE(pages)
{
	int ctx;
	struct drv_ep ep;
};

FIXTURE_SETUP(pages)
{
	struct l3l2q_create create;
	int fd;

	self->ctx = drv_open();
	ASSERT_LE(0, self->ctx);
	drv_create_init_raw(&create, BYTES, 4096);
	fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, fd);
	drv_ep_init(&self->ep, fd);
	ASSERT_EQ(0, drv_ep_map(&self->ep));
}

FIXTURE_TEARDOWN(pages)
{
	drv_ep_unmap_all(&self->ep);
	drv_ep_close(&self->ep);
	close(self->ctx);
}

static unsigned char pages_byte(size_t at)
{
	return (unsigned char)(at * 7 + (at >> 12) * 13 + 1);
}

static void pages_fill(void *at, size_t n)
{
	unsigned char *to = at;
	size_t i;

	for (i = 0; i < n; i++)
		to[i] = pages_byte(i);
}

static size_t pages_wrong(const void *at, size_t n)
{
	const unsigned char *from = at;
	size_t i, wrong = 0;

	for (i = 0; i < n; i++)
		wrong += from[i] != pages_byte(i);
	return wrong;
}

/* A child that has the region mapped and waits. */
static void pages_child(struct __test_metadata *_metadata, FIXTURE_DATA(pages) *self,
			struct drv_child *child, struct drv_ep *ep)
{
	struct l3l2q_create create;
	int fd;

	/* at the address that this process knows */
	drv_create_init_raw(&create, BYTES, 4096);
	fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, fd);
	drv_ep_init(ep, fd);
	ASSERT_EQ(0, drv_ep_look(ep));
	ep->payload = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)ep->payload);
	if (!drv_fork(_metadata, child)) {
		struct l3l2q_mapping *map = &ep->info.map[L3L2Q_MAP_PAYLOAD];

		if (mmap(ep->payload, map->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 ep->fd, (off_t)map->offset) == MAP_FAILED)
			_exit(errno);
		pages_fill(ep->payload, BYTES);
		drv_say(child->sock, 'm');
		drv_hear_forever(child->sock);
	}
	ASSERT_EQ('m', drv_hear(child->sock)) TH_LOG("the child: %d", drv_reap(child));
}

TEST_F(pages, another_process_reads_and_writes_them)
{
	unsigned char *buf = malloc(BYTES);
	struct iovec local = { buf, BYTES }, remote;
	struct drv_child child;
	struct drv_ep ep;

	ASSERT_NE(NULL, buf);
	pages_child(_metadata, self, &child, &ep);
	remote = (struct iovec){ ep.payload, BYTES };
	EXPECT_EQ(BYTES, process_vm_readv(child.pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(0, pages_wrong(buf, BYTES));
	memset(buf, 0x11, BYTES);
	EXPECT_EQ(BYTES, process_vm_writev(child.pid, &local, 1, &remote, 1, 0));
	memset(buf, 0, BYTES);
	EXPECT_EQ(BYTES, process_vm_readv(child.pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(0x11, buf[0]);
	EXPECT_EQ(0x11, buf[BYTES - 1]);
	drv_kill(&child);
	munmap(ep.payload, BYTES);
	close(ep.fd);
	free(buf);
}

TEST_F(pages, a_debugger_sees_and_changes_them)
{
	struct drv_child child;
	struct drv_ep ep;
	long want, got;
	int status;

	pages_child(_metadata, self, &child, &ep);
	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, child.pid, NULL, NULL));
	ASSERT_EQ(child.pid, waitpid(child.pid, &status, 0));
	for (size_t i = 0; i < sizeof(want); i++)
		((unsigned char *)&want)[i] = pages_byte(4096 + i);
	errno = 0;
	got = ptrace(PTRACE_PEEKDATA, child.pid, ep.payload + 4096, NULL);
	EXPECT_EQ(0, errno);
	EXPECT_EQ(want, got);
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, child.pid, ep.payload + 4096, (void *)0x1234l));
	EXPECT_EQ(0x1234l, ptrace(PTRACE_PEEKDATA, child.pid, ep.payload + 4096, NULL));
	drv_kill(&child);
	munmap(ep.payload, BYTES);
	close(ep.fd);
}

/* Both roles' mappings and the calls see the same pages. */
TEST_F(pages, both_roles_share_them)
{
	int fd = drv_open_peer(self->ep.fd);
	struct drv_ep l2;

	ASSERT_LE(0, fd);
	drv_ep_init(&l2, fd);
	ASSERT_EQ(0, drv_ep_map(&l2));
	pages_fill(self->ep.payload, BYTES);
	EXPECT_EQ(0, pages_wrong(l2.payload, BYTES));
	EXPECT_EQ(0, madvise(self->ep.payload, BYTES, MADV_DONTNEED));
	EXPECT_EQ(0, pages_wrong(self->ep.payload, BYTES));
	drv_ep_unmap_all(&l2);
	drv_ep_close(&l2);
}

/* ---- O_DIRECT and io_uring ---------------------------------------------- */

#define DISK "/dev/nvme0n1"

/* True if there is a disk; its node may come later. */
static bool pages_has_disk(void)
{
	DIR *dir = opendir(NPU_SYSFS "drivers/nvme");
	struct dirent *entry;
	bool found = false;

	while (dir && (entry = readdir(dir)))
		found |= !!strchr(entry->d_name, ':');
	if (dir)
		closedir(dir);
	return found;
}

/* The disk, past all caches; -ENODEV if there is none. */
static int pages_disk(void)
{
	__u64 deadline = drv_deadline(DRV_HANG_MS);
	int fd;

	if (!pages_has_disk())
		return -ENODEV;
	do {
		fd = drv_errno(open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC));
		if (fd >= 0)
			return fd;
		poll(NULL, 0, 5);
	} while (drv_now() < deadline);
	return fd;
}

/* A device reads and writes the pages themselves. */
TEST_F(pages, direct_io_goes_to_them)
{
	int fd = pages_disk();

	if (fd == -ENODEV)
		SKIP(return, "no disk");
	ASSERT_LE(0, fd);
	pages_fill(self->ep.payload, BYTES);
	ASSERT_EQ(BYTES, pwrite(fd, self->ep.payload, BYTES, 0));
	memset(self->ep.payload, 0x11, BYTES);
	ASSERT_EQ(BYTES, pread(fd, self->ep.payload, BYTES, 0));
	EXPECT_EQ(0, pages_wrong(self->ep.payload, BYTES));
	close(fd);
}

struct pages_uring {
	struct io_uring_params params;
	int fd;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
};

static void *pages_uring_map(const struct pages_uring *ring, size_t bytes, __u64 offset)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, (off_t)offset);

	return at == MAP_FAILED ? NULL : at;
}

/* 0 or -errno. The mappings last as long as the test. */
static int pages_uring_open(struct pages_uring *ring)
{
	struct io_uring_params *p = &ring->params;

	memset(ring, 0, sizeof(*ring));
	ring->fd = drv_errno(syscall(__NR_io_uring_setup, 2, p));
	if (ring->fd < 0)
		return ring->fd;
	ring->sq = pages_uring_map(ring, p->sq_off.array + p->sq_entries * sizeof(__u32),
				   IORING_OFF_SQ_RING);
	ring->cq = pages_uring_map(ring, p->cq_off.cqes + p->cq_entries *
				   sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	ring->sqes = pages_uring_map(ring, p->sq_entries * sizeof(*ring->sqes), IORING_OFF_SQES);
	return ring->sq && ring->cq && ring->sqes ? 0 : -ENOMEM;
}

/* Read @fd from its start on; what the request came to. */
static int pages_uring_read(const struct pages_uring *ring, __u8 opcode, int fd, void *to,
			    __u32 nbytes)
{
	const struct io_uring_params *p = &ring->params;
	__u32 *tail = (void *)(ring->sq + p->sq_off.tail);
	__u32 *head = (void *)(ring->cq + p->cq_off.head);
	__u32 slot = *tail & (p->sq_entries - 1);
	const struct io_uring_cqe *cqe;
	int ret;

	ring->sqes[slot] = (struct io_uring_sqe){
		.opcode = opcode,
		.fd = fd,
		.addr = (uintptr_t)to,
		.len = nbytes,
	};
	((__u32 *)(void *)(ring->sq + p->sq_off.array))[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	ret = drv_errno(syscall(__NR_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0));
	if (ret != 1)
		return ret < 0 ? ret : -EIO;
	cqe = (void *)(ring->cq + p->cq_off.cqes);
	ret = cqe[*head & (p->cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return ret;
}

/* Write the payload to a file, read it back into the payload, and compare; closes both. */
static void pages_read_back(struct __test_metadata *_metadata, struct pages_uring *ring, __u8 op,
			    int fd, void *payload)
{
	pages_fill(payload, BYTES);
	ASSERT_EQ(BYTES, pwrite(fd, payload, BYTES, 0));
	memset(payload, 0x11, BYTES);
	EXPECT_EQ(BYTES, pages_uring_read(ring, op, fd, payload, BYTES));
	EXPECT_EQ(0, pages_wrong(payload, BYTES));
	close(fd);
	close(ring->fd);
}

TEST_F(pages, io_uring_reads_into_them)
{
	struct pages_uring ring;
	int fd, ret = pages_uring_open(&ring);

	if (ret == -ENOSYS)
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, ret);
	fd = pages_disk();
	if (fd == -ENODEV)
		SKIP(return, "no disk");
	ASSERT_LE(0, fd);
	pages_read_back(_metadata, &ring, IORING_OP_READ, fd, self->ep.payload);
}

TEST_F(pages, io_uring_registers_them_where_it_takes_mappings_of_files)
{
	struct iovec iov = { self->ep.payload, BYTES };
	struct pages_uring ring;
	int fd, ret = pages_uring_open(&ring);

	if (ret == -ENOSYS)
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, ret);
	ret = drv_errno(syscall(__NR_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &iov, 1));
	/* up to 6.4 it takes no mapping of any file but of shmem's and hugetlbfs's */
	if (ret == -EOPNOTSUPP)
		SKIP(return, "this kernel registers no mappings of files");
	ASSERT_EQ(0, ret);
	fd = memfd_create("pages", MFD_CLOEXEC);
	pages_read_back(_metadata, &ring, IORING_OP_READ_FIXED, fd, self->ep.payload);
}

/* ---- pins ---------------------------------------------------------------- */

/* vmsplice pins: the pages leave with the last reader of the pipe. */
TEST_F(pages, a_pin_outlives_the_region)
{
	const size_t held = 8 * 4096;
	unsigned char *buf = malloc(held);
	struct iovec iov = { self->ep.payload + (2u << 20) - 4096 * 4, held };
	struct l3l2q_create create;
	size_t i, wrong = 0;
	int pipefd[2], round;

	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, pipe2(pipefd, O_CLOEXEC));
	pages_fill(iov.iov_base, held);
	ASSERT_EQ((ssize_t)held, vmsplice(pipefd[1], &iov, 1, 0));
	drv_ep_unmap_all(&self->ep);
	drv_ep_close(&self->ep);

	/* what was freed is what others get, and write to */
	for (round = 0; round < 4; round++) {
		struct drv_ep ep;
		int fd;

		drv_create_init_raw(&create, 4 * BYTES, 4096);
		fd = drv_create(self->ctx, &create);
		ASSERT_LE(0, fd);
		drv_ep_init(&ep, fd);
		ASSERT_EQ(0, drv_ep_map(&ep));
		memset(ep.payload, 0x77, 4 * BYTES);
		drv_ep_unmap_all(&ep);
		drv_ep_close(&ep);
	}
	for (i = 0; i < held; i += 4096)
		ASSERT_EQ(4096, read(pipefd[0], buf + i, 4096));
	wrong = pages_wrong(buf, held);
	EXPECT_EQ(0, wrong);
	close(pipefd[0]);
	close(pipefd[1]);
	free(buf);
}

/* A child may have the payload. It is not attached by that, nor keeps anybody alive. */
TEST_F(pages, a_childs_copy_is_not_attached)
{
	struct l3l2q_create create;
	struct drv_child parent, child;
	struct drv_pair p;

	drv_create_init(&create);
	drv_pair_create(_metadata, &p, &create);
	if (!drv_fork(_metadata, &parent)) {
		ASSERT_EQ(0, drv_ep_map(&p.l3));
		memset(p.l3.payload, 0x5a, p.l3.info.map[L3L2Q_MAP_PAYLOAD].length);
		EXPECT_EQ(0, madvise(p.l3.map[L3L2Q_MAP_PAYLOAD],
				     p.l3.info.map[L3L2Q_MAP_PAYLOAD].length, MADV_DOFORK));
		EXPECT_EQ(-EINVAL, drv_errno(madvise(p.l3.map[L3L2Q_MAP_COUNTERS],
						     p.l3.info.map[L3L2Q_MAP_COUNTERS].length,
						     MADV_DOFORK)));
		if (!drv_fork(_metadata, &child)) {
			prctl(PR_SET_PDEATHSIG, 0);
			drv_say(parent.sock, p.l3.payload[0] == 0x5a ? 'c' : 'x');
			drv_hear_forever(parent.sock);
		}
		drv_hear_forever(parent.sock);
	}
	ASSERT_EQ('c', drv_hear(parent.sock));
	ASSERT_EQ(0, drv_ep_map(&p.l2));
	EXPECT_EQ(L3L2Q_STATE_ATTACHED, p.l2.status->state[L3L2Q_ROLE_L3]);
	kill(parent.pid, SIGKILL);
	waitpid(parent.pid, NULL, 0);
	EXPECT_EQ(L3L2Q_STATE_DEAD, p.l2.status->state[L3L2Q_ROLE_L3]);
	close(parent.sock);
	drv_pair_close(&p);
}

/* True if the kernel refuses to pin the page at @at. */
static bool pages_refused(void *at)
{
	struct iovec iov = { at, 16 };
	int pipefd[2];
	ssize_t n;

	if (pipe2(pipefd, O_CLOEXEC))
		return false;
	n = vmsplice(pipefd[1], &iov, 1, 0);
	n = n < 0 ? -errno : n;
	close(pipefd[0]);
	close(pipefd[1]);
	return n == -EFAULT;
}

TEST_F(pages, what_decides_cannot_be_pinned)
{
	int which;

	for (which = 0; which < L3L2Q_MAPS; which++)
		EXPECT_EQ(which != L3L2Q_MAP_PAYLOAD, pages_refused(self->ep.map[which]))
			TH_LOG("mapping %d", which);
}

TEST_F(pages, device_memory_cannot_be_pinned)
{
	struct l3l2q_query_device dev;
	struct l3l2q_create create;
	struct drv_ep ep;
	int which, fd;

	NPU_REQUIRE(self->ctx, 1);
	ASSERT_EQ(0, npu_query_device(self->ctx, 0, &dev));
	npu_create_init_raw(&create, dev.id, 4096, 64);
	fd = drv_create(self->ctx, &create);
	ASSERT_LE(0, fd);
	drv_ep_init(&ep, fd);
	ASSERT_EQ(0, drv_ep_map(&ep));
	for (which = 0; which < L3L2Q_MAPS; which++)
		EXPECT_TRUE(pages_refused(ep.map[which]))
			TH_LOG("mapping %d", which);
	drv_ep_unmap_all(&ep);
	drv_ep_close(&ep);
}

TEST_HARNESS_MAIN
