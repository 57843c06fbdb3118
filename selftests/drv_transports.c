// SPDX-License-Identifier: GPL-2.0-only
/*
 * One program, l3l2q-stream, on every transport: nothing changes but the string.
 * STREAM names the program; else it is looked for in PATH.
 */
#include <stdint.h>

#include "drv_util.h"

#define INPUT "/tmp/transports.in"
#define OUTPUT "/tmp/transports.out"
#define BYTES (3u << 20)
#define QUEUE_BYTES (8u << 20)
#define ASCEND "ascend:0x120000000000:0x1000000"

FIXTURE(transport)
{
	char string[64];
	int dmabuf;
	bool standin;
};

FIXTURE_VARIANT(transport)
{
	const char *string;
};

#define TRANSPORT(name, text) FIXTURE_VARIANT_ADD(transport, name) { .string = text }

TRANSPORT(driver, "driver");
TRANSPORT(ram, "ram");
TRANSPORT(memfd, "memfd");
TRANSPORT(external, "external");
TRANSPORT(pci, "pci");
TRANSPORT(dmabuf, "dmabuf:");
TRANSPORT(ascend, ASCEND);

/* A dma-buf that programs we start inherit. */
static int export_ram(void)
{
	struct l3l2q_create create = {
		.size = sizeof(create),
		.payload_bytes = QUEUE_BYTES,
		.counter_bytes = L3L2Q_LINE_BYTES,
	};
	struct l3l2q_export_dmabuf export = { .size = sizeof(export) };
	int node = open(DRV_NODE, O_RDWR | O_CLOEXEC);

	if (node < 0)
		return -errno;
	if (ioctl(node, L3L2Q_IOC_CREATE, &create) ||
	    ioctl(create.fd, L3L2Q_IOC_EXPORT_DMABUF, &export) ||
	    fcntl(export.fd, F_SETFD, 0))
		return -errno;
	close(create.fd);
	close(node);
	return export.fd;
}

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

static bool input_write(void)
{
	unsigned char *bytes = malloc(BYTES);
	int fd = open(INPUT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok;

	for (size_t i = 0; bytes && i < BYTES; i++)
		bytes[i] = byte_at(i);
	ok = bytes && fd >= 0 && write(fd, bytes, BYTES) == BYTES;
	free(bytes);
	close(fd);
	return ok;
}

/* Index of the first byte that is not the input's xored with 0x5a, or BYTES. */
static size_t output_check(void)
{
	unsigned char *bytes = calloc(1, BYTES + 1);
	int fd = open(OUTPUT, O_RDONLY | O_CLOEXEC);
	size_t i = 0;

	if (bytes && fd >= 0 && read(fd, bytes, BYTES + 1) == BYTES)
		while (i < BYTES && bytes[i] == (byte_at(i) ^ 0x5a))
			i++;
	free(bytes);
	close(fd);
	return i;
}

/* Its exit status, or -1. */
static int stream(const char *transport)
{
	const char *program = getenv("STREAM") ?: "l3l2q-stream";
	int status;
	pid_t pid = fork();

	if (!pid) {
		execlp(program, program, "--transport", transport, "--op", "xor-u8:0x5a",
		       "--verify", "-i", INPUT, "-o", OUTPUT, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

FIXTURE_SETUP(transport)
{
	const char *npus = getenv("L3L2Q_NPUS"), *standin = getenv("NPU_STANDIN_KO");

	self->dmabuf = -1;
	strcpy(self->string, variant->string);
	if (!strcmp(variant->string, "pci") && (!npus || !*npus))
		SKIP(return, "no NPU");
	if (!strcmp(variant->string, ASCEND)) {
		if (!standin)
			SKIP(return, "NPU_STANDIN_KO does not say where the stand-in is");
		ASSERT_EQ(0, drv_load_module(standin, ""));
		self->standin = true;
	}
	if (!strcmp(variant->string, "dmabuf:")) {
		self->dmabuf = export_ram();
		if (self->dmabuf == -EOPNOTSUPP)
			SKIP(return, "a kernel without dma-bufs");
		ASSERT_LE(0, self->dmabuf);
		snprintf(self->string, sizeof(self->string), "dmabuf:%d", self->dmabuf);
	}
	ASSERT_TRUE(input_write());
	unlink(OUTPUT);
}

FIXTURE_TEARDOWN(transport)
{
	if (self->dmabuf >= 0)
		close(self->dmabuf);
	if (self->standin)
		EXPECT_EQ(0, drv_unload_module("npu_standin"));
	unlink(INPUT);
	unlink(OUTPUT);
}

TEST_F(transport, the_same_program_streams)
{
	ASSERT_EQ(0, stream(self->string)) {
		TH_LOG("over %s", self->string);
	}
	EXPECT_EQ(BYTES, output_check());
}

TEST_HARNESS_MAIN
