/* SPDX-License-Identifier: MIT */
/* The view of a region in simpler, see l3l2q-simpler(7). */
#ifndef REGION_INSTANCE_VIEW_H
#define REGION_INSTANCE_VIEW_H

#include "../common/region_instance_semantics.h"

#include "../../detail/region_view_names.h"

#endif /* REGION_INSTANCE_VIEW_H */
