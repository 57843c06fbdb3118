// SPDX-License-Identifier: MIT
/*
 * l3l2qctl show FILE of a file with anything in it, as text and as JSON: either one is
 * printed, well-formed and without a byte that a terminal acts on, or the reason why not.
 */
#include <getopt.h>
#include <unistd.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int ctl_main(int argc, char **argv);

struct output {
	FILE *file;
	char *text;
	size_t size;
};

static void open_output(struct output *out)
{
	out->file = open_memstream(&out->text, &out->size);
	FUZZ_CHECK(out->file, "no memory");
}

/* Everything printed is ASCII, in lines that end. */
static void check_text(const char *what, const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		FUZZ_CHECK(text[i] == '\n' || (text[i] >= 0x20 && text[i] <= 0x7e),
			   "%s: byte %#x at %zu", what, (unsigned char)text[i], i);
	FUZZ_CHECK(!size || text[size - 1] == '\n', "%s: no end of the line", what);
}

static const char *string_end(const char *p)
{
	for (; *p != '"'; p++) {
		FUZZ_CHECK(*p, "a string without an end");
		if (*p == '\\')
			FUZZ_CHECK(*++p == 'u' || *p == '\\' || *p == '"', "an escape \\%c", *p);
	}
	return p;
}

/* Brackets in pairs outside of strings, and one line. */
static void check_json(const char *text)
{
	char open[16];
	unsigned int depth = 0;
	const char *p;

	FUZZ_CHECK(*text == '{', "JSON begins with %c", *text);
	for (p = text; *p != '\n'; p++) {
		switch (*p) {
		case 0:
			FUZZ_FAIL("JSON without an end");
		case '"':
			p = string_end(p + 1);
			break;
		case '{':
		case '[':
			FUZZ_CHECK(depth < sizeof(open), "JSON too deep");
			open[depth++] = *p == '{' ? '}' : ']';
			break;
		case '}':
		case ']':
			FUZZ_CHECK(depth && open[--depth] == *p, "%c at %zd", *p, p - text);
			break;
		}
	}
	FUZZ_CHECK(!depth && !p[1], "JSON that goes on");
}

/* The exit status of the tool, and what it printed. */
static int show(const char *path, const char *option, struct output *out, struct output *err)
{
	char *argv[] = { (char *)"l3l2qctl", (char *)option, (char *)"show", (char *)path, NULL };
	FILE *const old[] = { stdout, stderr };
	int ret;

	open_output(out);
	open_output(err);
	stdout = out->file;
	stderr = err->file;
	optind = 0;	/* getopt starts anew */
	ret = ctl_main(4, argv);
	stdout = old[0];
	stderr = old[1];
	fclose(out->file);
	fclose(err->file);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const options[] = { "--delay=1", "--json" };
	int fd = memfd_create("dump", MFD_CLOEXEC), status[2];
	struct output out, err;
	char path[64];
	unsigned int i;

	fuzz_trace_clear();
	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size, "no file");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (i = 0; i < 2; i++) {
		status[i] = show(path, options[i], &out, &err);
		check_text("output", out.text, out.size);
		check_text("errors", err.text, err.size);
		FUZZ_CHECK(!status[i] == !!out.size && !status[i] == !err.size,
			   "status %d, %zu bytes and %zu of errors", status[i], out.size, err.size);
		if (!status[i] && i)
			check_json(out.text);
		free(out.text);
		free(err.text);
	}
	FUZZ_CHECK(status[0] == status[1], "JSON of what is no text");
	close(fd);
	return 0;
}
