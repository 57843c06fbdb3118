// SPDX-License-Identifier: MIT
/* Transport over /dev/l3l2q: the kernel sleeps, wakes and notices death. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

static int driver_open_peer(struct l3l2q_ep *ep)
{
	struct l3l2q_open_peer arg = { .size = sizeof(arg) };
	int ret = l3l2q_ioctl(ep->fd, L3L2Q_IOC_OPEN_PEER, &arg);

	return ret ? ret : arg.fd;
}

static int driver_kick(struct l3l2q_ep *ep, bool self)
{
	uintptr_t flags = self ? L3L2Q_KICK_SELF : 0;

	l3l2q_count_syscall(ep);
	return l3l2q_ioctl(ep->fd, L3L2Q_IOC_KICK, (void *)flags);
}

static int driver_sleep(struct l3l2q_ep *ep, uint32_t events, uint64_t deadline_ns)
{
	struct l3l2q_wait arg = {
		.size = sizeof(arg),
		.events = events,
		.deadline_ns = deadline_ns,
	};
	int ret;

	l3l2q_count_syscall(ep);
	ret = l3l2q_ioctl(ep->fd, L3L2Q_IOC_WAIT, &arg);
	if (ret == -ENODEV)
		return L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	return ret ? ret : (int)arg.revents;
}

static int driver_sleep_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
				uint64_t deadline_ns)
{
	struct l3l2q_wait arg = {
		.size = sizeof(arg),
		.conditions = (uintptr_t)cond,
		.nr_conditions = 1,
		.deadline_ns = deadline_ns,
	};

	l3l2q_count_syscall(ep);
	return l3l2q_ioctl(ep->fd, L3L2Q_IOC_WAIT, &arg);
}

static int driver_arm(struct l3l2q_ep *ep, uint32_t events)
{
	struct l3l2q_arm arg = { .size = sizeof(arg), .events = events };

	if (!ep->silent) {
		l3l2q_arm_word(ep, events);
		return 0;
	}
	l3l2q_count_syscall(ep);
	return l3l2q_ioctl(ep->fd, L3L2Q_IOC_ARM, &arg);
}

static int driver_fd(struct l3l2q_ep *ep)
{
	return ep->fd;
}

static int driver_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd)
{
	struct l3l2q_eventfd arg = { .size = sizeof(arg), .kind = kind, .fd = fd };

	return l3l2q_ioctl(ep->fd, L3L2Q_IOC_EVENTFD, &arg);
}

static int driver_detach(struct l3l2q_ep *ep)
{
	return l3l2q_ioctl(ep->fd, L3L2Q_IOC_DETACH, NULL);
}

static void driver_release(struct l3l2q_ep *ep)
{
	int i;

	for (i = 0; i < L3L2Q_MAPS; i++)
		l3l2q_unmap(&ep->maps[i]);
	l3l2q_close_fd(&ep->fd);
}

const struct l3l2q_transport l3l2q_driver = {
	.name = "driver",
	.open_peer = driver_open_peer,
	.kick = driver_kick,
	.sleep = driver_sleep,
	.sleep_counter = driver_sleep_counter,
	.arm = driver_arm,
	.fd = driver_fd,
	.eventfd = driver_eventfd,
	.detach = driver_detach,
	.release = driver_release,
};

/* ---- create and attach ------------------------------------------------- */

static int map_all(struct l3l2q_ep *ep, const struct l3l2q_info *info,
		   struct l3l2q_failure *why)
{
	static const char *const names[L3L2Q_MAPS] = {
		"payload", "counters", "status", "control page", "peer's control page",
	};
	int i, prot, ret;

	for (i = 0; i < L3L2Q_MAPS; i++) {
		prot = i == L3L2Q_MAP_STATUS || i == L3L2Q_MAP_PEER_CONTROL
		       ? PROT_READ : PROT_READ | PROT_WRITE;
		ret = l3l2q_map_fd(&ep->maps[i], ep->fd, info->map[i].offset,
				   info->map[i].length, prot);
		if (ret == -EBUSY)
			return l3l2q_why(why, ret, "another process has attached this endpoint");
		if (ret)
			return l3l2q_why(why, ret, "cannot map the %s: %s", names[i],
					 strerror(-ret));
	}
	return 0;
}

static void *part(const struct l3l2q_ep *ep, const struct l3l2q_info *info, int i)
{
	return (char *)ep->maps[i].addr + info->map[i].delta;
}

/* Make an endpoint of a descriptor; on failure the caller still owns it. */
static int driver_start(struct l3l2q_ep **out, int fd, const struct l3l2q_attr *attr,
			struct l3l2q_failure *why)
{
	struct l3l2q_info info = { .size = sizeof(info) };
	struct l3l2q_ep *ep;
	int ret = l3l2q_ioctl(fd, L3L2Q_IOC_INFO, &info);

