// SPDX-License-Identifier: GPL-2.0-only
/*
 * What all ioctls have in common: structures that can grow, flags, results.
 */
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "internal.h"

/*
 * Large enough for, and aligned as, the structures of ioctls. Kernels may be
 * built to clear what is on the stack, hence one for those that are called often.
 */
union l3l2q_ucmd_small {
	struct l3l2q_open_peer open_peer;
	struct l3l2q_notify notify;
	struct l3l2q_test test;
	struct l3l2q_wait wait;
	struct l3l2q_arm arm;
	struct l3l2q_eventfd eventfd;
	struct l3l2q_set_polling set_polling;
	struct l3l2q_export_dmabuf export_dmabuf;
};

union l3l2q_ucmd_large {
	struct l3l2q_query query;
	struct l3l2q_query_device query_device;
	struct l3l2q_create create;
	struct l3l2q_info info;
	struct l3l2q_query_region query_region;
	struct l3l2q_observe observe;
	struct l3l2q_stats stats;
};

/* What every structure starts with. */
struct l3l2q_ucmd_head {
	__u32 size;
	__u32 flags;
};

/*
 * Structures are a few words: to fetch these one by one is cheaper than what
 * copies in general have to check.
 */
static int l3l2q_fetch_words(u64 *words, const u64 __user *user, size_t bytes)
{
	size_t i;

	/* As copies in general do for the sake of tests. */
	if (should_fail_usercopy() || !user_read_access_begin(user, bytes))
		return -EFAULT;
	for (i = 0; i < bytes / sizeof(*words); i++)
		unsafe_get_user(words[i], &user[i], fault);
	user_read_access_end();
	return 0;

fault:
	user_read_access_end();
	return -EFAULT;
}

static int l3l2q_ucmd_copy(struct l3l2q_ucmd *ucmd,
			   const struct l3l2q_ioctl *ioctl)
{
	const struct l3l2q_ucmd_head *head = ucmd->cmd;
	int err;

	ucmd->size = ioctl->size;
	if (get_user(ucmd->user_size, (u32 __user *)ucmd->user))
		return -EFAULT;
	if (ucmd->user_size < ioctl->min_size)
		return -EINVAL;
	if (ucmd->user_size > PAGE_SIZE)
		return -E2BIG;

	if (ucmd->user_size == ucmd->size &&
	    IS_ALIGNED(ucmd->size, sizeof(u64)))
		err = l3l2q_fetch_words(ucmd->cmd, ucmd->user, ucmd->size);
	else
		err = copy_struct_from_user(ucmd->cmd, ucmd->size, ucmd->user,
					    ucmd->user_size);
	if (err)
		return err;
	ucmd->flags = head->flags;
	return 0;
}

/**
 * l3l2q_ucmd_respond() - hand the results of an ioctl to its caller
 * @ucmd: whose ->cmd is copied out, as much of it as the caller has room for
 *
 * Return: 0 or -EFAULT.
 */
int l3l2q_ucmd_respond(const struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_ucmd_head *head = ucmd->cmd;

	/* Whoever calls again with the same structure has no more room then. */
	head->size = ucmd->user_size;
	if (copy_to_user(ucmd->user, ucmd->cmd,
			 min(ucmd->user_size, ucmd->size)))
		return -EFAULT;
	if (ucmd->user_size > ucmd->size &&
	    clear_user(ucmd->user + ucmd->size, ucmd->user_size - ucmd->size))
		return -EFAULT;
	return 0;
}

/**
 * l3l2q_file_publish() - hand a new file to the caller of an ioctl
 * @name: as /proc/PID/fd shows it
 * @fops: with ->read it can be read at offsets
 * @data: for the file, whose release is called with it
 * @flags: O_RDWR or O_RDONLY
 * @region: whose mapping the file's are in
 * @ucmd: the ioctl that responds with it
 * @fd: where in ucmd->cmd its number goes
 *
 * Return: 0, or -errno and nobody has seen the file; it has not taken @data then.
 */
