// SPDX-License-Identifier: MIT
/*
 * The server side of QEMU's ivshmem: on a stream socket, numbers of eight bytes,
 * some with a descriptor. A new guest is told the version, its own number, -1
 * with the memory, then for each peer and each vector the peer's number with the
 * eventfd that signals it, its own last. Others are told of it in the same way,
 * and of its end by its number alone. We are peer 0.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"
#include "npusim.h"

#define IVSHMEM_VERSION 0
#define STALL_NS	(2 * NSEC_PER_SEC) /* a guest that does not read is dropped */
#define RETRY_NS	(10 * NSEC_PER_MSEC)
#define FILLERS		24
#define FILLERS_MORE	6
#define FILLERS_MAX	192

/*
 * Nothing here waits for a guest: what its socket does not take is queued, and a
 * guest whose queue is full, or takes nothing for a while, is dropped.
 */

/* What comes with a number; 0 and above: that guest's events */
enum { FROM_NONE = -1, FROM_MEMORY = -2, FROM_FILLER = -3, FROM_NPU = -4 };

/* 0 or -errno */
static int send_number(int sock, int64_t number, int fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = &number, .iov_len = sizeof(number) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;

	if (fd >= 0) {
		memset(control, 0, sizeof(control));
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	return n == sizeof(number) ? 0 : -EPROTO;
}

static int descriptor_of(const struct npu *npu, const struct item *item)
{
	switch (item->from) {
	case FROM_NONE: return -1;
	case FROM_MEMORY: return npu->gm_fd;
	case FROM_FILLER: return npu->filler;
	case FROM_NPU: return npu->doorbell[item->vector];
	default: return npu->guest[item->from].event[item->vector];
	}
}

/* A guest that is not to be served any more; the loop forgets it. */
static void condemn(struct guest *guest, const char *why)
{
	if (!guest->condemned)
		guest->condemned = why;
}

/* Send what the socket takes. */
static void flush_guest(const struct npu *npu, struct guest *guest)
{
	const struct item *item;
	int ret = 0;

	while (guest->queued && !guest->condemned) {
		item = &guest->queue[guest->first];
		ret = send_number(guest->sock, item->number, descriptor_of(npu, item));
		if (ret)
			break;
		guest->first = (guest->first + 1) % MAX_QUEUE;
		guest->queued--;
		guest->moved = clock_ns();
	}
	/* Too many descriptors on their way is others' fault: try again later. */
	guest->later = ret == -ETOOMANYREFS || ret == -ENOMEM || ret == -ENOBUFS;
	if (ret && ret != -EAGAIN && ret != -EINTR && !guest->later)
		condemn(guest, strerror(-ret));
}

static void queue_number(struct guest *guest, int number, int from, unsigned int vector)
{
	struct item *item = &guest->queue[(guest->first + guest->queued) % MAX_QUEUE];

	if (guest->queued == MAX_QUEUE) {
		condemn(guest, "does not read");
		return;
	}
	if (!guest->queued)
		guest->moved = clock_ns();
	*item = (struct item){ .number = number, .from = (int16_t)from,
			       .vector = (uint16_t)vector };
	guest->queued++;
}

static void queue_peer(const struct npu *npu, struct guest *guest, int number, int from)
{
	unsigned int i;

	for (i = 0; i < npu->vectors; i++)
		queue_number(guest, number, from, i);
}

/* Tell @guest that peer @index has left, unless it was never told of it. */
static void queue_leave(const struct npu *npu, struct guest *guest, unsigned int index)
{
	unsigned int i, kept = 0, removed = 0;
	struct item item;

	for (i = 0; i < guest->queued; i++) {
		item = guest->queue[(guest->first + i) % MAX_QUEUE];
		if (item.from == (int)index) {
			removed++;
			continue;
		}
		guest->queue[(guest->first + kept) % MAX_QUEUE] = item;
		kept++;
	}
	guest->queued = kept;
	if (removed < npu->vectors || !npu->vectors)
		queue_number(guest, (int)index + 1, FROM_NONE, 0);
}

/*
 * QEMU without KVM goes on polling the eventfds of a device that was unplugged,
 * by numbers that are free by then, and has them handled by what it has freed. So
 * before a device that was plugged in again gets what somebody signals, peers
 * that nobody ever does take those numbers, and some more than the last time.
 */
static void queue_fillers(struct npu *npu, struct guest *guest)
{
	unsigned int i, n = FILLERS + FILLERS_MORE * npu->replugs;

	if (!npu->greeted) {
		npu->greeted = true;
		return;
	}
	npu->replugs++;
	for (i = 0; i < n && i < FILLERS_MAX; i++)
		queue_number(guest, (int)(MAX_GUESTS + 1 + i / npu->vectors), FROM_FILLER, 0);
}

static void introduce(struct npu *npu, unsigned int index)
{
	struct guest *guest = &npu->guest[index], *other;
	unsigned int i;

	queue_number(guest, IVSHMEM_VERSION, FROM_NONE, 0);
	queue_number(guest, (int)index + 1, FROM_NONE, 0);
	queue_number(guest, -1, FROM_MEMORY, 0);
	if (npu->vectors)
		queue_fillers(npu, guest);
	queue_peer(npu, guest, 0, FROM_NPU);
	for (i = 0; i < MAX_GUESTS; i++) {
		other = &npu->guest[i];
		if (i == index || other->sock < 0)
			continue;
		queue_peer(npu, other, (int)index + 1, (int)index);
		flush_guest(npu, other);
		queue_peer(npu, guest, (int)i + 1, (int)i);
	}
	queue_peer(npu, guest, (int)index + 1, (int)index);
	flush_guest(npu, guest);
}

static void close_events(const struct npu *npu, int *events)
{
	unsigned int i;

	for (i = 0; i < npu->vectors; i++) {
		if (events[i] >= 0)
			close(events[i]);
		events[i] = -1;
	}
}

static int make_events(const struct npu *npu, int *events)
{
	unsigned int i;

	for (i = 0; i < npu->vectors; i++)
		events[i] = -1;
	for (i = 0; i < npu->vectors; i++) {
		events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (events[i] < 0)
			return -1;
	}
	return 0;
}

bool server_has_guests(struct npu *npu)
{
	unsigned int i;

	for (i = 0; i < MAX_GUESTS; i++)
		if (npu->guest[i].sock >= 0)
			return true;
	return false;
}

static void forget_guest(struct npu *npu, unsigned int index)
{
	struct guest *guest = &npu->guest[index];
	unsigned int i;

	say("guest %u is gone%s%s", index + 1, guest->condemned ? ": " : "",
	    guest->condemned ? guest->condemned : "");
	pthread_mutex_lock(&npu->guests_lock);
	close(guest->sock);
	guest->sock = -1;
	for (i = 0; i < MAX_GUESTS; i++) {
		if (npu->guest[i].sock < 0)
			continue;
		queue_leave(npu, &npu->guest[i], index);
		flush_guest(npu, &npu->guest[i]);
	}
	close_events(npu, guest->event);
	pthread_mutex_unlock(&npu->guests_lock);
	if (!server_has_guests(npu))
		mailbox_drop_all(npu);
}

/* The next guest finds what a reset would leave. */
static void clear_memory(struct npu *npu)
{
	if (npu->used && !npu->keep &&
	    fallocate(npu->gm_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)npu->size))
		memset(npu->gm, 0, npu->size);
	npu->used = true;
}

