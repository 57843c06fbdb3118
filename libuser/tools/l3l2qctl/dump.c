// SPDX-License-Identifier: MIT
/*
 * Snapshots in files: written from what was collected, and read back with nothing in
 * them believed. l3l2qctl(1) describes the format.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

#define DUMP_MAGIC	"L3L2Qdmp"
#define DUMP_VERSION	1
#define DUMP_MEMFD	(1ull << 0)
#define DUMP_FLAGS	DUMP_MEMFD

struct dump_head {
	char magic[8];
	uint32_t version;
	uint32_t head_bytes;	/* to the first section */
	uint64_t taken_ns;
	uint64_t flags;
	uint64_t pad[4];
};

enum dump_type {
	DUMP_REGION = 1,
	DUMP_SEEN = 2,
	DUMP_INPUT = 3,
	DUMP_OUTPUT = 4,
	DUMP_COUNTERS = 5,
	DUMP_PAYLOAD = 6,
	DUMP_TYPES
};

struct dump_section {
	uint32_t type;
	uint32_t pad;
	uint64_t bytes;		/* that follow; the next section begins at a multiple of 8 */
};

/* What the tool knows beside the region. */
struct dump_seen {
	uint64_t unmoved_ns[L3L2Q_ROLES];
	uint32_t need_bytes[L3L2Q_ROLES];
	uint32_t nr_holders;
	uint8_t run[L3L2Q_ROLES];
	uint8_t pad[2];
};

#define MAX_HEAD		4096
#define MAX_REGION_SECTION	4096
#define MIN_REGION_SECTION	328	/* struct l3l2q_query_region as first released */

/* ---- writing ------------------------------------------------------------- */

static void put_head(FILE *out, uint32_t type, uint64_t bytes)
{
	const struct dump_section section = { .type = type, .bytes = bytes };

	fwrite(&section, sizeof(section), 1, out);
}

static void put_padding(FILE *out, uint64_t bytes)
{
	static const char zeroes[8];

	fwrite(zeroes, 1, -bytes % sizeof(zeroes), out);
}

static void put_section(FILE *out, uint32_t type, const void *data, uint64_t bytes)
{
	put_head(out, type, bytes);
	fwrite(data, 1, bytes, out);
	put_padding(out, bytes);
}

static void put_ring(FILE *out, const struct ring *ring, uint32_t type)
{
	const uint64_t head = ring->head;
	uint64_t bytes = sizeof(head) + ring->n * sizeof(*ring->slots);

	if (!ring->slots)
		return;
	put_head(out, type, bytes);
	fwrite(&head, sizeof(head), 1, out);
	fwrite(ring->slots, sizeof(*ring->slots), ring->n, out);
	put_padding(out, bytes);
}

/* Its length comes first, so what cannot be read is an error. */
static int put_payload(FILE *out, const struct queue *q, const struct reader *r)
{
	uint64_t bytes = q->region.payload_bytes, done;
	static char buffer[65536];
	ssize_t n = 0;

	put_head(out, DUMP_PAYLOAD, bytes);
	for (done = 0; done < bytes && !ferror(out); done += (uint64_t)n) {
		size_t want = bytes - done < sizeof(buffer) ? bytes - done : sizeof(buffer);

		n = pread(r->fd, buffer, want, (off_t)(r->at[L3L2Q_MAP_PAYLOAD] + done));
		if (n <= 0)
			return n ? -errno : -ENODEV;
		fwrite(buffer, 1, (size_t)n, out);
	}
	put_padding(out, bytes);
	return 0;
}

