// SPDX-License-Identifier: GPL-2.0-only
/*
 * l3l2q: the L3-L2 message queue of Ascend host runtimes, with sleeping,
 * waking and notice of a dead peer. This file is the module and its node.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/miscdevice.h>
#include <linux/module.h>

#include "internal.h"

#define L3L2Q_VERSION "1.0.0"

static struct miscdevice l3l2q_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "l3l2q",
	.fops = &l3l2q_ctx_fops,
	.mode = 0660,
};

/* The module's own device, from the first CREATE until the last region is gone. */
struct device *l3l2q_device(void)
{
	return l3l2q_misc.this_device;
}

static int __init l3l2q_init(void)
{
	char names[64];
	int err;

	err = l3l2q_backends_init();
	if (err)
		return err;
	err = misc_register(&l3l2q_misc);
	if (err) {
		l3l2q_backends_exit();
		return err;
	}
	l3l2q_backends_list(names, sizeof(names));
	pr_info("version %s, backends:%s\n", L3L2Q_VERSION, names);
	return 0;
}

static void __exit l3l2q_exit(void)
{
	misc_deregister(&l3l2q_misc);
	l3l2q_backends_exit();
}

module_init(l3l2q_init);
module_exit(l3l2q_exit);

MODULE_DESCRIPTION("L3-L2 message queues between a host runtime and an NPU");
MODULE_AUTHOR("l3l2q maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION(L3L2Q_VERSION);
