// SPDX-License-Identifier: GPL-2.0-only
/*
 * The backends that this module was built with, one entry each.
 */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/nospec.h>

#include "internal.h"

struct l3l2q_scanner l3l2q_host_scanner;

static const struct l3l2q_backend_ops * const l3l2q_backends[] = {
	[L3L2Q_BACKEND_RAM] = &l3l2q_ram_ops,
#ifdef L3L2Q_WITH_PCI
	[L3L2Q_BACKEND_PCI] = &l3l2q_pci_ops,
#endif
#ifdef CONFIG_DMA_SHARED_BUFFER
	[L3L2Q_BACKEND_DMABUF] = &l3l2q_dmabuf_ops,
#endif
	[L3L2Q_BACKEND_ASCEND] = &l3l2q_ascend_ops,
};

/**
 * l3l2q_backend() - find a backend
 * @id: enum l3l2q_backend, or what a user took for one
 *
 * Return: the backend; ERR_PTR(-EINVAL) if there is none of that number,
 * ERR_PTR(-EOPNOTSUPP) if this module was built without it.
 */
const struct l3l2q_backend_ops *l3l2q_backend(u32 id)
{
	if (id > L3L2Q_BACKEND_ASCEND)
		return ERR_PTR(-EINVAL);
	id = array_index_nospec(id, L3L2Q_BACKEND_ASCEND + 1);
	if (id >= ARRAY_SIZE(l3l2q_backends) || !l3l2q_backends[id])
		return ERR_PTR(-EOPNOTSUPP);
	return l3l2q_backends[id];
}

/**
 * l3l2q_backend_features() - what there is
 *
 * Return: L3L2Q_FEATURE_* of the backends.
 */
u64 l3l2q_backend_features(void)
{
	u64 features = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(l3l2q_backends); i++) {
		if (l3l2q_backends[i])
			features |= l3l2q_backends[i]->feature;
	}
	return features;
}

/**
 * l3l2q_backends_list() - what there is, for people
 * @names: result: a space before each
 * @size: of @names
 */
void l3l2q_backends_list(char *names, size_t size)
{
	size_t length = 0;
	u32 i;

	names[0] = 0;
	for (i = 0; i < ARRAY_SIZE(l3l2q_backends); i++) {
		if (l3l2q_backends[i])
			length += scnprintf(names + length, size - length,
					    " %s", l3l2q_backends[i]->name);
	}
}

static void l3l2q_backends_exit_from(u32 end)
{
	while (end--) {
		if (l3l2q_backends[end] && l3l2q_backends[end]->exit)
			l3l2q_backends[end]->exit();
	}
	l3l2q_scanner_fini(&l3l2q_host_scanner);
}

/**
 * l3l2q_backends_init() - set all of them up
 *
 * Return: 0 or -errno, and none is.
 */
int l3l2q_backends_init(void)
{
	u32 i;
	int err;

	err = l3l2q_scanner_init(&l3l2q_host_scanner);
	if (err)
		return err;

	for (i = 0; i < ARRAY_SIZE(l3l2q_backends); i++) {
		if (!l3l2q_backends[i] || !l3l2q_backends[i]->init)
			continue;
		err = l3l2q_backends[i]->init();
		if (err) {
			l3l2q_backends_exit_from(i);
			return err;
		}
	}
	return 0;
}

void l3l2q_backends_exit(void)
{
	l3l2q_backends_exit_from(ARRAY_SIZE(l3l2q_backends));
}
