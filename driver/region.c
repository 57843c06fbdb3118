// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions: making and freeing them, and what a user may hold in them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/gfp.h>
#include <linux/hashtable.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "internal.h"
#include "trace.h"

#define L3L2Q_FS_MAGIC	0x4c334c32

static unsigned int max_region_mib = 64 * 1024;
module_param(max_region_mib, uint, 0644);
MODULE_PARM_DESC(max_region_mib,
		 "Largest payload range of a region, in MiB (1-1048576, default 65536)");

static unsigned int max_user_mib;
module_param(max_user_mib, uint, 0644);
MODULE_PARM_DESC(max_user_mib,
		 "Memory a user without CAP_SYS_RESOURCE may hold in regions, in MiB (default 0: half of the RAM)");

static unsigned int max_user_window_mib;
module_param(max_user_window_mib, uint, 0644);
MODULE_PARM_DESC(max_user_window_mib,
		 "Memory of PCI windows a user without CAP_SYS_RESOURCE may hold in regions, in MiB (default 0: half of all windows)");

static unsigned int max_user_regions = 4096;
module_param(max_user_regions, uint, 0644);
MODULE_PARM_DESC(max_user_regions,
		 "Regions a user without CAP_SYS_RESOURCE may hold (default 4096)");

u64 l3l2q_max_region_bytes(void)
{
	u64 bytes = (u64)READ_ONCE(max_region_mib) << 20;

	return min_t(u64, bytes, L3L2Q_PART_MAX_BYTES);
}

u64 l3l2q_max_user_bytes(void)
{
	u64 mib = READ_ONCE(max_user_mib);

	return mib ? mib << 20 : (u64)totalram_pages() * PAGE_SIZE / 2;
}

u64 l3l2q_max_user_window_bytes(void)
{
	u64 mib = READ_ONCE(max_user_window_mib);

	return mib ? mib << 20 : l3l2q_pci_window_bytes() / 2;
}

u32 l3l2q_max_user_regions(void)
{
	return READ_ONCE(max_user_regions);
}

/* ---- limits ------------------------------------------------------------- */

/**
 * struct l3l2q_holding - what counts against the limits of a user
 * @regions: how many
 * @bytes: kernel memory in them
 * @window_bytes: parts of windows in them
 */
struct l3l2q_holding {
	u64 regions;
	u64 bytes;
	u64 window_bytes;
};

/**
 * struct l3l2q_user - what one user holds
 * @node: in l3l2q_users
 * @uid: in the initial user namespace
 * @refs: accounts that name it; the last one frees it
 * @held: by all regions that are charged to it
 */
struct l3l2q_user {
	struct hlist_node node;
	kuid_t uid;
	u32 refs;
	struct l3l2q_holding held;
};

/**
 * struct l3l2q_account - the users that a region is charged to
 * @refs: the region, and what outlives it
 * @held: how much, to each of them
 * @nr: length of @users
 * @users: who created it, then the owners of the user namespaces that the creator
 *	was in, outwards. Without these a new namespace would be a new allowance
 */
struct l3l2q_account {
	struct kref refs;
	struct l3l2q_holding held;
	u32 nr;
	struct l3l2q_user *users[];
};

static DEFINE_HASHTABLE(l3l2q_users, 8);
static DEFINE_MUTEX(l3l2q_users_lock);	/* also for what they hold */

static struct l3l2q_user *l3l2q_user_get(kuid_t uid)
{
	struct l3l2q_user *user;

	lockdep_assert_held(&l3l2q_users_lock);
	hash_for_each_possible(l3l2q_users, user, node, __kuid_val(uid)) {
		if (uid_eq(user->uid, uid)) {
			user->refs++;
			return user;
		}
	}

	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		return NULL;
	user->uid = uid;
	user->refs = 1;
	hash_add(l3l2q_users, &user->node, __kuid_val(uid));
	return user;
}

static void l3l2q_user_put(struct l3l2q_user *user)
{
	lockdep_assert_held(&l3l2q_users_lock);
	if (--user->refs)
		return;
	hash_del(&user->node);
	kfree(user);
}

static bool l3l2q_exceeds(u64 held, u64 more, u64 max)
{
	return more && (held > max || more > max - held);
}

