// SPDX-License-Identifier: MIT
/*
 * How one end of the memfd transport learns of the other's end, which is that of the
 * process that created or attached it, whatever copies of its descriptors live on.
 *
 * Each process holds a POSIX write lock on a memfd of its own, and sends that with its
 * pidfd over the socket between the ends. The kernel drops the lock when the process
 * ends or executes another program; a pidfd becomes readable, and can be slept on.
 * The lock is asked for with an owner of its own (F_OFD_GETLK), which also sees one
 * that this process holds: both ends may be in one. Closing any descriptor of the
 * lock's file drops it, so only the other end receives one, and keeps it until it
 * closes.
 *
 * What arrives is another process's choice: nothing is done with it that could wait
 * for that process, until it is known to be what it should be.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memfd.h"

#define ALIVE_MAGIC 0x6576696c6c337132ull
#define ALIVE_FDS 2
#define MESSAGES 16		/* looked at in one go; the socket holds fewer */

#ifndef P_PIDFD			/* since Linux 5.4 */
#define P_PIDFD 3
#endif

/* Goes with the lock and perhaps the pidfd. A wake-up is one byte. */
struct alive {
	uint64_t magic;
};

/* Make the file whose lock says that this process lives. */
int l3l2q_alive_make(struct l3l2q_ep *ep)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	ep->own_lock = memfd_create("l3l2q-alive", MFD_CLOEXEC);
	if (ep->own_lock < 0)
		return -errno;
	return fcntl(ep->own_lock, F_SETLK, &lock) ? (errno == EAGAIN ? -EIO : -errno) : 0;
}

/* The pidfd of this process; -1 where there is none (old kernels, seccomp). */
int l3l2q_alive_open(int *pidfd)
{
	*pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	return *pidfd < 0 && (errno == EMFILE || errno == ENFILE) ? -errno : 0;
}

/* The creator may have filled the socket and made it a blocking one: never wait for it. */
int l3l2q_alive_tell(struct l3l2q_ep *ep, int sock, int pidfd)
{
	struct alive alive = { .magic = ALIVE_MAGIC };
	int fds[] = { ep->own_lock, pidfd };

	return l3l2q_send_fds(sock, &alive, sizeof(alive), fds, pidfd < 0 ? 1 : 2, MSG_DONTWAIT);
}

/* Kinds of sockets are the kernel's word, and asking for them never waits. */
bool l3l2q_wake_socket(int fd)
{
	int domain, type;
	socklen_t size = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET;
}

static bool is_memfd(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

/* ECHILD: a pidfd, but of no child of ours. */
static bool is_pidfd(int fd)
{
	siginfo_t info;

	return !waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) ||
	       errno == ECHILD;
}

static bool lock_stands(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK;
}

/*
 * The other end is no more: unless it detached, its abort flag is set in its name. The
 * end of this side, which closes the socket, is not taken for it.
 */
void l3l2q_peer_ended(struct l3l2q_ep *ep)
{
	enum l3l2q_role peer = l3l2q_memfd_peer(ep);
	uint32_t *state = &l3l2q_memfd_status(ep)->state[peer];

	if (__atomic_load_n(&ep->ended, __ATOMIC_ACQUIRE))
		return;
	if (__atomic_load_n(state, __ATOMIC_ACQUIRE) == L3L2Q_STATE_DETACHED) {
		l3l2q_add_gone(ep, L3L2Q_GONE_DETACHED);
		return;
	}
	if (!ep->raw)
		l3l2q_store_counter(l3l2q_core_counter(&ep->core, l3l2q_ctr_abort(peer)), 1);
	__atomic_store_n(state, L3L2Q_STATE_DEAD, __ATOMIC_RELEASE);
	l3l2q_add_gone(ep, L3L2Q_GONE_ABORTED);
}

/* Keep what the other end sent if it is what it should be. */
static void accept_alive(struct l3l2q_ep *ep, const int *fds, int n)
{
	bool pidfd = n > 1 && is_pidfd(fds[1]);
	int i = 0;

	if (n && is_memfd(fds[0])) {
		__atomic_store_n(&ep->peer_lock, fds[0], __ATOMIC_RELEASE);
		i = 1;
	}
	if (pidfd) {
		__atomic_store_n(&ep->peer_pidfd, fds[1], __ATOMIC_RELEASE);
		l3l2q_watch(ep->poll_fd, fds[1], EPOLLIN);
	}
	for (; i < n; i++) {
		if (i != 1 || !pidfd)
			close(fds[i]);
	}
	__atomic_store_n(&ep->peer_known, true, __ATOMIC_RELEASE);
}

/* Look at the first message before it is taken, at what it says and not at what it brings. */
static ssize_t look_at_message(struct l3l2q_ep *ep, int sock, bool *alive)
{
	struct alive message = { 0 };
	ssize_t len;

	l3l2q_count_syscall(ep);
	len = recv(sock, &message, sizeof(message), MSG_DONTWAIT | MSG_PEEK);
	*alive = len == (ssize_t)sizeof(message) && message.magic == ALIVE_MAGIC;
	return len;
}

