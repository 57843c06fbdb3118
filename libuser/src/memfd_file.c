// SPDX-License-Identifier: MIT
/*
 * The memory of the memfd transport. The memfd holds, each on pages of its own:
 * status, L3's control, L2's control, counters, payload. It is sealed against
 * resizing, so that no peer can make accesses fault.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "memfd.h"

#define HUGE_BYTES ((size_t)2 << 20)	/* of a huge page, where there are any */
#define FILL_BYTES ((uint64_t)4 << 20)	/* taken at a time */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
/* and those against writing, of which none may be there */
#define ALL_SEALS (SEALS | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)
#define TMPFS_SUPER 0x01021994
#define POLICY_PREFERRED 1		/* MPOL_PREFERRED, without libnuma's header */
#define NODES 1024
#define NODE_WORDS (NODES / (8 * sizeof(unsigned long)))

#ifndef MADV_COLLAPSE			/* since Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

/* Where things lie in the memfd, as seen from a role. */
int l3l2q_parts_make(struct l3l2q_parts *parts, const struct l3l2q_ep *ep,
		     enum l3l2q_role role)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t counters = ep->region.counter_bytes, payload = ep->region.payload_bytes;
	bool l3 = role == L3L2Q_ROLE_L3;

	if (counters > INT64_MAX / 4 || payload > INT64_MAX / 4)
		return -ENOMEM;
	parts->length[L3L2Q_MAP_STATUS] = page;
	parts->length[L3L2Q_MAP_CONTROL] = page;
	parts->length[L3L2Q_MAP_PEER_CONTROL] = page;
	parts->length[L3L2Q_MAP_COUNTERS] = (counters + page - 1) / page * page;
	parts->length[L3L2Q_MAP_PAYLOAD] = (payload + page - 1) / page * page;
	parts->offset[L3L2Q_MAP_STATUS] = 0;
	parts->offset[L3L2Q_MAP_CONTROL] = l3 ? page : 2 * page;
	parts->offset[L3L2Q_MAP_PEER_CONTROL] = l3 ? 2 * page : page;
	parts->offset[L3L2Q_MAP_COUNTERS] = 3 * page;
	parts->offset[L3L2Q_MAP_PAYLOAD] = 3 * page + parts->length[L3L2Q_MAP_COUNTERS];
	parts->total = parts->offset[L3L2Q_MAP_PAYLOAD] + parts->length[L3L2Q_MAP_PAYLOAD];
	return 0;
}

/* Map where huge pages of the file can be mapped as such, if there may be any. */
static int map_payload(struct l3l2q_ep *ep, const struct l3l2q_parts *parts)
{
	struct l3l2q_map *map = &ep->maps[L3L2Q_MAP_PAYLOAD];
	uint64_t offset = parts->offset[L3L2Q_MAP_PAYLOAD];
	size_t length = (size_t)parts->length[L3L2Q_MAP_PAYLOAD];
	size_t before, room = length + HUGE_BYTES;
	char *start;
	void *addr;
	int ret;

	if (length != parts->length[L3L2Q_MAP_PAYLOAD] || length < HUGE_BYTES ||
	    offset != (uint64_t)(off_t)offset)
		return l3l2q_map_fd(map, ep->fd, offset, parts->length[L3L2Q_MAP_PAYLOAD],
				    PROT_READ | PROT_WRITE);
	start = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return l3l2q_map_errno(errno);
	before = (size_t)(offset - (uintptr_t)start) % HUGE_BYTES;
	addr = mmap(start + before, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ep->fd,
		    (off_t)offset);
	if (addr == MAP_FAILED) {
		ret = l3l2q_map_errno(errno);
		munmap(start, room);
		return ret;
	}
	if (before)
		munmap(start, before);
	munmap(start + before + length, HUGE_BYTES - before);
	madvise(addr, length, MADV_DONTDUMP);
	map->addr = addr;
	map->length = length;
	return 0;
}

int l3l2q_parts_map(struct l3l2q_ep *ep, const struct l3l2q_parts *parts)
{
	int i, ret;

	for (i = 0; i < L3L2Q_MAPS; i++) {
		ret = i == L3L2Q_MAP_PAYLOAD ? map_payload(ep, parts) :
		      l3l2q_map_fd(&ep->maps[i], ep->fd, parts->offset[i], parts->length[i],
				   PROT_READ | PROT_WRITE);
		if (ret)
			return ret;
	}
	ep->status = ep->maps[L3L2Q_MAP_STATUS].addr;
	ep->peer_control = ep->maps[L3L2Q_MAP_PEER_CONTROL].addr;
	return 0;
}

/*
 * Refuse what would end in a signal: beyond the limit on file sizes that is SIGXFSZ,
 * beyond what memory there is the OOM killer's.
 */
