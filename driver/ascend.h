/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the Ascend driver exports about a process's device memory; no header of
 * it is needed to build this module, and no symbol to load it.
 */
#ifndef _L3L2Q_ASCEND_H
#define _L3L2Q_ASCEND_H

#include <linux/types.h>

struct l3l2q_account;

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

/* ascend_table.c */

/**
 * struct ascend_table - the Ascend driver's answer
 * @pages: what it said; stays until ascend_table_put(), but is not to be read once
 *	the memory went away
 */
struct ascend_table {
	const struct p2p_page_table *pages;
};

/**
 * struct ascend_table_ops - what a table's owner does
 * @gone: the memory goes away: nobody touches it any more once this has returned. It
 *	may sleep, for nothing that waits for a get or a put
 * @drop: the owner is not used any more
 */
struct ascend_table_ops {
	void (*gone)(void *owner);
	void (*drop)(void *owner);
};

struct ascend_table *ascend_table_get(u64 va, u64 bytes,
				      struct l3l2q_account *account,
				      const struct ascend_table_ops *ops,
				      void *owner);
void ascend_table_put(struct ascend_table *table);
int ascend_tables_init(void);
void ascend_tables_exit(void);

#endif /* _L3L2Q_ASCEND_H */
