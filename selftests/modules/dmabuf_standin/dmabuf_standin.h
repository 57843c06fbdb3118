/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests say to /dev/dmabuf_standin, an exporter of dma-bufs that can take
 * them back, and an importer that looks at those of others by DMA.
 */
#ifndef DMABUF_STANDIN_H
#define DMABUF_STANDIN_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DMABUF_STANDIN_DYNAMIC		0x001	/* it wants to be pinned, and can be revoked */
#define DMABUF_STANDIN_READ_ONLY	0x002	/* the descriptor is */
#define DMABUF_STANDIN_NO_VMAP		0x004
#define DMABUF_STANDIN_NO_MMAP		0x008
#define DMABUF_STANDIN_IOMEM		0x010	/* its vmap says so */
#define DMABUF_STANDIN_NO_PIN		0x020	/* pinning is EBUSY */
#define DMABUF_STANDIN_MOVES		0x040	/* notifies when it is pinned */
#define DMABUF_STANDIN_VMAP_LOSES	0x080	/* is revoked right after its vmap */
#define DMABUF_STANDIN_NO_ATTACH	0x100	/* attaching is EBUSY */
#define DMABUF_STANDIN_FLAGS		0x1ffu

/* What a process finds in its mappings of a revoked one. */
#define DMABUF_STANDIN_GONE		0x5a

/**
 * struct dmabuf_standin_new - export a buffer
 * @bytes: its size
 * @flags: DMABUF_STANDIN_*
 * @fd: out
 */
struct dmabuf_standin_new {
	__aligned_u64 bytes;
	__u32 flags;
	__s32 fd;
};

/**
 * struct dmabuf_standin_state - what importers do with one of its buffers
 * @fd: which
 * @attached: attachments
 * @pinned: pins
 * @vmapped: vmaps
 * @notified: how often importers were told
 * @revoked: 0 or 1
 */
struct dmabuf_standin_state {
	__s32 fd;
	__u32 attached;
	__u32 pinned;
	__u32 vmapped;
	__u32 notified;
	__u32 revoked;
};

/**
 * struct dmabuf_standin_look - map anybody's buffer for DMA and read it
 * @fd: which
 * @pad: 0
 * @bytes: out: how much there is
 * @sum: out: of its bytes
 */
struct dmabuf_standin_look {
	__s32 fd;
	__u32 pad;
	__aligned_u64 bytes;
	__aligned_u64 sum;
};

#define DMABUF_STANDIN_NODE	"/dev/dmabuf_standin"
#define DMABUF_STANDIN_NEW	_IOWR(0xE4, 0, struct dmabuf_standin_new)
#define DMABUF_STANDIN_REVOKE	_IO(0xE4, 1)	/* argument: the descriptor */
#define DMABUF_STANDIN_STATE	_IOWR(0xE4, 2, struct dmabuf_standin_state)
#define DMABUF_STANDIN_LOOK	_IOWR(0xE4, 3, struct dmabuf_standin_look)

#endif /* DMABUF_STANDIN_H */
