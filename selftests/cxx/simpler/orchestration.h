/* SPDX-License-Identifier: MIT */
/*
 * L2 of flow.h with a window of 4, by the names of namespace gen: reads its scalars, answers
 * by tasks, and reports what fails.
 */
#ifndef CXX_SIMPLER_ORCHESTRATION_H
#define CXX_SIMPLER_ORCHESTRATION_H

namespace gen {

constexpr uint64_t kTimeoutNs = 60000000000;
constexpr uint64_t kFlowWindow = 4;

class Orchestration {
public:
	explicit Orchestration(const OrchArgs &args) : queue_(args) {}

	bool run()
	{
		Handle first, second, parts, left, right, stop;

		/* two are held, and answered in the other order */
		if (!take(first) || !take(second) || !answer(second, 0, second.payload_nbytes) ||
		    !answer(first, 0, first.payload_nbytes) || !release(second) || !release(first))
			return false;
		/* one input, several outputs */
		if (!take(parts))
			return false;
		for (uint64_t third = parts.payload_nbytes / 3, i = 0; i < 3; i++)
			if (!answer(parts, i * third, third))
				return false;
		if (!release(parts))
			return false;
		/* two are merged while draining */
		if (!take(left) || !take(right) || !peek(queue_.ep, kTimeoutNs, stop) || stop.opcode != Opcode::STOP ||
		    !release(stop) || queue_.ep.input().drained())
			return false;
		return answer(left, 0, left.payload_nbytes, &right) && release(right) && release(left) &&
		       queue_.ep.input().drained();
	}

private:
	bool take(Handle &m) { return peek(queue_.ep, kTimeoutNs, m) && m.opcode == Opcode::DATA; }
	bool release(const Handle &m) { return queue_.ep.input().release(m); }

	/* Send what a task makes of a part of an input, and of another one. */
	bool answer(const Handle &m, uint64_t offset, uint64_t nbytes, const Handle *other = nullptr)
	{
		Reservation span;

		if (!reserve(queue_.ep, nbytes, kTimeoutNs, span))
			return false;
		rt_submit_aiv_task(make_tensor_external(address_of(m) + offset, nbytes),
				   other ? make_tensor_external(address_of(*other), nbytes) : ExternalTensor{},
				   make_tensor_external(address_of(span), nbytes));
		cache_flush_range(reinterpret_cast<const void *>(address_of(span)), nbytes);
		return queue_.ep.output().publish(span, Opcode::DATA);
	}

	FlowQueue queue_;
};

} /* namespace gen */

#endif /* CXX_SIMPLER_ORCHESTRATION_H */
