// SPDX-License-Identifier: MIT
/* Transport over /dev/l3l2q: the kernel sleeps, wakes and notices death. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* What the driver says of an endpoint whose memory is gone is the peer's end. */
static int driver_call(struct l3l2q_ep *ep, unsigned long request, void *arg, const char *op)
{
	int ret = l3l2q_ioctl(ep->fd, request, arg);

	return ret == -ENODEV ? l3l2q_core_remote_abort(&ep->core, op) : ret;
}

static int driver_open_peer(struct l3l2q_ep *ep)
{
	struct l3l2q_open_peer arg = { .size = sizeof(arg) };
	int ret = driver_call(ep, L3L2Q_IOC_OPEN_PEER, &arg, "open_peer");

	return ret ? ret : arg.fd;
}

/*
 * A device is told always. Once a process of this host has taken the other end, its
 * armed word decides, as everywhere.
 */
static void stop_ringing(struct l3l2q_ep *ep)
{
	const struct l3l2q_control *control = ep->maps[L3L2Q_MAP_PEER_CONTROL].addr;
	enum l3l2q_role peer = l3l2q_peer_role((enum l3l2q_role)ep->core.role);

	if (__atomic_load_n(&ep->status->state[peer], __ATOMIC_ACQUIRE) == L3L2Q_STATE_ATTACHED)
		__atomic_store_n(&ep->core.peer_armed, &control->armed, __ATOMIC_RELAXED);
}

static int driver_kick(struct l3l2q_ep *ep, bool self)
{
	uintptr_t flags = self ? L3L2Q_KICK_SELF : 0;

	if (ep->rings)
		stop_ringing(ep);
	l3l2q_count_syscall(ep);
	return l3l2q_ioctl(ep->fd, L3L2Q_IOC_KICK, (void *)flags);
}

static uint32_t wait_flags(const struct l3l2q_ep *ep, const struct l3l2q_half *half)
{
	uint32_t flags = L3L2Q_WAIT_CONSUMER | L3L2Q_WAIT_PRODUCER;

	if (half == &ep->rx_half)
		flags = L3L2Q_WAIT_CONSUMER;
	if (half == &ep->tx_half)
		flags = L3L2Q_WAIT_PRODUCER;
	return ep->interruptible ? flags | L3L2Q_WAIT_NO_RESTART : flags;
}

/* Unlike l3l2q_ioctl(): why it was interrupted is for the caller to find out. */
static int wait_call(struct l3l2q_ep *ep, struct l3l2q_wait *arg)
{
	l3l2q_count_syscall(ep);
	return ioctl(ep->fd, L3L2Q_IOC_WAIT, arg) ? -errno : 0;
}

static void driver_interrupt(struct l3l2q_ep *ep)
{
	ioctl(ep->fd, L3L2Q_IOC_INTERRUPT, 0);
}

static int driver_sleep(struct l3l2q_ep *ep, const struct l3l2q_half *half, uint32_t events,
			uint64_t deadline_ns)
{
	struct l3l2q_wait arg = {
		.size = sizeof(arg),
		.flags = wait_flags(ep, half),
		.events = events,
		.deadline_ns = deadline_ns,
	};
	int ret;

	ret = wait_call(ep, &arg);
	if (ret == -ENODEV)
		return L3L2Q_EVENT_ABORT | L3L2Q_EVENT_HUP;
	return ret ? ret : (int)arg.revents;
}

static int driver_sleep_counter(struct l3l2q_ep *ep, struct l3l2q_condition *cond,
				uint64_t deadline_ns)
{
	struct l3l2q_wait arg = {
		.size = sizeof(arg),
		.flags = wait_flags(ep, &ep->any_half),
		.conditions = (uintptr_t)cond,
		.nr_conditions = 1,
		.condition_size = sizeof(*cond),
		.deadline_ns = deadline_ns,
	};
	int ret;

	ret = wait_call(ep, &arg);
	return ret == -ENODEV ? l3l2q_core_remote_abort(&ep->core, "wait_counter") : ret;
}

