// SPDX-License-Identifier: MIT
/*
 * What an endpoint is made from, when it comes from somewhere else: scalars, transport
 * strings, attributes, what a memfd creator sends to the attacher and the attacher does to
 * the creator, descriptors over a socket, structures of programs that are older or newer.
 * Nothing may crash, hang or leak a descriptor; a failing call has taken nothing and says
 * why; the errno is one that the manual names.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "fuzz.h"

#define MAX_FDS	16
#define BYTES	4096
#define LONGEST_S 10		/* an input takes a small part of it */

static struct fuzz_input in;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 128; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void check_why(int ret, const struct l3l2q_failure *why)
{
	if (ret)
		FUZZ_CHECK(why->text[0] && strnlen(why->text, sizeof(why->text)) < sizeof(why->text),
			   "no words for %d", ret);
}

static void check_errno(int ret, const int *allowed, const char *what)
{
	for (; *allowed; allowed++)
		if (ret == -*allowed)
			return;
	FUZZ_CHECK(!ret, "%s: %d %s", what, ret, strerrorname_np(-ret));
}

static uint64_t take_number(uint64_t good)
{
	static const uint64_t odd[] = {
		0, 1, 2, 3, 63, 64, 65, 1ull << 30, 1ull << 31, 1ull << 32, 1ull << 63, UINT64_MAX,
		UINT64_MAX - 63, UINT64_MAX / 2, 384, 4096,
	};
	unsigned int b = take(&in);

	if (b < 208)
		return good;
	if (b < 224)
		return good + (uint64_t)(int64_t)(int8_t)take(&in);
	return b < 240 ? odd[b & 15] : take_bytes(&in, 8);
}

/* ---- limits --------------------------------------------------------------- */

static struct rlimit old_limit;

