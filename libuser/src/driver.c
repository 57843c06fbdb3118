// SPDX-License-Identifier: MIT
/* Transport over /dev/l3l2q: the kernel sleeps, wakes and notices death. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
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
	uint32_t flags = L3L2Q_WAIT_ENDPOINT;

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

/* A WAIT whose deadline has passed takes what was kept. A later one has to be kept again. */
static void driver_drop_interrupt(struct l3l2q_ep *ep, const struct l3l2q_half *half)
{
	struct l3l2q_wait arg = {
		.size = sizeof(arg),
		.flags = wait_flags(ep, half),
		.events = L3L2Q_EVENT_ABORT,
	};

	wait_call(ep, &arg);
	if (__atomic_load_n(&half->interrupted, __ATOMIC_ACQUIRE))
		driver_interrupt(ep);
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

	do {
		if (!l3l2q_fence_request(ep, events))
			return l3l2q_polled_sleep(ep, half, events, deadline_ns);
		ret = wait_call(ep, &arg);
	} while (!ret && !arg.revents); /* the peer became unfenced meanwhile */
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

	if (!l3l2q_fence_request(ep, L3L2Q_ARM_COUNTER))
		return l3l2q_polled_sleep_counter(ep, cond, deadline_ns);
	ret = wait_call(ep, &arg);
	return ret == -ENODEV ? l3l2q_core_remote_abort(&ep->core, "wait_counter") : ret;
}

/* A removed endpoint cannot be armed and need not be: the look after it says so. */
static int driver_arm(struct l3l2q_ep *ep, uint32_t events)
{
	struct l3l2q_arm arg = { .size = sizeof(arg), .events = events };
	int ret;

	if (!ep->silent)
		return l3l2q_arm_word(ep, events) ? 0 : 1;
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
	.drop_interrupt = driver_drop_interrupt,
	.arm = driver_arm,
	.fd = driver_fd,
	.eventfd = driver_eventfd,
	.detach = driver_detach,
	.release = driver_release,
};

/* ---- create and attach ------------------------------------------------- */

/* Mapping this part writable attaches: the last step of all, for it cannot be undone. */
static int attaching_part(const struct l3l2q_info *info)
{
	return info->backend == L3L2Q_BACKEND_DMABUF ? L3L2Q_MAP_CONTROL : L3L2Q_MAP_COUNTERS;
}

static const char *const part_names[L3L2Q_MAPS] = {
	"payload", "counters", "status", "control page", "peer's control page",
};

static int map_failed(int ret, int i, struct l3l2q_failure *why)
{
	switch (ret) {
	case -EBUSY:
		return l3l2q_why(why, ret, "this endpoint is attached already, here or by another process");
	case -ESHUTDOWN:
		return l3l2q_why(why, ret, "this endpoint has ended");
	case -ENOMEM:
		return l3l2q_why(why, ret, "no memory or address space to map the %s",
				 part_names[i]);
	default:
		return l3l2q_why(why, ret, "cannot map the %s: %s", part_names[i], strerror(-ret));
	}
}

/* In the control page's place until the endpoint attaches, for its first words. */
static int map_private(struct l3l2q_map *map, size_t length)
{
	void *addr = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		return -errno;
	map->addr = addr;
	map->length = length;
	return 0;
}

/* All of it; the attaching part read-only, or memory in its place. */
static int map_all(struct l3l2q_ep *ep, const struct l3l2q_info *info,
		   struct l3l2q_failure *why)
{
	int i, prot, ret;

	for (i = 0; i < L3L2Q_MAPS; i++) {
		prot = i == L3L2Q_MAP_STATUS || i == L3L2Q_MAP_PEER_CONTROL ||
		       i == attaching_part(info) ? PROT_READ : PROT_READ | PROT_WRITE;
		if (i == L3L2Q_MAP_CONTROL && i == attaching_part(info))
			ret = map_private(&ep->maps[i], (size_t)info->map[i].length);
		else
			ret = l3l2q_map_fd(&ep->maps[i], ep->fd, info->map[i].offset,
					   info->map[i].length, prot);
		if (ret)
			return map_failed(ret, i, why);
	}
	return 0;
}

/* Map the attaching part again, at the same place and writable. */
static int map_to_attach(struct l3l2q_ep *ep, const struct l3l2q_info *info,
			 struct l3l2q_failure *why)
{
	int i = attaching_part(info), ret;
	struct l3l2q_map *map = &ep->maps[i];
	struct l3l2q_control words = { 0 };

