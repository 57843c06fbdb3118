// SPDX-License-Identifier: GPL-2.0-only
/* eventfd_signal() lost its count in 6.8. */
#include <linux/eventfd.h>

void l3l2q_probe(struct eventfd_ctx *ctx);
void l3l2q_probe(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx);
}
