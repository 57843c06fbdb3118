/* SPDX-License-Identifier: MIT */
/* Internal to l3l2q/simpler: the view of region.h under the names of G2 and G3. */
#ifndef L3L2Q_SIMPLER_REGION_VIEW_NAMES_H
#define L3L2Q_SIMPLER_REGION_VIEW_NAMES_H

#include "platform.h"
#include "region_semantics_names.h"

using l3l2q::simpler::RegionViewError;
using l3l2q::simpler::RegionViewErrorKind;
using l3l2q::simpler::RegionViewOp;

using LocalMemoryOps = l3l2q::simpler::CachedMemoryOps<l3l2q::simpler::PlatformCache>;

template <typename Ops>
using RegionInstanceViewImpl = l3l2q::simpler::RegionView<Ops, l3l2q::simpler::PlatformClock>;
using RegionInstanceView = RegionInstanceViewImpl<LocalMemoryOps>;

#endif /* L3L2Q_SIMPLER_REGION_VIEW_NAMES_H */
