/* SPDX-License-Identifier: MIT */
/*
 * Tests in C++ that print TAP; the kernel's harness is C only. TEST(name) { ... } is a test,
 * EXPECT_*() report and go on, ASSERT_*() return from the test. One source file a program.
 */
#ifndef CXX_TAP_H
#define CXX_TAP_H

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <vector>

namespace tap {

struct Test {
	const char *name;
	void (*run)();
};

inline std::vector<Test> &tests()
{
	static std::vector<Test> all;

	return all;
}

inline int &failures()
{
	static int n;

	return n;
}

struct Register {
	Register(const char *name, void (*run)()) { tests().push_back({name, run}); }
};

/* A number or a text; one type for both, so that a comparison is a short call. */
struct Value {
	template <typename T, typename = std::enable_if_t<std::is_integral_v<T> || std::is_enum_v<T>>>
	Value(T v) : number(static_cast<std::uint64_t>(v))
	{
	}
	Value(const char *v) : text(v) {}

	bool operator==(const Value &other) const
	{
		return text && other.text ? !std::strcmp(text, other.text) : number == other.number && text == other.text;
	}
	void print() const
	{
		if (text)
			std::printf("%s", text);
		else
			std::printf("%" PRId64, static_cast<std::int64_t>(number));
	}

	std::uint64_t number = 0;
	const char *text = nullptr;
};

__attribute__((noinline)) inline bool compare(const char *file, int line, const char *what, Value want, Value got)
{
	if (want == got)
		return true;
	std::printf("# %s:%d: %s: expected ", file, line, what);
	want.print();
	std::printf(", got ");
	got.print();
	std::printf("\n");
	failures()++;
	return false;
}

/* With an argument, only the tests whose names contain it. */
inline int run_all(int argc, char **argv)
{
	std::vector<Test> chosen;
	int n = 0, failed = 0;

	for (const Test &t : tests())
		if (argc < 2 || std::strstr(t.name, argv[1]))
			chosen.push_back(t);
	std::setvbuf(stdout, nullptr, _IOLBF, 0);
	std::printf("TAP version 13\n1..%zu\n", chosen.size());
	for (const Test &t : chosen) {
		failures() = 0;
		t.run();
		failed += failures() != 0;
		std::printf("%sok %d %s\n", failures() ? "not " : "", ++n, t.name);
	}
	return failed != 0;
}

} /* namespace tap */

#define TEST(name)							\
	static void test_##name();					\
	static const tap::Register register_##name(#name, test_##name);	\
	static void test_##name()

#define EXPECT_EQ(want, got) (void)tap::compare(__FILE__, __LINE__, #got, want, got)
#define EXPECT_TRUE(got) EXPECT_EQ(true, !!(got))
#define EXPECT_FALSE(got) EXPECT_EQ(false, !!(got))
#define ASSERT_EQ(want, got)						\
	do {								\
		if (!tap::compare(__FILE__, __LINE__, #got, want, got))	\
			return;						\
	} while (0)
#define ASSERT_TRUE(got) ASSERT_EQ(true, !!(got))
#define ASSERT_FALSE(got) ASSERT_EQ(false, !!(got))

int main(int argc, char **argv)
{
	return tap::run_all(argc, argv);
}

#endif /* CXX_TAP_H */
