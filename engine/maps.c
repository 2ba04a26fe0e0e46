// SPDX-License-Identifier: BSD-2-Clause
#include "engine/maps.h"

#include <errno.h>

#include <bpf/bpf.h>

#define KIND "map"

/* Constants are each object's own. */
static bool is_shared(const struct bpf_map *map)
{
	return !bpf_map__is_internal(map) && bpf_map__autocreate(map);
}

int maps_bequeath(const struct bpf_object *obj, struct heritage *to)
{
	struct bpf_map *map;
	int error = 0;

	bpf_object__for_each_map(map, obj)
	{
		if (!error && is_shared(map))
			error = heritage_add(to, KIND, bpf_map__name(map), bpf_map__fd(map));
	}
	return error;
}

static int inherit(struct bpf_map *map, const struct heritage *from)
{
	int fd = heritage_look(from, KIND, bpf_map__name(map));
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != bpf_map__type(map) ||
	    info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) ||
	    info.max_entries != bpf_map__max_entries(map) ||
	    info.map_flags != bpf_map__map_flags(map))
		return -ESTALE;
	return bpf_map__reuse_fd(map, fd);
}

int maps_inherit(const struct bpf_object *obj, const struct heritage *from)
{
	struct bpf_map *map;
	int error = 0;

	bpf_object__for_each_map(map, obj)
	{
		if (!error && is_shared(map))
			error = inherit(map, from);
	}
	return error;
}
