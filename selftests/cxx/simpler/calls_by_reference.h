/* SPDX-License-Identifier: MIT */
/* Calls with results by reference: G1b, G2 and G3. */
#ifndef CXX_SIMPLER_CALLS_BY_REFERENCE_H
#define CXX_SIMPLER_CALLS_BY_REFERENCE_H

namespace gen {

template <typename E>
bool try_peek(E &ep, Handle &m)
{
	return ep.input().try_peek(m);
}

template <typename E>
bool peek(E &ep, uint64_t timeout_ns, Handle &m)
{
	return ep.input().peek(timeout_ns, m);
}

template <typename E>
bool try_reserve(E &ep, uint64_t nbytes, Reservation &r)
{
	return ep.output().try_reserve(nbytes, r);
}

template <typename E>
bool reserve(E &ep, uint64_t nbytes, uint64_t timeout_ns, Reservation &r)
{
	return ep.output().reserve(nbytes, timeout_ns, r);
}

} /* namespace gen */

#endif /* CXX_SIMPLER_CALLS_BY_REFERENCE_H */
