// SPDX-License-Identifier: GPL-2.0-only
/*
 * USDT probes of the library, by uprobes on this very program: each fires at its call, with
 * its arguments. Skipped where the library has none, or the kernel has no uprobes.
 */
#include <elf.h>

/* The probes that are looked at are those of the library. */
#define L3L2Q_NO_INLINE
#include <l3l2q.h>

#include "drv_util.h"

#define TRACEFS	"/sys/kernel/tracing"
#define SYSTEM	"l3l2q_usdt"
#define MAX_NOTES 64

/* What a note of systemtap's says of one probe. */
struct note {
	const char *name;
	const char *arguments;
	__u64 offset;		/* in the file */
};

FIXTURE(probes)
{
	char *elf;
	size_t size;
	struct note notes[MAX_NOTES];
	int nr_notes;
	int nr_set;
	struct l3l2q_ep *ep[L3L2Q_ROLES];
	char text[65536];
};

static void read_program(FIXTURE_DATA(probes) *self)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return;
	self->size = (size_t)st.st_size;
	self->elf = mmap(NULL, self->size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
}

static __u64 file_offset(const char *elf, __u64 address)
{
	const Elf64_Ehdr *header = (const void *)elf;
	const Elf64_Phdr *segment = (const void *)(elf + header->e_phoff);
	int i;

	for (i = 0; i < header->e_phnum; i++, segment++)
		if (segment->p_type == PT_LOAD && address - segment->p_vaddr < segment->p_filesz)
			return address - segment->p_vaddr + segment->p_offset;
	return 0;
}

/* The notes of provider l3l2q: three addresses, then three strings. */
static void find_notes(FIXTURE_DATA(probes) *self)
{
	const Elf64_Ehdr *header = (const void *)self->elf;
	const Elf64_Shdr *section = (const void *)(self->elf + header->e_shoff);
	const char *names = self->elf + section[header->e_shstrndx].sh_offset, *at, *end;
	int i;

	for (i = 0; i < header->e_shnum; i++)
		if (!strcmp(names + section[i].sh_name, ".note.stapsdt"))
			break;
	if (i == header->e_shnum)
		return;
	at = self->elf + section[i].sh_offset;
	end = at + section[i].sh_size;
	while (at < end && self->nr_notes < MAX_NOTES) {
		const Elf64_Nhdr *note = (const void *)at;
		const __u64 *address = (const void *)(at + sizeof(*note) + 8);
		const char *provider = (const char *)(address + 3);
		struct note *n = &self->notes[self->nr_notes];

		n->name = provider + strlen(provider) + 1;
		n->arguments = n->name + strlen(n->name) + 1;
		n->offset = file_offset(self->elf, address[0]);
		self->nr_notes += !strcmp(provider, "l3l2q");
		at += sizeof(*note) + 8 + (note->n_descsz + 3) / 4 * 4;
	}
}

/* Elsewhere the probes are counted, whatever their arguments. */
#ifdef __x86_64__
#define TRANSLATES true
#else
#define TRANSLATES false
#endif

/* One argument, "-4@1048(%rdi)", as uprobe_events has it: "+1048(%di):s32". */
static bool translate(const char *argument, char *out, size_t size)
{
	static const char *const registers[][4] = {
		{ "rax", "eax", "ax", "ax" }, { "rbx", "ebx", "bx", "bx" },
		{ "rcx", "ecx", "cx", "cx" }, { "rdx", "edx", "dx", "dx" },
		{ "rsi", "esi", "si", "si" }, { "rdi", "edi", "di", "di" },
		{ "rbp", "ebp", "bp", "bp" }, { "rsp", "esp", "sp", "sp" },
	};
	const char *at = strchr(argument, '@'), *reg;
	char name[8] = "", type[16];
	int bytes = atoi(argument), n;
	long offset = 0;
	size_t i;

	if (!at)
		return false;
	at++;
	snprintf(type, sizeof(type), "%c%d", bytes < 0 ? 's' : 'u', abs(bytes) * 8);
	if (*at == '$') {
		snprintf(out, size, "\\%ld:%s", strtol(at + 1, NULL, 0), type);
		return true;
	}
	reg = strchr(at, '%');
	if (!reg)
		return false;
	if (*at != '%')
		offset = strtol(at, NULL, 0);
	sscanf(reg + 1, "%7[a-z0-9]%n", name, &n);
	if (reg[1 + n] == ',')
		return false;	/* an index */
	for (i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		if (!strcmp(name, registers[i][0]) || !strcmp(name, registers[i][1]))
			strcpy(name, registers[i][2]);
	if (name[0] == 'r')
		name[strcspn(name, "dwb")] = 0;
	if (strchr(at, '('))
		snprintf(out, size, "%+ld(%%%s):%s", offset, name, type);
	else
		snprintf(out, size, "%%%s:%s", name, type);
	return true;
}

static int append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = drv_errno(write(fd, text, strlen(text)));
	close(fd);
	return ret < 0 ? ret : 0;
}

/* A uprobe at this note, with all of its arguments where they can be translated. */
static int set_probe(const struct note *note, int number)
{
	char line[512], words[256], argument[96], *word, *rest = words;
	int n, i = 0;

	n = snprintf(line, sizeof(line), "p:" SYSTEM "/%s_%d /proc/self/exe:0x%llx", note->name,
		     number, (unsigned long long)note->offset);
	/* the kernel keeps the file, not its name */
	snprintf(words, sizeof(words), "%s", note->arguments);
	while (TRANSLATES && (word = strsep(&rest, " "))) {
		if (!translate(word, argument, sizeof(argument)))
			continue;
		n += snprintf(line + n, sizeof(line) - (size_t)n, " a%d=%s", ++i, argument);
	}
	return append(TRACEFS "/uprobe_events", line);
}

