// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "daemon/address.h"

static const char *const names[REQUEST_N_COMMANDS] = {
	[REQUEST_STATUS] = "status", [REQUEST_LIST] = "list",	[REQUEST_WATCH] = "watch",
	[REQUEST_VERIFY] = "verify", [REQUEST_FLUSH] = "flush", [REQUEST_UPGRADE] = "upgrade",
};

static enum request_command command_of(const char *name)
{
	int i = 0;

	while (i < REQUEST_N_COMMANDS && strcmp(names[i], name))
		i++;
	return (enum request_command)i;
}

static const char *read_ends(const json_t *object, struct request *r)
{
	const char *local = json_string_value(json_object_get(object, "local"));
	const char *peer = json_string_value(json_object_get(object, "peer"));

	if (!local || !peer || address_parse(local, &r->local) || address_parse(peer, &r->peer))
		return "verify wants local and peer as addr:port";
	return NULL;
}

static const char *read_layout(const json_t *object, struct request *r)
{
	const char *layout = json_string_value(json_object_get(object, "layout"));

	if (!layout ||
	    (size_t)snprintf(r->layout, sizeof(r->layout), "%s", layout) >= sizeof(r->layout))
		return "upgrade wants the layout as a short string";
	return NULL;
}

static const char *read_object(const json_t *object, struct request *r)
{
	const char *name = json_string_value(json_object_get(object, "command"));

	if (!name)
		return "expected one JSON object with a command";
	r->command = command_of(name);
	if (r->command == REQUEST_N_COMMANDS)
		return "unknown command";
	r->recent = json_is_true(json_object_get(object, "recent"));
	if (r->command == REQUEST_UPGRADE)
		return read_layout(object, r);
	return r->command == REQUEST_VERIFY ? read_ends(object, r) : NULL;
}

const char *request_read(const char *text, size_t len, struct request *ret)
{
	json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct request r = { 0 };
	const char *error = read_object(object, &r);

	if (!error)
		*ret = r;
	json_decref(object);
	return error;
}
