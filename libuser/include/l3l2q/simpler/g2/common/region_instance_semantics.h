/* SPDX-License-Identifier: MIT */
/* What the parts of a region mean in simpler, see l3l2q-simpler(7). */
#ifndef REGION_INSTANCE_SEMANTICS_H
#define REGION_INSTANCE_SEMANTICS_H

#include "../../detail/region_semantics_names.h"

#endif /* REGION_INSTANCE_SEMANTICS_H */
