// SPDX-License-Identifier: MIT
#define L3L2Q_NO_INLINE
#include "calls.h"

#define TABLE fuzz_calls_library
#include "calls_table.h"
