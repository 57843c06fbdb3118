/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the Ascend driver exports about a process's device memory; no header of
 * it is needed to build this module, and no symbol to load it.
 */
#ifndef _L3L2Q_ASCEND_H
#define _L3L2Q_ASCEND_H

#include <linux/types.h>

#define P2P_PAGE_TABLE_VERSION	1

struct p2p_page_info {
	u64 pa;
	u64 reserved[4];
};

struct p2p_page_table {
	u32 version;
	u64 page_size;
	struct p2p_page_info *pages_info;
	u64 page_num;
	u64 reserved[4];
};

/*
 * Of the calling process. The callback is mandatory and says that the memory is
 * going away: once it has returned nobody touches it any more. It must not put,
 * nor wait for a put. The table stays until it is put, exactly once, with or
 * without a callback before. Both may sleep and return 0 or an error.
 */
int hal_kernel_p2p_get_pages(u64 va, u64 len,
			     void (*free_callback)(void *data), void *data,
			     struct p2p_page_table **page_table);
int hal_kernel_p2p_put_pages(struct p2p_page_table *page_table);

#endif /* _L3L2Q_ASCEND_H */