/* A removed endpoint cannot be armed and need not be: the look after it says so. */
static int driver_arm(struct l3l2q_ep *ep, uint32_t events)
{
	struct l3l2q_arm arg = { .size = sizeof(arg), .events = events };
	int ret;

	if (!ep->silent) {
		l3l2q_arm_word(ep, events);
		return 0;
	}
	l3l2q_count_syscall(ep);
	ret = l3l2q_ioctl(ep->fd, L3L2Q_IOC_ARM, &arg);
	return ret == -ENODEV ? 0 : ret;
}

static int driver_fd(struct l3l2q_ep *ep)
{
	return ep->fd;
}

static int driver_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd)
{
	struct l3l2q_eventfd arg = { .size = sizeof(arg), .kind = kind, .fd = fd };

	return driver_call(ep, L3L2Q_IOC_EVENTFD, &arg, "eventfd");
}

static int driver_detach(struct l3l2q_ep *ep)
{
	return driver_call(ep, L3L2Q_IOC_DETACH, NULL, "detach");
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
	.interrupt = driver_interrupt,
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
	ep->backend = info.backend;
	ep->removable = info.backend != L3L2Q_BACKEND_RAM;
	ep->device_addresses = info.flags & L3L2Q_INFO_DEVICE_ADDRESSES;
	ep->silent = info.peer_kind == L3L2Q_PEER_SILENT;
	ep->rings = info.peer_kind == L3L2Q_PEER_RINGS;
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

static int check_node(int fd, const char *path, struct l3l2q_failure *why)
{
	struct l3l2q_query query = { .size = sizeof(query) };
	int ret = l3l2q_ioctl(fd, L3L2Q_IOC_QUERY, &query);

	if (ret == -ENOTTY || ret == -EINVAL)
		return l3l2q_why(why, -EPROTONOSUPPORT, "%.64s is not an l3l2q device", path);
	if (ret)
		return l3l2q_why(why, ret, "%.64s: %s", path, strerror(-ret));
	return 0;
}

/* Find the window of that name, or the first one; words if there is none. */
static int find_window(int node, const char *name, uint64_t *id, struct l3l2q_failure *why)
{
	struct l3l2q_query_device query = { .size = sizeof(query) };
	unsigned int windows = 0;
	int ret;

	while (!(ret = l3l2q_ioctl(node, L3L2Q_IOC_QUERY_DEVICE, &query))) {
		if (!name || !strncmp(name, (const char *)query.name, sizeof(query.name))) {
			*id = query.id;
			return 0;
		}
		windows++;
	}
	if (ret != -ENODEV)
		return l3l2q_why(why, ret, "the driver will not list its windows: %s",
				 strerror(-ret));
	if (!windows)
		return l3l2q_why(why, ret, "no NPU window: is a device bound to the l3l2q module?");
	return l3l2q_why(why, ret, "no NPU window \"%.64s\" among %u", name, windows);
}

static int create_failed(int ret, const struct l3l2q_create *arg, struct l3l2q_failure *why)
{
	bool declared = arg->flags & L3L2Q_CREATE_COHERENT;

	switch (ret) {
	case -EFBIG:
		return l3l2q_why(why, ret, "the region is larger than the module allows");
	case -EDQUOT:
		return l3l2q_why(why, ret, "this user's regions would exceed the limit");
	case -ENOMEM:
		return l3l2q_why(why, ret, "not enough memory for the region");
	case -ENOSPC:
		return l3l2q_why(why, ret, "no room for the region in its memory");
	case -ENODEV:
		return l3l2q_why(why, ret, "the device is not there, or its driver is not");
	case -EOPNOTSUPP:
		if (arg->backend == L3L2Q_BACKEND_DMABUF && !declared)
			return l3l2q_why(why, ret,
					 "a dma-buf must be declared coherent: L3L2Q_ATTR_COHERENT");
		return l3l2q_why(why, ret, "the module cannot use this memory");
	default:
		return l3l2q_why(why, ret, "the driver cannot create the region: %s",
				 strerror(-ret));
	}
}

static int create_region(int node, const struct l3l2q_source *source,
			 const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	struct l3l2q_create arg = {
		.size = sizeof(arg),
		.backend = source->backend,
		.role = attr->role,
		.depth = attr->depth,
		.input_arena_bytes = attr->input_arena_bytes,
		.output_arena_bytes = attr->output_arena_bytes,
		.payload_bytes = attr->payload_bytes,
		.counter_bytes = attr->counter_bytes,
		.source = source->source,
		.source_bytes = source->bytes,
	};
	int ret;

	if (attr->flags & L3L2Q_ATTR_NUMA) {
		arg.flags |= L3L2Q_CREATE_NUMA;
		arg.numa_node = attr->numa_node;
	}
	if (attr->flags & L3L2Q_ATTR_REGION_V3)
		arg.region_version = 0x30000;
	if (attr->flags & L3L2Q_ATTR_SILENT_PEER)
		arg.flags |= L3L2Q_CREATE_SILENT_PEER;
	if (attr->flags & L3L2Q_ATTR_COHERENT && (source->backend == L3L2Q_BACKEND_DMABUF ||
						  source->backend == L3L2Q_BACKEND_ASCEND))
		arg.flags |= L3L2Q_CREATE_COHERENT;
	ret = l3l2q_ioctl(node, L3L2Q_IOC_CREATE, &arg);
	return ret ? create_failed(ret, &arg, why) : arg.fd;
}

static int create_in_window(int node, struct l3l2q_source *source,
			    const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	int ret = find_window(node, source->name, &source->source, why);

	return ret ? ret : create_region(node, source, attr, why);
}

int l3l2q_driver_create(struct l3l2q_ep **ep, const struct l3l2q_source *from,
			const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	struct l3l2q_source source = *from;
	int fd, ret, node = open_node(source.node, why);

	if (node < 0)
		return node;
	ret = check_node(node, source.node, why);
	if (!ret)
		ret = source.backend == L3L2Q_BACKEND_PCI
		      ? create_in_window(node, &source, attr, why)
		      : create_region(node, &source, attr, why);
	close(node);
	if (ret < 0)
		return ret;
	fd = ret;
	ret = driver_start(ep, fd, attr, why);
	if (ret)
		close(fd);
	return ret;
}

/* ---- transport strings -------------------------------------------------- */

/* A number in C's notation, up to one character that ends it. */
static int number(const char **at, char end, uint64_t *value)
{
	char *after;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	errno = 0;
	*value = strtoull(*at, &after, 0);
	if (errno || *after != end)
		return -EINVAL;
	*at = after + (end != '\0');
	return 0;
}

/* What a transport over the driver asks for, or -EINVAL. */
int l3l2q_driver_source(const char *transport, struct l3l2q_source *source,
			struct l3l2q_failure *why)
{
	const char *rest = strchr(transport, ':');
	size_t length = rest ? (size_t)(rest++ - transport) : strlen(transport);

#define IS(name) (length == sizeof(name) - 1 && !memcmp(transport, name, length))
	*source = (struct l3l2q_source){ .node = "/dev/l3l2q", .backend = L3L2Q_BACKEND_RAM };
	if (IS("ram") && !rest)
		return 0;
	if (IS("driver")) {
		if (rest)
			source->node = rest;
		return 0;
	}
	if (IS("pci")) {
		source->backend = L3L2Q_BACKEND_PCI;
		source->name = rest;
		if (!rest || *rest)
			return 0;
		return l3l2q_why(why, -EINVAL, "\"pci:\" without a window's name");
	}
	if (IS("dmabuf")) {
		source->backend = L3L2Q_BACKEND_DMABUF;
		if (rest && !number(&rest, '\0', &source->source) && source->source <= INT_MAX)
			return 0;
		return l3l2q_why(why, -EINVAL, "\"%.64s\" is not dmabuf:FD", transport);
	}
	if (IS("ascend")) {
		source->backend = L3L2Q_BACKEND_ASCEND;
		if (rest && !number(&rest, ':', &source->source) &&
		    !number(&rest, '\0', &source->bytes) && source->bytes)
			return 0;
		return l3l2q_why(why, -EINVAL, "\"%.64s\" is not ascend:ADDRESS:BYTES", transport);
	}
#undef IS
	return l3l2q_why(why, -EINVAL, "no transport \"%.64s\"", transport);
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