/* Hear of the guest's messages and end; of room for ours while any are queued. */
static int watch_guest(struct npu *npu, unsigned int index, int op)
{
	struct guest *guest = &npu->guest[index];
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = ON_GUEST + index };

	if (guest->queued && !guest->later)
		event.events |= EPOLLOUT;
	if (op == EPOLL_CTL_MOD && event.events == guest->watched)
		return 0;
	guest->watched = event.events;
	return epoll_ctl(npu->epoll_fd, op, guest->sock, &event);
}

static int accept_guest(const struct npu *npu)
{
	return accept4(npu->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/*
 * Close the connection that no descriptor is left for. If it stayed, the listening
 * socket would stay readable, and the loop would not sleep.
 */
static void turn_away(struct npu *npu)
{
	int sock;

	if (npu->spare >= 0)
		close(npu->spare);
	sock = accept_guest(npu);
	if (sock >= 0) {
		say("no descriptor for another guest");
		close(sock);
	}
	npu->spare = fcntl(npu->filler, F_DUPFD_CLOEXEC, 0);
}

void server_accept(struct npu *npu)
{
	int sock = accept_guest(npu);
	struct guest *guest;
	unsigned int i = 0;

	if (sock < 0) {
		if (errno == EMFILE || errno == ENFILE)
			turn_away(npu);
		return;
	}
	while (i < MAX_GUESTS && npu->guest[i].sock >= 0)
		i++;
	if (i == MAX_GUESTS) {
		say("no room for another guest");
		close(sock);
		return;
	}
	if (!server_has_guests(npu))
		clear_memory(npu);
	guest = &npu->guest[i];
	guest->first = 0;
	guest->queued = 0;
	guest->condemned = NULL;
	pthread_mutex_lock(&npu->guests_lock);
	guest->sock = sock;
	if (make_events(npu, guest->event) || watch_guest(npu, i, EPOLL_CTL_ADD)) {
		say("guest %u cannot be served: %s", i + 1, strerror(errno));
		guest->sock = -1;
		close_events(npu, guest->event);
		close(sock);
	} else {
		say("guest %u is here", i + 1);
		introduce(npu, i);
	}
	pthread_mutex_unlock(&npu->guests_lock);
}

void server_guest(struct npu *npu, unsigned int index)
{
	struct guest *guest = &npu->guest[index];
	char ignored[256];
	ssize_t n;

	if (guest->sock < 0)
		return;
	n = recv(guest->sock, ignored, sizeof(ignored), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		forget_guest(npu, index);
	else
		flush_guest(npu, guest);
}

void server_look(struct npu *npu)
{
	struct guest *guest;
	unsigned int i;

	for (i = 0; i < MAX_GUESTS; i++) {
		guest = &npu->guest[i];
		if (guest->sock < 0)
			continue;
		if (guest->later)
			flush_guest(npu, guest);
		if (guest->queued && clock_ns() - guest->moved >= STALL_NS)
			condemn(guest, "does not read");
		if (guest->condemned)
			forget_guest(npu, i);
		else
			watch_guest(npu, i, EPOLL_CTL_MOD);
	}
}

int server_due(const struct npu *npu)
{
	uint64_t now = clock_ns(), due = UINT64_MAX, at;
	unsigned int i;

	for (i = 0; i < MAX_GUESTS; i++) {
		const struct guest *guest = &npu->guest[i];

		if (guest->sock < 0 || !guest->queued)
			continue;
		at = guest->later ? now + RETRY_NS : guest->moved + STALL_NS;
		if (at < due)
			due = at;
	}
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : (int)((due - now) / NSEC_PER_MSEC) + 1;
}

/*
 * A guest can clear O_NONBLOCK of an eventfd that it shares with us, and fill it:
 * a full one is rung already.
 */
static void signal_event(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	if (poll(&pfd, 1, 0) > 0)
		eventfd_write(fd, 1);
}

bool server_ring(struct npu *npu, uint64_t region_id)
{
	bool rang = false;
	unsigned int i;

	if (npu->silent || !npu->vectors)
		return false;
	pthread_mutex_lock(&npu->guests_lock);
	for (i = 0; i < MAX_GUESTS; i++) {
		if (npu->guest[i].sock < 0)
			continue;
		signal_event(npu->guest[i].event[region_id % npu->vectors]);
		rang = true;
	}
	pthread_mutex_unlock(&npu->guests_lock);
	return rang;
}

int server_start(struct npu *npu)
{
	char why[LISTEN_WHY];
	unsigned int i;

	pthread_mutex_init(&npu->guests_lock, NULL);
	npu->listen_fd = -1;
	for (i = 0; i < MAX_GUESTS; i++)
		npu->guest[i].sock = -1;
	npu->filler = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	npu->spare = fcntl(npu->filler, F_DUPFD_CLOEXEC, 0);
	if (npu->spare < 0 || make_events(npu, npu->doorbell)) {
		say("eventfd: %s", strerror(errno));
		return -1;
	}
	npu->listen_fd = listen_at(npu->socket_path, MAX_GUESTS, why, sizeof(why));
	if (npu->listen_fd < 0) {
		say("%s", why);
		return -1;
	}
	return 0;
}

void server_stop(struct npu *npu)
{
	unsigned int i;

	for (i = 0; i < MAX_GUESTS; i++)
		if (npu->guest[i].sock >= 0)
			forget_guest(npu, i);
	close_events(npu, npu->doorbell);
	close(npu->filler);
	if (npu->spare >= 0)
		close(npu->spare);
	if (npu->listen_fd >= 0) {
		close(npu->listen_fd);
		unlink(npu->socket_path);
	}
	pthread_mutex_destroy(&npu->guests_lock);
}