FIXTURE_SETUP(probes)
{
	struct l3l2q_attr attr = { .depth = 4, .input_arena_bytes = 256,
		.output_arena_bytes = 256, .window = 2, .transport = "memfd" };
	int i, fd;

	read_program(self);
	ASSERT_NE(NULL, self->elf);
	find_notes(self);
	if (!self->nr_notes)
		SKIP(return, "the library was built without sys/sdt.h");
	if (access(TRACEFS "/uprobe_events", W_OK))
		SKIP(return, "no " TRACEFS "/uprobe_events");
	ASSERT_EQ(0, l3l2q_create(&self->ep[L3L2Q_ROLE_L3], &attr, NULL));
	fd = l3l2q_open_peer(self->ep[L3L2Q_ROLE_L3]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, l3l2q_attach(&self->ep[L3L2Q_ROLE_L2], fd, &attr, NULL));
	for (i = 0; i < self->nr_notes; i++) {
		ASSERT_EQ(0, set_probe(&self->notes[i], i))
			TH_LOG("%s: %s", self->notes[i].name, self->notes[i].arguments);
		self->nr_set++;
	}
	close(open(TRACEFS "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	ASSERT_EQ(0, drv_write_file(TRACEFS "/events/" SYSTEM "/enable", "1"));
}

FIXTURE_TEARDOWN(probes)
{
	char line[128];
	int i;

	drv_write_file(TRACEFS "/events/" SYSTEM "/enable", "0");
	for (i = 0; i < self->nr_set; i++) {
		snprintf(line, sizeof(line), "-:" SYSTEM "/%s_%d", self->notes[i].name, i);
		EXPECT_EQ(0, append(TRACEFS "/uprobe_events", line));
	}
	l3l2q_close(self->ep[L3L2Q_ROLE_L3]);
	l3l2q_close(self->ep[L3L2Q_ROLE_L2]);
}

/* How often a probe has fired with arguments that end so. */
static int fired(FIXTURE_DATA(probes) *self, const char *name, const char *arguments)
{
	char *line, *next, *at;
	size_t length;
	int n = 0;

	drv_read_file(TRACEFS "/trace", self->text, sizeof(self->text));
	for (line = self->text; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = 0;
		at = *line == '#' ? NULL : strstr(line, name);
		length = strlen(line);
		if (!at || at[strlen(name)] != '_')
			continue;
		if (TRANSLATES && (length < strlen(arguments) ||
				   strcmp(line + length - strlen(arguments), arguments)))
			continue;
		n++;
	}
	return n;
}

#define L3	(self->ep[L3L2Q_ROLE_L3])
#define L2	(self->ep[L3L2Q_ROLE_L2])

TEST_F(probes, fire_with_their_arguments)
{
	struct l3l2q_ep_info info;
	struct l3l2q_message m;
	char expected[128], body[5] = "four";

	l3l2q_ep_info(L3, &info);
#define FIRED(n, name, role, format, ...) do {						\
	snprintf(expected, sizeof(expected), "a1=%llu a2=%d " format,			\
		 (unsigned long long)info.region_id, role, ##__VA_ARGS__);		\
	EXPECT_EQ(n, fired(self, name, expected)) TH_LOG("%s: %s", name, expected);	\
} while (0)

	ASSERT_EQ(0, l3l2q_enqueue(l3l2q_ep_producer(L3), L3L2Q_OP_DATA, body, 4, DRV_HANG_MS * 1000000ll));
	FIRED(1, "enqueue", L3L2Q_ROLE_L3, "a3=1 a4=4 a5=0");
	FIRED(1, "publish", L3L2Q_ROLE_L3, "a3=1 a4=4");
	FIRED(0, "peek", L3L2Q_ROLE_L2, "a3=1 a4=0");
	ASSERT_EQ(0, l3l2q_peek(l3l2q_ep_consumer(L2), &m, DRV_HANG_MS * 1000000ll));
	FIRED(1, "peek", L3L2Q_ROLE_L2, "a3=1 a4=0");
	FIRED(0, "release", L3L2Q_ROLE_L2, "a3=1 a4=0");
	ASSERT_EQ(0, l3l2q_release(l3l2q_ep_consumer(L2), &m));
	FIRED(1, "release", L3L2Q_ROLE_L2, "a3=1 a4=0");
	EXPECT_EQ(NULL, strstr(self->text, "sleep_"));

	/* Nothing comes: after the spin it sleeps. */
	EXPECT_EQ(-ETIMEDOUT, l3l2q_peek(l3l2q_ep_consumer(L2), &m, 200000000));
	drv_read_file(TRACEFS "/trace", self->text, sizeof(self->text));
	EXPECT_NE(NULL, strstr(self->text, "sleep_"));
	FIRED(1, "wake", L3L2Q_ROLE_L2, "a3=%d", -ETIMEDOUT);
	FIRED(0, "poison", L3L2Q_ROLE_L3, "a3=%d", L3L2Q_ERR_ENDPOINT_ERROR);
	l3l2q_abort(L3);
	l3l2q_abort(L3);
	FIRED(1, "poison", L3L2Q_ROLE_L3, "a3=%d", L3L2Q_ERR_ENDPOINT_ERROR);
}

TEST_HARNESS_MAIN