/* @q: with its detail. Whether it may see the payload is found out first. */
int dump_write(const struct queue *q, FILE *out, const char *node, bool payload)
{
	const struct dump_head head = {
		.magic = DUMP_MAGIC,
		.version = DUMP_VERSION,
		.head_bytes = sizeof(head),
		.taken_ns = now_ns(CLOCK_REALTIME),
		.flags = q->memfd ? DUMP_MEMFD : 0,
	};
	struct dump_seen seen = { .nr_holders = q->nr_holders };
	struct reader r = { .fd = -1 };
	unsigned int role;
	int ret = 0;

	if (payload) {
		ret = reader_open(&r, q, node, true);
		if (ret)
			return ret;
	}
	for (role = 0; role < L3L2Q_ROLES; role++) {
		const struct l3l2q_process *p = &q->region.ends[role].process;

		seen.unmoved_ns[role] = q->unmoved_ns[role];
		seen.need_bytes[role] = q->need_bytes[role];
		seen.run[role] = p->pid ? (uint8_t)process_state(p->pid) : 0;
	}
	fwrite(&head, sizeof(head), 1, out);
	put_section(out, DUMP_REGION, &q->region, sizeof(q->region));
	put_section(out, DUMP_SEEN, &seen, sizeof(seen));
	put_ring(out, &q->rings[L3L2Q_ROLE_L3], DUMP_INPUT);
	put_ring(out, &q->rings[L3L2Q_ROLE_L2], DUMP_OUTPUT);
	if (q->nr_counters)
		put_section(out, DUMP_COUNTERS, q->counters, q->nr_counters * sizeof(*q->counters));
	if (payload) {
		ret = put_payload(out, q, &r);
		reader_close(&r);
	}
	return ret;
}

/* ---- reading ------------------------------------------------------------- */

struct dump {
	FILE *file;
	uint64_t left;		/* of the file */
	const char *wrong;
	unsigned int seen;	/* types, as bits */
};

static int reject(struct dump *d, const char *why)
{
	d->wrong = why;
	return -EINVAL;
}

static int take(struct dump *d, void *to, uint64_t bytes)
{
	if (bytes > d->left)
		return reject(d, "it is cut off");
	if (fread(to, 1, bytes, d->file) != bytes)
		return reject(d, "it cannot be read");
	d->left -= bytes;
	return 0;
}

static int skip(struct dump *d, uint64_t bytes)
{
	if (bytes > d->left)
		return reject(d, "it is cut off");
	if (fseeko(d->file, (off_t)bytes, SEEK_CUR))
		return reject(d, "it cannot be read");
	d->left -= bytes;
	return 0;
}

/* As much of a structure as the file has; the rest is zero. */
static int take_struct(struct dump *d, void *to, size_t size, uint64_t bytes)
{
	uint64_t n = bytes < size ? bytes : size;
	int ret;

	memset(to, 0, size);
	ret = take(d, to, n);
	return ret ? ret : skip(d, bytes - n);
}

static int check_region(struct dump *d, struct l3l2q_query_region *r)
{
	struct l3l2q_layout layout;
	unsigned int role;

	if (r->binding > L3L2Q_BINDING_SPSQ)
		return reject(d, "its binding is unknown");
	if (r->depth && (l3l2q_layout_make(r->depth, r->input_arena_bytes, r->output_arena_bytes,
					   &layout) ||
			 layout.payload_bytes != r->payload_bytes ||
			 layout.counter_bytes != r->counter_bytes))
		return reject(d, "its sizes are those of no queue");
	if (!r->depth && r->counter_bytes % sizeof(int32_t))
		return reject(d, "its sizes are those of no region");
	r->tag[sizeof(r->tag) - 1] = 0;
	r->creator.comm[sizeof(r->creator.comm) - 1] = 0;
	for (role = 0; role < L3L2Q_ROLES; role++)
		r->ends[role].process.comm[sizeof(r->ends[role].process.comm) - 1] = 0;
	return 0;
}

static int take_region(struct dump *d, struct queue *q, uint64_t bytes)
{
	int ret;

	if (bytes < MIN_REGION_SECTION || bytes > MAX_REGION_SECTION)
		return reject(d, "its region has no such length");
	ret = take_struct(d, &q->region, sizeof(q->region), bytes);
	return ret ? ret : check_region(d, &q->region);
}

static int take_seen(struct dump *d, struct queue *q, uint64_t bytes)
{
	struct dump_seen seen;
	unsigned int role;
	int ret;

	if (bytes > MAX_REGION_SECTION)
		return reject(d, "a section is too long");
	ret = take_struct(d, &seen, sizeof(seen), bytes);
	if (ret)
		return ret;
	q->nr_holders = seen.nr_holders < MAX_HOLDERS ? seen.nr_holders : MAX_HOLDERS;
	for (role = 0; role < L3L2Q_ROLES; role++) {
		q->unmoved_ns[role] = seen.unmoved_ns[role];
		q->need_bytes[role] = seen.need_bytes[role];
		q->run[role] = (char)seen.run[role];
	}
	return 0;
}

