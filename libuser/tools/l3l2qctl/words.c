// SPDX-License-Identifier: MIT
/* Names and amounts for people. */
#include <inttypes.h>

#include "ctl.h"

#define COUNT(names) (sizeof(names) / sizeof((names)[0]))

static const char *name_of(const char *const *names, size_t n, uint32_t value)
{
	return value < n && names[value] ? names[value] : "unknown";
}

const char *backend_name(const struct queue *q)
{
	static const char *const names[] = {
		[L3L2Q_BACKEND_RAM] = "ram",
		[L3L2Q_BACKEND_PCI] = "pci",
		[L3L2Q_BACKEND_DMABUF] = "dmabuf",
		[L3L2Q_BACKEND_ASCEND] = "ascend",
	};

	return q->memfd ? "memfd" : name_of(names, COUNT(names), q->region.backend);
}

const char *role_name(unsigned int role)
{
	return role == L3L2Q_ROLE_L3 ? "L3" : "L2";
}

const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		[L3L2Q_STATE_NONE] = "not opened",
		[L3L2Q_STATE_OPEN] = "open",
		[L3L2Q_STATE_ATTACHED] = "attached",
		[L3L2Q_STATE_DETACHED] = "detached",
		[L3L2Q_STATE_DEAD] = "dead",
	};

	return name_of(names, COUNT(names), state);
}

const char *binding_name(uint32_t binding)
{
	static const char *const names[] = {
		[L3L2Q_BINDING_L3Q2] = "L3Q2",
		[L3L2Q_BINDING_SPSQ] = "SPSQ",
	};

	return name_of(names, COUNT(names), binding);
}

const char *memory_name(uint32_t memory)
{
	static const char *const names[] = {
		[L3L2Q_MEMORY_CACHED] = "cached",
		[L3L2Q_MEMORY_WC] = "write-combining",
		[L3L2Q_MEMORY_DEVICE] = "device",
	};

	return name_of(names, COUNT(names), memory);
}

const char *peer_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		[L3L2Q_PEER_ARMS] = "arms",
		[L3L2Q_PEER_RINGS] = "rings",
		[L3L2Q_PEER_SILENT] = "silent",
	};

	return name_of(names, COUNT(names), kind);
}

const char *opcode_name(uint64_t opcode)
{
	static const char *const names[] = {
		[L3L2Q_OP_DATA] = "DATA",
		[L3L2Q_OP_STOP] = "STOP",
		[L3L2Q_OP_ERROR] = "ERROR",
	};

	return opcode < COUNT(names) ? name_of(names, COUNT(names), (uint32_t)opcode) : "unknown";
}

const char *removal_name(uint32_t removal)
{
	static const char *const names[] = {
		[L3L2Q_REMOVAL_NONE] = "none",
		[L3L2Q_REMOVAL_DEVICE] = "device",
		[L3L2Q_REMOVAL_ERROR] = "error",
		[L3L2Q_REMOVAL_RESET] = "reset",
		[L3L2Q_REMOVAL_POWER] = "power",
		[L3L2Q_REMOVAL_PROVIDER] = "provider",
	};

	return name_of(names, COUNT(names), removal);
}

const char *abort_name(uint32_t cause)
{
	static const char *const names[] = {
		[L3L2Q_ABORT_NONE] = "none",
		[L3L2Q_ABORT_ROLE] = "role",
		[L3L2Q_ABORT_DEATH] = "death",
	};

	return name_of(names, COUNT(names), cause);
}

/*
 * A tag or a command's name may hold anything: what is not printable, and what quotes or
 * escapes, is escaped. Readers of label values know three escapes and refuse others, so
 * there others begin with two backslashes.
 */
static void escape(FILE *out, const char *text, size_t max, bool label)
{
	size_t i;

	for (i = 0; i < max && text[i]; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n' && label)
			fputs("\\n", out);
		else if (c < 0x20 || c > 0x7e)
			fprintf(out, "%s\\u%04x", label ? "\\" : "", c);
		else
			fputc(c, out);
	}
}

/* For a terminal and for JSON. */
void print_escaped(FILE *out, const char *text, size_t max)
{
	escape(out, text, max, false);
}

/* For OpenMetrics. */
void print_label(FILE *out, const char *text, size_t max)
{
	escape(out, text, max, true);
}

void print_bytes(FILE *out, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned int unit = 0;

	while (unit < sizeof(units) - 2 && bytes >= 10240) {
		bytes /= 1024;
		unit++;
	}
	fprintf(out, "%" PRIu64 "%c", bytes, units[unit]);
}

void print_age(FILE *out, uint64_t ns)
{
	uint64_t ms = ns / 1000000, s = ms / 1000;

	if (ns == L3L2Q_NEVER)
		fputs("never", out);
	else if (s < 60)
		fprintf(out, "%" PRIu64 ".%" PRIu64 "s", s, ms % 1000 / 100);
	else if (s < 3600)
		fprintf(out, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else
		fprintf(out, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
}
