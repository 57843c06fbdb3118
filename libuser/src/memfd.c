// SPDX-License-Identifier: MIT
/*
 * Transport over a memfd, without the driver: life cycle. Memory is memfd_file.c,
 * sleeping and waking memfd_wake.c, the other side's end memfd_peer.c.
 *
 * The peer's descriptor is a socket with one message waiting in it: the header below,
 * the memory, and a socket to the creator. The process that takes the message is the
 * peer; it looks at a copy first, and takes it only once nothing can fail any more.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memfd.h"

#define HELLO_MAGIC 0x326d656d6c336c32ull

/* Descriptors that go with the header. */
enum { FD_MEMORY, FD_SOCKET, FDS };

struct hello {
	uint64_t magic;
	uint32_t role;			/* the receiver's */
	uint32_t binding;
	uint64_t region_id;
	uint64_t region_version;
	uint64_t identity[2];
	uint64_t depth;
	uint64_t input_arena_bytes;
	uint64_t output_arena_bytes;
	uint64_t payload_bytes;
	uint64_t counter_bytes;
	char tag[L3L2Q_TAG_BYTES];
};

/* Nothing makes a descriptor readable when a silent peer stores. */
static int memfd_fd(struct l3l2q_ep *ep)
{
	return ep->silent ? -EOPNOTSUPP : ep->poll_fd;
}

static int memfd_eventfd(struct l3l2q_ep *ep, uint32_t kind, int fd)
{
	(void)ep;
	(void)kind;
	(void)fd;
	return -EOPNOTSUPP;
}

static int memfd_detach(struct l3l2q_ep *ep)
{
	struct l3l2q_status *status = l3l2q_memfd_status(ep);

	if (!status)
		return 0;
	__atomic_store_n(&ep->ended, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&status->state[ep->core.role], L3L2Q_STATE_DETACHED, __ATOMIC_RELEASE);
	l3l2q_full_barrier();
	l3l2q_memfd_kick(ep, false);
	if (ep->sock >= 0)
		shutdown(ep->sock, SHUT_RDWR);
	return 0;
}

static void memfd_release(struct l3l2q_ep *ep)
{
	int i;

	ep->peer_control = NULL;
	for (i = 0; i < L3L2Q_MAPS; i++)
		l3l2q_unmap(&ep->maps[i]);
	l3l2q_close_fd(&ep->poll_fd);
	l3l2q_close_fd(&ep->sock);
	l3l2q_close_fd(&ep->peer_pidfd);
	l3l2q_close_fd(&ep->peer_lock);
	l3l2q_close_fd(&ep->own_lock);
	l3l2q_close_fd(&ep->own_event);
	l3l2q_close_fd(&ep->fd);
}

static void hello_make(struct hello *hello, const struct l3l2q_ep *ep)
{
	*hello = (struct hello){
		.magic = HELLO_MAGIC,
		.role = l3l2q_memfd_peer(ep),
		.binding = ep->binding,
		.region_id = ep->region.region_id,
		.region_version = ep->region.magic_version,
		.identity = { ep->identity[0], ep->identity[1] },
		.depth = ep->queue.depth,
		.input_arena_bytes = ep->queue.input_arena_bytes,
		.output_arena_bytes = ep->queue.output_arena_bytes,
		.payload_bytes = ep->region.payload_bytes,
		.counter_bytes = ep->region.counter_bytes,
	};
	memcpy(hello->tag, ep->tag, sizeof(hello->tag));
}

/* A pair of sockets between the ends; this end says on its own how to see it alive. */
static int open_wire(struct l3l2q_ep *ep, int wire[2])
{
	int pidfd, ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, wire))
		return -errno;
	ret = l3l2q_alive_open(&pidfd);
	if (!ret)
		ret = l3l2q_alive_tell(ep, wire[0], pidfd);
	l3l2q_close_fd(&pidfd);
	if (!ret)
		ret = l3l2q_watch(ep->poll_fd, wire[0], EPOLLIN | EPOLLRDHUP);
	if (ret) {
		close(wire[0]);
		close(wire[1]);
	}
	return ret;
}

static int open_hand(struct l3l2q_ep *ep)
{
	int fds[FDS], hand[2], wire[2], ret;
	struct hello hello;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, hand))
		return -errno;
	ret = open_wire(ep, wire);
	if (ret)
		goto close_hand;
	hello_make(&hello, ep);
	fds[FD_MEMORY] = ep->fd;
	fds[FD_SOCKET] = wire[1];
	ret = l3l2q_send_fds(hand[0], &hello, sizeof(hello), fds, FDS, 0);
	close(wire[1]);
	if (ret) {
		close(wire[0]);
		goto close_hand;
	}
	__atomic_store_n(&ep->sock, wire[0], __ATOMIC_RELEASE);
	close(hand[0]);
	return hand[1];

