/* SPDX-License-Identifier: MIT */
/* Between the files of the memfd transport. */
#ifndef L3L2Q_MEMFD_H
#define L3L2Q_MEMFD_H

#include "internal.h"
#include "trace.h"

/*
 * Over memfd a control page goes on after what the driver knows. Sleepers wait for a
 * change of a count of wake-ups, not of armed: another thread may set the very bits
 * again that a waker has just taken.
 */
struct l3l2q_memfd_page {
	struct l3l2q_control control;
	uint32_t wakeups;
};

/* Where the parts lie in the memfd, in whole pages, by L3L2Q_MAP_*. */
struct l3l2q_parts {
	uint64_t length[L3L2Q_MAPS];
	uint64_t offset[L3L2Q_MAPS];
	uint64_t total;
};

/* memfd_file.c */
int l3l2q_parts_make(struct l3l2q_parts *parts, const struct l3l2q_ep *ep,
		     enum l3l2q_role role);
int l3l2q_parts_map(struct l3l2q_ep *ep, const struct l3l2q_parts *parts);
int l3l2q_memory_make(struct l3l2q_ep *ep, const struct l3l2q_parts *parts,
		      const struct l3l2q_attr *attr);
int l3l2q_memory_check(int fd, uint64_t total);

/* limits.c */
uint64_t l3l2q_memory_left(void);
uint64_t l3l2q_cgroup_left(const char *cgroups, const char *mounts);

/* memfd_peer.c */
int l3l2q_alive_make(struct l3l2q_ep *ep);
int l3l2q_alive_open(int *pidfd);
int l3l2q_alive_tell(struct l3l2q_ep *ep, int sock, int pidfd);
bool l3l2q_wake_socket(int fd);
void l3l2q_peer_ended(struct l3l2q_ep *ep);
int l3l2q_peer_drain(struct l3l2q_ep *ep);
void l3l2q_peer_check(struct l3l2q_ep *ep);
void l3l2q_memfd_ask_peer(struct l3l2q_ep *ep);

/* memfd_wake.c */
int l3l2q_watch(int epoll, int fd, uint32_t events);
void l3l2q_memfd_interrupt(struct l3l2q_ep *ep);
int l3l2q_memfd_kick(struct l3l2q_ep *ep, bool self);
int l3l2q_memfd_sleep(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events,
		      uint64_t deadline_ns);
int l3l2q_memfd_sleep_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
			      uint64_t deadline_ns);
int l3l2q_memfd_arm(struct l3l2q_ep *ep, uint32_t events);

static inline struct l3l2q_status *l3l2q_memfd_status(struct l3l2q_ep *ep)
{
	return ep->maps[L3L2Q_MAP_STATUS].addr;
}

static inline enum l3l2q_role l3l2q_memfd_peer(const struct l3l2q_ep *ep)
{
	return l3l2q_peer_role((enum l3l2q_role)ep->core.role);
}

#endif /* L3L2Q_MEMFD_H */
