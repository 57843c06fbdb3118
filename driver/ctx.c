// SPDX-License-Identifier: GPL-2.0-only
/*
 * A context, an open of the device node: what the driver can do, and CREATE.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/nospec.h>
#include <linux/string.h>
#include <linux/types.h>

#include "internal.h"

static int l3l2q_ioctl_query(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_query *cmd = ucmd->cmd;

	*cmd = (struct l3l2q_query) {
		.features = l3l2q_backend_features(),
		.max_region_bytes = l3l2q_max_region_bytes(),
		.max_counter_bytes = L3L2Q_RAW_COUNTER_MAX,
		.max_user_bytes = l3l2q_max_user_bytes(),
		.max_user_window_bytes = l3l2q_max_user_window_bytes(),
		.max_user_regions = l3l2q_max_user_regions(),
		.page_size = PAGE_SIZE,
		.nr_devices = l3l2q_pci_nr_devices(),
		.max_conditions = L3L2Q_WAIT_MAX_CONDITIONS,
		.max_waits = L3L2Q_MAX_WAITS,
		.max_endpoint_conditions = L3L2Q_MAX_CONDITIONS,
		.poll_min_ns = l3l2q_scan_lowest_ns(),
		.poll_max_ns = l3l2q_scan_highest_ns(),
		.poll_user_min_ns = l3l2q_scan_user_min_ns(),
		.tick_regions = l3l2q_scan_tick_regions(),
	};
	return l3l2q_ucmd_respond(ucmd);
}

static int l3l2q_ioctl_query_device(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_query_device *cmd = ucmd->cmd;
	int err;

	err = l3l2q_pci_query_device(cmd);
	return err ? err : l3l2q_ucmd_respond(ucmd);
}

static int l3l2q_create_queue(const struct l3l2q_create *cmd,
			      struct l3l2q_layout *layout)
{
	if (cmd->payload_bytes || cmd->counter_bytes)
		return -EINVAL;
	if (l3l2q_layout_make(cmd->depth, cmd->input_arena_bytes,
			      cmd->output_arena_bytes, layout))
		return -EINVAL;
	return 0;
}

static int l3l2q_create_raw(const struct l3l2q_create *cmd,
			    struct l3l2q_layout *layout)
{
	if (cmd->input_arena_bytes || cmd->output_arena_bytes)
		return -EINVAL;
	if (!cmd->payload_bytes || !cmd->counter_bytes ||
	    cmd->counter_bytes % sizeof(s32))
		return -EINVAL;
	if (cmd->counter_bytes > L3L2Q_RAW_COUNTER_MAX)
		return -EFBIG;

	memset(layout, 0, sizeof(*layout));
	layout->payload_bytes = cmd->payload_bytes;
	layout->counter_bytes = cmd->counter_bytes;
	return 0;
}

/* Printable ASCII, ended by a NUL, and zero after it. */
static bool l3l2q_tag_is_valid(const u8 *tag)
{
	size_t length = strnlen((const char *)tag, L3L2Q_TAG_BYTES);
	size_t i;

	if (length == L3L2Q_TAG_BYTES)
		return false;
	for (i = 0; i < length; i++) {
		if (tag[i] < 0x20 || tag[i] > 0x7e)
			return false;
	}
	return !memchr_inv(tag + length, 0, L3L2Q_TAG_BYTES - length);
}

/* How the region describes itself to L2. */
static int l3l2q_create_check_names(const struct l3l2q_create *cmd)
{
	if (cmd->region_version && !l3l2q_region_magic(cmd->region_version))
		return -EINVAL;
	if (cmd->binding > L3L2Q_BINDING_SPSQ ||
	    l3l2q_identity_check(cmd->binding, cmd->identity) != L3L2Q_CHECK_OK)
		return -EINVAL;
	if (cmd->binding == L3L2Q_BINDING_SPSQ && !cmd->depth)
		return -EINVAL;
	return l3l2q_tag_is_valid(cmd->tag) ? 0 : -EINVAL;
}