close_hand:
	close(hand[0]);
	close(hand[1]);
	return ret;
}

static int memfd_open_peer(struct l3l2q_ep *ep)
{
	int ret;

	if (!ep->creator)
		return -EPERM;
	if (__atomic_exchange_n(&ep->peer_opened, true, __ATOMIC_ACQ_REL))
		return -EBUSY;
	ret = open_hand(ep);
	if (ret < 0)
		__atomic_store_n(&ep->peer_opened, false, __ATOMIC_RELEASE);
	return ret;
}

const struct l3l2q_transport l3l2q_memfd = {
	.name = "memfd",
	.open_peer = memfd_open_peer,
	.kick = l3l2q_memfd_kick,
	.sleep = l3l2q_memfd_sleep,
	.sleep_counter = l3l2q_memfd_sleep_counter,
	.arm = l3l2q_memfd_arm,
	.fd = memfd_fd,
	.eventfd = memfd_eventfd,
	.ask_peer = l3l2q_memfd_ask_peer,
	.interrupt = l3l2q_memfd_interrupt,
	.detach = memfd_detach,
	.release = memfd_release,
};

/* ---- create and attach ------------------------------------------------- */

/* What an end has of its own, besides the memory. */
static int make_own(struct l3l2q_ep *ep)
{
	int ret = l3l2q_alive_make(ep);

	if (ret)
		return ret;
	ep->own_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ep->own_event < 0)
		return -errno;
	ep->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->poll_fd < 0)
		return -errno;
	return l3l2q_watch(ep->poll_fd, ep->own_event, EPOLLIN | EPOLLET);
}

/* What region and queue say once sizes are known; the bases are our mappings. */
static void describe(struct l3l2q_ep *ep, uint64_t version, const struct l3l2q_layout *layout)
{
	ep->region.magic_version = version;
	ep->region.payload_base = (uintptr_t)ep->maps[L3L2Q_MAP_PAYLOAD].addr;
	ep->region.counter_base = (uintptr_t)ep->maps[L3L2Q_MAP_COUNTERS].addr;
	if (ep->raw)
		return;
	ep->queue.magic_version = l3l2q_queue_version(ep->binding);
	ep->queue.depth = layout->depth;
	ep->queue.input_arena_bytes = layout->input_arena_bytes;
	ep->queue.output_arena_bytes = layout->output_arena_bytes;
	ep->queue.payload_bytes = layout->payload_bytes;
	ep->queue.counter_bytes = layout->counter_bytes;
}

static int start(struct l3l2q_ep *ep, enum l3l2q_role role, const struct l3l2q_attr *attr,
		 struct l3l2q_failure *why)
{
	ep->silent = attr && attr->flags & L3L2Q_ATTR_SILENT_PEER;
	return l3l2q_ep_start(ep, role, ep->maps[L3L2Q_MAP_PAYLOAD].addr,
			      ep->maps[L3L2Q_MAP_COUNTERS].addr, attr, why);
}

static struct l3l2q_trace *trace_of(struct l3l2q_ep *ep)
{
	unsigned char *first = ep->maps[L3L2Q_MAP_STATUS].addr;

	return (void *)(first + L3L2Q_TRACE_OFFSET);
}

static void set_attached(struct l3l2q_ep *ep)
{
	__atomic_store_n(&trace_of(ep)->pid[ep->core.role], (__u32)getpid(), __ATOMIC_RELAXED);
	__atomic_store_n(&l3l2q_memfd_status(ep)->state[ep->core.role], L3L2Q_STATE_ATTACHED,
			 __ATOMIC_RELEASE);
}

/* Nothing was shared yet: free without a word to the peer. */
static int discard(struct l3l2q_ep *ep, int ret)
{
	memfd_release(ep);
	l3l2q_unmap(&ep->books);
	l3l2q_ep_free(ep);
	return ret;
}

static int create_failed(const struct l3l2q_ep *ep, const struct l3l2q_attr *attr, int ret,
			 struct l3l2q_failure *why)
{
	unsigned long long bytes = ep->region.payload_bytes;

