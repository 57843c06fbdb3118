// SPDX-License-Identifier: GPL-2.0-only
/* What vmaps of dma-bufs are in has been struct iosys_map since 5.18. */
#include <linux/dma-buf.h>
#include <linux/iosys-map.h>

int l3l2q_probe(struct dma_buf *dmabuf, struct iosys_map *map);
int l3l2q_probe(struct dma_buf *dmabuf, struct iosys_map *map)
{
	return dmabuf->ops->vmap(dmabuf, map);
}
