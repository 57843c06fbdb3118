// SPDX-License-Identifier: GPL-2.0-only
/* The name of a symbol namespace has been a string since 6.13. */
#include <linux/module.h>

MODULE_IMPORT_NS(DMA_BUF);