/* The module parameter that stands against more, or NULL. */
static const char *l3l2q_user_limit(const struct l3l2q_user *user,
				    const struct l3l2q_holding *more)
{
	const struct l3l2q_holding *held = &user->held;

	if (l3l2q_exceeds(held->regions, more->regions,
			  l3l2q_max_user_regions()))
		return "max_user_regions";
	if (l3l2q_exceeds(held->bytes, more->bytes, l3l2q_max_user_bytes()))
		return "max_user_mib";
	if (l3l2q_exceeds(held->window_bytes, more->window_bytes,
			  l3l2q_max_user_window_bytes()))
		return "max_user_window_mib";
	return NULL;
}

static void l3l2q_holding_add(struct l3l2q_holding *held,
			      const struct l3l2q_holding *more)
{
	held->regions += more->regions;
	held->bytes += more->bytes;
	held->window_bytes += more->window_bytes;
}

static void l3l2q_holding_sub(struct l3l2q_holding *held,
			      const struct l3l2q_holding *less)
{
	held->regions -= less->regions;
	held->bytes -= less->bytes;
	held->window_bytes -= less->window_bytes;
}

/* Charge more to all of its users, or to none. */
static int l3l2q_account_charge(struct l3l2q_account *account,
				const struct l3l2q_holding *more)
{
	const char *limit = NULL;
	kuid_t uid = INVALID_UID;
	u32 i;

	lockdep_assert_held(&l3l2q_users_lock);
	for (i = 0; i < account->nr && !limit; i++) {
		uid = account->users[i]->uid;
		limit = l3l2q_user_limit(account->users[i], more);
	}
	if (limit && !capable(CAP_SYS_RESOURCE)) {
		pr_warn_ratelimited("user %u is at the limit of %s\n",
				    from_kuid(&init_user_ns, uid), limit);
		return -EDQUOT;
	}

	for (i = 0; i < account->nr; i++)
		l3l2q_holding_add(&account->users[i]->held, more);
	l3l2q_holding_add(&account->held, more);
	return 0;
}

/* One more user, unless it is among them. */
static int l3l2q_account_add(struct l3l2q_account *account, kuid_t uid)
{
	struct l3l2q_user *user;
	u32 i;

	for (i = 0; i < account->nr; i++) {
		if (uid_eq(account->users[i]->uid, uid))
			return 0;
	}
	user = l3l2q_user_get(uid);
	if (!user)
		return -ENOMEM;
	account->users[account->nr++] = user;
	return 0;
}

static int l3l2q_account_open(struct l3l2q_account *account,
			      const struct l3l2q_holding *first)
{
	const struct user_namespace *ns;
	int err;

	lockdep_assert_held(&l3l2q_users_lock);
	err = l3l2q_account_add(account, current_uid());
	for (ns = current_user_ns(); !err && ns->parent; ns = ns->parent)
		err = l3l2q_account_add(account, ns->owner);
	return err ? err : l3l2q_account_charge(account, first);
}

static void l3l2q_account_close(struct l3l2q_account *account)
{
	u32 i;

	lockdep_assert_held(&l3l2q_users_lock);
	for (i = 0; i < account->nr; i++) {
		l3l2q_holding_sub(&account->users[i]->held, &account->held);
		l3l2q_user_put(account->users[i]);
	}
}

static struct l3l2q_account *
l3l2q_account_new(const struct l3l2q_holding *first)
{
	/* The creator, and an owner a level. */
	u32 max = current_user_ns()->level + 1;
	struct l3l2q_account *account;
	int err;

	account = kzalloc(struct_size(account, users, max), GFP_KERNEL_ACCOUNT);
	if (!account)
		return ERR_PTR(-ENOMEM);
	kref_init(&account->refs);

	mutex_lock(&l3l2q_users_lock);
	err = l3l2q_account_open(account, first);
	if (err)
		l3l2q_account_close(account);
	mutex_unlock(&l3l2q_users_lock);

	if (!err)
		return account;
	kfree(account);
	return ERR_PTR(err);
}

