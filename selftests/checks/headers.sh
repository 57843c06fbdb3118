#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Every public header compiles alone: those of uapi/ in C11 for 64 and 32 bits
# and in C++17, pedantically; the library's in C11 and C++17. A program that uses
# them compiles at every level with the warnings that users choose, and runs under
# UBSan. A library with another layout is refused at start. The library exports
# versioned l3l2q_ names and nothing else.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

shopt -s nullglob
uapi=(uapi/linux/l3l2q*.h)
lib=()
while read -r f; do
	lib+=("$f")
done < <(find libuser/include -name '*.h' -not -path '*/simpler/*' 2>/dev/null | LC_ALL=C sort)
# those of C++ alone
cxx=(libuser/include/l3l2q.hpp libuser/include/l3l2q/simpler/g*/*/*.h)

levels=(-O0 -O1 -O2 -O3 -Os)
c_warnings=(-Wconversion -Wsign-conversion -Wundef -Wshadow)
cxx_warnings=(-Wshadow -Wold-style-cast -Wconversion -Wpedantic)
# all but what asks for another C++ or for padding, and what the headers of C do
clang_warnings=(-Weverything -Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-padded -Wno-reserved-macro-identifier
	-Wno-documentation-unknown-command)

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		sed 's/^/# /' "$tmp/err"
		echo "not ok $n $2"
	fi
}

# try NAME HEADER COMPILER FLAGS...: twice included, used for nothing
try() {
	local name=$1 h=$2
	shift 2

	printf '#include <%s>\n#include <%s>\n' "$h" "$h" |
		"$@" -Wall -Wextra -Werror -fsyntax-only -Iuapi -Ilibuser/include - >"$tmp/err" 2>&1
	verdict $? "$h: $name"
}

echo 'TAP version 13'
echo "1..$((${#uapi[@]} * 3 + 2 + 1 + ${#lib[@]} * 2 + ${#levels[@]} * 2 + 3 + 3 + 3 + 1 + 4 + 1 + ${#cxx[@]} * 2 + 2 + 7 + 1 + 1))"

# -m32 without the 32-bit libc: the uapi needs the kernel's headers alone, and
# those are the same files
native=/usr/include/$(gcc -dumpmachine)
for f in "${uapi[@]}"; do
	try 'C11, 64 bits' "${f#uapi/}" gcc -x c -std=c11 -Wpedantic -m64
	try 'C11, 32 bits' "${f#uapi/}" gcc -x c -std=c11 -Wpedantic -m32 -ffreestanding -isystem "$native"
	try 'C++17' "${f#uapi/}" g++ -x c++ -std=c++17 -Wpedantic
done
for bits in 64 32; do
	try "layout, $bits bits" ../selftests/abi_layout.h gcc -x c -std=c11 -m$bits -ffreestanding -isystem "$native"
done
try "layout of the library" ../selftests/lib_layout.h gcc -x c -std=gnu11
for f in "${lib[@]}"; do
	try 'C11' "${f#libuser/include/}" gcc -x c -std=c11
	try 'C++17' "${f#libuser/include/}" g++ -x c++ -std=c++17
done

# A program in C and C++: arrays with commas as arguments, each inline call, and bodies
# that wrap, so that a fast path computes addresses at both ends of the arena.
cat >"$tmp/user.h" <<'EOF'
#include <l3l2q.h>

static int run(void)
{
	struct l3l2q_attr attr = {};
	struct l3l2q_ep *l3, *l2;
	struct l3l2q_message m;
	struct l3l2q_reservation span;
	char body[64];
	int fd, i;

	attr.transport = "memfd";
	attr.depth = 8;
	attr.input_arena_bytes = attr.output_arena_bytes = 256;
	attr.window = 4;
	if (l3l2q_create(&l3, &attr, 0))
		return 2;
	fd = l3l2q_open_peer(l3);
	if (fd < 0 || l3l2q_attach(&l2, fd, &attr, 0))
		return 3;
	for (i = 0; i < 100; i++) {
		if (SEND(l3l2q_ep_producer(l3)) ||
		    l3l2q_try_reserve(l3l2q_ep_producer(l3), 40, &span) ||
		    l3l2q_commit(l3l2q_ep_producer(l3), &span, L3L2Q_OP_DATA) ||
		    l3l2q_try_dequeue(l3l2q_ep_consumer(l2), &m, body, sizeof(body)) ||
		    l3l2q_try_peek(l3l2q_ep_consumer(l2), &m) ||
		    l3l2q_release(l3l2q_ep_consumer(l2), &m))
			return 4;
	}
	l3l2q_close(l2);
	l3l2q_close(l3);
	return 0;
}

int main(void)
{
	return run();
}
EOF
{
	echo '#define SEND(p) l3l2q_try_enqueue(p, L3L2Q_OP_DATA, (const char[]){ 1, 2, 3 }, 3)'
	sed 's/= {};/= { 0 };/' "$tmp/user.h"
} >"$tmp/user.c"
{
	echo 'static const char bytes[] = { 1, 2, 3 };'
	echo '#define SEND(p) l3l2q_try_enqueue(p, L3L2Q_OP_DATA, bytes, sizeof(bytes))'
	cat "$tmp/user.h"
} >"$tmp/user.cc"

# compile NAME COMPILER FLAGS...: of a program of a user's
compile() {
	local name=$1
	shift

	"$@" -Wall -Wextra -Werror -Iuapi -Ilibuser/include >"$tmp/err" 2>&1
	verdict $? "a user's program: $name"
}
for level in "${levels[@]}"; do
	compile "C11, $level" gcc -std=gnu11 "$level" "${c_warnings[@]}" -c -o "$tmp/user.o" "$tmp/user.c"
	compile "C++17, $level" g++ -std=c++17 "$level" "${cxx_warnings[@]}" -Wuseless-cast -c -o "$tmp/user.o" \
		"$tmp/user.cc"
done

# lacks NAME COMPILER: skip the test if there is no such compiler
lacks() {
	command -v "$2" >/dev/null && return 1
	n=$((n + 1))
	echo "ok $n $1 # SKIP $2 is not installed"
}

# inlined NAME COMPILER FLAGS...: the library is called for the uncommon case only
inlined() {
	local name="a user's program: $1 inlines"
	shift

	lacks "$name" "$1" && return
	{
		"$@" -O2 -Iuapi -Ilibuser/include -c -o "$tmp/user.o" && nm -u "$tmp/user.o" | awk '
			$2 ~ /^l3l2q_(try_enqueue|try_reserve|commit|try_peek|release|try_dequeue)$/ { print; bad = 1 }
			$2 ~ /^l3l2q_.*_slow$/ { slow++ }
			END { exit bad || slow != 6 }'
	} >"$tmp/err" 2>&1
	verdict $? "$name"
}
inlined 'C11, gcc' gcc -std=gnu11 "$tmp/user.c"
inlined 'C11, clang' clang -std=gnu11 "$tmp/user.c"
inlined 'C++17, clang' clang++ -std=c++17 "$tmp/user.cc"

# The busy path: each inline call, with what it calls for the uncommon case elsewhere.
cat >"$tmp/busy.c" <<'EOF'
#include <l3l2q.h>

int busy_send(struct l3l2q_producer *p, const void *body, size_t n);
int busy_send(struct l3l2q_producer *p, const void *body, size_t n)
{
	return l3l2q_try_enqueue(p, L3L2Q_OP_DATA, body, n);
}

int busy_send_in_place(struct l3l2q_producer *p, size_t n);
int busy_send_in_place(struct l3l2q_producer *p, size_t n)
{
	struct l3l2q_reservation span;
	int ret = l3l2q_try_reserve(p, n, &span);

	return ret ? ret : l3l2q_commit(p, &span, L3L2Q_OP_DATA);
}

int busy_take(struct l3l2q_consumer *c, void *body, size_t n);
int busy_take(struct l3l2q_consumer *c, void *body, size_t n)
{
	struct l3l2q_message m;

	return l3l2q_try_dequeue(c, &m, body, n);
}

int busy_take_in_place(struct l3l2q_consumer *c);
int busy_take_in_place(struct l3l2q_consumer *c)
{
	struct l3l2q_message m;
	int ret = l3l2q_try_peek(c, &m);

	return ret ? ret : l3l2q_release(c, &m);
}
EOF

# unfenced NAME OBJDUMP COMPILER FLAGS...: no fence and no locked instruction in these. What
# is fenced only on request is in functions of its own, which have some: else it finds none.
unfenced() {
	local name="no fence on the busy path: $1" objdump=$2
	shift 2

	lacks "$name" "$1" && return
	lacks "$name" "$objdump" && return
	{
		"$@" -O2 -Iuapi -Ilibuser/include -c -o "$tmp/busy.o" "$tmp/busy.c" &&
			"$objdump" -d --no-show-raw-insn "$tmp/busy.o" | awk '
			/^[0-9a-f]+ <.*>:$/ { busy = $2 ~ /^<busy_/; functions += busy }
			/\t(lock|xchg .*\(|[msl]fence|dmb|dsb|ldax?r|stlx?r[bh]? *w|swp|ldadd|cas)/ {
				if ($0 !~ /\t(ldar|stlr)/) {
					fences++
					if (busy) { print; bad = 1 }
				}
			}
			END { exit bad || functions < 4 || !fences }'
	} >"$tmp/err" 2>&1
	verdict $? "$name"
}
unfenced "gcc, $(gcc -dumpmachine)" objdump gcc -std=gnu11
unfenced "clang" objdump clang -std=gnu11
unfenced "gcc, aarch64" aarch64-linux-gnu-objdump aarch64-linux-gnu-gcc -std=gnu11 -mno-outline-atomics \
	-ffreestanding

# sanitized NAME COMPILER FLAGS...: compiled, and run over memfd
sanitized() {
	local name="a user's program under UBSan: $1"
	shift

	lacks "$name" "$1" && return
	{
		"$@" -O2 -fsanitize=undefined -fno-sanitize-recover=all -Wall -Wextra -Werror -Iuapi -Ilibuser/include \
			-o "$tmp/user" build/lib/libl3l2q.a -lpthread && timeout 60 "$tmp/user"
	} >"$tmp/err" 2>&1
	verdict $? "$name"
}
sanitized 'C11, gcc' gcc -std=gnu11 "${c_warnings[@]}" "$tmp/user.c"
sanitized 'C11, clang' clang -std=gnu11 "${c_warnings[@]}" "$tmp/user.c"
sanitized 'C++17, clang' clang++ -std=c++17 "${cxx_warnings[@]}" "$tmp/user.cc"

# Headers of C++, alone and with the warnings that users choose
for f in "${cxx[@]}"; do
	printf '#include "%s"\n#include "%s"\n' "$top/$f" "$top/$f" >"$tmp/header.cc"
	for c in "g++ ${cxx_warnings[*]} -Wuseless-cast" "clang++ ${clang_warnings[*]}"; do
		read -r -a c <<<"$c"
		lacks "${f#libuser/include/}: ${c[0]}" "${c[0]}" && continue
		"${c[@]}" -std=c++17 -fno-exceptions -fno-rtti -Wall -Wextra -Werror -fsyntax-only \
			-Iuapi -Ilibuser/include "$tmp/header.cc" >"$tmp/err" 2>&1
		verdict $? "${f#libuser/include/}: ${c[0]}"
	done
done

# The busy path by l3l2q.hpp
cat >"$tmp/busy.cc" <<'EOF'
#include <l3l2q.hpp>

extern "C" int busy_send(l3l2q_producer *p, const void *body, std::size_t n)
{
	return l3l2q::Producer(p).try_enqueue({static_cast<const std::byte *>(body), n});
}

extern "C" int busy_send_in_place(l3l2q_producer *p, std::size_t n)
{
	auto span = l3l2q::Producer(p).try_reserve(n);

	return span ? span->commit() : span.error();
}

extern "C" int busy_take(l3l2q_consumer *c, void *body, std::size_t n)
{
	l3l2q_message m;

	return l3l2q::Consumer(c).try_dequeue(m, {static_cast<std::byte *>(body), n});
}

extern "C" int busy_take_in_place(l3l2q_consumer *c)
{
	auto m = l3l2q::Consumer(c).try_peek();

	return m ? m->release() : m.error();
}
EOF

# instructions COMPILER FLAGS...: how many the functions of the busy path have
instructions() {
	"$@" -O2 -Iuapi -Ilibuser/include -c -o "$tmp/busy.o" && objdump -d --no-show-raw-insn "$tmp/busy.o" | awk '
		/^[0-9a-f]+ <.*>:$/ { busy = $2 ~ /^<busy_/ }
		/^ / && busy { n++ }
		END { print n + 0 }'
}

# as_short C-COMPILER C++-COMPILER: the owners cost a tenth of the code at most
as_short() {
	local name="the busy path by l3l2q.hpp is as short as in C: $2" in_c in_cxx

	lacks "$name" "$2" && return
	{
		in_c=$(instructions "$1" -std=gnu11 "$tmp/busy.c") && in_cxx=$(instructions "$2" -std=c++17 "$tmp/busy.cc") &&
			echo "$in_c instructions in C, $in_cxx in C++" && [ "$in_cxx" -gt 100 ] &&
			[ $((in_cxx * 10)) -le $((in_c * 11)) ]
	} >"$tmp/err" 2>&1
	verdict $? "$name"
}
as_short gcc g++
as_short clang clang++

# refused NAME GENERATION ERROR: a program of that generation, on stdin, that must not compile
refused() {
	cat >"$tmp/bad.cc"
	{
		! g++ -std=c++17 -fsyntax-only -Iuapi -Ilibuser/include -I"libuser/include/l3l2q/simpler/$2" "$tmp/bad.cc" \
			>"$tmp/said" 2>&1 && grep -q "$3" "$tmp/said" || { cat "$tmp/said"; false; }
	} >"$tmp/err"
	verdict $? "refused: $1, $2"
}
while read -r g queue headers; do
	# shellcheck disable=SC2086
	includes=$(printf '#include "%s"\n' $headers)
	refused 'an endpoint is copied' "$g" 'use of deleted function' <<<"$includes
$queue 2> copy(const $queue 2> &q) { return q; }"
	refused 'a window of 0' "$g" 'the window has room for at least one message' <<<"$includes
extern $queue 0> q; auto &f() { return q.input(); }"
done <<'EOF'
g1b L3L2QueueEndpoint< aicpu/l3_l2_message_queue.h
g2 WorkerChipQueueEndpoint< aicpu/worker_chip_message_queue.h
g3 spsc_queue::SpscQueueEndpoint<RegionInstanceView, aicpu/region_instance_view.h common/region_template.h
EOF
refused 'g1a and g1b in one file' g1b 'of g1a and of g1b' <<'EOF'
#include "aicpu/l3_l2_message_queue.h"
#undef L3_L2_ORCH_COMM_H
#include "l3l2q/simpler/g1a/common/l3_l2_orch_comm.h"
EOF

# G1a and G1b give the same names to other types: a program may have both, in two files
cat >"$tmp/generation.cc" <<'EOF'
#include "aicpu/l3_l2_message_queue.h"

const void *FUNCTION(L3L2QueueEndpoint ARGUMENTS *q, L3L2QueueError *error)
{
	*error = q->error();
	return &q->input();
}

static_assert(sizeof(L3L2QueueError) == BYTES, "the generation's own");
EOF
cat >"$tmp/both.cc" <<'EOF'
#include <l3l2q/simpler/g2/aicpu/worker_chip_message_queue.h>
#include <l3l2q/simpler/g3/common/region_template.h>

/* Without the platform's headers the processor's counter, or the system's clock, is the time. */
int main()
{
	uint64_t start = device_time_now_ticks(), hz = device_time_frequency_hz();
	const char body[64] = {};

	cache_flush_range(body, sizeof(body));
	cache_invalidate_range(body, sizeof(body));
	while (!sys_cnt_elapsed_ns(start, device_time_now_ticks(), hz))
		continue;
	return sys_cnt_ticks_to_ns(1, 0) != UINT64_MAX || sys_cnt_ticks_to_ns(3, 1) != 3000000000;
}
EOF
{
	compiler=(g++ -std=c++17 -O1 -Wall -Wextra -Werror -Iuapi -Ilibuser/include)
	"${compiler[@]}" -Ilibuser/include/l3l2q/simpler/g1a -DFUNCTION=f -DARGUMENTS= -DBYTES=32 -c -o "$tmp/g1a.o" "$tmp/generation.cc" &&
		"${compiler[@]}" -Ilibuser/include/l3l2q/simpler/g1b -DFUNCTION=f '-DARGUMENTS=<1>' -DBYTES=272 -c -o "$tmp/g1b.o" \
			"$tmp/generation.cc" &&
		"${compiler[@]}" -o "$tmp/both" "$tmp/both.cc" "$tmp/g1a.o" "$tmp/g1b.o" && timeout 60 "$tmp/both"
} >"$tmp/err" 2>&1
verdict $? 'all generations in one program, without the headers of a platform'

# On aarch64 G1a maintains the cache if its macro is set, the others if there is no platform to ask.
cat >"$tmp/cache.cc" <<'EOF'
#ifdef G1A
#include "l3l2q/simpler/g1a/aicpu/l3_l2_message_queue.h"
#else
#include "l3l2q/simpler/g1b/aicpu/l3_l2_message_queue.h"
#endif
bool f(L3L2OrchEndpoint &ep, L3L2OrchPayloadView &view)
{
	return ep.payload_read(0, 4, view) && ep.payload_write(0, "", 1);
}
EOF
# maintains MACRO...: prints the maintenance instructions of a build with these
maintains() {
	clang++ --target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include -std=c++17 -O1 -ffreestanding -Wall -Wextra \
		-Werror -Iuapi -Ilibuser/include "${@/#/-D}" -S -o - "$tmp/cache.cc" | grep -oE 'dc\s+[a-z]+' | sort -u | tr -s '\t\n' ' '
}
name='aarch64: cache maintenance of simpler'\''s generations'
if ! command -v clang++ >/dev/null || [ ! -d /usr/aarch64-linux-gnu/include/asm ]; then
	n=$((n + 1))
	echo "ok $n $name # SKIP no clang++, or no headers for aarch64"
else
	{
		[ "$(maintains X=1)" = 'dc civac dc cvac ' ] && [ -z "$(maintains G1A)" ] &&
			[ "$(maintains G1A L3_L2_ORCH_ENDPOINT_ENABLE_CACHE_MAINTENANCE)" = 'dc civac dc cvac ' ]
	} >"$tmp/err" 2>&1
	verdict $? "$name"
fi

# core.h in C++: each kind of callback as a function, as one of C, and as a lambda
cat >"$tmp/core.cc" <<'EOF'
#include <l3l2q/core.h>

alignas(64) static unsigned char counters[L3L2Q_COUNTER_BYTES], payload[2 * 2 * 32 + 2 * 64];

struct side {
	l3l2q_core core;
	l3l2q_producer p;
	l3l2q_consumer c;
	__u64 starts[2];
	l3l2q_held held[2];
};

static int maintained;

extern "C" {
static void clean(const void *, __u64) { maintained++; }
static __u64 count(void *arg) { return ++*static_cast<__u64 *>(arg); }
}

static void one(const l3l2q_core *, void *to, const void *arg, __u64)
{
	*static_cast<char *>(to) = *static_cast<const char *>(arg);
}

static int make(side &s, l3l2q_role role)
{
	const __u64 scalars[] = { L3L2Q_SPSQ_VERSION, 7, 42, 0x10000, sizeof(payload), 0x20000, sizeof(counters), 2, 64, 64 };
	int ret = l3l2q_core_init_scalars(&s.core, role, scalars, 10, payload, counters);

	if (!ret)
		ret = l3l2q_core_set_unsnooped(&s.core, clean, [](const void *, __u64) { maintained++; });
	if (ret)
		return ret;
	l3l2q_core_producer_init(&s.p, &s.core, s.starts);
	return l3l2q_core_consumer_init(&s.c, &s.core, 1, s.held);
}

int main()
{
	static side l3, l2;
	l3l2q_message m;
	l3l2q_reservation span;
	__u64 now = 0;
	char body[2] = { 'x', 0 };

	if (make(l3, L3L2Q_ROLE_L3) || make(l2, L3L2Q_ROLE_L2))
		return 2;
	if (l3l2q_core_try_enqueue(&l3.p, L3L2Q_OP_DATA, one, body, 1) ||
	    l3l2q_core_peek(&l2.c, &m, 1000, count, &now) || l3l2q_core_release(&l2.c, &m) ||
	    l3l2q_core_try_enqueue(&l3.p, L3L2Q_OP_DATA, l3l2q_core_copy, body, 1) ||
	    l3l2q_core_try_dequeue(&l2.c, &m, body + 1, 1) || body[1] != 'x')
		return 3;
	if (l3l2q_core_reserve(&l2.p, 0, &span, 1000, [](void *) { return __u64(0); }, nullptr) ||
	    l3l2q_core_commit_direct(&l2.p, &span, L3L2Q_OP_ERROR) ||
	    l3l2q_core_try_enqueue(&l2.p, L3L2Q_OP_DATA, [](const l3l2q_core *, void *, const void *, __u64) {}, nullptr, 0) ||
	    l3l2q_core_try_enqueue(&l3.p, L3L2Q_OP_STOP, l3l2q_core_copy, nullptr, 0) ||
	    l3l2q_core_try_peek(&l2.c, &m) || l3l2q_core_release(&l2.c, &m) || !l2.c.drained)
		return 4;
	l3l2q_core_detach(&l2.core);
	return !maintained;
}
EOF
g++ -std=c++17 -O2 -Wall -Wextra -Wpedantic -Wshadow -Werror -Iuapi -Ilibuser/include -o "$tmp/core" "$tmp/core.cc" >"$tmp/err" 2>&1 &&
	timeout 60 "$tmp/core" >>"$tmp/err" 2>&1
verdict $? "core.h: callbacks of C++"

# without NAME: the library as a shared one in $tmp/NAME that lacks this symbol
without() {
	mkdir "$tmp/$1" &&
		sed "/^\t$1;\$/d" libuser/src/libl3l2q.map >"$tmp/map" &&
		! cmp -s "$tmp/map" libuser/src/libl3l2q.map &&
		gcc -shared -pthread -Wl,-soname,libl3l2q.so.1 "-Wl,--version-script=$tmp/map" -o "$tmp/$1/libl3l2q.so.1" \
			-Wl,--whole-archive build/lib/libl3l2q.a -Wl,--no-whole-archive
}

# with LIBRARY PROGRAM ARGUMENTS...
with() {
	LD_LIBRARY_PATH=$tmp/$1 timeout 60 "${@:2}"
}

# refuses NAME COMMAND...: it fails and names the symbol
refuses() {
	if ! "${@:2}" >"$tmp/said" 2>&1 && grep -q "undefined symbol: $1\\b" "$tmp/said"; then
		return 0
	fi
	cat "$tmp/said"
	return 1
}

{
	echo '#define main user_main'
	cat "$tmp/user.c"
	echo '#undef main'
	echo 'int main(int argc, char **argv) { (void)argv; return argc > 1 ? !l3l2q_version() : user_main(); }'
} >"$tmp/program.c"
{
	without l3l2q_layout_1 && without l3l2q_version &&
		gcc -O2 -Wl,-z,lazy -Iuapi -Ilibuser/include -o "$tmp/program" "$tmp/program.c" -Lbuild/lib -ll3l2q &&
		gcc -O2 -Wl,-z,lazy -Wl,--gc-sections -Iuapi -Ilibuser/include -o "$tmp/small" "$tmp/program.c" -Lbuild/lib \
			-ll3l2q &&
		gcc -O2 -Wl,-z,lazy -DL3L2Q_NO_INLINE -Iuapi -Ilibuser/include -o "$tmp/calls" "$tmp/program.c" -Lbuild/lib -ll3l2q &&
		refuses l3l2q_layout_1 with l3l2q_layout_1 "$tmp/program" &&
		refuses l3l2q_layout_1 with l3l2q_layout_1 "$tmp/small"
} >"$tmp/err" 2>&1
verdict $? 'a library with another layout is refused at start'
with l3l2q_layout_1 "$tmp/calls" >"$tmp/err" 2>&1
verdict $? 'it is not if nothing is inlined'
with l3l2q_version "$tmp/program" >"$tmp/err" 2>&1
verdict $? 'a library without a function that is not called is accepted'
refuses l3l2q_version with l3l2q_version "$tmp/program" call >"$tmp/err" 2>&1
verdict $? 'the call of a missing function fails and names it'

so=build/lib/libl3l2q.so.1
if [ -e $so ]; then
	nm -D --defined-only --with-symbol-versions $so | awk '$2 != "A" { print $3 }' |
		grep -vE '^l3l2q_[a-z0-9_]+@@?L3L2Q_[0-9.]+$' >"$tmp/err"
	[ ! -s "$tmp/err" ]
	verdict $? 'the library exports versioned l3l2q_ names only'
else
	echo "$so was not built" >"$tmp/err"
	verdict 1 'the library exports versioned l3l2q_ names only'
fi
