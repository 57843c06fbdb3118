// SPDX-License-Identifier: MIT
/* Endpoints: life cycle, and looking at them. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define STRING(x) #x
#define VERSION_STRING(x) STRING(x)

static const struct l3l2q_attr default_attr;

const uint32_t l3l2q_always_armed = L3L2Q_ARM_EVENTS;

/* Stands for the layout that inline.h knows. */
extern const unsigned char l3l2q_layout_1;
L3L2Q_API const unsigned char l3l2q_layout_1 = 1;

/* The widest copies that this processor has for a memory type. */
static uint32_t best_path(uint32_t memory)
{
#ifdef __x86_64__
	if (memory == L3L2Q_MEMORY_WC) {
		__builtin_cpu_init();
		if (__builtin_cpu_supports("avx2"))
			return L3L2Q_PATH_WC_AVX2;
		if (__builtin_cpu_supports("sse4.1"))
			return L3L2Q_PATH_WC_SSE41;
	}
#endif
	return l3l2q_path_for(memory);
}

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

#define WIPED_BYTES offsetof(struct l3l2q_ep, maps)
#define KEPT_BYTES (sizeof(struct l3l2q_ep) - WIPED_BYTES)

/*
 * A forked child finds zero in the pages that end at ep->maps. The inline functions take
 * zero for a reason to call the library, which refuses. Where the kernel cannot wipe
 * (before Linux 4.14), a child is not told from its parent.
 */