/* From here on there is room for so many more descriptors. */
static void limit_fds(unsigned int room)
{
	struct rlimit limit;
	int fd = 0;

	for (; room || fcntl(fd, F_GETFD) >= 0; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			room--;
	getrlimit(RLIMIT_NOFILE, &old_limit);
	limit = old_limit;
	limit.rlim_cur = (rlim_t)fd;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void unlimit_fds(void)
{
	setrlimit(RLIMIT_NOFILE, &old_limit);
}

/* ---- structures of other versions ---------------------------------------- */

/* What a program passes that was built against another version of the library. */
struct passed {
	void *bytes;
	size_t size;
	bool unknown;			/* has a byte that this library does not know */
};

/* A copy of its own size, so that reading past it is seen; @known becomes what it says. */
static struct passed pass(void *known, size_t size)
{
	unsigned int b = take(&in), more = b % 16 * 8 + 8;	/* no pointer is cut */
	struct passed p = { .size = size };

	if (b >= 192)
		p.size = size - (more < size ? more : size);
	else if (b >= 128)
		p.size = size + more;
	p.bytes = calloc(1, p.size + !p.size);
	memcpy(p.bytes, known, p.size < size ? p.size : size);
	if (p.size < size)
		memset((unsigned char *)known + p.size, 0, size - p.size);
	p.unknown = p.size > size && b & 32;
	if (p.unknown)
		((unsigned char *)p.bytes)[size + take(&in) % more] = 1;
	return p;
}

/* The words of a failure, in a buffer of some size. */
struct words {
	struct l3l2q_failure *why;
	size_t size;
};

static struct words make_words(void)
{
	unsigned int b = take(&in);
	struct words words = { .size = b < 192 ? sizeof(struct l3l2q_failure) : b % 64 * 6 };

	words.why = malloc(words.size + !words.size);
	memset((void *)words.why, 0x5c, words.size);
	return words;
}

static void check_words(int ret, struct words *words)
{
	const char *text = (const char *)words->why;

	if (ret && words->size > 1)
		FUZZ_CHECK(text[0] && strnlen(text, words->size) < words->size,
			   "no words for %d", ret);
	free(words->why);
}

typedef int (*getter)(const struct l3l2q_ep *ep, void *out, size_t size);

static int get_info(const struct l3l2q_ep *ep, void *out, size_t size)
{
	return l3l2q_ep_info_sized(ep, out, size);
}

static int get_stats(const struct l3l2q_ep *ep, void *out, size_t size)
{
	return l3l2q_ep_stats_sized(ep, out, size);
}

static int get_error(const struct l3l2q_ep *ep, void *out, size_t size)
{
	return l3l2q_ep_error_sized(ep, out, size);
}

/* A getter fills in what the caller has room for, and what it does not know with 0. */
static void check_getters(const struct l3l2q_ep *ep)
{
	static const struct {
		getter get;
		size_t size;
	} getters[] = {
		{ get_info, sizeof(struct l3l2q_ep_info) },
		{ get_stats, sizeof(struct l3l2q_ep_stats) },
		{ get_error, sizeof(struct l3l2q_error) },
	};
	unsigned char full[1024], *some;
	unsigned int i, b = take(&in);
	size_t size, at;

	for (i = 0; b && i < 3; i++) {
		size = b < 128 ? getters[i].size + b : getters[i].size * (b - 128) / 128;
		some = malloc(size + 1);
		memset(some, 0x5c, size + 1);
		FUZZ_CHECK(!getters[i].get(ep, full, getters[i].size), "getter %u", i);
		FUZZ_CHECK(!getters[i].get(ep, some, size), "getter %u of %zu bytes", i, size);
		memset(full + getters[i].size, 0, sizeof(full) - getters[i].size);
		full[size] = 0x5c;
		for (at = 0; at <= size; at++)
			FUZZ_CHECK(some[at] == full[at], "getter %u of %zu bytes: byte %zu is %#x",
				   i, size, at, some[at]);
		free(some);
	}
}

/* A little of everything that an endpoint can do, with an end in sight. */
static void use(struct l3l2q_ep *ep)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(ep);
	struct l3l2q_consumer *c = l3l2q_ep_consumer(ep);
	struct l3l2q_message m;
	char text[512], body[64];
	int32_t seen;
	int i;

	l3l2q_ep_dump(ep, text, sizeof(text));
	for (i = 0; i < 3; i++) {
		l3l2q_wait(ep, L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT, i == 1 ? 1000000 : 0);
		l3l2q_arm(ep, L3L2Q_EVENT_IN);
		l3l2q_wait_counter(ep, 0, L3L2Q_CMP_GT, 0, 100000, &seen);
		if (!p)
			continue;
		l3l2q_try_enqueue(p, L3L2Q_OP_DATA, text, 16);
		l3l2q_enqueue(p, L3L2Q_OP_DATA, text, 16, 100000);
		l3l2q_try_dequeue(c, &m, body, sizeof(body));
		l3l2q_dequeue(c, &m, body, sizeof(body), 1000000);
	}
	check_getters(ep);
}

/* ---- scalars ------------------------------------------------------------ */

#define PAYLOAD 2048u

/* True if sections 1 and 2 make an L2 accept these scalars of a queue. */
static bool scalars_good(const uint64_t *s)
{
	unsigned __int128 end_payload = (unsigned __int128)s[2] + s[3];
	unsigned __int128 end_counters = (unsigned __int128)s[4] + s[5], payload;
	uint64_t major = s[0] >> 16 & 0xffff;

	if (s[0] >> 32 != 0x4c334c32 || (major != 2 && major != 3) || !s[1])
		return false;
	if (!s[3] || s[2] % 8 || end_payload > UINT64_MAX)
		return false;
	if (!s[5] || s[5] % 4 || s[4] % 64 || end_counters > UINT64_MAX)
		return false;
	if (s[2] < end_counters && s[4] < end_payload)
		return false;
	if (s[6] != 0x4c33513200010001 || !s[7] || s[7] & (s[7] - 1) || s[7] > 1u << 30)
		return false;
	if (!s[8] || s[8] % 64 || !s[9] || s[9] % 64)
		return false;
	payload = (unsigned __int128)s[7] * 64 + s[8] + s[9];
	return payload == s[10] && payload == s[3] && s[5] == 384 && s[11] == 384;
}

static void fuzz_scalars(void)
{
	static const int allowed[] = { EINVAL, EPROTO, EOPNOTSUPP, ENOMEM, E2BIG, 0 };
	bool unknown;
	struct l3l2q_external ext = { 0 };
	struct l3l2q_attr attr = { 0 };
	struct fuzz_guarded payload, counters;
	struct l3l2q_ep *ep = (void *)&ext;
	struct passed ext_passed, attr_passed;
	struct words words;
	unsigned int b = take(&in), i;
	uint64_t depth = 1ull << b % 4, in_arena = 64 * (1 + (b >> 2) % 8), good[L3L2Q_SCALARS];
	uint64_t out_arena = PAYLOAD - 64 * depth - in_arena;
	int ret;

	if (!fuzz_guard(&payload, PAYLOAD) || !fuzz_guard(&counters, 384))
		abort();
	memset(payload.start, 0xa5, PAYLOAD);
	memset(counters.start, 0, 384);
	memcpy(good, (uint64_t[]){ 0x4c334c3200020000, 7, (uintptr_t)payload.start, PAYLOAD,
				   (uintptr_t)counters.start, 384, 0x4c33513200010001, depth,
				   in_arena, out_arena, PAYLOAD, 384 }, sizeof(good));
	for (i = 0; i < L3L2Q_SCALARS; i++)
		ext.scalars[i] = take_number(good[i]);
	ext.role = (uint32_t)take_number(b & 1);
	ext.memory = (uint32_t)take_number(b >> 1 & 1);
	ext.payload = payload.start + (take(&in) == 255 ? 4 : 0);
	ext.counters = take(&in) == 255 ? NULL : counters.start;
	attr.window = (uint32_t)take_number(0);
	attr.spin_ns = take_number(0);
	/* What the scalars say of sizes has to be there. */
	if (ext.scalars[3] > PAYLOAD || ext.scalars[10] > PAYLOAD)
		ext.scalars[3]++;
	fuzz_clock.is_virtual = true;
	ext_passed = pass(&ext, sizeof(ext));
	attr_passed = pass(&attr, sizeof(attr));
	words = make_words();
	ret = l3l2q_attach_external_sized(&ep, ext_passed.bytes, ext_passed.size,
					  b & 128 ? attr_passed.bytes : NULL, attr_passed.size,
					  words.why, words.size);
	fuzz_trace("attach_external: %d", ret);
	check_errno(ret, allowed, "attach_external");
	check_words(ret, &words);
	unknown = ext_passed.unknown || (b & 128 && attr_passed.unknown);
	FUZZ_CHECK(unknown ? ret : ret != -E2BIG, "unknown bytes: %d", ret);
	free(ext_passed.bytes);
	free(attr_passed.bytes);
	if (ret) {
		FUZZ_CHECK(!ep, "an endpoint from a failing attach");
		for (i = 0; i < 384; i++)
			FUZZ_CHECK(!counters.start[i], "a refused attach wrote");
		if (scalars_good(ext.scalars) && !((uintptr_t)ext.payload % 8) && ext.counters &&
		    ext.role < 2 && ext.memory < 3 && (ext.memory == 0 || ext.scalars[7] > 1) &&
		    !(b & 128) && ext.payload && !unknown)
			FUZZ_FAIL("good scalars refused: %d", ret);
	} else {
		FUZZ_CHECK(scalars_good(ext.scalars), "bad scalars accepted");
		use(ep);
		l3l2q_close(ep);
	}
	fuzz_unguard(&payload);
	fuzz_unguard(&counters);
}

/* ---- attributes and transports ------------------------------------------- */

/* True if a memfd can be made by these attributes, but for limits. */
static bool attr_good(const struct l3l2q_attr *attr)
{
	uint64_t bytes;
	unsigned int i;

	if (attr->role > 1 || attr->flags & ~0x3fu || attr->pad || attr->nap_ns >= 1000000000)
		return false;
	if (attr->numa_node && !(attr->flags & L3L2Q_ATTR_NUMA))
		return false;
	if (attr->binding > 1 || (attr->binding && (!attr->depth || !attr->identity[1])) ||
	    (!attr->binding && (attr->identity[0] || attr->identity[1])))
		return false;
	if (attr->region_version && attr->region_version != 0x20000 &&
	    attr->region_version != 0x30000)
		return false;
	for (i = 0; attr->tag && attr->tag[i]; i++)
		if (attr->tag[i] < ' ' || attr->tag[i] > '~' || i == 31)
			return false;
	if (!attr->depth)
		return !attr->input_arena_bytes && !attr->output_arena_bytes &&
		       attr->payload_bytes && attr->counter_bytes &&
		       attr->counter_bytes % 4 == 0 && attr->window < 2;
	return !attr->payload_bytes && !attr->counter_bytes && attr->window <= attr->depth &&
	       !(attr->depth & (attr->depth - 1)) && attr->depth <= 1u << 30 &&
	       attr->input_arena_bytes && attr->input_arena_bytes % 64 == 0 &&
	       attr->output_arena_bytes && attr->output_arena_bytes % 64 == 0 &&
	       !__builtin_add_overflow(attr->input_arena_bytes, attr->output_arena_bytes, &bytes) &&
	       !__builtin_add_overflow(bytes, attr->depth * 64ull, &bytes);
}

/* Attributes that were ignored would not be refused. */
static void check_create(int ret, const struct l3l2q_attr *attr, bool limited)
{
	static const int limits[] = { ENOMEM, EFBIG, EMFILE, 0 };
	bool node = attr->flags & L3L2Q_ATTR_NUMA;

	if (!ret) {
		FUZZ_CHECK(attr_good(attr), "bad attributes are accepted");
		FUZZ_CHECK(!node || (attr->numa_node >= 0 && attr->numa_node < 64),
			   "there is no node %d", attr->numa_node);
	} else if (attr_good(attr) && !limited && !node) {
		check_errno(ret, limits, "create by good attributes");
		FUZZ_CHECK(attr->depth > 4096 || attr->input_arena_bytes + attr->output_arena_bytes +
			   attr->payload_bytes + attr->counter_bytes > 1 << 20,
			   "good attributes are refused: %d", ret);
	}
}

/* The remaining attributes, limits of the process, and the size of the structure. */
static void fuzz_create(void)
{
	static char tag[40];
	static const char *const starts[] = {
		"memfd", "driver", "driver:", "ram", "pci", "pci:", "dmabuf:", "ascend:", "external", "",
		"ascend:0x1000:", "dmabuf:0", "memfd",
	};
	static const int allowed[] = {
		EINVAL, EFBIG, EDQUOT, ENOMEM, ENOSPC, ENOENT, ENODEV, EBADF, EACCES, EPERM, ENXIO, EISDIR,
		EPROTONOSUPPORT, EOPNOTSUPP, EMFILE, ENFILE, ENOTDIR, ENOTTY, ENAMETOOLONG, ELOOP,
		E2BIG, 0
	};
	char transport[128];
	struct l3l2q_attr attr = { .transport = transport };
	struct rlimit file_limit, limit;
	struct l3l2q_ep *ep = NULL;
	unsigned int b = take(&in), i, files, fds;
	struct passed passed;
	struct words words;
	size_t n;
	int ret;

	n = (size_t)snprintf(transport, sizeof(transport), "%s", starts[b % 13]);
	if (b >= 128)
		for (i = take(&in) % 64; i && n < sizeof(transport) - 1; i--)
			transport[n++] = (char)take(&in);
	transport[n] = '\0';
	/* Files that are no device node are not to be opened. */
	if (strstr(transport, "driver:") == transport && strncmp(transport, "driver:/nowhere", 15))
		return;
	attr.role = (uint32_t)take_number(b & 1);
	attr.depth = (uint32_t)take_number(4);
	attr.input_arena_bytes = take_number(attr.depth ? 128 : 0);
	attr.output_arena_bytes = take_number(attr.depth ? 192 : 0);
	attr.payload_bytes = take_number(attr.depth ? 0 : 100);
	attr.counter_bytes = take_number(attr.depth ? 0 : 128);
	attr.window = (uint32_t)take_number(0);
	attr.flags = (uint32_t)take_number(0);
	attr.spin_ns = take_number(1);
	attr.nap_ns = attr.spin_ns > 1 ? attr.spin_ns : 0;
	attr.numa_node = (int32_t)take_number(0);
	/* Not so large that making it takes the machine's memory. */
	if (attr.depth > 4096 || attr.input_arena_bytes + attr.payload_bytes > 1 << 20 ||
	    attr.output_arena_bytes + attr.counter_bytes > 1 << 20)
		if (attr.input_arena_bytes < 1ull << 48 && attr.payload_bytes < 1ull << 48)
			return;
	attr.region_version = (uint32_t)take_number(take(&in) % 4 << 16);
	attr.binding = (uint32_t)take_number(0);
	attr.pad = (uint32_t)take_number(0);
	attr.identity[0] = take_number(0);
	attr.identity[1] = take_number(0);
	i = take(&in);
	if (i & 64) {
		memset(tag, 0, sizeof(tag));
		memset(tag, i & 128 ? (int)take(&in) : 'q', i & 31);
		tag[31 + (i & 1)] = '\0';
		attr.tag = tag;
	}
	passed = pass(&attr, sizeof(attr));
	words = make_words();
	files = take(&in);
	fds = take(&in);
	getrlimit(RLIMIT_FSIZE, &file_limit);
	limit = file_limit;
	limit.rlim_cur = (files - 192) * 4096;
	if (files >= 192)
		setrlimit(RLIMIT_FSIZE, &limit);
	if (fds >= 192)
		limit_fds(fds % 8);
	fuzz_clock.is_virtual = false;
	ret = l3l2q_create_sized(&ep, passed.bytes, passed.size, words.why, words.size);
	setrlimit(RLIMIT_FSIZE, &file_limit);
	if (fds >= 192)
		unlimit_fds();
	fuzz_trace("create \"%s\": %d", transport, ret);
	check_errno(ret, allowed, "create");
	check_words(ret, &words);
	FUZZ_CHECK(passed.unknown ? ret : ret != -E2BIG, "unknown bytes: %d", ret);
	if (!strcmp(transport, "memfd") && attr.transport && !passed.unknown)
		check_create(ret, &attr, files >= 192 || fds >= 192);
	free(passed.bytes);
	if (!ret) {
		use(ep);
		l3l2q_close(ep);
	}
}

/* ---- descriptors over sockets -------------------------------------------- */

struct packet {
	unsigned char bytes[BYTES];
	size_t n;
	int fd[MAX_FDS];
	bool is_odd[MAX_FDS];		/* not what the library put there */
	int nr_fds;
};

/* What the library sends, or nothing. */
static bool receive(int sock, struct packet *packet)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { packet->bytes, sizeof(packet->bytes) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cmsg;
	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	packet->nr_fds = 0;
	memset(packet->is_odd, 0, sizeof(packet->is_odd));
	if (n <= 0)
		return false;
	packet->n = (size_t)n;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		packet->nr_fds = (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(packet->fd, CMSG_DATA(cmsg), (size_t)packet->nr_fds * sizeof(int));
	}
	return true;
}

static void send_packet(int sock, const struct packet *packet)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)packet->bytes, packet->n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (packet->nr_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE((size_t)packet->nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN((size_t)packet->nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), packet->fd, (size_t)packet->nr_fds * sizeof(int));
	}
	(void)!sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void close_packet(struct packet *packet)
{
	while (packet->nr_fds)
		close(packet->fd[--packet->nr_fds]);
}

