/* SPDX-License-Identifier: MIT */
/* Scalars of G1 and G2, and an endpoint made of them. */
#ifndef CXX_SIMPLER_TWELVE_SCALARS_H
#define CXX_SIMPLER_TWELVE_SCALARS_H

#include "memory.h"

namespace gen {

constexpr unsigned int kScalars = 12;

inline void put_scalars(const Memory &memory, const RawL3 &l3, uint64_t *scalars)
{
	const uint64_t all[kScalars] = {kRegionVersion, 7, memory.payload_base(), l3.payload_bytes(),
					memory.counter_base(), 384, kQueueVersion, 8, 512, 512, l3.payload_bytes(), 384};

	std::memcpy(scalars, all, sizeof(all));
}

inline uint64_t address_of(const Handle &m)
{
	return m.payload.gm_addr;
}

inline uint64_t address_of(const Reservation &span)
{
	return span.payload.gm_addr;
}

/* The endpoint of an orchestration, by its scalars. */
template <uint64_t Window>
struct ScalarQueue {
	Endpoint<Window> ep;

	explicit ScalarQueue(const OrchArgs &orch_args)
		: ep(Desc{orch_args.scalar(0), orch_args.scalar(1), orch_args.scalar(2), orch_args.scalar(3),
			  orch_args.scalar(4), orch_args.scalar(5)},
		     Args{orch_args.scalar(6), orch_args.scalar(7), orch_args.scalar(8), orch_args.scalar(9),
			  orch_args.scalar(10), orch_args.scalar(11)})
	{
	}
};

} /* namespace gen */

#endif /* CXX_SIMPLER_TWELVE_SCALARS_H */