int l3l2q_file_publish(const char *name, const struct file_operations *fops,
		       void *data, int flags, const struct l3l2q_region *region,
		       const struct l3l2q_ucmd *ucmd, s32 *fd)
{
	struct file *file;
	int err;

	err = get_unused_fd_flags(O_CLOEXEC);
	if (err < 0)
		return err;
	*fd = err;

	file = anon_inode_getfile(name, fops, data, flags);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto err_fd;
	}
	err = l3l2q_ucmd_respond(ucmd);
	if (err)
		goto err_file;

	if (fops->read)
		file->f_mode |= FMODE_PREAD;
	file->f_mapping = region->inode->i_mapping;
	fd_install(*fd, file);
	return 0;

err_file:
	/* Its release comes when it comes, and has nothing to release. */
	file->private_data = NULL;
	fput(file);
err_fd:
	put_unused_fd(*fd);
	return err;
}

static long l3l2q_ucmd_execute(const struct l3l2q_ioctl *ioctl,
			       struct l3l2q_ucmd *ucmd)
{
	struct l3l2q_endpoint *ep = ucmd->ep;

	if (ucmd->flags & ~(unsigned long)ioctl->flags)
		return -EINVAL;
	if (ep && l3l2q_region_removed(ep->region))
		return -ENODEV;
	if (ioctl->who & L3L2Q_CALL_LIVE && l3l2q_endpoint_ended(ep))
		return -ESHUTDOWN;
	if (ioctl->who & L3L2Q_CALL_OWNER && l3l2q_endpoint_is_foreign(ep))
		return -EPERM;
	return ioctl->execute(ucmd);
}

static noinline long l3l2q_ioctl_small(const struct l3l2q_ioctl *ioctl,
				       struct l3l2q_ucmd *ucmd)
{
	union l3l2q_ucmd_small buffer;
	int err;

	ucmd->cmd = &buffer;
	err = l3l2q_ucmd_copy(ucmd, ioctl);
	return err ? err : l3l2q_ucmd_execute(ioctl, ucmd);
}

static noinline long l3l2q_ioctl_large(const struct l3l2q_ioctl *ioctl,
				       struct l3l2q_ucmd *ucmd)
{
	union l3l2q_ucmd_large buffer;
	int err;

	ucmd->cmd = &buffer;
	err = l3l2q_ucmd_copy(ucmd, ioctl);
	return err ? err : l3l2q_ucmd_execute(ioctl, ucmd);
}

/**
 * l3l2q_ioctl() - find and call one ioctl
 * @table: those of this kind of file, indexed by _IOC_NR()
 * @nr: length of @table
 * @ep: what it is called on, NULL for a context
 * @cmd: as the caller gave it
 * @arg: as the caller gave it
 *
 * Return: what the operation returned or what is wrong with the call.
 */
long l3l2q_ioctl(const struct l3l2q_ioctl *table, unsigned int nr,
		 struct l3l2q_endpoint *ep, unsigned int cmd,
		 unsigned long arg)
{
	struct l3l2q_ucmd ucmd = {
		.user = (void __user *)arg,
		.flags = arg,
		.ep = ep,
	};
	const struct l3l2q_ioctl *ioctl;

	if (cmd != _IO(L3L2Q_IOC_TYPE, _IOC_NR(cmd)) || _IOC_NR(cmd) >= nr)
		return -ENOTTY;
	ioctl = &table[array_index_nospec(_IOC_NR(cmd), nr)];
	if (!ioctl->execute)
		return -ENOTTY;

	if (!ioctl->size)
		return l3l2q_ucmd_execute(ioctl, &ucmd);
	if (ioctl->size <= sizeof(union l3l2q_ucmd_small))
		return l3l2q_ioctl_small(ioctl, &ucmd);
	return l3l2q_ioctl_large(ioctl, &ucmd);
}