	if (i == L3L2Q_MAP_CONTROL)
		memcpy(&words, map->addr, sizeof(words));
	if (mmap(map->addr, map->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ep->fd,
		 (off_t)info->map[i].offset) != MAP_FAILED) {
		if (i == L3L2Q_MAP_CONTROL)
			memcpy(map->addr, &words, sizeof(words));
		return 0;
	}
	ret = -errno;
	/* The kernel may have unmapped what was there, and another thread be there by now. */
	map->addr = NULL;
	return map_failed(ret, i, why);
}

static int set_peer_kind(int fd, uint32_t kind)
{
	struct l3l2q_set_polling arg = { .size = sizeof(arg), .peer_kind = kind };

	return l3l2q_ioctl(fd, L3L2Q_IOC_SET_POLLING, &arg);
}

/*
 * The steps that change something, when all that can be checked has been. After
 * a failure the endpoint is as it was.
 */
static int driver_take(struct l3l2q_ep *ep, const struct l3l2q_info *info,
		       struct l3l2q_failure *why)
{
	bool tell = ep->silent && info->peer_kind != L3L2Q_PEER_SILENT;
	int ret;

	if (tell) {
		ret = set_peer_kind(ep->fd, L3L2Q_PEER_SILENT);
		if (ret == -EPERM)
			return map_failed(-EBUSY, 0, why);
		if (ret)
			return l3l2q_why(why, ret, "the driver will not poll for a silent peer: %s",
					 strerror(-ret));
	}
	ret = map_to_attach(ep, info, why);
	if (ret && tell)
		set_peer_kind(ep->fd, info->peer_kind);
	return ret;
}

static void *part(const struct l3l2q_ep *ep, const struct l3l2q_info *info, int i)
{
	return (char *)ep->maps[i].addr + info->map[i].delta;
}

static int get_info(int fd, struct l3l2q_info *info, struct l3l2q_failure *why)
{
	int ret;

	*info = (struct l3l2q_info){ .size = sizeof(*info) };
	ret = l3l2q_ioctl(fd, L3L2Q_IOC_INFO, info);
	/* An epoll descriptor, as l3l2q_fd() of a memfd queue, says EINVAL to all. */
	if (ret == -ENOTTY || ret == -EINVAL)
		return l3l2q_why(why, -EINVAL,
				 "descriptor %d is not an endpoint: it has to be one of l3l2q_open_peer()", fd);
	if (ret == -ENODEV)
		return l3l2q_why(why, ret, "the region's memory was removed");
	if (ret)
		return l3l2q_why(why, ret, "the driver will not describe the endpoint: %s",
				 strerror(-ret));
	if (info->state == L3L2Q_STATE_ATTACHED)
		return map_failed(-EBUSY, 0, why);
	if (info->state > L3L2Q_STATE_ATTACHED)
		return map_failed(-ESHUTDOWN, 0, why);
	return 0;
}

/* Make an endpoint of a descriptor; on failure nothing has happened to it. */
static int driver_start(struct l3l2q_ep **out, int fd, const struct l3l2q_attr *attr,
			struct l3l2q_failure *why)
{
	bool silent = attr && attr->flags & L3L2Q_ATTR_SILENT_PEER;
	struct l3l2q_info info;
	struct l3l2q_ep *ep;
	int ret = get_info(fd, &info, why);

