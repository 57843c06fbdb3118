// SPDX-License-Identifier: MIT
/*
 * QEMU's monitor, told what a guest wants of it: to be unplugged, mostly. A line
 * that meets an error is said again, since it may only be early: what is removed
 * is in use until the guest has let go of it. What is not found, is as it should be.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "npusim.h"

#define PROMPT "(qemu) "
#define REPLY_NS (10 * NSEC_PER_SEC)
#define RETRY_NS (30 * NSEC_PER_SEC)

/**
 * struct monitor - what it is being told
 * @path: its socket
 * @text: the lines
 * @thread: who does it
 * @done: it has; the text is of no more use
 * @stop: it should not go on
 */
struct monitor {
	const char *path;
	char text[NPU_TEXT];
	pthread_t thread;
	bool done;
	bool stop;
};

static bool stopped(const struct monitor *m)
{
	return __atomic_load_n(&m->stop, __ATOMIC_ACQUIRE);
}

/* All it says up to the prompt, as far as there is room for it. */
static int read_reply(const struct monitor *m, int sock, char *reply, size_t size)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	uint64_t deadline = clock_ns() + REPLY_NS;
	size_t used = 0, prompt = strlen(PROMPT);
	ssize_t n;

	while (clock_ns() < deadline && !stopped(m)) {
		if (poll(&pfd, 1, 100) <= 0)
			continue;
		if (used == size - 1) { /* the end is what counts */
			memmove(reply, reply + size / 2, used - size / 2);
			used -= size / 2;
		}
		n = recv(sock, reply + used, size - 1 - used, 0);
		if (n <= 0)
			return -1;
		used += (size_t)n;
		reply[used] = '\0';
		if (used >= prompt && !strcmp(reply + used - prompt, PROMPT))
			return 0;
	}
	return -1;
}

/* It echoes what it is told, one character at a time, with escapes: skip that. */
static const char *complaint(const char *reply)
{
	const char *error = strstr(reply, "Error: ");

	return error ? error : strstr(reply, "unknown command");
}

static int say_line(const struct monitor *m, int sock, const char *line)
{
	const struct timespec nap = { .tv_nsec = 20 * 1000000 };
	uint64_t deadline = clock_ns() + RETRY_NS;
	char reply[8192], whole[NPU_TEXT + 1];
	const char *error;
	int n = snprintf(whole, sizeof(whole), "%s\n", line);

	say("monitor: %s", line);
	for (;;) {
		if (send(sock, whole, (size_t)n, MSG_NOSIGNAL) != n ||
		    read_reply(m, sock, reply, sizeof(reply))) {
			say("monitor: does not answer");
			return -1;
		}
		error = complaint(reply);
		if (!error)
			return 0;
		if (strstr(error, "not found") || clock_ns() >= deadline || stopped(m)) {
			say("monitor: %.*s", (int)strcspn(error, "\r\n"), error);
			return strstr(error, "not found") ? 0 : -1;
		}
		nanosleep(&nap, NULL);
	}
}

static int connect_to(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int sock;

	if (strlen(path) >= sizeof(name.sun_path))
		return -1;
	strcpy(name.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock >= 0 && connect(sock, (struct sockaddr *)&name, sizeof(name))) {
		close(sock);
		sock = -1;
	}
	return sock;
}

static void *run(void *arg)
{
	struct monitor *m = arg;
	char greeting[8192], *line, *rest = m->text;
	int sock = connect_to(m->path);

	if (sock < 0 || read_reply(m, sock, greeting, sizeof(greeting))) {
		say("monitor: nobody at %s", m->path);
	} else {
		while ((line = strsep(&rest, "\n")))
			if (*line && say_line(m, sock, line))
				break;
	}
	if (sock >= 0)
		close(sock);
	__atomic_store_n(&m->done, true, __ATOMIC_RELEASE);
	return NULL;
}

void monitor_stop(struct npu *npu)
{
	struct monitor *m = npu->monitor;

	if (!m)
		return;
	__atomic_store_n(&m->stop, true, __ATOMIC_RELEASE);
	pthread_join(m->thread, NULL);
	free(m);
	npu->monitor = NULL;
}

int monitor_submit(struct npu *npu, const char *text)
{
	struct monitor *m = npu->monitor;
	int ret;

	if (!npu->monitor_path)
		return -ENOENT;
	if (m && !__atomic_load_n(&m->done, __ATOMIC_ACQUIRE))
		return -EBUSY;
	monitor_stop(npu);
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->path = npu->monitor_path;
	snprintf(m->text, sizeof(m->text), "%s", text);
	ret = pthread_create(&m->thread, NULL, run, m);
	if (ret) {
		free(m);
		return -ret;
	}
	npu->monitor = m;
	return 0;
}
