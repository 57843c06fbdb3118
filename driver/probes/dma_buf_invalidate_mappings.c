// SPDX-License-Identifier: GPL-2.0-only
/* What an importer is told with was called ->move_notify before 7.0. */
#include <linux/dma-buf.h>

void l3l2q_probe(struct dma_buf_attachment *attach);
void l3l2q_probe(struct dma_buf_attachment *attach)
{
	attach->importer_ops->invalidate_mappings(attach);
}
