// SPDX-License-Identifier: MIT
/* hello.c in C++: L3 sends HAL to an L2 process, which adds 1 to each byte: hello [memfd|driver] */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>
#include <l3l2q.hpp>

using namespace std::chrono_literals;

static void check(const char *what, int error)
{
	if (error) {
		std::fprintf(stderr, "%s: %s\n", what, std::strerror(-error));
		std::exit(1);
	}
}

static void add_one(l3l2q::Descriptor fd)
{
	auto l2 = l3l2q::Endpoint::attach(fd);
	check("attach", l2.error());
	auto m = l2->consumer().peek(1s);
	check("peek", m.error());
	auto span = l2->producer().reserve(m->size(), 1s);
	check("reserve", span.error());
	for (std::size_t i = 0; i < m->size(); i++)
		span->body()[i] = std::byte(std::to_integer<int>(m->body()[i]) + 1);
	check("commit", span->commit());
	check("release", m->release());
}

int main(int argc, char **argv)
{
	l3l2q::Failure why;
	auto l3 = l3l2q::Endpoint::create(
		l3l2q::Attributes(argc > 1 ? argv[1] : "memfd").depth(8).arenas(4096, 4096), &why);
	if (!l3) {
		std::fprintf(stderr, "%s\n", why.text());
		return 1;
	}
	auto fd = l3->open_peer();
	check("open_peer", fd.error());
	if (fork() == 0) {
		add_one(std::move(*fd));
		return 0;
	}
	const char hal[] = {'H', 'A', 'L'};
	check("enqueue", l3->producer().enqueue(l3l2q::bytes_of(hal), 1s));
	auto m = l3->consumer().peek(1s);
	check("peek", m.error());
	std::printf("%.*s\n", static_cast<int>(m->size()), reinterpret_cast<const char *>(m->body().data()));
}
