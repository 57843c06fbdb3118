/* SPDX-License-Identifier: MIT */
/* The standard streams of a tool. */
#ifndef TOOLS_STREAMS_H
#define TOOLS_STREAMS_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Before anything else is opened: what is closed would become a queue's descriptor, and be
 * read or written as a stream. Input and output become what can be neither.
 */
static inline void streams_open(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY) < 0)
			return;
	}
}

/* The exit status: @status, or @failed if standard output cannot be written. */
static inline int streams_end(const char *program, int status, int failed)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "%s: cannot write: %s\n", program, strerror(errno));
	return failed;
}

#endif /* TOOLS_STREAMS_H */
