/* SPDX-License-Identifier: MIT */
/*
 * Tests in C++ that print TAP; the kernel's harness is C only. TEST(name) { ... } is a test,
 * EXPECT_*() report and go on, ASSERT_*() return from the test. One source file a program.
 */
#ifndef CXX_TAP_H
#define CXX_TAP_H

#include <cstdio>
#include <cstring>
#include <string>
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

template <typename T>
std::string show(const T &value)
{
	if constexpr (std::is_enum_v<T>)
		return std::to_string(static_cast<std::underlying_type_t<T>>(value));
	else if constexpr (std::is_arithmetic_v<T>)
		return std::to_string(value);
	else
		return std::string(value);
}

inline bool same(const char *a, const char *b)
{
	return !std::strcmp(a, b);
}

template <typename A, typename B>
bool same(const A &a, const B &b)
{
	if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool>)
		return static_cast<std::common_type_t<A, B>>(a) == static_cast<std::common_type_t<A, B>>(b);
	else
		return a == b;
}

template <typename A, typename B>
bool compare(const char *file, int line, const char *text, const A &want, const B &got)
{
	if (same(want, got))
		return true;
	std::printf("# %s:%d: %s: expected %s, got %s\n", file, line, text, show(want).c_str(), show(got).c_str());
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