int l3l2q_ep_alloc(struct l3l2q_ep **out, const struct l3l2q_transport *ops)
{
	size_t wiped = whole_pages(WIPED_BYTES), kept = whole_pages(KEPT_BYTES);
	struct l3l2q_ep *ep;
	char *pages;

	pages = mmap(NULL, wiped + kept, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	if (pages == MAP_FAILED)
		return -ENOMEM;
	madvise(pages, wiped, MADV_WIPEONFORK);
	ep = (struct l3l2q_ep *)(void *)(pages + (wiped - WIPED_BYTES));
	ep->ops = ep->kept_ops = ops;
	ep->fd = ep->poll_fd = ep->own_event = ep->sock = ep->peer_pidfd = -1;
	ep->own_lock = ep->peer_lock = -1;
	*out = ep;
	return 0;
}

void l3l2q_ep_free(struct l3l2q_ep *ep)
{
	size_t wiped = whole_pages(WIPED_BYTES);

	munmap((char *)ep - (wiped - WIPED_BYTES), wiped + whole_pages(KEPT_BYTES));
}

/* Bookkeeping of producer and consumer; touched only as far as it is used. */
static int map_books(struct l3l2q_ep *ep, uint64_t depth)
{
	uint64_t tx = l3l2q_producer_memory(depth), rx = l3l2q_consumer_memory(ep->window);
	void *addr;

	if (tx + rx != (size_t)(tx + rx))
		return -ENOMEM;
	addr = mmap(NULL, (size_t)(tx + rx), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (addr == MAP_FAILED)
		return -ENOMEM;
	ep->books.addr = addr;
	ep->books.length = (size_t)(tx + rx);
	l3l2q_core_producer_init(&ep->tx, &ep->core, addr);
	return l3l2q_core_consumer_init(&ep->rx, &ep->core, ep->window, (char *)addr + tx);
}

static uint64_t spin_ns(const struct l3l2q_attr *attr)
{
	if (!attr->spin_ns)
		return SPIN_DEFAULT_NS;
	return attr->spin_ns == L3L2Q_SPIN_OFF ? 0 : attr->spin_ns;
}

static uint64_t nap_ns(const struct l3l2q_attr *attr)
{
	return attr->nap_ns ? attr->nap_ns : NAP_DEFAULT_NS;
}

/* The core keeps pointers into the control pages that a transport has mapped. */
static int start_core(struct l3l2q_ep *ep, enum l3l2q_role role, void *payload, void *counters)
{
	const __u64 identity[2] = { ep->identity[0], ep->identity[1] };
	const struct l3l2q_control *peer_control = ep->peer_control;
	struct l3l2q_control *control;
	int ret = 0;

	if (ep->raw) {
		memset(&ep->core, 0, sizeof(ep->core));
		ep->core.role = role;
		ep->core.region_id = ep->core.error.region_id = ep->region.region_id;
		ep->core.error.op = "none";
		ep->core.error.message = "no error";
		ep->core.payload = payload;
		ep->core.counters = counters;
	} else {
		ret = l3l2q_core_start(&ep->core, role, &ep->region, &ep->queue, identity,
				       payload, counters);
	}
	/* What decides about readiness is private unless only its owner can write it. */
	ep->core.control = ep->ops == &l3l2q_driver ? ep->maps[L3L2Q_MAP_CONTROL].addr :
						      &ep->own_control;
	control = ep->maps[L3L2Q_MAP_CONTROL].addr ?: &ep->own_control;
	ep->core.armed = &control->armed;
	if (!peer_control)
		peer_control = ep->maps[L3L2Q_MAP_PEER_CONTROL].addr;
	ep->core.peer_armed = ep->rings ? &l3l2q_always_armed :
			      peer_control ? &peer_control->armed : NULL;
	ep->core.removed = ep->removable ? &ep->status->removed :
			   ep->access ? &ep->copies.failed : NULL;
	ep->core.flag_tells = ep->ops == &l3l2q_external || ep->silent;
	if (ep->ops == &l3l2q_driver)
		ep->core.gone = &ep->status->gone[role];
	else
		ep->core.gone = &ep->gone;
	return ret;
}

static int set_memory(struct l3l2q_ep *ep, struct l3l2q_failure *why)
{
	if (ep->access) {
		/* Copies are exact, so a depth of 1 is no problem. */
		ep->core.memory = L3L2Q_MEMORY_COPIED;
		ep->core.access = ep->access;
	} else if (ep->memory > L3L2Q_MEMORY_DEVICE) {
		return l3l2q_why(why, -EOPNOTSUPP, "memory type %u is none this version knows",
				 ep->memory);
	} else if (l3l2q_core_set_memory(&ep->core, ep->memory)) {
		return l3l2q_why(why, -EOPNOTSUPP,
				 "a depth of 1 needs cached memory: both rings would share a line");
	}
	ep->core.path = best_path(ep->memory);
	return 0;
}

/*
 * The last step of every create and attach: ep->region, ->queue, ->raw, ->status
 * and the maps are set.
 */
int l3l2q_ep_start(struct l3l2q_ep *ep, enum l3l2q_role role, void *payload, void *counters,
		   const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	int ret;

	if (!attr)
		attr = &default_attr;
	ep->spin_ns = spin_ns(attr);
	ep->nap_ns = nap_ns(attr);
	ep->interruptible = attr->flags & L3L2Q_ATTR_INTERRUPTIBLE;
	ep->always_fenced = attr->flags & L3L2Q_ATTR_FENCED;
	ep->window = attr->window ? attr->window : 1;
	ret = start_core(ep, role, payload, counters);
	if (ret)
		return l3l2q_why(why, ret, "the region's description was refused: %s",
				 ep->core.error.message);
	ret = set_memory(ep, why);
	if (ret)
		return ret;
	if (ep->raw)
		return ep->window == 1 ? 0 :
		       l3l2q_why(why, -EINVAL, "a raw region has no window");
	if (ep->window > ep->queue.depth)
		return l3l2q_why(why, -EINVAL, "window %u is larger than depth %llu", ep->window,
				 (unsigned long long)ep->queue.depth);
	ret = map_books(ep, ep->queue.depth);
	/* From the first look on, also where the abort flag tells as well. */
	if (!ret && ep->ops->ask_peer)
		ep->tx.ask_at = ep->rx.ask_at = 1;
	if (!ret)
		l3l2q_fence_start(ep);
	return ret ? l3l2q_why(why, ret, "no memory for the bookkeeping of %llu messages",
			       (unsigned long long)ep->queue.depth) : 0;
}

/* 0, the first error, -ESHUTDOWN, or -EPERM in a forked child. */
int l3l2q_ep_live(const struct l3l2q_ep *ep)
{
	uint32_t kind;

	if (!ep->ops)
		return -EPERM;
	/* Once: another thread may detach meanwhile. */
	kind = __atomic_load_n(&ep->core.error.kind, __ATOMIC_ACQUIRE);
	return kind == KIND_DETACHED ? -ESHUTDOWN : l3l2q_core_errno(kind);
}

/* A call failed: if it ended the endpoint, let the peer know, once. */
int l3l2q_ep_failed(struct l3l2q_ep *ep, int ret)
{
	uint32_t kind = __atomic_load_n(&ep->core.error.kind, __ATOMIC_ACQUIRE);

	if (kind == KIND_DETACHED)
		return -ESHUTDOWN;
	if (!kind || __atomic_exchange_n(&ep->poisoned, 1, __ATOMIC_ACQ_REL))
		return ret;
	L3L2Q_PROBE3(poison, &ep->core, kind);
	if (kind != L3L2Q_ERR_REMOTE_ABORTED) {
		l3l2q_kick_peer(ep, &ep->any_half);
		/* Sleeping calls, then event loops. */
		ep->ops->interrupt(ep);
		ep->ops->kick(ep, true);
	}
	return ret;
}

/* ---- life cycle -------------------------------------------------------- */

/* True for printable ASCII that is terminated within the bytes that a tag may have. */
bool l3l2q_tag_valid(const char *tag)
{
	size_t i;

	for (i = 0; i < L3L2Q_TAG_BYTES; i++) {
		if (!tag[i])
			return true;
		if (tag[i] < ' ' || tag[i] > '~')
			return false;
	}
	return false;
}

static int check_flags(const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	uint32_t known = L3L2Q_ATTR_NUMA | L3L2Q_ATTR_SILENT_PEER | L3L2Q_ATTR_COHERENT |
			 L3L2Q_ATTR_SHARE_ADDRESSES | L3L2Q_ATTR_INTERRUPTIBLE |
			 L3L2Q_ATTR_FENCED;

	if (attr->flags & ~known)
		return l3l2q_why(why, -EINVAL, "unknown attribute flags %#x", attr->flags & ~known);
	if (attr->numa_node && !(attr->flags & L3L2Q_ATTR_NUMA))
		return l3l2q_why(why, -EINVAL, "NUMA node %d without L3L2Q_ATTR_NUMA",
				 attr->numa_node);
	if (attr->pad)
		return l3l2q_why(why, -EINVAL, "the attributes' pad is %#x, not 0", attr->pad);
	if (attr->nap_ns >= NSEC_PER_SEC)
		return l3l2q_why(why, -EINVAL, "nap_ns %llu: at most 999999999",
				 (unsigned long long)attr->nap_ns);
	return 0;
}

/* How the region is described to the other side, and to operators. */
static int check_description(const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	if (attr->region_version && attr->region_version != 0x20000 &&
	    attr->region_version != 0x30000)
		return l3l2q_why(why, -EINVAL,
				 "region version %#x is neither 0x20000 (2.0) nor 0x30000 (3.0)",
				 attr->region_version);
	if (attr->binding > L3L2Q_BINDING_SPSQ)
		return l3l2q_why(why, -EINVAL, "binding %u is not known", attr->binding);
	if (attr->binding == L3L2Q_BINDING_SPSQ && !attr->depth)
		return l3l2q_why(why, -EINVAL, "a raw region has no binding: SPSQ is for queues");
	if (attr->binding == L3L2Q_BINDING_SPSQ && !attr->identity[1])
		return l3l2q_why(why, -EINVAL, "the transaction id of an SPSQ queue, identity[1], must not be 0");
	if (attr->binding == L3L2Q_BINDING_L3Q2 && (attr->identity[0] || attr->identity[1]))
		return l3l2q_why(why, -EINVAL, "the L3Q2 binding has no identity: it must be 0");
	if (attr->tag && !l3l2q_tag_valid(attr->tag))
		return l3l2q_why(why, -EINVAL, "a tag has up to %d printable ASCII characters",
				 L3L2Q_TAG_BYTES - 1);
	return 0;
}

static int check_attr(const struct l3l2q_attr *attr, struct l3l2q_failure *why)
{
	struct l3l2q_layout layout;
	int ret;

	if (attr->role > L3L2Q_ROLE_L2)
		return l3l2q_why(why, -EINVAL, "role %u is neither L3 nor L2", attr->role);
	ret = check_flags(attr, why);
	if (!ret)
		ret = check_description(attr, why);
	if (ret)
		return ret;
	if (!attr->depth)
		return l3l2q_raw_why(attr, why);
	if (attr->payload_bytes || attr->counter_bytes)
		return l3l2q_why(why, -EINVAL, "payload_bytes and counter_bytes are for raw regions, which have depth 0");
	if (l3l2q_layout_make(attr->depth, attr->input_arena_bytes, attr->output_arena_bytes,
			      &layout))
		return l3l2q_layout_why(attr, why);
	if (attr->window > attr->depth)
		return l3l2q_why(why, -EINVAL, "window %u is larger than depth %u", attr->window,
				 attr->depth);
	return 0;
}

/*
 * Copy a caller's structure: what an older caller does not know is 0, what this library
 * does not know must be.
 */
static int copy_in(void *to, size_t known, const void *from, size_t size)
{
	const unsigned char *bytes = from;
	size_t i;

	for (i = known; i < size; i++) {
		if (bytes[i])
			return -E2BIG;
	}
	memset(to, 0, known);
	memcpy(to, from, size < known ? size : known);
	return 0;
}

/* Fill in a caller's structure: what this library does not know is 0. */
static int copy_out(void *to, size_t size, const void *from, size_t known)
{
	if (!to)
		return -EINVAL;
	memset(to, 0, size);
	memcpy(to, from, size < known ? size : known);
	return 0;
}

static int copy_attr(struct l3l2q_attr *to, const struct l3l2q_attr *from, size_t size,
		     struct l3l2q_failure *why)
{
	int ret = copy_in(to, sizeof(*to), from, size);

	return ret ? l3l2q_why(why, ret, "the attributes have bytes that this version does not know")
		   : 0;
}

/* Give the words to a caller with room for @size bytes of them. */
static int say_why(int ret, const struct l3l2q_failure *words, struct l3l2q_failure *why,
		   size_t size)
{
	if (!ret || !why || !size)
		return ret;
	copy_out(why, size, words, sizeof(*words));
	((char *)why)[size - 1] = '\0';
	return ret;
}

static int create(struct l3l2q_ep **ep, const struct l3l2q_attr *attr,
		  struct l3l2q_failure *why)
{
	struct l3l2q_source source;
	const char *transport;
	int ret;

	ret = check_attr(attr, why);
	if (ret)
		return ret;
	transport = attr->transport ? attr->transport : "driver";
	if (!strcmp(transport, "memfd"))
		return l3l2q_memfd_create(ep, attr, why);
	if (!strcmp(transport, "external"))
		return l3l2q_why(why, -EINVAL,
				 "external memory is attached by l3l2q_attach_external()");
	ret = l3l2q_driver_source(transport, &source, why);
	return ret ? ret : l3l2q_driver_create(ep, &source, attr, why);
}

L3L2Q_API int l3l2q_create_sized(struct l3l2q_ep **ep, const struct l3l2q_attr *attr,
				 size_t attr_size, struct l3l2q_failure *why, size_t why_size)
{
	struct l3l2q_failure words = { "" };
	struct l3l2q_attr full;
	int ret;

	*ep = NULL;
	ret = attr ? copy_attr(&full, attr, attr_size, &words)
		   : l3l2q_why(&words, -EINVAL, "no attributes");
	if (!ret)
		ret = create(ep, &full, &words);
	return say_why(ret, &words, why, why_size);
}

static int attach(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
		  struct l3l2q_failure *why)
{
	struct stat st;

	if (fstat(fd, &st))
		return l3l2q_why(why, -errno, "cannot use descriptor %d: %s", fd, strerror(errno));
	return S_ISSOCK(st.st_mode) ? l3l2q_memfd_attach(ep, fd, attr, why)
				    : l3l2q_driver_attach(ep, fd, attr, why);
}

/* The attributes of an attach, or defaults. */
static int attach_attr(struct l3l2q_attr *to, const struct l3l2q_attr *from, size_t size,
		       struct l3l2q_failure *why)
{
	int ret;

	*to = default_attr;
	ret = from ? copy_attr(to, from, size, why) : 0;
	if (!ret)
		ret = check_flags(to, why);
	if (!ret && to->flags & L3L2Q_ATTR_NUMA)
		ret = l3l2q_why(why, -EINVAL, "the memory is there: its node cannot be chosen");
	return ret;
}

L3L2Q_API int l3l2q_attach_sized(struct l3l2q_ep **ep, int fd, const struct l3l2q_attr *attr,
				 size_t attr_size, struct l3l2q_failure *why, size_t why_size)
{
	struct l3l2q_failure words = { "" };
	struct l3l2q_attr full;
	int ret;

	*ep = NULL;
	ret = attach_attr(&full, attr, attr_size, &words);
	if (!ret)
		ret = attach(ep, fd, &full, &words);
	return say_why(ret, &words, why, why_size);
}

L3L2Q_API int l3l2q_attach_external_sized(struct l3l2q_ep **ep, const struct l3l2q_external *ext,
					  size_t ext_size, const struct l3l2q_attr *attr,
					  size_t attr_size, struct l3l2q_failure *why,
					  size_t why_size)
{
	struct l3l2q_failure words = { "" };
	struct l3l2q_external memory;
	struct l3l2q_attr full;
	int ret;

	*ep = NULL;
	ret = attach_attr(&full, attr, attr_size, &words);
	if (!ret && !ext)
		ret = l3l2q_why(&words, -EINVAL, "no description of the memory");
	if (!ret && copy_in(&memory, sizeof(memory), ext, ext_size))
		ret = l3l2q_why(&words, -E2BIG,
				"the description of the memory has bytes that this version does not know");
	if (!ret)
		ret = l3l2q_external_attach(ep, &memory, &full, &words);
	return say_why(ret, &words, why, why_size);
}

L3L2Q_API int l3l2q_open_peer(struct l3l2q_ep *ep)
{
	int ret = l3l2q_ep_live(ep);

	return ret ? ret : ep->ops->open_peer(ep);
}

L3L2Q_API int l3l2q_detach(struct l3l2q_ep *ep)
{
	int ret = l3l2q_ep_live(ep);

	if (ret)
		return ret;
	ret = ep->ops->detach(ep);
	if (!ret) {
		l3l2q_core_set_error(&ep->core, KIND_DETACHED, "detach", "detached");
		ep->ops->interrupt(ep);
	}
	return ret;
}

L3L2Q_API int l3l2q_abort(struct l3l2q_ep *ep)
{
	int ret = l3l2q_ep_live(ep);

	if (ret)
		return ret;
	if (ep->raw)
		return -EOPNOTSUPP;
	ret = l3l2q_core_abort(&ep->core, L3L2Q_ERR_ENDPOINT_ERROR, "abort",
			       "aborted by this side");
	l3l2q_ep_failed(ep, ret);
	return 0;
}

L3L2Q_API int l3l2q_interrupt(struct l3l2q_ep *ep)
{
	if (!ep->ops)
		return -EPERM;
	__atomic_store_n(&ep->tx_half.interrupted, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&ep->rx_half.interrupted, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&ep->any_half.interrupted, 1, __ATOMIC_RELEASE);
	l3l2q_full_barrier();
	ep->ops->interrupt(ep);
	return 0;
}

/* In a forked child the driver's mappings do not exist: others may be at their place. */
static void forget_maps(struct l3l2q_ep *ep)
{
	if (ep->kept_ops == &l3l2q_driver)
		memset(ep->maps, 0, sizeof(ep->maps));
}

L3L2Q_API void l3l2q_close(struct l3l2q_ep *ep)
{
	if (!ep)
		return;
	if (!ep->ops)
		forget_maps(ep);
	else if (l3l2q_ep_live(ep) != -ESHUTDOWN)
		ep->ops->detach(ep);
	ep->kept_ops->release(ep);
	l3l2q_unmap(&ep->books);
	l3l2q_ep_free(ep);
}

/* ---- looking ----------------------------------------------------------- */

L3L2Q_API struct l3l2q_producer *l3l2q_ep_producer(struct l3l2q_ep *ep)
{
	return ep->raw ? NULL : &ep->tx;
}

L3L2Q_API struct l3l2q_consumer *l3l2q_ep_consumer(struct l3l2q_ep *ep)
{
	return ep->raw ? NULL : &ep->rx;
}

L3L2Q_API struct l3l2q_ep *l3l2q_producer_ep(struct l3l2q_producer *p)
{
	return container_of(p, struct l3l2q_ep, tx);
}

L3L2Q_API struct l3l2q_ep *l3l2q_consumer_ep(struct l3l2q_consumer *c)
{
	return container_of(c, struct l3l2q_ep, rx);
}

static void get_error(const struct l3l2q_ep *ep, struct l3l2q_error *out)
{
	uint32_t kind = __atomic_load_n(&ep->core.error.kind, __ATOMIC_ACQUIRE);

	if (kind && kind != KIND_DETACHED) {
		*out = ep->core.error;
		return;
	}
	*out = (struct l3l2q_error){
		.kind = L3L2Q_ERR_NONE,
		.binding = ep->binding,
		.region_id = ep->region.region_id,
		.identity = { ep->identity[0], ep->identity[1] },
		.op = "none",
		.message = "no error",
	};
}

L3L2Q_API int l3l2q_ep_error_sized(const struct l3l2q_ep *ep, struct l3l2q_error *out,
				   size_t size)
{
	struct l3l2q_error error;
	int ret;

	/* Filled in also in a forked child: callers print it without looking at the result. */
	get_error(ep, &error);
	ret = copy_out(out, size, &error, sizeof(error));
	return ep->ops ? ret : -EPERM;
}

L3L2Q_API const char *l3l2q_error_name(uint32_t kind)
{
	static const char *const names[] = {
		[L3L2Q_ERR_NONE] = "NONE",
		[L3L2Q_ERR_BAD_ARGUMENT] = "BAD_ARGUMENT",
		[L3L2Q_ERR_BAD_DESCRIPTOR] = "BAD_DESCRIPTOR",
		[L3L2Q_ERR_INVALID_DESCRIPTOR] = "INVALID_DESCRIPTOR",
		[L3L2Q_ERR_OUT_OF_SPACE] = "OUT_OF_SPACE",
		[L3L2Q_ERR_OWNERSHIP] = "OWNERSHIP",
		[L3L2Q_ERR_REMOTE_ABORTED] = "REMOTE_ABORTED",
		[L3L2Q_ERR_ENDPOINT_ERROR] = "ENDPOINT_ERROR",
	};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "UNKNOWN";
}

/* Why a region counts as removed, with copied memory. */
static void format_failed(const struct l3l2q_ep *ep, char *text, size_t size)
{
	uint32_t failed = __atomic_load_n(&ep->copies.failed, __ATOMIC_ACQUIRE);

	text[0] = '\0';
	if (failed)
		snprintf(text, size, ", a copy call returned -%u", failed);
}

/* How bytes are copied. */
static const char *copy_path(const struct l3l2q_ep *ep)
{
	return l3l2q_ep_is_copied(ep) ? "calls" : l3l2q_path_name(ep->core.path);
}

static const char *backend_name(const struct l3l2q_ep *ep)
{
	static const char *const names[] = {
		[L3L2Q_BACKEND_RAM] = "ram",
		[L3L2Q_BACKEND_PCI] = "pci",
		[L3L2Q_BACKEND_DMABUF] = "dmabuf",
		[L3L2Q_BACKEND_ASCEND] = "ascend",
	};

	if (ep->ops != &l3l2q_driver)
		return ep->ops->name;
	return ep->backend < sizeof(names) / sizeof(names[0]) ? names[ep->backend] : "unknown";
}

L3L2Q_API int l3l2q_ep_info_sized(const struct l3l2q_ep *ep, struct l3l2q_ep_info *out,
				  size_t size)
{
	struct l3l2q_ep_info info;

	if (!ep->ops)
		return -EPERM;
	info = (struct l3l2q_ep_info){
		.transport = ep->ops->name,
		.role = ep->core.role,
		.memory = ep->memory,
		.window = ep->window,
		.region_version = (uint32_t)ep->region.magic_version,
		.region_id = ep->region.region_id,
		.payload = l3l2q_ep_is_copied(ep) ? NULL : ep->core.payload,
		.counters = l3l2q_ep_is_copied(ep) ? NULL : ep->core.counters,
		.payload_bytes = ep->region.payload_bytes,
		.counter_bytes = ep->region.counter_bytes,
		.layout = ep->core.layout,
		.backend = backend_name(ep),
		.copy_path = copy_path(ep),
		.binding = ep->binding,
		.identity = { ep->identity[0], ep->identity[1] },
	};
	memcpy(info.tag, ep->tag, sizeof(info.tag));
	return copy_out(out, size, &info, sizeof(info));
}

L3L2Q_API int l3l2q_ep_scalars(const struct l3l2q_ep *ep, uint64_t scalars[L3L2Q_SCALARS])
{
	const __u64 identity[2] = { ep->identity[0], ep->identity[1] };
	struct l3l2q_region_desc region = ep->region;
	__u64 all[L3L2Q_SCALARS];
	__u32 n;

	if (!ep->ops)
		return -EPERM;
	if (!ep->device_addresses) {
		region.payload_base = (uintptr_t)ep->core.payload;
		region.counter_base = (uintptr_t)ep->core.counters;
	}
	n = l3l2q_binding_scalars(ep->binding, identity, &region, &ep->queue, all);
	memcpy(scalars, all, sizeof(all));
	return ep->raw ? (int)L3L2Q_REGION_SCALARS : (int)n;
}

static uint64_t sum3(const struct l3l2q_ep *ep, size_t offset)
{
	const struct l3l2q_half *halves[] = { &ep->tx_half, &ep->rx_half, &ep->any_half };
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < 3; i++)
		sum += __atomic_load_n((const uint64_t *)(const void *)
				       ((const char *)&halves[i]->counts + offset),
				       __ATOMIC_RELAXED);
	return sum;
}

static void get_stats(const struct l3l2q_ep *ep, struct l3l2q_ep_stats *out)
{
	*out = (struct l3l2q_ep_stats){
		.sent = l3l2q_producer_published(&ep->tx),
		.received = __atomic_load_n(&ep->rx.head, __ATOMIC_RELAXED),
		.sent_bytes = l3l2q_producer_published_bytes(&ep->tx),
		.received_bytes = __atomic_load_n(&ep->rx.bytes, __ATOMIC_RELAXED),
		.kicks = sum3(ep, offsetof(struct l3l2q_counts, kicks)),
		.sleeps = sum3(ep, offsetof(struct l3l2q_counts, sleeps)),
		.spins = sum3(ep, offsetof(struct l3l2q_counts, spins)),
		.syscalls = __atomic_load_n(&ep->syscalls, __ATOMIC_RELAXED),
		.membarriers = __atomic_load_n(&ep->membarriers, __ATOMIC_RELAXED),
	};
}

L3L2Q_API int l3l2q_ep_stats_sized(const struct l3l2q_ep *ep, struct l3l2q_ep_stats *out,
				   size_t size)
{
	struct l3l2q_ep_stats stats;

	if (!ep->ops)
		return -EPERM;
	get_stats(ep, &stats);
	return copy_out(out, size, &stats, sizeof(stats));
}

/* A counter of the queue as it stands, 0 in a raw region. */
static uint32_t counter_now(const struct l3l2q_ep *ep, uint32_t offset)
{
	return ep->raw ? 0 : l3l2q_core_load(&ep->core, l3l2q_core_counter(&ep->core, offset));
}

/* How the binding names the queue. */
static void format_name(const struct l3l2q_ep *ep, char *text, size_t size)
{
	if (ep->binding == L3L2Q_BINDING_SPSQ)
		snprintf(text, size, "region %llu, session %#llx, transaction %llu",
			 (unsigned long long)ep->region.region_id,
			 (unsigned long long)ep->identity[0],
			 (unsigned long long)ep->identity[1]);
	else
		snprintf(text, size, "region %llu", (unsigned long long)ep->region.region_id);
}

/* Only of what any thread may read at any time. */
L3L2Q_API int l3l2q_ep_dump(const struct l3l2q_ep *ep, char *text, size_t size)
{
	enum l3l2q_role own = (enum l3l2q_role)ep->core.role, peer = l3l2q_peer_role(own);
	const struct l3l2q_layout *l = &ep->core.layout;
	struct l3l2q_ep_stats stats;
	struct l3l2q_error error;
	char name[96], failed[48];

	if (!ep->ops)
		return -EPERM;
	get_stats(ep, &stats);
	get_error(ep, &error);
	format_name(ep, name, sizeof(name));
	format_failed(ep, failed, sizeof(failed));
	return snprintf(text, size,
			"%s endpoint of %s over %s%s, copies: %s\n"
			"depth %llu, arenas %llu and %llu bytes, window %u\n"
			"producer: published %llu, the peer's head counter %u\n"
			"consumer: released %llu, the peer's tail counter %u\n"
			"kicks %llu, sleeps %llu, spins %llu, system calls %llu\n"
			"error: %s in %s: %s%s\n",
			own == L3L2Q_ROLE_L3 ? "L3" : "L2",
			name, backend_name(ep),
			ep->raw ? ", raw" : "", copy_path(ep),
			(unsigned long long)l->depth, (unsigned long long)l->input_arena_bytes,
			(unsigned long long)l->output_arena_bytes, ep->window,
			(unsigned long long)stats.sent, counter_now(ep, l3l2q_ctr_head(own)),
			(unsigned long long)stats.received, counter_now(ep, l3l2q_ctr_tail(peer)),
			(unsigned long long)stats.kicks, (unsigned long long)stats.sleeps,
			(unsigned long long)stats.spins, (unsigned long long)stats.syscalls,
			l3l2q_error_name(error.kind), error.op, error.message, failed);
}

L3L2Q_API const char *l3l2q_version(void)
{
	return VERSION_STRING(L3L2Q_VERSION);
}