/* A descriptor of some other kind. */
static int odd_fd(void)
{
	int pair[2], fd = -1;

	switch (take(&in) % 10) {
	case 0:	/* a pipe that nobody reads */
		if (!pipe2(pair, O_CLOEXEC)) {
			close(pair[0]);
			fd = pair[1];
		}
		break;
	case 1:
		if (!pipe2(pair, O_CLOEXEC)) {
			close(pair[1]);
			fd = pair[0];
		}
		break;
	case 2: fd = open("/dev/null", O_RDWR | O_CLOEXEC); break;
	case 3: fd = eventfd(0, EFD_CLOEXEC); break;	/* blocking */
	case 4: fd = memfd_create("odd", MFD_CLOEXEC); break;
	case 5:
		fd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		(void)!ftruncate(fd, 65536);
		break;
	case 6:
		fd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		(void)!ftruncate(fd, (off_t)take(&in) * 4096);
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		break;
	case 9:	/* all there, but not sealed */
		fd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		(void)!fallocate(fd, 0, 0, (1 + (off_t)take(&in)) * 4096);
		break;
	case 7:
		if (!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
			close(pair[0]);
			fd = pair[1];
		}
		break;
	default:
		if (!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair)) {
			close(pair[0]);
			fd = pair[1];
		}
	}
	if (fd < 0)
		abort();
	return fd;
}