/*
 * A lack of descriptors must not lose what tells of the other end. And where both ends
 * are in one process, a descriptor that came and went would have dropped the lock.
 */
static int take_alive(struct l3l2q_ep *ep, int sock)
{
	struct l3l2q_received got;
	struct alive alive;
	ssize_t len;

	if (l3l2q_check_slots(sock, ALIVE_FDS))
		return -EMFILE;
	l3l2q_count_syscall(ep);
	len = l3l2q_recv_any(sock, &alive, sizeof(alive), &got, MSG_DONTWAIT | MSG_PEEK);
	if (len <= 0 || got.truncated) {
		l3l2q_close_received(&got);
		return -EMFILE;
	}
	accept_alive(ep, got.fds, got.n);
	return 0;
}

/* Returns what recv() does. */
static ssize_t take_message(struct l3l2q_ep *ep, int sock)
{
	char bytes[sizeof(struct alive)];
	bool alive;
	ssize_t len = look_at_message(ep, sock, &alive);

	if (len <= 0)
		return len;
	if (alive && take_alive(ep, sock))
		return -1;
	l3l2q_count_syscall(ep);
	return recv(sock, bytes, sizeof(bytes), MSG_DONTWAIT);
}

/* Until it is known, the other end's message is looked for, by one thread at a time. */
static int take_messages(struct l3l2q_ep *ep, int sock)
{
	ssize_t len = -EAGAIN;
	int i;

	if (__atomic_exchange_n(&ep->peer_taking, true, __ATOMIC_ACQUIRE))
		return 0;
	for (i = 0; i < MESSAGES && !ep->peer_known; i++) {
		len = take_message(ep, sock);
		if (len <= 0)
			break;
	}
	__atomic_store_n(&ep->peer_taking, false, __ATOMIC_RELEASE);
	if (!len)
		l3l2q_peer_ended(ep);
	return i;
}

/**
 * l3l2q_peer_drain() - take wake-ups from the socket, so that there is room for more
 *
 * Return: how many there were. Never waits, and takes a bounded number.
 */
int l3l2q_peer_drain(struct l3l2q_ep *ep)
{
	int sock = __atomic_load_n(&ep->sock, __ATOMIC_ACQUIRE), i, n, taken = 0;
	struct mmsghdr messages[MESSAGES];
	struct iovec iov;
	char byte;

	if (sock < 0)
		return 0;
	if (!__atomic_load_n(&ep->peer_known, __ATOMIC_ACQUIRE)) {
		taken = take_messages(ep, sock);
		if (!__atomic_load_n(&ep->peer_known, __ATOMIC_ACQUIRE))
			return taken;
	}
	iov = (struct iovec){ &byte, 1 };
	memset(messages, 0, sizeof(messages));
	for (i = 0; i < MESSAGES; i++) {
		messages[i].msg_hdr.msg_iov = &iov;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	l3l2q_count_syscall(ep);
	n = recvmmsg(sock, messages, MESSAGES, MSG_DONTWAIT, NULL);
	for (i = 0; i < n; i++) {
		if (messages[i].msg_len)
			taken++;
		else
			l3l2q_peer_ended(ep);
	}
	return taken;
}

/* True if the kernel knows the other end's process, or its socket, to be gone. */
static bool kernel_says_ended(struct l3l2q_ep *ep, bool thorough)
{
	int lock = __atomic_load_n(&ep->peer_lock, __ATOMIC_ACQUIRE);
	struct pollfd pfds[] = {
		{ __atomic_load_n(&ep->sock, __ATOMIC_ACQUIRE), POLLRDHUP, 0 },
		{ __atomic_load_n(&ep->peer_pidfd, __ATOMIC_ACQUIRE), POLLIN, 0 },
	};

	if (lock >= 0) {
		l3l2q_count_syscall(ep);
		if (!lock_stands(lock))
			return true;
		if (!thorough)
			return false;
	}
	if (pfds[0].fd < 0)
		return false;
	l3l2q_count_syscall(ep);
	return poll(pfds, 2, 0) > 0;
}

static void check(struct l3l2q_ep *ep, bool thorough)
{
	const uint32_t *state = &l3l2q_memfd_status(ep)->state[l3l2q_memfd_peer(ep)];

	if (__atomic_load_n(&ep->gone, __ATOMIC_ACQUIRE))
		return;
	if (!ep->raw && l3l2q_core_peer_aborted(&ep->core)) {
		l3l2q_add_gone(ep, L3L2Q_GONE_ABORTED);
		return;
	}
	if (!__atomic_load_n(&ep->peer_known, __ATOMIC_ACQUIRE))
		l3l2q_peer_drain(ep);
	if (__atomic_load_n(state, __ATOMIC_ACQUIRE) == L3L2Q_STATE_DETACHED ||
	    kernel_says_ended(ep, thorough))
		l3l2q_peer_ended(ep);
}

/* For sleepers, between slices. */
void l3l2q_peer_check(struct l3l2q_ep *ep)
{
	check(ep, true);
}

/* One question to the kernel. */
void l3l2q_memfd_ask_peer(struct l3l2q_ep *ep)
{
	check(ep, false);
}