	if (ret == -ENOTTY)
		return l3l2q_why(why, -EINVAL, "descriptor %d is not an endpoint", fd);
	if (ret)
		return l3l2q_why(why, ret, "the driver will not describe the endpoint: %s",
				 strerror(-ret));
	ret = l3l2q_ep_alloc(&ep, &l3l2q_driver);
	if (ret)
		return l3l2q_why(why, ret, "no memory for an endpoint");
	ep->fd = fd;
	ep->memory = info.memory;
	ep->silent = info.peer_kind == L3L2Q_PEER_SILENT;
	ep->region = info.region;
	ep->queue = info.queue;
	ep->raw = !info.queue.depth;
	ret = map_all(ep, &info, why);
	if (ret)
		goto fail;
	ep->status = ep->maps[L3L2Q_MAP_STATUS].addr;
	ret = l3l2q_ep_start(ep, (enum l3l2q_role)info.role, part(ep, &info, L3L2Q_MAP_PAYLOAD),
			     part(ep, &info, L3L2Q_MAP_COUNTERS), attr, why);
	if (ret)
		goto fail;
	*out = ep;
	return 0;
fail:
	ep->fd = -1;
	driver_release(ep);
	l3l2q_unmap(&ep->books);
	l3l2q_ep_free(ep);
	return ret;
}

static int open_node(const char *path, struct l3l2q_failure *why)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int ret = -errno;

	if (fd >= 0)
		return fd;
	if (ret == -ENOENT || ret == -ENXIO || ret == -ENODEV)
		return l3l2q_why(why, ret, "%.64s: %s; is the l3l2q module loaded?", path,
				 strerror(-ret));
	if (ret == -EACCES || ret == -EPERM)
		return l3l2q_why(why, -EACCES,
				 "%.64s: no permission; is this user in the node's group?", path);
	return l3l2q_why(why, ret, "%.64s: %s", path, strerror(-ret));
}

static int check_version(int fd, const char *path, struct l3l2q_failure *why)
{
	struct l3l2q_query query = { .size = sizeof(query) };
	int ret = l3l2q_ioctl(fd, L3L2Q_IOC_QUERY, &query);

	if (ret == -ENOTTY || ret == -EINVAL)
		return l3l2q_why(why, -EPROTONOSUPPORT, "%.64s is not an l3l2q device", path);
	if (ret)
		return l3l2q_why(why, ret, "%.64s: %s", path, strerror(-ret));
	if (query.uapi_version < L3L2Q_UAPI_OLDEST)
		return l3l2q_why(why, -EPROTONOSUPPORT,
				 "the l3l2q module is too old: it speaks interface %u, the library needs %u",
				 query.uapi_version, L3L2Q_UAPI_OLDEST);
	if (query.uapi_oldest > L3L2Q_UAPI_VERSION)
		return l3l2q_why(why, -EPROTONOSUPPORT,
				 "the l3l2q module is too new: it speaks interface %u and up, the library %u",
				 query.uapi_oldest, L3L2Q_UAPI_VERSION);
	return 0;
}

static int create_region(int node, const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	struct l3l2q_create arg = {
		.size = sizeof(arg),
		.backend = L3L2Q_BACKEND_RAM,
		.role = attr->role,
		.depth = attr->depth,
		.input_arena_bytes = attr->input_arena_bytes,
		.output_arena_bytes = attr->output_arena_bytes,
		.payload_bytes = attr->payload_bytes,
		.counter_bytes = attr->counter_bytes,
	};
	int ret;

	if (attr->flags & L3L2Q_ATTR_NUMA) {
		arg.flags |= L3L2Q_CREATE_NUMA;
		arg.numa_node = attr->numa_node;
	}
	if (attr->flags & L3L2Q_ATTR_REGION_V3)
		arg.flags |= L3L2Q_CREATE_REGION_V3;
	if (attr->flags & L3L2Q_ATTR_SILENT_PEER)
		arg.flags |= L3L2Q_CREATE_SILENT_PEER;
	ret = l3l2q_ioctl(node, L3L2Q_IOC_CREATE, &arg);
	switch (ret) {
	case 0: return arg.fd;
	case -EFBIG: return l3l2q_why(why, ret, "the region is larger than the module allows");
	case -EDQUOT: return l3l2q_why(why, ret, "this user's regions would exceed the limit");
	case -ENOMEM: return l3l2q_why(why, ret, "not enough memory for the region");
	default: return l3l2q_why(why, ret, "the driver cannot create the region: %s",
				  strerror(-ret));
	}
}

int l3l2q_driver_create(struct l3l2q_ep **ep, const char *path, const struct l3l2q_attr *attr,
			struct l3l2q_failure *why)
{
	int fd, ret, node = open_node(path, why);

	if (node < 0)
		return node;
	ret = check_version(node, path, why);
	if (!ret)
		ret = create_region(node, attr, why);
	close(node);
	if (ret < 0)
		return ret;
	fd = ret;
	ret = driver_start(ep, fd, attr, why);
	if (ret)
		close(fd);
	return ret;
}

int l3l2q_driver_attach(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
			struct l3l2q_failure *why)
{
	struct l3l2q_set_polling silent = {
		.size = sizeof(silent),
		.peer_kind = L3L2Q_PEER_SILENT,
	};
	int ret;

	if (attr && attr->flags & L3L2Q_ATTR_SILENT_PEER) {
		ret = l3l2q_ioctl(fd, L3L2Q_IOC_SET_POLLING, &silent);
		if (ret)
			return l3l2q_why(why, ret == -ENOTTY ? -EINVAL : ret,
					 "cannot have the driver poll for a silent peer: %s",
					 strerror(-ret));
	}
	return driver_start(ep, fd, attr, why);
}