static void l3l2q_account_release(struct kref *refs)
{
	struct l3l2q_account *account =
		container_of(refs, struct l3l2q_account, refs);

	mutex_lock(&l3l2q_users_lock);
	l3l2q_account_close(account);
	mutex_unlock(&l3l2q_users_lock);
	kfree(account);
}

/**
 * l3l2q_account_get() - have what a region is charged stay so
 * @account: the region's
 *
 * Return: @account.
 */
struct l3l2q_account *l3l2q_account_get(struct l3l2q_account *account)
{
	kref_get(&account->refs);
	return account;
}

void l3l2q_account_put(struct l3l2q_account *account)
{
	kref_put(&account->refs, l3l2q_account_release);
}

/**
 * l3l2q_region_charge() - charge more memory to the users of a region
 * @region: which; for its backend's alloc
 * @bytes: kernel memory that the region keeps until it is freed
 *
 * Return: 0 or -EDQUOT.
 */
int l3l2q_region_charge(struct l3l2q_region *region, u64 bytes)
{
	const struct l3l2q_holding more = { .bytes = bytes };
	int err;

	mutex_lock(&l3l2q_users_lock);
	err = l3l2q_account_charge(region->account, &more);
	mutex_unlock(&l3l2q_users_lock);
	return err;
}

/**
 * l3l2q_region_uncharge() - take back a part of what was charged so
 * @region: which
 * @bytes: how much
 */
void l3l2q_region_uncharge(struct l3l2q_region *region, u64 bytes)
{
	const struct l3l2q_holding less = { .bytes = bytes };
	struct l3l2q_account *account = region->account;
	u32 i;

	mutex_lock(&l3l2q_users_lock);
	for (i = 0; i < account->nr; i++)
		l3l2q_holding_sub(&account->users[i]->held, &less);
	l3l2q_holding_sub(&account->held, &less);
	mutex_unlock(&l3l2q_users_lock);
}

/* ---- inodes ------------------------------------------------------------- */