static int l3l2q_create_check(const struct l3l2q_create *cmd,
			      const struct l3l2q_backend_ops *ops)
{
	int err;

	if (cmd->pad || cmd->role >= L3L2Q_ROLES || cmd->flags & ~ops->flags)
		return -EINVAL;
	err = l3l2q_create_check_names(cmd);
	if (err)
		return err;
	if (!ops->two_sources &&
	    (cmd->counter_source || cmd->counter_source_bytes))
		return -EOPNOTSUPP;

	if (!(cmd->flags & L3L2Q_CREATE_NUMA))
		return cmd->numa_node ? -EINVAL : 0;
	if (cmd->numa_node < 0 || cmd->numa_node >= MAX_NUMNODES ||
	    !node_state(array_index_nospec(cmd->numa_node, MAX_NUMNODES),
			N_MEMORY))
		return -EINVAL;
	return 0;
}

static int l3l2q_ioctl_create(struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_create *cmd = ucmd->cmd;
	const struct l3l2q_backend_ops *ops = l3l2q_backend(cmd->backend);
	struct l3l2q_region *region;
	struct l3l2q_layout layout;
	int err;

	if (IS_ERR(ops))
		return PTR_ERR(ops);
	err = l3l2q_create_check(cmd, ops);
	if (err)
		return err;
	cmd->role = array_index_nospec(cmd->role, L3L2Q_ROLES);
	if (cmd->depth)
		err = l3l2q_create_queue(cmd, &layout);
	else
		err = l3l2q_create_raw(cmd, &layout);
	if (err)
		return err;
	if (layout.payload_bytes > l3l2q_max_region_bytes()) {
		pr_warn_ratelimited("%llu bytes are more than max_region_mib\n",
				    layout.payload_bytes);
		return -EFBIG;
	}

	region = l3l2q_region_create(cmd, &layout, ops);
	if (IS_ERR(region))
		return PTR_ERR(region);

	cmd->region_id = region->id;
	err = l3l2q_endpoint_publish(&region->ep[cmd->role], ucmd, &cmd->fd);
	l3l2q_region_put(region);
	return err;
}

#define L3L2Q_CREATE_FLAGS						\
	(L3L2Q_CREATE_NUMA | L3L2Q_CREATE_SILENT_PEER |			\
	 L3L2Q_CREATE_COHERENT | L3L2Q_CREATE_SHARE_ADDRESSES)

static const struct l3l2q_ioctl l3l2q_ctx_ioctls[] = {
	[_IOC_NR(L3L2Q_IOC_QUERY)] =
		L3L2Q_IOCTL(l3l2q_query, 88, 0, 0, l3l2q_ioctl_query),
	[_IOC_NR(L3L2Q_IOC_QUERY_DEVICE)] =
		L3L2Q_IOCTL(l3l2q_query_device, 80, 0, 0,
			    l3l2q_ioctl_query_device),
	[_IOC_NR(L3L2Q_IOC_CREATE)] =
		L3L2Q_IOCTL(l3l2q_create, 160, L3L2Q_CREATE_FLAGS, 0,
			    l3l2q_ioctl_create),
	[_IOC_NR(L3L2Q_IOC_QUERY_REGION)] =
		L3L2Q_IOCTL(l3l2q_query_region, 328, 0, 0,
			    l3l2q_ioctl_query_region),
	[_IOC_NR(L3L2Q_IOC_OBSERVE)] =
		L3L2Q_IOCTL(l3l2q_observe, 144, L3L2Q_OBSERVE_PAYLOAD, 0,
			    l3l2q_ioctl_observe),
};

static long l3l2q_ctx_ioctl(struct file *file, unsigned int cmd,
			    unsigned long arg)
{
	return l3l2q_ioctl(l3l2q_ctx_ioctls, ARRAY_SIZE(l3l2q_ctx_ioctls), NULL,
			   cmd, arg);
}

const struct file_operations l3l2q_ctx_fops = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.unlocked_ioctl = l3l2q_ctx_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
