// SPDX-License-Identifier: MIT
/* How much memory may be taken before the system kills a process for it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memfd.h"

#define PATH_BYTES (2 * PATH_MAX + 32)

/* What a version of the control groups calls its files. */
struct cgroup_files {
	const char *max;
	const char *current;
	const char *cache[2];		/* in memory.stat */
};

static const struct cgroup_files cgroup_v1 = {
	.max = "memory.limit_in_bytes",
	.current = "memory.usage_in_bytes",
	.cache = { "total_inactive_file", "total_active_file" },
};

static const struct cgroup_files cgroup_v2 = {
	.max = "memory.max",
	.current = "memory.current",
	.cache = { "inactive_file", "active_file" },
};

/* The first number of a file; false if there is none, as for "max". */
static bool read_number(const char *dir, const char *name, uint64_t *value)
{
	char path[PATH_BYTES];
	unsigned long long n;
	FILE *file;
	bool found;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	found = fscanf(file, "%llu", &n) == 1;
	fclose(file);
	if (found)
		*value = n;
	return found;
}

/* The sum of two entries of a file of names and numbers; what is missing is 0. */
static uint64_t read_sum(const char *dir, const char *name, const char *const keys[2])
{
	char path[PATH_BYTES], key[64];
	unsigned long long n;
	uint64_t sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fscanf(file, "%63s %llu", key, &n) == 2) {
		if (!strcmp(key, keys[0]) || !strcmp(key, keys[1]))
			sum += n;
	}
	fclose(file);
	return sum;
}

/* What one level still has room for; unlimited if it does not say. */
static uint64_t level_left(const char *dir, const struct cgroup_files *files)
{
	uint64_t max, current, cache;

	if (!read_number(dir, files->max, &max) || !read_number(dir, files->current, &current))
		return UINT64_MAX;
	cache = read_sum(dir, "memory.stat", files->cache);
	current -= cache < current ? cache : current;
	return max > current ? max - current : 0;
}

/* True if a list with commas has this item. */
static bool list_has(const char *list, const char *item)
{
	size_t n = strlen(item);

	for (; list; list = strchr(list, ',')) {
		list += *list == ',';
		if (!strncmp(list, item, n) && (!list[n] || list[n] == ',' || list[n] == '\n'))
			return true;
	}
	return false;
}

/* Octal escapes stand for blanks in the paths of mountinfo. */
static void unescape(char *path)
{
	char *to = path;
	unsigned int n;

	for (; *path; path++) {
		if (sscanf(path, "\\%3o", &n) == 1) {
			*to++ = (char)n;
			path += 3;
		} else {
			*to++ = *path;
		}
	}
	*to = '\0';
}

/* Find where a hierarchy is mounted, and what of it. */
static bool find_mount(const char *mounts, const struct cgroup_files *files, char root[PATH_MAX],
		       char point[PATH_MAX])
{
	FILE *file = fopen(mounts, "re");
	char *line = NULL, *rest, type[32], options[1024];
	bool found = false;
	size_t size = 0;

	while (file && !found && getline(&line, &size, file) > 0) {
		rest = strstr(line, " - ");
		if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) != 2 ||
		    sscanf(rest, " - %31s %*s %1023s", type, options) != 2)
			continue;
		found = files == &cgroup_v2 ? !strcmp(type, "cgroup2") :
			!strcmp(type, "cgroup") && list_has(options, "memory");
	}
	free(line);
	if (file)
		fclose(file);
	if (found) {
		unescape(root);
		unescape(point);
	}
	return found;
}

/* The least of a group and all those above it that are mounted. */
static uint64_t hierarchy_left(const char *mounts, const struct cgroup_files *files,
			       const char *group)
{
	char root[PATH_MAX], point[PATH_MAX], dir[2 * PATH_MAX];
	uint64_t least = UINT64_MAX, left;
	size_t n, end;

	if (!find_mount(mounts, files, root, point))
		return UINT64_MAX;
	n = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(group, root, n) || (group[n] && group[n] != '/'))
		group = "";	/* outside of what is mounted */
	else
		group += n;
	end = strlen(point);
	if (end + strlen(group) >= PATH_MAX)
		return UINT64_MAX;
	snprintf(dir, sizeof(dir), "%s%s", point, group);
	for (;;) {
		left = level_left(dir, files);
		if (left < least)
			least = left;
		if (strlen(dir) <= end)
			return least;
		*strrchr(dir, '/') = '\0';
	}
}

/**
 * l3l2q_cgroup_left() - what the memory control groups of this process have room for
 * @cgroups: /proc/self/cgroup
 * @mounts: /proc/self/mountinfo
 *
 * Max - (current - reclaimable cache), the least of all levels. A level that cannot be
 * read counts as unlimited.
 */
uint64_t l3l2q_cgroup_left(const char *cgroups, const char *mounts)
{
	FILE *file = fopen(cgroups, "re");
	char *line = NULL, *controllers, *group;
	uint64_t least = UINT64_MAX, left;
	size_t size = 0;

	while (file && getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		controllers = strchr(line, ':');
		group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		controllers++;
		if (!*controllers)
			left = hierarchy_left(mounts, &cgroup_v2, group);
		else if (list_has(controllers, "memory"))
			left = hierarchy_left(mounts, &cgroup_v1, group);
		else
			continue;
		if (left < least)
			least = left;
	}
	free(line);
	if (file)
		fclose(file);
	return least;
}

static uint64_t available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char *line = NULL;
	bool found = false;
	size_t size = 0;

	while (file && !found && getline(&line, &size, file) > 0)
		found = sscanf(line, "MemAvailable: %llu", &kib) == 1;
	free(line);
	if (file)
		fclose(file);
	return found ? kib * 1024 : UINT64_MAX;
}

/* In bytes. */
uint64_t l3l2q_memory_left(void)
{
	uint64_t groups = l3l2q_cgroup_left("/proc/self/cgroup", "/proc/self/mountinfo");
	uint64_t system = available();

	return groups < system ? groups : system;
}
