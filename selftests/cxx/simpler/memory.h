/* SPDX-License-Identifier: MIT */
/* Memory of a queue, and what L3 stores to it, byte for byte. */
#ifndef CXX_SIMPLER_MEMORY_H
#define CXX_SIMPLER_MEMORY_H

#include <cstdint>
#include <cstring>

#include <l3l2q.hpp>

#include "../tap.h"

constexpr uint64_t kData = 1, kStop = 2, kError = 3;

/* Of the largest queue in these tests. */
struct alignas(64) Memory {
	unsigned char payload[4096];
	alignas(64) int32_t counters[96];

	Memory() { clear(); }
	void clear()
	{
		std::memset(payload, 0xa5, sizeof(payload));
		std::memset(counters, 0, sizeof(counters));
	}
	uint64_t payload_base() const { return reinterpret_cast<uint64_t>(payload); }
	uint64_t counter_base() const { return reinterpret_cast<uint64_t>(counters); }
	int32_t &counter(uint64_t offset) { return counters[offset / 4]; }
};

/* L3 by hand, which may break every rule. Offsets are those of protocol.md, section 3. */
class RawL3 {
public:
	RawL3(Memory &memory, uint64_t depth, uint64_t input, uint64_t output)
		: memory_(memory), depth_(depth), input_(input), output_(output)
	{
	}

	uint64_t input_arena() const { return depth_ * 64; }
	uint64_t output_arena() const { return input_arena() + input_; }
	uint64_t payload_bytes() const { return output_arena() + output_; }
	int32_t abort_flag() const { return memory_.counter(320); }
	int32_t input_head() const { return memory_.counter(64); }
	int32_t output_tail() const { return memory_.counter(128); }

	void write_slot(uint64_t ring, uint64_t index, uint64_t seq, uint64_t opcode, uint64_t offset, uint64_t nbytes)
	{
		const uint64_t words[4] = {seq, opcode, offset, nbytes};

		std::memcpy(memory_.payload + ring + (index & (depth_ - 1)) * 32, words, sizeof(words));
	}
	/* Publish input @sent_ + 1 with a body at an offset in the payload range. */
	void send_at(uint64_t opcode, uint64_t offset, uint64_t nbytes)
	{
		write_slot(0, sent_, sent_ + 1, opcode, offset, nbytes);
		sent_++;
		memory_.counter(0) = static_cast<int32_t>(static_cast<uint32_t>(sent_));
	}
	/* The same with its body in the arena, from @position on. */
	void send(uint64_t opcode, uint64_t position, uint64_t nbytes)
	{
		std::memset(memory_.payload + input_arena() + position, static_cast<int>(sent_ + 1), nbytes);
		send_at(opcode, nbytes ? input_arena() + position : 0, nbytes);
	}
	void stop() { send_at(kStop, 0, 0); }
	/* Slot @index of the output. */
	std::array<uint64_t, 4> output(uint64_t index) const
	{
		std::array<uint64_t, 4> words;

		std::memcpy(words.data(), memory_.payload + depth_ * 32 + (index & (depth_ - 1)) * 32, 32);
		return words;
	}
	void release_output(uint64_t count) { memory_.counter(192) = static_cast<int32_t>(count); }
	void abort() { memory_.counter(256) = 1; }

private:
	Memory &memory_;
	uint64_t depth_, input_, output_;
	uint64_t sent_ = 0;
};

#endif /* CXX_SIMPLER_MEMORY_H */