static int make_file(struct l3l2q_ep *ep, uint64_t total)
{
	struct rlimit limit;
	struct timespec now;
	char name[32];

	if (!getrlimit(RLIMIT_FSIZE, &limit) && total > limit.rlim_cur)
		return -EFBIG;
	if (total != (uint64_t)(off_t)total)
		return -EFBIG;
	if (total > l3l2q_memory_left())
		return -ENOMEM;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(name, sizeof(name), L3L2Q_TRACE_NAME "%x-%x", (unsigned int)getpid(),
		 (unsigned int)((uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec));
	ep->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ep->fd < 0)
		return -errno;
	if (ftruncate(ep->fd, (off_t)total))
		return errno == EINVAL ? -EFBIG : -errno;
	return 0;
}

/* Before anything is touched. The policy is the file's, so that it holds at both ends. */
static int prefer_node(struct l3l2q_ep *ep, const struct l3l2q_attr *attr)
{
	unsigned long mask[NODE_WORDS] = { 0 }, bits = 8 * sizeof(mask[0]);
	unsigned long node = (unsigned long)attr->numa_node;
	int i;

	if (!(attr->flags & L3L2Q_ATTR_NUMA))
		return 0;
	if (attr->numa_node < 0 || node >= NODES)
		return -EINVAL;
	mask[node / bits] = 1ul << node % bits;
	for (i = 0; i < L3L2Q_MAPS; i++) {
		if (!syscall(SYS_mbind, ep->maps[i].addr, ep->maps[i].length, POLICY_PREFERRED,
			     mask, (unsigned long)NODES + 1, 0))
			continue;
		if (errno == ENOSYS)	/* a kernel with one node */
			return node ? -EINVAL : 0;
		return errno == EPERM ? -EOPNOTSUPP : -errno;
	}
	return 0;
}

/*
 * Huge pages for as much of the payload as there are any. The kernel makes one of
 * what is there, so a page has to be; and it need not be asked to by default.
 */
static void prefer_huge(struct l3l2q_ep *ep, const struct l3l2q_parts *parts)
{
	const struct l3l2q_map *map = &ep->maps[L3L2Q_MAP_PAYLOAD];
	uint64_t offset = parts->offset[L3L2Q_MAP_PAYLOAD];
	size_t at = (size_t)-(uintptr_t)map->addr % HUGE_BYTES;

	for (; at + HUGE_BYTES <= map->length; at += HUGE_BYTES) {
		if (fallocate(ep->fd, 0, (off_t)(offset + at), 1) ||
		    madvise((char *)map->addr + at, HUGE_BYTES, MADV_COLLAPSE))
			return;
	}
}

/*
 * Take all the memory now: running out later would be a SIGBUS. A signal undoes the
 * piece that it interrupts, so pieces are small, and smaller after a signal.
 */
static int fill(int fd, uint64_t total)
{
	uint64_t at = 0, n, piece = FILL_BYTES, least = (uint64_t)sysconf(_SC_PAGESIZE);

	while (at < total) {
		n = piece < total - at ? piece : total - at;
		if (!fallocate(fd, 0, (off_t)at, (off_t)n)) {
			at += n;
			if (piece < FILL_BYTES)
				piece *= 2;
		} else if (errno == EINTR) {
			if (piece > least)
				piece /= 2;
		} else {
			return errno == ENOSPC ? -ENOMEM : -errno;
		}
	}
	return 0;
}

/* Make, map and take the memory, and seal it. */
int l3l2q_memory_make(struct l3l2q_ep *ep, const struct l3l2q_parts *parts,
		      const struct l3l2q_attr *attr)
{
	int ret = make_file(ep, parts->total);
	struct stat st;

	if (!ret)
		ret = l3l2q_parts_map(ep, parts);
	if (!ret)
		ret = prefer_node(ep, attr);
	if (ret)
		return ret;
	prefer_huge(ep, parts);
	ret = fill(ep->fd, parts->total);
	if (ret)
		return ret;
	if (fcntl(ep->fd, F_ADD_SEALS, SEALS) || fstat(ep->fd, &st))
		return -errno;
	ep->region.region_id = st.st_ino ? (uint64_t)st.st_ino : 1;
	return 0;
}

/*
 * True of memory that another process made: a memfd of the right size that stays so
 * and has all its pages. The seals come first: asking for them reaches no file system
 * that the other process could be behind.
 */
int l3l2q_memory_check(int fd, uint64_t total)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (seals < 0 || (seals & ALL_SEALS) != SEALS)
		return -EPROTO;
	if (fstatfs(fd, &fs) || (unsigned long)fs.f_type != TMPFS_SUPER || fstat(fd, &st))
		return -EPROTO;
	if ((uint64_t)st.st_size != total || (uint64_t)st.st_blocks < total / 512)
		return -EPROTO;
	return 0;
}
