/* SPDX-License-Identifier: MIT */
/* Stand-in for what an orchestration gets of its runtime. A task is done once it is submitted. */
#ifndef STUB_PTO_ORCHESTRATION_API_H
#define STUB_PTO_ORCHESTRATION_API_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct OrchArgs {
	uint64_t scalars[16];

	uint64_t scalar(size_t i) const { return scalars[i]; }
};

struct ExternalTensor {
	uint64_t address;
	uint64_t nbytes;
};

inline ExternalTensor make_tensor_external(uint64_t address, uint64_t nbytes)
{
	return {address, nbytes};
}

/* out = 2 * (a + b), word by word; b may be nothing. */
inline void rt_submit_aiv_task(ExternalTensor a, ExternalTensor b, ExternalTensor out)
{
	for (uint64_t at = 0; at < out.nbytes; at += sizeof(uint32_t)) {
		uint32_t x, y = 0;

		memcpy(&x, reinterpret_cast<const void *>(a.address + at), sizeof(x));
		if (b.nbytes)
			memcpy(&y, reinterpret_cast<const void *>(b.address + at), sizeof(y));
		x = 2 * (x + y);
		memcpy(reinterpret_cast<void *>(out.address + at), &x, sizeof(x));
	}
}

inline thread_local const char *fatal_text;

inline void rt_report_fatal(const char *text)
{
	if (!fatal_text)
		fatal_text = text;
}

#endif /* STUB_PTO_ORCHESTRATION_API_H */
