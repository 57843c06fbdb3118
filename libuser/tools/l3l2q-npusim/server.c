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
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "npusim.h"

#define IVSHMEM_VERSION 0
#define FILLERS		24
#define FILLERS_MORE	6
#define FILLERS_MAX	192

static int send_number(int sock, int64_t number, int fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = &number, .iov_len = sizeof(number) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

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
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == sizeof(number) ? 0 : -1;
}

static int send_peer(const struct npu *npu, int sock, int64_t number, const int *events)
{
	unsigned int i;

	for (i = 0; i < npu->vectors; i++)
		if (send_number(sock, number, events[i]))
			return -1;
	return 0;
}

/*
 * QEMU without KVM goes on polling the eventfds of a device that was unplugged,
 * by numbers that are free by then, and has them handled by what it has freed. So
 * before a device that was plugged in again gets what somebody signals, peers
 * that nobody ever does take those numbers, and some more than the last time.
 */
static int send_fillers(struct npu *npu, int sock)
{
	unsigned int i, n = FILLERS + FILLERS_MORE * npu->replugs;

	if (!npu->greeted) {
		npu->greeted = true;
		return 0;
	}
	npu->replugs++;
	for (i = 0; i < n && i < FILLERS_MAX; i++)
		if (send_number(sock, MAX_GUESTS + 1 + i / npu->vectors, npu->filler))
			return -1;
	return 0;
}

static int introduce(struct npu *npu, unsigned int index)
{
	struct guest *guest = &npu->guest[index], *other;
	unsigned int i;

	if (send_number(guest->sock, IVSHMEM_VERSION, -1) ||
	    send_number(guest->sock, index + 1, -1) ||
	    send_number(guest->sock, -1, npu->gm_fd) ||
	    (npu->vectors && send_fillers(npu, guest->sock)) ||
	    send_peer(npu, guest->sock, 0, npu->doorbell))
		return -1;
	for (i = 0; i < MAX_GUESTS; i++) {
		other = &npu->guest[i];
		if (i == index || other->sock < 0)
			continue;
		/* one that does not listen is not our new guest's fault */
		send_peer(npu, other->sock, index + 1, guest->event);
		if (send_peer(npu, guest->sock, i + 1, other->event))
			return -1;
	}
	return send_peer(npu, guest->sock, index + 1, guest->event);
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

	pthread_mutex_lock(&npu->guests_lock);
	close(guest->sock);
	guest->sock = -1;
	close_events(npu, guest->event);
	pthread_mutex_unlock(&npu->guests_lock);
	for (i = 0; i < MAX_GUESTS; i++)
		if (npu->guest[i].sock >= 0)
			send_number(npu->guest[i].sock, index + 1, -1);
	say("guest %u is gone", index + 1);
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

void server_accept(struct npu *npu)
{
	const struct timeval limit = { .tv_sec = 5 };
	struct epoll_event event = { .events = EPOLLIN };
	int sock = accept4(npu->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct guest *guest;
	unsigned int i = 0;

	if (sock < 0)
		return;
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
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	event.data.u32 = ON_GUEST + i;
	pthread_mutex_lock(&npu->guests_lock);
	guest->sock = sock;
	if (make_events(npu, guest->event) || introduce(npu, i) ||
	    epoll_ctl(npu->epoll_fd, EPOLL_CTL_ADD, sock, &event)) {
		say("guest %u does not listen: %s", i + 1, strerror(errno));
		guest->sock = -1;
		close_events(npu, guest->event);
		close(sock);
	} else {
		say("guest %u is here", i + 1);
	}
	pthread_mutex_unlock(&npu->guests_lock);
}

void server_guest(struct npu *npu, unsigned int index)
{
	char ignored[256];
	ssize_t n;

	if (npu->guest[index].sock < 0)
		return;
	n = recv(npu->guest[index].sock, ignored, sizeof(ignored), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		forget_guest(npu, index);
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
		eventfd_write(npu->guest[i].event[region_id % npu->vectors], 1);
		rang = true;
	}
	pthread_mutex_unlock(&npu->guests_lock);
	return rang;
}

/* A socket that a killed predecessor left is in our way, other files stay. */
static void remove_socket(const char *path)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path);
}

int server_start(struct npu *npu)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	unsigned int i;

	pthread_mutex_init(&npu->guests_lock, NULL);
	npu->listen_fd = -1;
	for (i = 0; i < MAX_GUESTS; i++)
		npu->guest[i].sock = -1;
	npu->filler = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (npu->filler < 0 || make_events(npu, npu->doorbell)) {
		say("eventfd: %s", strerror(errno));
		return -1;
	}
	if (strlen(npu->socket_path) >= sizeof(name.sun_path)) {
		say("%s: path too long for a socket", npu->socket_path);
		return -1;
	}
	strcpy(name.sun_path, npu->socket_path);
	remove_socket(npu->socket_path);
	npu->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (npu->listen_fd < 0 || bind(npu->listen_fd, (struct sockaddr *)&name, sizeof(name)) ||
	    listen(npu->listen_fd, MAX_GUESTS)) {
		say("%s: %s", npu->socket_path, strerror(errno));
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
	if (npu->listen_fd >= 0) {
		close(npu->listen_fd);
		unlink(npu->socket_path);
	}
	pthread_mutex_destroy(&npu->guests_lock);
}