static void mutate(struct packet *packet)
{
	unsigned int b = take(&in), n = b & 3, i;
	size_t at;

	for (; n; n--) {
		switch (take(&in) % 8) {
		case 0: case 1: case 2:
			at = take(&in) * 8 % packet->n;
			for (i = 0; i < 8 && at + i < packet->n; i++)
				packet->bytes[at + i] = 0;
			packet->bytes[at] = (unsigned char)take(&in);
			if (take(&in) & 1)
				memset(packet->bytes + at, 0xff, 8 < packet->n - at ? 8 : packet->n - at);
			break;
		case 3:
			packet->bytes[take(&in) % packet->n] ^= (unsigned char)(1u << (take(&in) & 7));
			break;
		case 4:
			if (packet->nr_fds)
				close(packet->fd[--packet->nr_fds]);
			break;
		case 5:
			if (packet->nr_fds == MAX_FDS)
				break;
			packet->is_odd[packet->nr_fds] = true;
			packet->fd[packet->nr_fds++] = odd_fd();
			break;
		case 6:
			if (packet->nr_fds) {
				i = take(&in) % (unsigned int)packet->nr_fds;
				close(packet->fd[i]);
				packet->fd[i] = odd_fd();
				packet->is_odd[i] = true;
			}
			break;
		default:
			packet->n = packet->n > 8 && b & 128 ? take(&in) % packet->n + 1 :
				    packet->n + 8 <= BYTES ? packet->n + 8 : packet->n;
		}
	}
}

