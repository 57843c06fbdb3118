/* SPDX-License-Identifier: MIT */
/* The same by the name that G3 has for it. */
#include "pto_orchestration_api.h"