	if (attr->flags & L3L2Q_ATTR_NUMA && ret == -EINVAL)
		return l3l2q_why(why, ret, "there is no memory node %d", attr->numa_node);
	if (attr->flags & L3L2Q_ATTR_NUMA && ret == -EOPNOTSUPP)
		return l3l2q_why(why, ret, "this process may not choose a memory node");
	if (ret == -EFBIG)
		return l3l2q_why(why, ret,
				 "a memfd region of %llu bytes is over the limit on file sizes (ulimit -f)",
				 bytes);
	if (ret == -ENOMEM)
		return l3l2q_why(why, ret,
				 "no memory for a memfd region of %llu bytes, or over this process's limits",
				 bytes);
	return l3l2q_why(why, ret, "cannot make a memfd region of %llu bytes: %s", bytes,
			 strerror(-ret));
}

/* For tools; after the geometry has been decided. */
static void write_trace(struct l3l2q_ep *ep, const struct l3l2q_layout *layout)
{
	struct l3l2q_trace trace = {
		.magic = L3L2Q_TRACE_MAGIC,
		.depth = (__u32)layout->depth,
		.binding = ep->binding,
		.identity = { ep->identity[0], ep->identity[1] },
		.input_arena_bytes = layout->input_arena_bytes,
		.output_arena_bytes = layout->output_arena_bytes,
		.payload_bytes = ep->region.payload_bytes,
		.counter_bytes = ep->region.counter_bytes,
	};

	memcpy(trace.tag, ep->tag, strlen(ep->tag));
	*trace_of(ep) = trace;
}

int l3l2q_memfd_create(struct l3l2q_ep **out, const struct l3l2q_attr *attr,
		       struct l3l2q_failure *why)
{
	enum l3l2q_role role = (enum l3l2q_role)attr->role;
	struct l3l2q_layout layout = { 0 };
	struct l3l2q_parts parts = { 0 };
	struct l3l2q_ep *ep;
	int ret;

	ret = l3l2q_ep_alloc(&ep, &l3l2q_memfd);
	if (ret)
		return l3l2q_why(why, ret, "no memory for an endpoint");
	ep->creator = true;
	ep->raw = !attr->depth;
	ep->region.payload_bytes = attr->payload_bytes;
	ep->region.counter_bytes = attr->counter_bytes;
	if (!ep->raw) {
		l3l2q_layout_make(attr->depth, attr->input_arena_bytes, attr->output_arena_bytes,
				  &layout);
		ep->region.payload_bytes = layout.payload_bytes;
		ep->region.counter_bytes = layout.counter_bytes;
	}
	ret = l3l2q_parts_make(&parts, ep, role);
	if (!ret)
		ret = make_own(ep);
	if (!ret)
		ret = l3l2q_memory_make(ep, &parts, attr);
	if (ret) {
		create_failed(ep, attr, ret, why);
		return discard(ep, ret);
	}
	ep->binding = attr->binding;
	memcpy(ep->identity, attr->identity, sizeof(ep->identity));
	if (attr->tag)
		memcpy(ep->tag, attr->tag, strlen(attr->tag));
	describe(ep, attr->region_version == 0x30000 ? L3L2Q_REGION_V3 : L3L2Q_REGION_V2, &layout);
	write_trace(ep, &layout);
	ret = start(ep, role, attr, why);
	if (ret)
		return discard(ep, ret);
	set_attached(ep);
	__atomic_store_n(&l3l2q_memfd_status(ep)->state[l3l2q_peer_role(role)], L3L2Q_STATE_NONE,
			 __ATOMIC_RELEASE);
	*out = ep;
	return 0;
}

/* The header comes from another process: believe none of it unchecked. */
static int check_hello(struct l3l2q_ep *ep, const struct hello *hello, struct l3l2q_layout *layout)
{
	const __u64 identity[2] = { hello->identity[0], hello->identity[1] };

	if (hello->magic != HELLO_MAGIC || hello->role > L3L2Q_ROLE_L2 || !hello->region_id)
		return -EPROTO;
	if (hello->binding > L3L2Q_BINDING_SPSQ || !l3l2q_tag_valid(hello->tag) ||
	    (hello->binding == L3L2Q_BINDING_SPSQ && !hello->depth) ||
	    l3l2q_identity_check(hello->binding, identity) != L3L2Q_CHECK_OK)
		return -EPROTO;
	ep->raw = !hello->depth;
	ep->binding = hello->binding;
	memcpy(ep->identity, hello->identity, sizeof(ep->identity));
	memcpy(ep->tag, hello->tag, strlen(hello->tag));
	ep->region.region_id = hello->region_id;
	ep->region.payload_bytes = hello->payload_bytes;
	ep->region.counter_bytes = hello->counter_bytes;
	if (ep->raw)
		return hello->payload_bytes && hello->counter_bytes &&
		       !(hello->counter_bytes % 4) ? 0 : -EPROTO;
	if (l3l2q_layout_make(hello->depth, hello->input_arena_bytes, hello->output_arena_bytes,
			      layout) ||
	    layout->payload_bytes != hello->payload_bytes ||
	    layout->counter_bytes != hello->counter_bytes)
		return -EPROTO;
	return 0;
}