static bool make(struct l3l2q_ep **ep, unsigned int b, int *fd)
{
	struct l3l2q_attr attr = {
		.transport = "memfd", .role = b & 1, .depth = b & 2 ? 4 : 0, .spin_ns = 1000,
	};

	if (attr.depth) {
		attr.input_arena_bytes = attr.output_arena_bytes = 128;
	} else {
		attr.payload_bytes = 100;
		attr.counter_bytes = 128;
	}
	if (l3l2q_create(ep, &attr, NULL))
		return false;
	*fd = l3l2q_open_peer(*ep);
	FUZZ_CHECK(*fd >= 0, "open_peer: %d", *fd);
	return true;
}

/* Fill a socket with what nobody reads, and let its other holders block on it. */
static void fill_socket(int sock)
{
	int flags = fcntl(sock, F_GETFL);

	while (send(sock, "xxxx", 4, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	fcntl(sock, F_SETFL, flags & ~O_NONBLOCK);
}

/*
 * What a creator may do with the socket between the ends while the attacher has it.
 * @keep: what it keeps of it, or -1
 */
static void mutate_wire(struct packet *packet, unsigned int how, int keep[2])
{
	int pair[2];

	keep[0] = keep[1] = -1;
	if (!(how & 3) || packet->nr_fds < 2)
		return;
	if (how & 2) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			abort();
		close(packet->fd[1]);
		packet->fd[1] = pair[1];
		packet->is_odd[1] = false;
		keep[0] = pair[0];
	}
	if (how & 1) {
		keep[1] = dup(packet->fd[1]);
		fill_socket(keep[1]);
	}
}

static void close_kept(int keep[2])
{
	l3l2q_close_fd(&keep[0]);
	l3l2q_close_fd(&keep[1]);
}

/* The attacher is handed what a creator would never send. */
static void fuzz_hostile_creator(void)
{
	static const int allowed[] = {
		EBADF, EINVAL, EBUSY, ENODEV, ENOMEM, EPROTO, EOPNOTSUPP, EMFILE, ECONNABORTED, EPIPE, 0
	};
	unsigned int b = take(&in);
	struct l3l2q_ep *creator, *ep = NULL;
	struct l3l2q_failure why = { "" };
	int fd, pair[2], keep[2], ret;
	struct packet packet;
	unsigned int how;
	bool foreign;

	if (!make(&creator, b, &fd))
		return;
	FUZZ_CHECK(receive(fd, &packet), "nothing to attach by");
	l3l2q_arm(creator, L3L2Q_EVENT_IN);
	mutate(&packet);
	how = take(&in);
	mutate_wire(&packet, how, keep);
	foreign = packet.nr_fds != 2 || packet.is_odd[0] || packet.is_odd[1];
	fuzz_no_pidfd = how & 4;
	if (socketpair(AF_UNIX, b & 4 ? SOCK_SEQPACKET : SOCK_STREAM, 0, pair))
		abort();
	send_packet(pair[0], &packet);
	if (b & 8)
		send_packet(pair[0], &packet);
	if (b & 16) {
		close(pair[0]);
		pair[0] = -1;
	}
	close_packet(&packet);
	ret = l3l2q_attach(&ep, pair[1], NULL, &why);
	fuzz_no_pidfd = false;
	fuzz_trace("attach: %d %s", ret, ret ? why.text : "");
	check_errno(ret, allowed, "attach");
	check_why(ret, &why);
	FUZZ_CHECK(ret || !foreign, "descriptors of another kind are accepted");
	l3l2q_close_fd(&keep[0]);
	if (!ret) {
		/* It may find out that the other side is gone by being refused only. */
		if (l3l2q_ep_producer(ep))
			l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, "text", 4);
		use(ep);
		use(creator);
		l3l2q_close(ep);
	} else {
		FUZZ_CHECK(fcntl(pair[1], F_GETFD) >= 0, "a failing attach closed the descriptor");
		close(pair[1]);
	}
	use(creator);
	l3l2q_close(creator);
	close_kept(keep);
	if (pair[0] >= 0)
		close(pair[0]);
	close(fd);
}

