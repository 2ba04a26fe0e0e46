/* SPDX-License-Identifier: BSD-2-Clause */
/* A worker's own part of the engine, behind the engine_lane functions of engine.h: its ring
 * buffer of events, its raw sockets, its count of flows. */
#ifndef ENGINE_LANE_H
#define ENGINE_LANE_H

#include "engine/engine.h"

/* What a lane needs of the programs' maps; the descriptors and the memory stay the engine's. */
struct lane_maps {
	unsigned int n_workers;
	int events_fd;
	struct shared_worker *workers;
};

/* 0 or a negative errno value. */
int lane_open(const struct lane_maps *maps, unsigned int slot, struct engine_lane **ret);

#endif
