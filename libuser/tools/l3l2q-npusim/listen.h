/* SPDX-License-Identifier: MIT */
/* A unix socket to listen at, where a killed predecessor may have left its own. */
#ifndef NPUSIM_LISTEN_H
#define NPUSIM_LISTEN_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_WHY 256

/*
 * True if nobody has the socket at @name any more. A datagram socket cannot connect
 * to a stream socket, so a live listener does not notice the attempt: it fails with
 * EPROTOTYPE there, and with ECONNREFUSED at a file that was left behind.
 */
static inline bool listen_is_stale(const struct sockaddr_un *name)
{
	struct stat st;
	bool stale;
	int sock;

	if (lstat(name->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return false;
	stale = connect(sock, (const struct sockaddr *)name, sizeof(*name)) &&
		errno == ECONNREFUSED;
	close(sock);
	return stale;
}

static inline int listen_bind(int sock, const struct sockaddr_un *name)
{
	if (!bind(sock, (const struct sockaddr *)name, sizeof(*name)))
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (!listen_is_stale(name)) {
		errno = EADDRINUSE;
		return -1;
	}
	if (unlink(name->sun_path) && errno != ENOENT)
		return -1;
	return bind(sock, (const struct sockaddr *)name, sizeof(*name));
}

/* A socket that listens at @path, or -1 with the reason in @why. */
static inline int listen_at(const char *path, int backlog, char *why, size_t size)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int sock;

	if (strlen(path) >= sizeof(name.sun_path)) {
		snprintf(why, size, "%.150s: path too long for a socket: at most %d bytes", path,
			 (int)sizeof(name.sun_path) - 1);
		return -1;
	}
	strcpy(name.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock >= 0 && !listen_bind(sock, &name) && !listen(sock, backlog))
		return sock;
	if (errno == EADDRINUSE)
		snprintf(why, size, "cannot listen on %s: %s", path,
			 "another process listens there, or it is not a socket");
	else
		snprintf(why, size, "cannot listen on %s: %s", path, strerror(errno));
	if (sock >= 0)
		close(sock);
	return -1;
}

#endif /* NPUSIM_LISTEN_H */