/* One turn of a loop that does not sleep; false once it has said that there is an end. */
static bool turn(struct l3l2q_ep *ep, unsigned int kind)
{
	struct l3l2q_message m;
	char body[256];
	int ret;

	switch (kind) {
	case 0: ret = l3l2q_try_dequeue(l3l2q_ep_consumer(ep), &m, body, sizeof(body)); break;
	case 1: ret = l3l2q_try_enqueue(l3l2q_ep_producer(ep), L3L2Q_OP_DATA, "text", 4); break;
	case 2: ret = l3l2q_wait(ep, 0, 0); break;
	default: ret = l3l2q_arm(ep, 0);
	}
	return kind < 2 ? !ret || ret == -EAGAIN : !ret || ret == -ETIMEDOUT;
}

/* The other side has gone without a word: no loop goes on for ever. */
static void check_loops_end(struct l3l2q_ep *ep)
{
	static const struct timespec nap = { .tv_nsec = 200000 };
	unsigned int first = take(&in), i, turns;

	for (i = 0; i < 4; i++) {
		if (!l3l2q_ep_producer(ep) && (first + i) % 4 < 2)
			continue;
		for (turns = 0; turn(ep, (first + i) % 4); turns++) {
			FUZZ_CHECK(turns < 1000, "a loop goes on, kind %u", (first + i) % 4);
			nanosleep(&nap, NULL);
		}
	}
}

