// SPDX-License-Identifier: MIT
/* The operations, and a check that computes each in another way. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define CHECK_BLOCK 4096	/* a multiple of 4 */

static bool parse_scalar(struct op *op, const char *text)
{
	char *end;

	op->scalar = strtof(text, &end);
	return *text && !*end && isfinite(op->scalar);
}

static bool parse_byte(struct op *op, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	op->byte = (uint8_t)value;
	return *text >= '0' && *text <= '9' && !*end && value <= 0xff;
}

bool op_parse(struct op *op, const char *text)
{
	memset(op, 0, sizeof(*op));
	if (!strcmp(text, "echo")) {
		op->kind = OP_ECHO;
		return true;
	}
	if (!strncmp(text, "xor-u8:", 7)) {
		op->kind = OP_XOR_U8;
		return parse_byte(op, text + 7);
	}
	if (!strncmp(text, "add-f32:", 8)) {
		op->kind = OP_ADD_F32;
		return parse_scalar(op, text + 8);
	}
	return false;
}

/* Bodies are packed in the arena, so a tensor may start at any address. */
static void add_f32(const unsigned char *from, unsigned char *to, size_t n, float scalar)
{
	size_t i;

	for (i = 0; i + sizeof(float) <= n; i += sizeof(float)) {
		float x;

		memcpy(&x, from + i, sizeof(x));
		x += scalar;
		memcpy(to + i, &x, sizeof(x));
	}
	memcpy(to + i, from + i, n - i);
}

static void xor_u8(const unsigned char *from, unsigned char *to, size_t n, uint8_t byte)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from[i] ^ byte;
}

void op_apply(const struct op *op, const void *from, void *to, size_t n)
{
	switch (op->kind) {
	case OP_ADD_F32: add_f32(from, to, n, op->scalar); break;
	case OP_XOR_U8: xor_u8(from, to, n, op->byte); break;
	default: memcpy(to, from, n);
	}
}

/*
 * One float, from its four bytes. The sum is taken in double and rounded once
 * more, which for float operands is exactly the float sum.
 */
static void expect_f32(const unsigned char *from, float scalar, unsigned char *expected)
{
	uint32_t bits = from[0] | from[1] << 8 | from[2] << 16 | (uint32_t)from[3] << 24;
	float value;

	memcpy(&value, &bits, sizeof(value));
	value = (float)((double)value + (double)scalar);
	memcpy(&bits, &value, sizeof(bits));
	for (int i = 0; i < 4; i++)
		expected[i] = (unsigned char)(bits >> (8 * i));
}

static void expect(const struct op *op, const unsigned char *from, unsigned char *expected,
		   size_t n)
{
	uint8_t byte = op->kind == OP_XOR_U8 ? op->byte : 0;
	size_t i = 0;

	if (op->kind == OP_ADD_F32)
		for (; i + 4 <= n; i += 4)
			expect_f32(from + i, op->scalar, expected + i);
	for (; i < n; i++)
		expected[i] = (unsigned char)((from[i] | byte) & ~(from[i] & byte));
}

size_t op_check(const struct op *op, const unsigned char *from, const unsigned char *got,
		size_t n, unsigned char *expected)
{
	unsigned char block[CHECK_BLOCK];
	size_t i, j, m;

	for (i = 0; i < n; i += m) {
		m = n - i < sizeof(block) ? n - i : sizeof(block);
		expect(op, from + i, block, m);
		if (!memcmp(block, got + i, m))
			continue;
		for (j = 0; block[j] == got[i + j]; j++)
			;
		*expected = block[j];
		return i + j;
	}
	return n;
}
