/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: `key = value` lines. Everything has a default, so that none is needed. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tcpcrypt/eno.h>

#include "bpf/policy.h"
#include "bpf/shared.h"

#define CONFIG_ERROR_MAX 256
#define CONFIG_PATH_MAX	 256
#define CONFIG_USER_MAX	 33

#define CONFIG_RESUME_MAX 8192 /* the largest resume_max */

struct config {
	uint8_t teps[SHARED_TEPS_MAX]; /* in decreasing preference */
	size_t n_teps;
	uint16_t aeads[TCPCRYPT_AEADS_MAX]; /* in decreasing preference */
	size_t n_aeads;
	uint64_t left_alone[1024];	/* ports, one bit each */
	unsigned int workers;		/* 0: one for each CPU */
	size_t max_connections;		/* 0: as many as file descriptors allow */
	uint64_t rekey_bytes;		/* 0: the AEAD's default */
	unsigned int rekey_seconds;	/* 0: not by age */
	unsigned int keepalive_seconds; /* 0: no probes */
	unsigned int remember_plain_seconds;
	unsigned int resume_seconds;   /* how long a session can be resumed; 0: not at all */
	size_t resume_max;	       /* how many sessions can; 0: none */
	unsigned int drain_seconds;    /* at the end, for connections that are under way */
	char key_log[CONFIG_PATH_MAX]; /* empty: none, as it should be */
	char user[CONFIG_USER_MAX];    /* to become after the start */
	bool sandbox;		       /* false: stay root with everything, for debugging */
	struct policy_rule *rules;     /* the first that matches decides */
	size_t n_rules;
};

/* Everything that has a default gets it; what *c had is not looked at. */
void config_default(struct config *c);

/* Frees what reading a file allocated. */
void config_free(struct config *c);

/* How many rules require encryption. */
size_t config_n_required(const struct config *c);

/* Reads a file over the defaults. 0, or a negative errno value with a message that names
 * the line; then there is nothing in *c to free. -EPERM: the file has key-log, and is not root's alone. */
int config_read(struct config *c, const char *path, char error[static CONFIG_ERROR_MAX]);

/* The same from an open stream; name stands in messages. */
int config_read_stream(struct config *c, FILE *f, const char *name,
		       char error[static CONFIG_ERROR_MAX]);

/* "x25519", "aes-128-gcm": the names of TEPs and AEADs; NULL when there is none such. */
const char *config_tep_name(uint8_t tep);
const char *config_aead_name(uint16_t aead);

#endif
