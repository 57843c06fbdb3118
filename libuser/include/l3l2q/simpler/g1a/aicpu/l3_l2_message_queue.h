/* SPDX-License-Identifier: MIT */
/* The queue of simpler as in its commit 3e6cc9d35 (#1187), see l3l2q-simpler(7). */
#ifndef L3_L2_MESSAGE_QUEUE_H
#define L3_L2_MESSAGE_QUEUE_H

#include "l3_l2_orch_endpoint.h"

#include "../../detail/l3l2_queue.h"

#define L3L2Q_NAME(name) l3_l2_queue_##name
#define L3L2Q_OUT(type) type *
#define L3L2Q_ORCH l3l2q::simpler::L3L2Orch
#define L3L2Q_QUEUE l3l2q::simpler::L3L2Queue
#include "../../detail/queue_functions.h"
#undef L3L2Q_QUEUE
#undef L3L2Q_ORCH
#undef L3L2Q_OUT
#undef L3L2Q_NAME

/* One handle at a time. A copy is a queue of its own over the same memory: use one of them. */
class L3L2QueueEndpoint : public l3l2q::simpler::OrchQueue<l3l2q::simpler::G1a, 1> {
	using Base = l3l2q::simpler::OrchQueue<l3l2q::simpler::G1a, 1>;

public:
	class InputQueue {
	public:
		bool peek(uint64_t timeout_ns, L3L2QueueInputHandle *out) { return out && queue_->peek(timeout_ns, *out); }
		bool try_peek(L3L2QueueInputHandle *out) { return out && queue_->try_peek(*out); }
		bool release(const L3L2QueueInputHandle &handle) { return queue_->release(handle); }

	private:
		friend class L3L2QueueEndpoint;
		explicit InputQueue(L3L2QueueEndpoint *queue) : queue_(queue) {}
		L3L2QueueEndpoint *queue_;
	};

	class OutputQueue {
	public:
		bool reserve(uint64_t nbytes, uint64_t timeout_ns, L3L2QueueOutputReservation *out)
		{
			return out && queue_->reserve(nbytes, timeout_ns, *out);
		}
		bool try_reserve(uint64_t nbytes, L3L2QueueOutputReservation *out)
		{
			return out && queue_->try_reserve(nbytes, *out);
		}
		bool publish(const L3L2QueueOutputReservation &reservation, L3L2QueueOpcode opcode)
		{
			return queue_->publish(reservation, opcode);
		}

	private:
		friend class L3L2QueueEndpoint;
		explicit OutputQueue(L3L2QueueEndpoint *queue) : queue_(queue) {}
		L3L2QueueEndpoint *queue_;
	};

	L3L2QueueEndpoint(const L3L2OrchRegionDesc &desc, const L3L2QueueArgs &args) : Base(desc, args) {}
	L3L2QueueEndpoint(const L3L2QueueEndpoint &other) : Base(other) {}
	L3L2QueueEndpoint &operator=(const L3L2QueueEndpoint &other)
	{
		Base::operator=(other);
		return *this;
	}

	InputQueue &input() { return input_; }
	OutputQueue &output() { return output_; }

private:
	InputQueue input_{this};
	OutputQueue output_{this};
};

#endif /* L3_L2_MESSAGE_QUEUE_H */
