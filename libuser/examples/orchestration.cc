// SPDX-License-Identifier: MIT
/*
 * L2 as an orchestration of simpler is written, with its names (G2), over memory of this
 * library. It holds two inputs and answers them in the other order, answers one input by
 * three outputs, and merges two inputs while it drains. Inputs are 32-bit words, their number
 * a multiple of three, and answers are twice that.
 *
 *	orchestration [memfd|driver]	both sides, in two processes
 *	orchestration --l2 FD		L2 alone, with a descriptor of l3l2q_open_peer()
 *	orchestration --device FD BASE SCALAR...
 *					L2 alone: the device's memory at BASE is this file
 *
 * L2 only loads and stores. So L3 creates the queue for a silent peer, with the region
 * version of G2, a depth of 4 or more and sends five messages and STOP.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <l3l2q.hpp>

#include "aicpu/worker_chip_message_queue.h"

using namespace std::chrono_literals;

static void check(const char *what, int error)
{
	if (error) {
		std::fprintf(stderr, "%s: %s\n", what, std::strerror(-error));
		std::exit(1);
	}
}

/* ---- L2 ---------------------------------------------------------------------- */

constexpr uint64_t kTimeoutNs = 5000000000;

using Queue = WorkerChipQueueEndpoint<4>;
using Input = WorkerChipQueueInputHandle;

static uint32_t word(const Input &m, uint64_t at)
{
	uint32_t value;

	std::memcpy(&value, reinterpret_cast<const void *>(m.payload.gm_addr + at), sizeof(value));
	return value;
}

/* Send twice a part of an input; with @other twice the sum of both. */
static bool answer(Queue &queue, const Input &m, uint64_t from, uint64_t nbytes, const Input *other = nullptr)
{
	WorkerChipQueueOutputReservation span;

	if (!queue.output().reserve(nbytes, kTimeoutNs, span))
		return false;
	for (uint64_t at = 0; at < nbytes; at += sizeof(uint32_t)) {
		uint32_t value = 2 * (word(m, from + at) + (other ? word(*other, from + at) : 0));

		std::memcpy(reinterpret_cast<void *>(span.payload.gm_addr + at), &value, sizeof(value));
	}
	cache_flush_range(reinterpret_cast<const void *>(span.payload.gm_addr), nbytes);
	return queue.output().publish(span, WorkerChipQueueOpcode::DATA);
}

static bool serve(Queue &queue)
{
	auto &input = queue.input();
	Input a, b, stop;

	if (!input.peek(kTimeoutNs, a) || !input.peek(kTimeoutNs, b) || !answer(queue, b, 0, b.payload_nbytes) ||
	    !answer(queue, a, 0, a.payload_nbytes) || !input.release(b) || !input.release(a))
		return false;
	if (!input.peek(kTimeoutNs, a))
		return false;
	for (uint64_t third = a.payload_nbytes / 3, i = 0; i < 3; i++)
		if (!answer(queue, a, i * third, third))
			return false;
	if (!input.release(a) || !input.peek(kTimeoutNs, a) || !input.peek(kTimeoutNs, b) ||
	    !input.peek(kTimeoutNs, stop) || stop.opcode != WorkerChipQueueOpcode::STOP || !input.release(stop))
		return false;
	return answer(queue, a, 0, a.payload_nbytes, &b) && input.release(b) && input.release(a) && input.drained();
}

static int orchestrate(const uint64_t *scalars)
{
	const WorkerChipOrchRegionDesc region = {scalars[0], scalars[1], scalars[2], scalars[3], scalars[4], scalars[5]};
	const WorkerChipQueueArgs args = {scalars[6], scalars[7], scalars[8], scalars[9], scalars[10], scalars[11]};
	Queue queue(region, args);

	if (serve(queue))
		return 0;
	std::fprintf(stderr, "worker-chip queue error %s: %s\n", worker_chip_queue_op_to_string(queue.error().op),
		     queue.error().message);
	return 1;
}

/* The endpoint maps the memory, and tells L3 if this process dies. */
static int run_l2(l3l2q::Descriptor fd)
{
	auto mapped = l3l2q::Endpoint::attach(fd, l3l2q::Attributes().flags(L3L2Q_ATTR_SILENT_PEER));
	std::array<std::uint64_t, L3L2Q_SCALARS> scalars;

	check("attach", mapped.error());
	return mapped->scalars(scalars) ? orchestrate(scalars.data()) : 1;
}

/* Where the device's memory is mapped the addresses are others. */
static int run_device(int fd, uint64_t base, char **argv)
{
	std::array<std::uint64_t, L3L2Q_SCALARS> scalars;
	struct stat file;
	void *memory;

	for (std::uint64_t &scalar : scalars)
		scalar = std::strtoull(*argv++, nullptr, 0);
	check("stat", fstat(fd, &file) ? -errno : 0);
	memory = mmap(nullptr, static_cast<size_t>(file.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check("mmap", memory == MAP_FAILED ? -errno : 0);
	scalars[2] += reinterpret_cast<uint64_t>(memory) - base;
	scalars[4] += reinterpret_cast<uint64_t>(memory) - base;
	return orchestrate(scalars.data());
}

/* ---- L3 ---------------------------------------------------------------------- */

static int run_l3(const l3l2q::Endpoint &l3)
{
	const uint32_t inputs[][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}, {13, 14, 15}};

	for (const auto &input : inputs)
		check("enqueue", l3.producer().enqueue(l3l2q::bytes_of(input), 5s));
	check("stop", l3.producer().stop(5s));
	for (int i = 0; i < 6; i++) {
		auto m = l3.consumer().peek(5s);
		check("peek", m.error());
		for (std::size_t at = 0; at < m->size(); at += sizeof(uint32_t)) {
			uint32_t value;

			std::memcpy(&value, m->body().data() + at, sizeof(value));
			std::printf("%s%u", at ? " " : "", value);
		}
		std::printf("\n");
		check("release", m->release());
	}
	return 0;
}

int main(int argc, char **argv)
{
	l3l2q::Failure why;
	int status = 0;

	if (argc == 3 && !std::strcmp(argv[1], "--l2"))
		return run_l2(l3l2q::Descriptor(std::atoi(argv[2])));
	if (argc == 4 + L3L2Q_SCALARS && !std::strcmp(argv[1], "--device"))
		return run_device(std::atoi(argv[2]), std::strtoull(argv[3], nullptr, 0), argv + 4);
	auto l3 = l3l2q::Endpoint::create(l3l2q::Attributes(argc > 1 ? argv[1] : "memfd")
						  .depth(8)
						  .arenas(4096, 4096)
						  .region_version(0x30000)
						  .flags(L3L2Q_ATTR_SILENT_PEER),
					  &why);
	if (!l3) {
		std::fprintf(stderr, "%s\n", why.text());
		return 1;
	}
	auto fd = l3->open_peer();
	check("open_peer", fd.error());
	if (fork() == 0)
		return run_l2(*std::move(fd));
	return run_l3(*l3) || wait(&status) < 0 || status;
}
