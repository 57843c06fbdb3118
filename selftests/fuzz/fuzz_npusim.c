// SPDX-License-Identifier: MIT
/*
 * l3l2q-npusim between guests that connect, send, do not read and hang up, and mailboxes
 * with anything in them, in a memory between guard pages.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <l3l2q.h>

#include "fuzz.h"
#include "npusim.h"

#define SIZE	(64u << 10)
#define GUESTS	6
#define STALL_MS 1500
#define STALLS	3		/* one alone may be a busy machine's */

static struct fuzz_input in;
static struct npu *npu;
static unsigned char *area;
static int guest[GUESTS];
static struct sockaddr_un address;
static socklen_t address_size;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int npusim_fprintf(FILE *file, const char *format, ...);

/* What npusim says is of no interest, but has to be formatted. */
int npusim_fprintf(FILE *file, const char *format, ...)
{
	char text[2048];
	va_list args;
	int n;

	(void)file;
	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return n;
}

static int fail(const char *what)
{
	perror(what);
	abort();
}

static void start(unsigned int vectors)
{
	unsigned int i;

	npu = calloc(1, sizeof(*npu));
	npu->size = SIZE;
	npu->vectors = vectors;
	npu->socket_path = "";
	npu->silent = take(&in) & 1;
	npu->keep = take(&in) & 1;
	npu->gm_fd = memfd_create("npu", MFD_CLOEXEC);
	if (npu->gm_fd < 0 || ftruncate(npu->gm_fd, SIZE))
		fail("memory");
	area = mmap(NULL, SIZE + 2 * FUZZ_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	npu->gm = mmap(area + FUZZ_PAGE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       npu->gm_fd, 0);
	if (npu->gm == MAP_FAILED)
		fail("memory");
	npu->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	npu->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	npu->filler = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	npu->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	address.sun_family = AF_UNIX;
	address_size = sizeof(address);
	/* a name in the abstract name space, chosen by the kernel */
	if (bind(npu->listen_fd, (struct sockaddr *)&address, sizeof(sa_family_t)) ||
	    listen(npu->listen_fd, 8) ||
	    getsockname(npu->listen_fd, (struct sockaddr *)&address, &address_size))
		fail("socket");
	pthread_mutex_init(&npu->guests_lock, NULL);
	for (i = 0; i < MAX_GUESTS; i++)
		npu->guest[i].sock = -1;
	for (i = 0; i < MAX_VECTORS; i++)
		npu->doorbell[i] = i < vectors ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	for (i = 0; i < GUESTS; i++)
		guest[i] = -1;
}

static struct timespec turn_start;
static unsigned int stalls;

/* npusim waits for no guest: what it does in one turn takes far less than one may stall. */
static void start_turn(void)
{
	clock_gettime(CLOCK_MONOTONIC, &turn_start);
}

static void end_turn(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - turn_start.tv_sec) * 1000 +
	    (now.tv_nsec - turn_start.tv_nsec) / 1000000 >= STALL_MS)
		FUZZ_CHECK(++stalls < STALLS, "turns take too long");
}

static void serve(void)
{
	unsigned int i;

	start_turn();
	for (i = 0; i < MAX_GUESTS; i++)
		if (npu->guest[i].sock >= 0)
			server_guest(npu, i);
	server_look(npu);
	npu->next_scan = 0;
	mailbox_look(npu);
	(void)mailbox_due(npu);
	(void)server_due(npu);
	end_turn();
}

static void end(void)
{
	unsigned int i;

	for (i = 0; i < GUESTS; i++)
		if (guest[i] >= 0)
			close(guest[i]);
	for (i = 0; i < 4; i++)
		serve();
	monitor_stop(npu);
	mailbox_drop_all(npu);
	server_stop(npu);
	munmap(area, SIZE + 2 * FUZZ_PAGE);
	close(npu->gm_fd);
	close(npu->epoll_fd);
	close(npu->ended_fd);
	free(npu);
}

static void connect_guest(unsigned int i)
{
	if (guest[i] >= 0)
		return;
	guest[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(guest[i], (struct sockaddr *)&address, address_size))
		fail("connect");
	start_turn();
	server_accept(npu);
	end_turn();
}

static void read_guest(unsigned int i)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	int64_t number;
	struct iovec iov = { &number, sizeof(number) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	int fd;

	if (guest[i] < 0)
		return;
	for (;;) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		if (recvmsg(guest[i], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		cmsg = CMSG_FIRSTHDR(&msg);
		if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
			memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
			close(fd);
		}
	}
}

