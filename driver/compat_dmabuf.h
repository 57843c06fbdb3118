/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One spelling for what kernels from 5.10 on spell differently about dma-bufs.
 * See compat.h.
 */
#ifndef _L3L2Q_COMPAT_DMABUF_H
#define _L3L2Q_COMPAT_DMABUF_H

#include <linux/dma-buf.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/vmalloc.h>

#ifdef L3L2Q_HAVE_DMA_BUF_INVALIDATE_MAPPINGS
#define l3l2q_move_notify	invalidate_mappings
#else
#define l3l2q_move_notify	move_notify
#endif

#if defined(L3L2Q_HAVE_IOSYS_MAP)
#include <linux/iosys-map.h>
#define l3l2q_dmabuf_map	iosys_map
#define L3L2Q_HAVE_DMABUF_MAP
#elif defined(L3L2Q_HAVE_DMA_BUF_MAP)
#include <linux/dma-buf-map.h>
#define l3l2q_dmabuf_map	dma_buf_map
#define L3L2Q_HAVE_DMABUF_MAP
#else
struct l3l2q_dmabuf_map {
	void *vaddr;
	bool is_iomem;
};
#endif

/* Neither under the dma-buf's lock, whoever takes it. */
static inline int l3l2q_dmabuf_vmap(struct dma_buf *dmabuf,
				    struct l3l2q_dmabuf_map *map)
{
#if defined(L3L2Q_HAVE_DMA_BUF_VMAP_UNLOCKED)
	return dma_buf_vmap_unlocked(dmabuf, map);
#elif defined(L3L2Q_HAVE_DMABUF_MAP)
	return dma_buf_vmap(dmabuf, map);
#else
	map->vaddr = dma_buf_vmap(dmabuf);
	if (!map->vaddr)
		return -ENOMEM;
	map->is_iomem = is_vmalloc_addr(map->vaddr) &&
			!pfn_valid(vmalloc_to_pfn(map->vaddr));
	return 0;
#endif
}

static inline void l3l2q_dmabuf_vunmap(struct dma_buf *dmabuf,
				       struct l3l2q_dmabuf_map *map)
{
#if defined(L3L2Q_HAVE_DMA_BUF_VMAP_UNLOCKED)
	dma_buf_vunmap_unlocked(dmabuf, map);
#elif defined(L3L2Q_HAVE_DMABUF_MAP)
	dma_buf_vunmap(dmabuf, map);
#else
	dma_buf_vunmap(dmabuf, map->vaddr);
#endif
}

#endif /* _L3L2Q_COMPAT_DMABUF_H */