/* A copy of the message that is waiting; it stays where it is. */
static int look_at_hello(int fd, struct hello *hello, int fds[FDS], struct l3l2q_failure *why)
{
	int domain = -1, ret;
	socklen_t size = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) || domain != AF_UNIX)
		return l3l2q_why(why, -EINVAL, "descriptor %d carries no endpoint", fd);
	ret = l3l2q_recv_fds(fd, hello, sizeof(*hello), fds, FDS, MSG_DONTWAIT | MSG_PEEK);
	if (ret == -ENOTCONN)
		return l3l2q_why(why, -EBUSY, "this end was attached before");
	if (ret == -EMFILE)
		return l3l2q_why(why, ret, "no descriptor left to attach with");
	if (ret == -EAGAIN)
		ret = -EINVAL;
	return ret ? l3l2q_why(why, ret, "descriptor %d carries no endpoint", fd) : 0;
}

/* Take the message: only one process can. Its descriptors are here already. */
static int claim(int fd)
{
	struct hello hello;
	ssize_t len;

	do {
		len = recv(fd, &hello, sizeof(hello), MSG_DONTWAIT);
	} while (len < 0 && errno == EINTR);
	return len == (ssize_t)sizeof(hello) ? 0 : -EBUSY;
}

/* All that can fail, and nothing that the other side could see. */
static int prepare(struct l3l2q_ep *ep, const struct hello *hello, struct l3l2q_layout *layout)
{
	struct l3l2q_parts parts = { 0 };
	int ret;

	if (!l3l2q_wake_socket(ep->sock))
		return -EPROTO;
	ret = check_hello(ep, hello, layout);
	if (!ret)
		ret = l3l2q_parts_make(&parts, ep, (enum l3l2q_role)hello->role);
	if (!ret)
		ret = l3l2q_memory_check(ep->fd, parts.total);
	if (!ret)
		ret = l3l2q_parts_map(ep, &parts);
	if (!ret)
		ret = make_own(ep);
	if (!ret)
		ret = l3l2q_watch(ep->poll_fd, ep->sock, EPOLLIN | EPOLLRDHUP);
	return ret;
}

int l3l2q_memfd_attach(struct l3l2q_ep **out, int fd, const struct l3l2q_attr *attr,
		       struct l3l2q_failure *why)
{
	struct l3l2q_layout layout = { 0 };
	int fds[FDS], pidfd = -1, ret;
	struct hello hello;
	struct l3l2q_ep *ep;

	ret = l3l2q_ep_alloc(&ep, &l3l2q_memfd);
	if (ret)
		return l3l2q_why(why, ret, "no memory for an endpoint");
	ret = look_at_hello(fd, &hello, fds, why);
	if (ret)
		return discard(ep, ret);
	ep->fd = fds[FD_MEMORY];
	ep->sock = fds[FD_SOCKET];
	ret = prepare(ep, &hello, &layout);
	if (!ret)
		ret = l3l2q_alive_open(&pidfd);
	if (ret) {
		l3l2q_why(why, ret, "cannot attach the memfd region: %s", strerror(-ret));
		return discard(ep, ret);
	}
	describe(ep, hello.region_version, &layout);
	ret = start(ep, (enum l3l2q_role)hello.role, attr, why);
	if (!ret && claim(fd))
		ret = l3l2q_why(why, -EBUSY, "this end was attached before");
	if (ret) {
		l3l2q_close_fd(&pidfd);
		return discard(ep, ret);
	}
	set_attached(ep);
	/* Without them the socket tells of the end. */
	l3l2q_alive_tell(ep, ep->sock, pidfd);
	l3l2q_close_fd(&pidfd);
	l3l2q_peer_drain(ep);
	close(fd);
	*out = ep;
	return 0;
}