static uint64_t take_number(uint64_t good)
{
	static const uint64_t odd[] = {
		0, 1, 64, 1ull << 31, 1ull << 32, UINT64_MAX, UINT64_MAX - 63, 1ull << 37, SIZE, SIZE - 64,
		SIZE - 8704, 3, 4096, 1ull << 63, 384, 128,
	};
	unsigned int b = take(&in);

	if (b < 208)
		return good;
	return b < 224 ? good + (uint64_t)(int64_t)(int8_t)take(&in) :
	       b < 248 ? odd[b & 15] : take_bytes(&in, 8);
}

/* A mailbox at a page: its header, good or nearly so. */
static void write_header(unsigned int page)
{
	struct npu_header header = { .magic = NPU_MAGIC, .version = NPU_VERSION, .slots = NPU_SLOTS };
	uint64_t at = page % 16 * NPU_PAGE, base = 0x100000;
	uint64_t good[] = {
		L3L2Q_REGION_V2, 5, base + at, sizeof(struct npu_mailbox), base + at + 12288, NPU_COUNTER_BYTES,
	};
	unsigned int i;

	header.version = (uint32_t)take_number(header.version);
	header.slots = (uint32_t)take_number(header.slots);
	for (i = 0; i < L3L2Q_REGION_SCALARS; i++)
		header.scalars[i] = take_number(good[i]);
	header.check = npu_header_check(&header) ^ (take(&in) == 255);
	memcpy(npu->gm + at, &header, sizeof(header));
}

/* A request in a slot of a mailbox that may be there. */
static void write_request(unsigned int page)
{
	uint64_t at = page % 16 * NPU_PAGE, base = 0x100000, queue = base + 0x8000;
	unsigned int slot = take(&in) % NPU_SLOTS, b = take(&in), i;
	struct npu_request request = { 0 };
	uint64_t good[L3L2Q_SCALARS] = {
		L3L2Q_REGION_V2, 9, queue, 4 * 64 + 256, queue + 0x1000, 384, L3L2Q_QUEUE_VERSION, 4, 128, 128,
		4 * 64 + 256, 384,
	};
	uint64_t place = at + sizeof(struct npu_header) + slot * sizeof(struct npu_slot);
	uint32_t *counter;

	if (at + 12288 + NPU_COUNTER_BYTES > SIZE)
		return;
	request.op = (uint32_t)take_number(b % 6);
	request.flags = (uint32_t)take_number(b >> 4);
	request.task = (uint32_t)take_number(request.op == NPU_OP_LAUNCH ? 0 : take(&in) % 4);
	request.kind = (uint32_t)take_number(take(&in) % 5);
	request.end = (uint32_t)take_number(take(&in) % 5);
	if (request.end == NPU_END_EXIT)
		request.end = NPU_END_HANG;	/* it would be the fuzzer that exits */
	request.window = (uint32_t)take_number(1);
	request.batch = (uint32_t)take_number(1);
	request.delay_us = (uint32_t)take_number(0) & 0xffff;
	request.end_after = take_number(take(&in) % 4);
	request.arg = take_number(3);
	request.arg2 = take_number(1) & 0xff;
	for (i = 0; i < L3L2Q_SCALARS; i++)
		request.scalars[i] = take_number(good[i]);
	memset(request.text, take(&in) & 1 ? 'x' : 0, sizeof(request.text));
	if (take(&in) & 1)
		memset(npu->gm + 0x9000, 0, 384);
	memcpy(npu->gm + place, &request, sizeof(request));
	counter = (uint32_t *)(void *)(npu->gm + at + 12288 + NPU_REQUEST_COUNTER(slot));
	__atomic_fetch_add(counter, 1, __ATOMIC_RELEASE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int vectors[] = { 2, 0, 1, 64 };
	unsigned int ops = 0, b;
	char text[64];

	in = (struct fuzz_input){ data, data + size };
	fuzz_trace_clear();
	stalls = 0;
	start(vectors[take(&in) & 3]);
	while (more(&in) && ops++ < 60) {
		b = take(&in);
		switch (b & 15) {
		case 0: case 1: connect_guest(b >> 4 & 3); break;
		case 2: read_guest(b >> 4 & 3); break;
		case 3:
			memset(text, (int)take(&in), sizeof(text));
			if (guest[b >> 4 & 3] >= 0)
				(void)!send(guest[b >> 4 & 3], text, 1 + take(&in) % 64,
					    MSG_NOSIGNAL | MSG_DONTWAIT);
			break;
		case 4:
			if (guest[b >> 4 & 3] >= 0)
				close(guest[b >> 4 & 3]);
			guest[b >> 4 & 3] = -1;
			break;
		case 5: case 6: case 7: write_header(b >> 4); break;
		case 8: case 9: case 10: write_request(b >> 4); break;
		case 11: npu->gm[take_bytes(&in, 2) % SIZE] = (unsigned char)take(&in); break;
		case 12:
			if (npu->vectors)
				task_rung(npu, (b >> 4) % npu->vectors);
			break;
		default: serve();
		}
	}
	serve();
	end();
	return 0;
}