	if (ret)
		return ret;
	ret = l3l2q_ep_alloc(&ep, &l3l2q_driver);
	if (ret)
		return l3l2q_why(why, ret, "no memory for an endpoint");
	ep->fd = fd;
	ep->memory = info.memory;
	ep->backend = info.backend;
	ep->removable = info.backend != L3L2Q_BACKEND_RAM;
	ep->device_addresses = info.flags & L3L2Q_INFO_DEVICE_ADDRESSES;
	ep->silent = silent || info.peer_kind == L3L2Q_PEER_SILENT;
	ep->rings = !silent && info.peer_kind == L3L2Q_PEER_RINGS;
	ep->region = info.region;
	ep->queue = info.queue;
	ep->raw = !info.queue.depth;
	ep->binding = info.binding;
	memcpy(ep->identity, info.identity, sizeof(ep->identity));
	memcpy(ep->tag, info.tag, sizeof(ep->tag));
	ret = map_all(ep, &info, why);
	if (ret)
		goto fail;
	ep->status = ep->maps[L3L2Q_MAP_STATUS].addr;
	ret = l3l2q_ep_start(ep, (enum l3l2q_role)info.role, part(ep, &info, L3L2Q_MAP_PAYLOAD),
			     part(ep, &info, L3L2Q_MAP_COUNTERS), attr, why);
	if (!ret)
		ret = driver_take(ep, &info, why);
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
	if (ret == -EACCES)
		return l3l2q_why(why, ret,
				 "%.64s: no permission; is this user in the node's group?", path);
	if (ret == -EPERM)
		return l3l2q_why(why, -EACCES,
				 "%.64s: not allowed here; does this container have the device?",
				 path);
	if (ret == -EMFILE)
		return l3l2q_why(why, ret, "%.64s: no file descriptor left: RLIMIT_NOFILE", path);
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

/* The names of all windows, as many as there is room for. */
static void list_windows(int node, char *text, size_t size)
{
	struct l3l2q_query_device query = { .size = sizeof(query) };
	size_t used = 0;

	text[0] = '\0';
	while (used < size && !l3l2q_ioctl(node, L3L2Q_IOC_QUERY_DEVICE, &query))
		used += (size_t)snprintf(text + used, size - used, "%s%.*s", used ? ", " : "",
					 (int)sizeof(query.name), query.name);
}

/* Find the window of that name, or the first one; words if there is none. */
static int find_window(int node, const char *name, uint64_t *id, struct l3l2q_failure *why)
{
	struct l3l2q_query_device query = { .size = sizeof(query) };
	char names[80];
	int ret;

	while (!(ret = l3l2q_ioctl(node, L3L2Q_IOC_QUERY_DEVICE, &query))) {
		if (!name || !strncmp(name, (const char *)query.name, sizeof(query.name))) {
			*id = query.id;
			return 0;
		}
	}
	if (ret != -ENODEV)
		return l3l2q_why(why, ret, "the driver will not list its windows: %s",
				 strerror(-ret));
	list_windows(node, names, sizeof(names));
	if (!names[0])
		return l3l2q_why(why, ret, "no NPU window: is a device bound to the l3l2q module?");
	return l3l2q_why(why, ret, "no NPU window \"%.64s\"; there is %s", name, names);
}

static unsigned long long payload_bytes(const struct l3l2q_create *arg)
{
	struct l3l2q_layout layout = { .payload_bytes = arg->payload_bytes };

	if (arg->depth)
		l3l2q_layout_make(arg->depth, arg->input_arena_bytes, arg->output_arena_bytes,
				  &layout);
	return layout.payload_bytes;
}

static int too_large(int ret, const struct l3l2q_create *arg, const struct l3l2q_query *limits,
		     struct l3l2q_failure *why)
{
	if (arg->counter_bytes > limits->max_counter_bytes)
		return l3l2q_why(why, ret, "%llu bytes of counters are larger than %llu, the most there can be",
				 (unsigned long long)arg->counter_bytes,
				 (unsigned long long)limits->max_counter_bytes);
	return l3l2q_why(why, ret, "a payload of %llu bytes is larger than %llu: module parameter max_region_mib",
			 payload_bytes(arg), (unsigned long long)limits->max_region_bytes);
}

static int no_room(int ret, int node, const struct l3l2q_create *arg, struct l3l2q_failure *why)
{
	struct l3l2q_query_device query = { .size = sizeof(query), .id = arg->source - 1 };

	if (arg->backend == L3L2Q_BACKEND_PCI &&
	    !l3l2q_ioctl(node, L3L2Q_IOC_QUERY_DEVICE, &query))
		return l3l2q_why(why, ret, "no room for a payload of %llu bytes: window %.*s has %llu bytes left",
				 payload_bytes(arg), (int)sizeof(query.name), query.name,
				 (unsigned long long)query.free_bytes);
	if (arg->backend == L3L2Q_BACKEND_ASCEND && arg->counter_source)
		return l3l2q_why(why, ret, "no room for a payload of %llu bytes in the %llu at %#llx, or for counters in the %llu at %#llx",
				 payload_bytes(arg), (unsigned long long)arg->source_bytes,
				 (unsigned long long)arg->source,
				 (unsigned long long)arg->counter_source_bytes,
				 (unsigned long long)arg->counter_source);
	if (arg->backend == L3L2Q_BACKEND_ASCEND)
		return l3l2q_why(why, ret, "no room for a payload of %llu bytes and counters in the %llu bytes at %#llx",
				 payload_bytes(arg), (unsigned long long)arg->source_bytes,
				 (unsigned long long)arg->source);
	return l3l2q_why(why, ret, "no room for a payload of %llu bytes and counters in this memory",
			 payload_bytes(arg));
}

static int not_there(int ret, const struct l3l2q_create *arg, struct l3l2q_failure *why)
{
	if (arg->backend == L3L2Q_BACKEND_PCI)
		return l3l2q_why(why, ret, "the window is not there any more");
	if (arg->backend == L3L2Q_BACKEND_ASCEND)
		return l3l2q_why(why, ret, "the NPU's own driver is not there: is it loaded?");
	return l3l2q_why(why, ret, "the device is not there");
}

static int not_usable(int ret, const struct l3l2q_create *arg, struct l3l2q_failure *why)
{
	if (arg->backend == L3L2Q_BACKEND_DMABUF && !(arg->flags & L3L2Q_CREATE_COHERENT))
		return l3l2q_why(why, ret,
				 "a dma-buf must be declared coherent: L3L2Q_ATTR_COHERENT");
	return l3l2q_why(why, ret, "the module was built without this backend, or cannot use this memory");
}

static int create_failed(int ret, int node, const struct l3l2q_create *arg,
			 struct l3l2q_failure *why)
{
	struct l3l2q_query limits = { .size = sizeof(limits) };

