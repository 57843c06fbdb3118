/* SPDX-License-Identifier: MIT */
/* Internal to l3l2q/simpler: region.h without the view, under the names of G2 and G3. */
#ifndef L3L2Q_SIMPLER_REGION_SEMANTICS_NAMES_H
#define L3L2Q_SIMPLER_REGION_SEMANTICS_NAMES_H

#include "region.h"

using l3l2q::simpler::region_add_overflows;
using l3l2q::simpler::region_compare_counter;
using l3l2q::simpler::region_counter_addr_in_span;
using l3l2q::simpler::region_spans_overlap;
using l3l2q::simpler::region_valid_notify_op;
using l3l2q::simpler::region_valid_wait_cmp;
using l3l2q::simpler::region_validate_counter_span;
using l3l2q::simpler::region_validate_independent_spans;
using l3l2q::simpler::region_validate_payload_range;
using l3l2q::simpler::region_validate_payload_span;
using l3l2q::simpler::RegionNotifyOp;
using l3l2q::simpler::RegionPartLocalSpan;
using l3l2q::simpler::RegionPayloadView;
using l3l2q::simpler::RegionSignalTestResult;
using l3l2q::simpler::RegionWaitCmp;

#endif /* L3L2Q_SIMPLER_REGION_SEMANTICS_NAMES_H */
