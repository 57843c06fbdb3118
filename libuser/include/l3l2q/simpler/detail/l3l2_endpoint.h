/* SPDX-License-Identifier: MIT */
/* Internal to l3l2q/simpler: names that G1a and G1b share for raw endpoints. */
#ifndef L3L2Q_SIMPLER_L3L2_ENDPOINT_H
#define L3L2Q_SIMPLER_L3L2_ENDPOINT_H

#include "l3l2_comm.h"

using L3L2EndpointErrorKind = l3l2q::simpler::L3L2Orch::EndpointErrorKind;
using L3L2EndpointError = l3l2q::simpler::L3L2Orch::EndpointError;

#endif /* L3L2Q_SIMPLER_L3L2_ENDPOINT_H */
