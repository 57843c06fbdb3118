// SPDX-License-Identifier: GPL-2.0-only
/* From 5.11 to 5.17 it was struct dma_buf_map; before that, a pointer. */
#include <linux/dma-buf.h>
#include <linux/dma-buf-map.h>

int l3l2q_probe(struct dma_buf *dmabuf, struct dma_buf_map *map);
int l3l2q_probe(struct dma_buf *dmabuf, struct dma_buf_map *map)
{
	return dmabuf->ops->vmap(dmabuf, map);
}
