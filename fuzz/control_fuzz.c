/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol, both ways: any bytes as a request, and any bytes as what the daemon
 * knows of a connection, which must become one line of JSON that can be read again.
 */
#include "daemon/address.h"
#include "daemon/json.h"
#include "daemon/request.h"
#include "fuzz/fuzz.h"

/* For daemon/json.c; `status` is not asked for here. */
const char *engine_cgroup(const struct engine *e)
{
	return "";
}

uint64_t engine_netns_cookie(const struct engine *e)
{
	return 0;
}

static void round_trip(const struct shared_endpoint *e)
{
	char text[ADDRESS_TEXT_MAX];
	struct shared_endpoint again;

	address_format(e, text);
	FUZZ_EXPECT(address_parse(text, &again) == 0 && address_equal(e, &again));
}

static void request(const uint8_t *data, size_t len)
{
	struct request r = { .command = REQUEST_N_COMMANDS };
	const char *error;

	error = request_read((const char *)data, len, &r);
	/* Refused means untouched, and the other way round. */
	FUZZ_EXPECT((error != NULL) == (r.command == REQUEST_N_COMMANDS));
	if (error || r.command != REQUEST_VERIFY)
		return;
	round_trip(&r.local);
	round_trip(&r.peer);
}

static void record(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct record r = { .id = 1 };
	json_t *o, *again;
	char *line;

	r.outgoing = fuzz_byte(&in) & 1;
	r.state = (enum record_state)(fuzz_byte(&in) % (RECORD_CLOSED + 1));
	r.tep = fuzz_byte(&in);
	r.aead = fuzz_byte(&in);
	r.pid = fuzz_byte(&in);
	r.has_session_id = fuzz_byte(&in) & 1;
	for (size_t i = 0; i < sizeof(r.comm); i++)
		r.comm[i] = (char)fuzz_byte(&in);
	for (size_t i = 0; i < sizeof(r.peer.addr); i++)
		r.peer.addr[i] = fuzz_byte(&in);
	r.peer.port = fuzz_byte(&in);
	o = json_of_record(&r);
	line = json_dumps(o, JSON_COMPACT);
	FUZZ_EXPECT(line && !strchr(line, '\n'));
	again = json_loads(line, 0, NULL);
	FUZZ_EXPECT(again && json_equal(o, again));
	json_decref(again);
	json_decref(o);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	request(data, len);
	record(data, len);
	return 0;
}
