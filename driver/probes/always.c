// SPDX-License-Identifier: GPL-2.0-only
/* Must compile everywhere: if it does not, no other answer means anything. */
#include <linux/module.h>
#include <linux/mm.h>
#include <linux/slab.h>

void *l3l2q_probe(void);
void *l3l2q_probe(void)
{
	return kmalloc(1, GFP_KERNEL);
}