/* Whoever took the descriptor sends rubbish, writes everywhere, and is gone. */
static void fuzz_hostile_attacher(void)
{
	unsigned int b = take(&in), n;
	struct l3l2q_ep *creator;
	struct packet packet, rubbish = { .n = 0 };
	const uint64_t alive = 0x6576696c6c337132;
	bool forged, first = true;
	unsigned char *memory;
	int fd, i;

	if (!make(&creator, b, &fd))
		return;
	if (b & 64)
		send_packet(fd, &(struct packet){ .bytes = "x", .n = 1 });
	if (!receive(fd, &packet))
		abort();
	for (n = b >> 3 & 7; n; n--) {
		rubbish.n = 1 + take(&in);
		for (i = 0; i < (int)rubbish.n; i++)
			rubbish.bytes[i] = (unsigned char)take(&in);
		if (b & 128 && rubbish.n > 16)
			memcpy(rubbish.bytes, packet.bytes, 8);
		if (b & 128 && rubbish.n <= 4) {	/* a sign of life */
			rubbish.n = sizeof(alive);
			memcpy(rubbish.bytes, &alive, sizeof(alive));
		}
		for (i = take(&in) % 6; i; i--)
			rubbish.fd[rubbish.nr_fds++] = odd_fd();
		i = (int)(take(&in) % (unsigned int)(packet.nr_fds + 1));
		forged = first && i == 1 && b & 128 && rubbish.n == sizeof(alive) &&
			 (!rubbish.nr_fds || fcntl(rubbish.fd[0], F_GET_SEALS) < 0);
		send_packet(i < packet.nr_fds ? packet.fd[i] : fd, &rubbish);
		close_packet(&rubbish);
		use(creator);
		/* What is neither a lock nor a pidfd tells of no end. */
		i = l3l2q_wait(creator, 0, 0);
		FUZZ_CHECK(!forged || i == -ETIMEDOUT, "a forged sign of life is used: %d", i);
		first = false;
	}
	memory = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, packet.fd[0], 0);
	if (memory != MAP_FAILED) {
		for (n = take(&in) % 32; n; n--)
			memory[take_bytes(&in, 2) % 16384 & ~3u] = (unsigned char)take(&in);
		use(creator);
		munmap(memory, 16384);
	}
	close_packet(&packet);
	close(fd);
	check_loops_end(creator);
	use(creator);
	l3l2q_close(creator);
}

/* Fails, and says so by this errno. */
static void check_refused(int fd, struct l3l2q_attr *attr, int error)
{
	struct l3l2q_ep *ep = (void *)attr;
	int ret = l3l2q_attach(&ep, fd, attr, NULL);

	FUZZ_CHECK(ret == -error && !ep, "attach with bad attributes: %d, not %d", ret, -error);
}