	l3l2q_ioctl(node, L3L2Q_IOC_QUERY, &limits);
	switch (ret) {
	case -EFBIG:
		return too_large(ret, arg, &limits, why);
	case -EDQUOT:
		return l3l2q_why(why, ret, "over a limit of this user: %u regions, %llu MiB, %llu MiB of windows; module parameters max_user_regions, max_user_mib, max_user_window_mib",
				 limits.max_user_regions,
				 (unsigned long long)limits.max_user_bytes >> 20,
				 (unsigned long long)limits.max_user_window_bytes >> 20);
	case -ENOMEM:
		return l3l2q_why(why, ret, "not enough memory for a payload of %llu bytes",
				 payload_bytes(arg));
	case -ENOSPC:
		return no_room(ret, node, arg, why);
	case -ENODEV:
		return not_there(ret, arg, why);
	case -EOPNOTSUPP:
		return not_usable(ret, arg, why);
	case -EBADF:
		return l3l2q_why(why, ret, "file descriptor %lld is not a dma-buf",
				 (long long)arg->source);
	case -EMFILE:
		return l3l2q_why(why, ret, "no file descriptor left: RLIMIT_NOFILE");
	case -EINVAL:
		if (arg->flags & L3L2Q_CREATE_NUMA)
			return l3l2q_why(why, ret, "NUMA node %d has no memory, or this transport has no choice of nodes",
					 arg->numa_node);
		/* fall through */
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
		.counter_source = source->counter_source,
		.counter_source_bytes = source->counter_bytes,
		.region_version = attr->region_version,
		.binding = attr->binding,
		.identity = { attr->identity[0], attr->identity[1] },
	};
	int ret;

	if (attr->flags & L3L2Q_ATTR_NUMA) {
		arg.flags |= L3L2Q_CREATE_NUMA;
		arg.numa_node = attr->numa_node;
	}
	if (attr->flags & L3L2Q_ATTR_SHARE_ADDRESSES)
		arg.flags |= L3L2Q_CREATE_SHARE_ADDRESSES;
	if (attr->tag)
		memcpy(arg.tag, attr->tag, strlen(attr->tag));
	if (attr->flags & L3L2Q_ATTR_SILENT_PEER)
		arg.flags |= L3L2Q_CREATE_SILENT_PEER;
	if (attr->flags & L3L2Q_ATTR_COHERENT && (source->backend == L3L2Q_BACKEND_DMABUF ||
						  source->backend == L3L2Q_BACKEND_ASCEND))
		arg.flags |= L3L2Q_CREATE_COHERENT;
	ret = l3l2q_ioctl(node, L3L2Q_IOC_CREATE, &arg);
	return ret ? create_failed(ret, node, &arg, why) : arg.fd;
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

/* ADDRESS:BYTES, up to one character that ends it. */
static int range(const char **at, char end, uint64_t *address, uint64_t *bytes)
{
	int ret = number(at, ':', address);

	if (!ret)
		ret = number(at, end, bytes);
	return !ret && !*bytes ? -EINVAL : ret;
}

/* One range of NPU memory, or one for the payload and one for the counters. */
static int ascend_source(const char *rest, struct l3l2q_source *source)
{
	if (!rest)
		return -EINVAL;
	if (!strchr(rest, ','))
		return range(&rest, '\0', &source->source, &source->bytes);
	if (range(&rest, ',', &source->source, &source->bytes) ||
	    range(&rest, '\0', &source->counter_source, &source->counter_bytes))
		return -EINVAL;
	/* 0 would be none to the driver. */
	return source->counter_source ? 0 : -EINVAL;
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
		if (!ascend_source(rest, source))
			return 0;
		return l3l2q_why(why, -EINVAL, "\"%.64s\" is not ascend:ADDRESS:BYTES[,ADDRESS:BYTES]", transport);
	}
#undef IS
	return l3l2q_why(why, -EINVAL, "no transport \"%.32s\"; there is driver[:NODE], ram, pci[:NAME], dmabuf:FD, ascend:ADDRESS:BYTES[,ADDRESS:BYTES], memfd",
			 transport);
}

int l3l2q_driver_attach(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
			struct l3l2q_failure *why)
{
	return driver_start(ep, fd, attr, why);
}