static int l3l2q_fs_init_context(struct fs_context *fc)
{
	return init_pseudo(fc, L3L2Q_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type l3l2q_fs_type = {
	.name = "l3l2q",
	.owner = THIS_MODULE,
	.init_fs_context = l3l2q_fs_init_context,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *l3l2q_fs_mount;
static int l3l2q_fs_pins;

/*
 * Anonymous-inode files share one address_space, where unmapping a range would
 * hit everybody; hence an inode for each region. The mount holds a reference
 * to this module, so it must go away with the last region.
 */
static struct inode *l3l2q_inode_get(void)
{
	struct inode *inode;
	int err;

	err = simple_pin_fs(&l3l2q_fs_type, &l3l2q_fs_mount, &l3l2q_fs_pins);
	if (err)
		return ERR_PTR(err);

	inode = alloc_anon_inode(l3l2q_fs_mount->mnt_sb);
	if (IS_ERR(inode))
		simple_release_fs(&l3l2q_fs_mount, &l3l2q_fs_pins);
	return inode;
}

void l3l2q_inode_put(struct inode *inode)
{
	iput(inode);
	simple_release_fs(&l3l2q_fs_mount, &l3l2q_fs_pins);
}

/* ---- regions ------------------------------------------------------------ */

/**
 * l3l2q_region_magic() - what the scalars of a region start with
 * @version: major << 16 | minor
 *
 * Return: the scalar, or 0 if there is no such version.
 */
u64 l3l2q_region_magic(u32 version)
{
	u64 magic = L3L2Q_PACK(L3L2Q_REGION_MAGIC, 0, version);

	return magic == L3L2Q_REGION_V2 || magic == L3L2Q_REGION_V3 ? magic : 0;
}

static void *l3l2q_page_alloc(void)
{
	return (void *)__get_free_page(L3L2Q_GFP_USER);
}

static void l3l2q_page_free(void *page)
{
	free_page((unsigned long)page);
}

static void l3l2q_endpoint_init(struct l3l2q_region *region,
				enum l3l2q_role role)
{
	struct l3l2q_endpoint *ep = &region->ep[role];

	ep->region = region;
	ep->peer = &region->ep[l3l2q_peer_role(role)];
	ep->role = role;
	spin_lock_init(&ep->lock);
	INIT_LIST_HEAD(&ep->watches);
	init_waitqueue_head(&ep->wq);
	l3l2q_wake_init(ep);
	l3l2q_scan_init(ep, L3L2Q_PEER_ARMS);
}

static void l3l2q_region_free_pages(struct l3l2q_region *region)
{
	enum l3l2q_role role;

	for (role = 0; role < L3L2Q_ROLES; role++)
		l3l2q_page_free(region->ep[role].control);
	l3l2q_page_free(region->status);
	if (region->ops->foreign)
		l3l2q_tomb_free(region);
}

/*
 * The pages beside the backend's: status, a control page for each role, and what
 * is left if the memory goes away.
 */
static int l3l2q_region_alloc_pages(struct l3l2q_region *region)
{
	enum l3l2q_role role;
	int err;

	if (region->ops->foreign) {
		err = l3l2q_tomb_alloc(region);
		if (err)
			return err;
	}
	region->status = l3l2q_page_alloc();
	for (role = 0; role < L3L2Q_ROLES; role++)
		region->ep[role].control = l3l2q_page_alloc();

	if (!region->status || !region->ep[L3L2Q_ROLE_L3].control ||
	    !region->ep[L3L2Q_ROLE_L2].control) {
		l3l2q_region_free_pages(region);
		return -ENOMEM;
	}
	return 0;
}

/* Pages that are the kernel's own whatever the backend. */
static u64 l3l2q_region_own_bytes(const struct l3l2q_region *region)
{
	u64 bytes = (1 + L3L2Q_ROLES) * PAGE_SIZE;

	if (region->ops->foreign)
		bytes += PAGE_SIZE +
			 L3L2Q_ROLES * PAGE_ALIGN(region->counter_bytes);
	return bytes;
}

static u64 l3l2q_region_backing_bytes(const struct l3l2q_region *region)
{
	return PAGE_ALIGN(region->payload_bytes) +
	       PAGE_ALIGN(region->counter_bytes);
}

static struct l3l2q_account *
l3l2q_region_account(const struct l3l2q_region *region)
{
	u64 backing = l3l2q_region_backing_bytes(region);
	struct l3l2q_holding first = {
		.regions = 1,
		.bytes = l3l2q_region_own_bytes(region),
	};

	if (!region->ops->foreign)
		first.bytes += backing;
	if (region->ops->window)
		first.window_bytes = backing;
	return l3l2q_account_new(&first);
}

static struct l3l2q_region *
l3l2q_region_alloc(const struct l3l2q_create *cmd,
		   const struct l3l2q_layout *layout,
		   const struct l3l2q_backend_ops *ops)
{
	static atomic64_t last_id = ATOMIC64_INIT(0);
	struct l3l2q_region *region;
	enum l3l2q_role role;

	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		return NULL;

	kref_init(&region->ref);
	init_rwsem(&region->revoke);
	region->id = atomic64_inc_return(&last_id);
	region->version = L3L2Q_REGION_DEFAULT;
	if (cmd->region_version)
		region->version = l3l2q_region_magic(cmd->region_version);
	region->binding = cmd->binding;
	region->share_addresses = cmd->flags & L3L2Q_CREATE_SHARE_ADDRESSES;
	memcpy(region->identity, cmd->identity, sizeof(region->identity));
	memcpy(region->tag, cmd->tag, sizeof(region->tag));
	region->ops = ops;
	region->layout = *layout;
	region->payload_bytes = layout->payload_bytes;
	region->counter_bytes = layout->counter_bytes;
	RCU_INIT_POINTER(region->words, &region->live);

	region->bytes = l3l2q_region_backing_bytes(region) +
			l3l2q_region_own_bytes(region);
	for (role = 0; role < L3L2Q_ROLES; role++)
		l3l2q_endpoint_init(region, role);
	region->ep[cmd->role].creator = true;
	l3l2q_process_get(&region->creator);
	region->user_ns = get_user_ns(current_user_ns());
	region->created = ktime_get_coarse_ns();
	return region;
}

static void l3l2q_region_free(struct l3l2q_region *region)
{
	enum l3l2q_role role;

	for (role = 0; role < L3L2Q_ROLES; role++)
		l3l2q_process_put(&region->ep[role].process);
	l3l2q_process_put(&region->creator);
	put_user_ns(region->user_ns);
	kfree(region);
}

/* Take the memory; return 0 or -errno, and nothing is held. */
static int l3l2q_region_fill(struct l3l2q_region *region,
			     const struct l3l2q_create *cmd)
{
	int err;

	err = region->ops->alloc(region, cmd);
	if (err)
		return err;
	region->ep[cmd->role].peer_kind =
		cmd->flags & L3L2Q_CREATE_SILENT_PEER ? L3L2Q_PEER_SILENT
						      : region->peer_kind;
	return 0;
}

/* Both rings in one line: a device's write-back undoes what we wrote. */
static bool l3l2q_region_fits(const struct l3l2q_region *region)
{
	return region->memory == L3L2Q_MEMORY_CACHED ||
	       region->layout.depth != 1;
}

/**
 * l3l2q_region_get() - take a reference to a region that may be going
 * @region: which; its memory cannot be freed at the moment
 *
 * Return: false if it is going, and its backend's free is yet to come.
 */
bool l3l2q_region_get(struct l3l2q_region *region)
{
	return kref_get_unless_zero(&region->ref);
}

static void l3l2q_region_release(struct kref *ref)
{
	struct l3l2q_region *region =
		container_of(ref, struct l3l2q_region, ref);
	enum l3l2q_role role;

	l3l2q_observe_leave(region);
	l3l2q_view_close(region->view);
	l3l2q_scan_leave(region);
	region->ops->free(region);
	/* A revocation may have gone on until here, and uses the inode. */
	l3l2q_view_put(region->view);
	for (role = 0; role < L3L2Q_ROLES; role++)
		l3l2q_wake_fini(&region->ep[role]);
	l3l2q_region_free_pages(region);
	l3l2q_account_put(region->account);
	trace_l3l2q_free(region);
	l3l2q_region_free(region);
}

void l3l2q_region_put(struct l3l2q_region *region)
{
	kref_put(&region->ref, l3l2q_region_release);
}

/**
 * l3l2q_region_create() - make a region
 * @cmd: a copy of what the user asks for, validated but for its source
 * @layout: its sizes, within the limits, and the geometry of a queue
 * @ops: its backend
 *
 * Return: the region with one reference, its roles not opened, or an ERR_PTR().
 */
struct l3l2q_region *
l3l2q_region_create(const struct l3l2q_create *cmd,
		    const struct l3l2q_layout *layout,
		    const struct l3l2q_backend_ops *ops)
{
	struct l3l2q_region *region;
	int err;

	region = l3l2q_region_alloc(cmd, layout, ops);
	if (!region)
		return ERR_PTR(-ENOMEM);

	region->account = l3l2q_region_account(region);
	if (IS_ERR(region->account)) {
		err = PTR_ERR(region->account);
		goto err_free;
	}
	region->inode = l3l2q_inode_get();
	if (IS_ERR(region->inode)) {
		err = PTR_ERR(region->inode);
		goto err_uncharge;
	}
	region->view = l3l2q_view_new(region, region->inode);
	if (!region->view) {
		l3l2q_inode_put(region->inode);
		err = -ENOMEM;
		goto err_uncharge;
	}
	err = l3l2q_region_alloc_pages(region);
	if (err)
		goto err_view;
	err = l3l2q_region_fill(region, cmd);
	if (err)
		goto err_pages;
	trace_l3l2q_create(region, cmd->role);
	/* From here on it may be revoked by somebody who holds it. */
	if (!l3l2q_region_fits(region)) {
		err = -EINVAL;
		goto err_put;
	}
	err = l3l2q_scan_join(region);
	if (err)
		goto err_put;
	err = l3l2q_observe_join(region);
	if (err)
		goto err_put;
	return region;

err_put:
	l3l2q_region_put(region);
	return ERR_PTR(err);

err_pages:
	l3l2q_region_free_pages(region);
err_view:
	l3l2q_view_put(region->view);
err_uncharge:
	l3l2q_account_put(region->account);
err_free:
	l3l2q_region_free(region);
	return ERR_PTR(err);
}