/* Calls that fail take nothing: the next one works, and the other side has seen nothing. */
static void fuzz_retry(void)
{
	unsigned int b = take(&in), n, one = 1;
	struct l3l2q_ep *creator, *ep = NULL;
	struct l3l2q_message m;
	struct l3l2q_attr attr;
	char body[8];
	int fd, ret;

	attr = (struct l3l2q_attr){ .transport = "memfd", .role = b & 1, .depth = b & 2 ? 4 : 0 };
	if (attr.depth)
		attr.input_arena_bytes = attr.output_arena_bytes = 128;
	else
		attr.payload_bytes = attr.counter_bytes = 128;
	fuzz_no_pidfd = b & 4;
	ret = l3l2q_create(&creator, &attr, NULL);
	FUZZ_CHECK(!ret, "create: %d", ret);
	do {
		n = take(&in);
		if (n >= 128)
			limit_fds(n % 8);
		fd = l3l2q_open_peer(creator);
		if (n >= 128)
			unlimit_fds();
		FUZZ_CHECK(fd >= 0 || (n >= 128 && fd == -EMFILE), "open_peer: %d", fd);
	} while (fd < 0);
	if (b & 8)
		setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	for (n = b >> 4 & 3; n && !ep; n--) {
		attr = (struct l3l2q_attr){ 0 };
		switch (take(&in) % 5) {
		case 0: attr.window = 99; check_refused(fd, &attr, EINVAL); break;
		case 1: attr.flags = 1u << 31; check_refused(fd, &attr, EINVAL); break;
		case 2: attr.flags = L3L2Q_ATTR_NUMA; check_refused(fd, &attr, EINVAL); break;
		case 3:
			attr.nap_ns = 1000000000;
			check_refused(fd, &attr, EINVAL);
			break;
		default:
			limit_fds(take(&in) % 8);
			ret = l3l2q_attach(&ep, fd, NULL, NULL);
			unlimit_fds();
			FUZZ_CHECK(!ret || ret == -EMFILE, "attach without descriptors: %d", ret);
		}
		ret = l3l2q_wait(creator, 0, 0);
		FUZZ_CHECK(ret == -ETIMEDOUT, "a failing attach is seen: %d", ret);
	}
	if (!ep) {
		ret = l3l2q_attach(&ep, fd, NULL, NULL);
		FUZZ_CHECK(!ret, "attach after failures: %d", ret);
	}
	fuzz_no_pidfd = false;
	if (b & 2) {
		ret = l3l2q_try_enqueue(l3l2q_ep_producer(creator), L3L2Q_OP_DATA, "text", 4);
		FUZZ_CHECK(!ret, "the first message: %d", ret);
		ret = l3l2q_try_dequeue(l3l2q_ep_consumer(ep), &m, body, sizeof(body));
		FUZZ_CHECK(!ret && m.nbytes == 4, "the first message: %d", ret);
	}
	use(creator);
	use(ep);
	l3l2q_close(b & 64 ? ep : creator);
	check_loops_end(b & 64 ? creator : ep);
	l3l2q_close(b & 64 ? creator : ep);
}

static void fuzz_recv_fd(void)
{
	unsigned int b = take(&in);
	struct packet packet = { .n = b & 1 ? 1 : take(&in) % 16 };
	int pair[2], one = 1, ret, i;

	if (socketpair(AF_UNIX, b & 2 ? SOCK_SEQPACKET : SOCK_STREAM, 0, pair))
		abort();
	if (b & 4)
		setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	for (i = 0; i < (int)packet.n; i++)
		packet.bytes[i] = b & 8 ? 'F' : (unsigned char)take(&in);
	for (i = b & 16 ? 1 : take(&in) % MAX_FDS; i; i--)
		packet.fd[packet.nr_fds++] = odd_fd();
	if (packet.n || b & 2)
		send_packet(pair[0], &packet);
	i = packet.nr_fds;
	close_packet(&packet);
	shutdown(pair[0], SHUT_WR);
	if (b & 32) {
		limit_fds(0);
		ret = l3l2q_recv_fd(pair[1]);
		unlimit_fds();
		FUZZ_CHECK(ret == -EMFILE, "recv_fd without a descriptor left: %d", ret);
	}
	ret = l3l2q_recv_fd(pair[1]);
	fuzz_trace("recv_fd of %zu bytes, %d descriptors: %d", packet.n, i, ret);
	if (packet.n == 1 && i == 1)
		FUZZ_CHECK(ret >= 0 || !(b & 8), "a descriptor is refused: %d", ret);
	if (ret >= 0) {
		FUZZ_CHECK(i == 1 && fcntl(ret, F_GETFD) == FD_CLOEXEC, "a descriptor of %d", i);
		close(ret);
	} else {
		FUZZ_CHECK(ret == -EPROTO || ret == -ENOTCONN || ret == -ECONNRESET, "recv_fd: %d", ret);
	}
	close(pair[0]);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds = count_fds(), now;
	struct timespec start, end;
	unsigned int b;

	clock_gettime(CLOCK_MONOTONIC, &start);
	in = (struct fuzz_input){ data, data + size };
	fuzz_trace_clear();
	fuzz_clock.is_virtual = false;
	b = take(&in);
	switch (b < 224 ? b % 8 : 8) {
	case 0: case 1: case 2: fuzz_scalars(); break;
	case 3: fuzz_create(); break;
	case 4: case 5: fuzz_hostile_creator(); break;
	case 6: fuzz_hostile_attacher(); break;
	case 7: fuzz_recv_fd(); break;
	default: fuzz_retry();
	}
	/* libFuzzer's alarm ends a system call that waits, and so hides it. */
	clock_gettime(CLOCK_MONOTONIC, &end);
	FUZZ_CHECK(end.tv_sec - start.tv_sec < LONGEST_S, "something waits for the other side");
	now = count_fds();
	FUZZ_CHECK(now == fds, "%d descriptors before, %d after", fds, now);
	return 0;
}