static int take_ring(struct dump *d, struct queue *q, unsigned int from, uint64_t bytes)
{
	struct direction direction = direction_of(q, from);
	struct ring *ring = &q->rings[from];
	uint64_t head, n;
	int ret;

	if (bytes < sizeof(head) || (bytes - sizeof(head)) % sizeof(*ring->slots))
		return reject(d, "a ring has no such length");
	n = (bytes - sizeof(head)) / sizeof(*ring->slots);
	if (n > MAX_SLOTS || n > q->region.depth || n > direction.used)
		return reject(d, "a ring has more descriptors than messages");
	ret = take(d, &head, sizeof(head));
	if (ret)
		return ret;
	if (head != direction.head)
		return reject(d, "a ring does not begin at its head");
	ring->slots = calloc(n ? n : 1, sizeof(*ring->slots));
	if (!ring->slots)
		return -ENOMEM;
	ring->head = (uint32_t)head;
	ring->n = (uint32_t)n;
	return take(d, ring->slots, n * sizeof(*ring->slots));
}

static int take_counters(struct dump *d, struct queue *q, uint64_t bytes)
{
	size_t n = counters_of(&q->region);

	if (q->region.depth || !n || bytes != n * sizeof(*q->counters))
		return reject(d, "it has counters of another length");
	q->counters = malloc(bytes);
	if (!q->counters)
		return -ENOMEM;
	q->nr_counters = n;
	return take(d, q->counters, bytes);
}

static int take_payload(struct dump *d, struct queue *q, uint64_t bytes)
{
	if (bytes != q->region.payload_bytes)
		return reject(d, "it has a payload of another length");
	q->body_bytes = bytes;
	return skip(d, bytes);
}

static int take_section(struct dump *d, struct queue *q, const struct dump_section *s)
{
	if (s->type < DUMP_TYPES && d->seen & 1u << s->type)
		return reject(d, "a section is there twice");
	if (s->type != DUMP_REGION && !(d->seen & 1u << DUMP_REGION))
		return reject(d, "the region is not first");
	if (s->type < DUMP_TYPES)
		d->seen |= 1u << s->type;
	switch (s->type) {
	case DUMP_REGION: return take_region(d, q, s->bytes);
	case DUMP_SEEN: return take_seen(d, q, s->bytes);
	case DUMP_INPUT: return take_ring(d, q, L3L2Q_ROLE_L3, s->bytes);
	case DUMP_OUTPUT: return take_ring(d, q, L3L2Q_ROLE_L2, s->bytes);
	case DUMP_COUNTERS: return take_counters(d, q, s->bytes);
	case DUMP_PAYLOAD: return take_payload(d, q, s->bytes);
	default: return skip(d, s->bytes);	/* of a later version of this program */
	}
}

static int take_head(struct dump *d, struct queue *q)
{
	struct dump_head head;
	int ret = take(d, &head, sizeof(head));

	if (ret || memcmp(head.magic, DUMP_MAGIC, sizeof(head.magic)))
		return reject(d, "it is no dump of " PROGRAM);
	if (head.version != DUMP_VERSION || head.flags & ~DUMP_FLAGS)
		return reject(d, "it is of another version");
	if (head.head_bytes < sizeof(head) || head.head_bytes > MAX_HEAD)
		return reject(d, "its header has no such length");
	q->dumped = true;
	q->taken_ns = head.taken_ns;
	q->memfd = head.flags & DUMP_MEMFD;
	return skip(d, head.head_bytes - sizeof(head));
}

static int take_all(struct dump *d, struct queue *q)
{
	struct dump_section section;
	int ret = take_head(d, q);

	while (!ret && d->left) {
		ret = take(d, &section, sizeof(section));
		if (!ret)
			ret = take_section(d, q, &section);
		if (!ret)
			ret = skip(d, -section.bytes % 8);
	}
	if (!ret && !(d->seen & 1u << DUMP_REGION))
		ret = reject(d, "it has no region");
	return ret;
}

/* @q: zero; detail_free() undoes it. */
int dump_read(struct queue *q, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), ret;
	struct dump d = { .file = fd < 0 ? NULL : fdopen(fd, "r") };
	struct stat st;

	if (!d.file) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return ret;
	}
	if (fstat(fileno(d.file), &st)) {
		ret = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		ret = reject(&d, "it is no file");
	} else {
		d.left = (uint64_t)st.st_size;
		ret = take_all(&d, q);
	}
	fclose(d.file);
	if (d.wrong)
		fprintf(stderr, PROGRAM ": %s: %s\n", path, d.wrong);
	return ret;
}
