// SPDX-License-Identifier: MIT
#include "calls.h"

#define TABLE fuzz_calls_inline
#include "calls_table.h"
