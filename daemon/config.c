// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/config.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "daemon/rule.h"

#define DEFAULT_REMEMBER_PLAIN_SECONDS 600
#define DEFAULT_RESUME_SECONDS	       7200
#define DEFAULT_RESUME_MAX	       4096
#define DEFAULT_DRAIN_SECONDS	       10
#define DEFAULT_REKEY_SECONDS	       3600
#define DEFAULT_USER		       "tcpcrypt"
#define REKEY_BYTES_MIN		       8192

#define LINE_MAX_LEN 16384

/* Ports whose protocols are encrypted already. */
#define DEFAULT_LEFT_ALONE "22 443 465 563 636 853 989-995 5061 5349 6514 8443"

struct name {
	const char *text;
	uint16_t value;
};

static const struct name tep_names[] = {
	{ "x25519", TCPCRYPT_TEP_X25519 },
	{ "x448", TCPCRYPT_TEP_X448 },
	{ "p256", TCPCRYPT_TEP_P256 },
	{ "p521", TCPCRYPT_TEP_P521 },
	{ NULL, 0 },
};

static const struct name aead_names[] = {
	{ "aes-128-gcm", TCPCRYPT_AEAD_AES_128_GCM },
	{ "aes-256-gcm", TCPCRYPT_AEAD_AES_256_GCM },
	{ "chacha20-poly1305", TCPCRYPT_AEAD_CHACHA20_POLY1305 },
	{ NULL, 0 },
};

static const char *name_of(const struct name *names, uint16_t value)
{
	for (; names->text; names++)
		if (names->value == value)
			return names->text;
	return NULL;
}

const char *config_tep_name(uint8_t tep)
{
	return name_of(tep_names, tep);
}

const char *config_aead_name(uint16_t aead)
{
	return name_of(aead_names, aead);
}

/* Splits in place at blanks and commas; NULL at the end. */
static char *next_word(char **rest)
{
	char *word;

	while ((word = strsep(rest, " \t,")))
		if (*word)
			return word;
	return NULL;
}

static int value_of(const struct name *names, const char *text, uint16_t *ret)
{
	for (; names->text; names++) {
		if (!strcmp(names->text, text)) {
			*ret = names->value;
			return 0;
		}
	}
	return -EINVAL;
}

/* A list of distinct names, at least one. */
static int parse_names(char *value, const struct name *names, uint16_t *ret, size_t max,
		       size_t *ret_n)
{
	size_t n = 0;
	char *word;

	while ((word = next_word(&value))) {
		if (n == max || value_of(names, word, &ret[n]))
			return -EINVAL;
		for (size_t i = 0; i < n; i++)
			if (ret[i] == ret[n])
				return -EINVAL;
		n++;
	}
	*ret_n = n;
	return n ? 0 : -EINVAL;
}

static int parse_number(const char *text, unsigned long long max, unsigned long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || end == text || *end || *text == '-' || *ret > max ? -EINVAL : 0;
}

/* 8548-5-8 */
static int set_teps(struct config *c, char *value)
{
	uint16_t teps[SHARED_TEPS_MAX];
	int error = parse_names(value, tep_names, teps, SHARED_TEPS_MAX, &c->n_teps);

	for (size_t i = 0; !error && i < c->n_teps; i++)
		c->teps[i] = teps[i];
	return error;
}

/* 8548-6-2 */
static int set_aeads(struct config *c, char *value)
{
	return parse_names(value, aead_names, c->aeads, TCPCRYPT_AEADS_MAX, &c->n_aeads);
}

/* Ports and ranges; replaces the list. An empty one leaves none alone. */
static int set_left_alone(struct config *c, char *value)
{
	unsigned long long first, last;
	char *word, *dash;

	memset(c->left_alone, 0, sizeof(c->left_alone));
	while ((word = next_word(&value))) {
		dash = strchr(word, '-');
		if (dash)
			*dash++ = '\0';
		if (parse_number(word, 65535, &first) ||
		    parse_number(dash ? dash : word, 65535, &last) || !first || first > last)
			return -EINVAL;
		for (; first <= last; first++)
			c->left_alone[first >> 6] |= 1ULL << (first & 63);
	}
	return 0;
}

static int set_max_connections(struct config *c, char *value)
{
	unsigned long long n;

	if (parse_number(value, INT_MAX, &n))
		return -EINVAL;
	c->max_connections = n;
	return 0;
}

static int set_workers(struct config *c, char *value)
{
	unsigned long long n;

	if (parse_number(value, SHARED_WORKERS_MAX, &n))
		return -EINVAL;
	c->workers = n;
	return 0;
}

/* More often than a peer's storm of key updates may is not for us either. */
static int set_rekey_bytes(struct config *c, char *value)
{
	unsigned long long n;

	if (parse_number(value, ULLONG_MAX, &n) || (n && n < REKEY_BYTES_MIN))
		return -EINVAL;
	c->rekey_bytes = n;
	return 0;
}

static int parse_seconds(const char *value, unsigned int *ret)
{
	unsigned long long n;

	if (parse_number(value, INT_MAX, &n))
		return -EINVAL;
	*ret = n;
	return 0;
}

static int set_rekey_seconds(struct config *c, char *value)
{
	return parse_seconds(value, &c->rekey_seconds);
}

static int set_keepalive(struct config *c, char *value)
{
	return parse_seconds(value, &c->keepalive_seconds);
}

static int set_remember(struct config *c, char *value)
{
	return parse_seconds(value, &c->remember_plain_seconds);
}

static int set_resume_seconds(struct config *c, char *value)
{
	return parse_seconds(value, &c->resume_seconds);
}

static int set_resume_max(struct config *c, char *value)
{
	unsigned long long n;

	if (parse_number(value, CONFIG_RESUME_MAX, &n))
		return -EINVAL;
	c->resume_max = n;
	return 0;
}

static int set_drain(struct config *c, char *value)
{
	return parse_seconds(value, &c->drain_seconds);
}

/* Absolute: the daemon's working directory is nobody's business. */
static int set_key_log(struct config *c, char *value)
{
	size_t len = strlen(value);

	if (*value != '/' || len >= sizeof(c->key_log))
		return -EINVAL;
	memcpy(c->key_log, value, len + 1);
	return 0;
}

static int set_user(struct config *c, char *value)
{
	size_t len = strlen(value);

	if (!len || len >= sizeof(c->user))
		return -EINVAL;
	memcpy(c->user, value, len + 1);
	return 0;
}

static int set_sandbox(struct config *c, char *value)
{
	c->sandbox = !strcmp(value, "on");
	return c->sandbox || !strcmp(value, "off") ? 0 : -EINVAL;
}

static const struct key {
	const char *name;
	int (*set)(struct config *c, char *value);
	const char *wants;
} keys[] = {
	{ "teps", set_teps, "a list of x25519, x448, p256, p521" },
	{ "aeads", set_aeads, "a list of aes-128-gcm, aes-256-gcm, chacha20-poly1305" },
	{ "ports-left-alone", set_left_alone, "a list of ports and ranges like 989-995" },
	{ "workers", set_workers, "a number up to 256" },
	{ "max-connections", set_max_connections, "a number" },
	{ "rekey-bytes", set_rekey_bytes, "a number of bytes from 8192 on, or 0" },
	{ "rekey-seconds", set_rekey_seconds, "a number of seconds" },
	{ "keepalive-seconds", set_keepalive, "a number of seconds" },
	{ "remember-plain-seconds", set_remember, "a number of seconds" },
	{ "resume-seconds", set_resume_seconds, "a number of seconds" },
	{ "resume-max", set_resume_max, "a number up to 8192" },
	{ "drain-seconds", set_drain, "a number of seconds" },
	{ "key-log", set_key_log, "an absolute path" },
	{ "user", set_user, "the name of a user" },
	{ "sandbox", set_sandbox, "on or off" },
};

/* Without AES instructions ChaCha20 is faster and free of timing leaks. */
static bool cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes");
#elif defined(__aarch64__)
	return getauxval(AT_HWCAP) & HWCAP_AES;
#else
	return false;
#endif
}

void config_default(struct config *c)
{
	char ports[] = DEFAULT_LEFT_ALONE;
	char aes_first[] = "aes-128-gcm aes-256-gcm chacha20-poly1305";
	char chacha_first[] = "chacha20-poly1305 aes-128-gcm aes-256-gcm";
	char teps[] = "x25519 p256"; /* both carry urgent data (8547-5-16) */

	memset(c, 0, sizeof(*c));
	c->rekey_seconds = DEFAULT_REKEY_SECONDS;
	c->remember_plain_seconds = DEFAULT_REMEMBER_PLAIN_SECONDS;
	c->resume_seconds = DEFAULT_RESUME_SECONDS;
	c->resume_max = DEFAULT_RESUME_MAX;
	c->drain_seconds = DEFAULT_DRAIN_SECONDS;
	memcpy(c->user, DEFAULT_USER, sizeof(DEFAULT_USER));
	c->sandbox = true;
	set_left_alone(c, ports);
	set_teps(c, teps);
	set_aeads(c, cpu_has_aes() ? aes_first : chacha_first);
}

void config_free(struct config *c)
{
	free(c->rules);
	c->rules = NULL;
	c->n_rules = 0;
}

size_t config_n_required(const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_rules; i++)
		n += c->rules[i].action == POLICY_REQUIRE;
	return n;
}

/* Appends a rule; unlike other keys this one may stand many times. */
static int read_rule(struct config *c, char *value, unsigned int line, char *error)
{
	char message[RULE_ERROR_MAX];
	struct policy_rule *rules;

	if (c->n_rules == POLICY_RULES_MAX) {
		snprintf(error, CONFIG_ERROR_MAX, "more than %d rules", POLICY_RULES_MAX);
		return -EINVAL;
	}
	rules = reallocarray(c->rules, c->n_rules + 1, sizeof(*rules));
	if (!rules) {
		snprintf(error, CONFIG_ERROR_MAX, "no memory");
		return -ENOMEM;
	}
	c->rules = rules;
	if (rule_parse(value, &rules[c->n_rules], message)) {
		snprintf(error, CONFIG_ERROR_MAX, "rule: %s", message);
		return -EINVAL;
	}
	rules[c->n_rules++].line = line;
	return 0;
}

static char *trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r\n");
	len = strlen(s);
	while (len && strchr(" \t\r\n", s[len - 1]))
		s[--len] = '\0';
	return s;
}

static int read_line(struct config *c, char *line, size_t len, unsigned int number, char *error)
{
	char *equals, *name, *value;

	if (len == LINE_MAX_LEN) {
		snprintf(error, CONFIG_ERROR_MAX, "longer than a line of a configuration can be");
		return -EINVAL;
	}
	/* What stands behind a zero byte would be skipped without a word. */
	if (strlen(line) != len) {
		snprintf(error, CONFIG_ERROR_MAX, "a zero byte in a text file");
		return -EINVAL;
	}
	line[strcspn(line, "#")] = '\0';
	name = trim(line);
	if (!*name)
		return 0;
	equals = strchr(name, '=');
	if (!equals) {
		snprintf(error, CONFIG_ERROR_MAX, "expected `key = value`");
		return -EINVAL;
	}
	*equals = '\0';
	value = trim(equals + 1);
	name = trim(name);
	if (!strcmp(name, "rule"))
		return read_rule(c, value, number, error);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].name, name))
			continue;
		if (!keys[i].set(c, value))
			return 0;
		snprintf(error, CONFIG_ERROR_MAX, "%s wants %s", name, keys[i].wants);
		return -EINVAL;
	}
	snprintf(error, CONFIG_ERROR_MAX, "there is no key '%.64s'", name);
	return -EINVAL;
}

/* The next line's length, with its end; 0 behind the last. What is longer than any line of a
 * configuration is none, and need not be kept: then LINE_MAX_LEN. */
static size_t line_get(FILE *f, char line[static LINE_MAX_LEN + 1])
{
	size_t len = 0;
	int c = 0;

	while (len < LINE_MAX_LEN && c != '\n' && (c = getc(f)) != EOF)
		line[len++] = c;
	line[len] = '\0';
	return len;
}

int config_read_stream(struct config *c, FILE *f, const char *name,
		       char error[static CONFIG_ERROR_MAX])
{
	char message[CONFIG_ERROR_MAX], line[LINE_MAX_LEN + 1];
	int n = 0, ret = 0;
	size_t len;

	config_default(c);
	while (!ret && (len = line_get(f, line))) {
		n++;
		ret = read_line(c, line, len, n, message);
		if (ret)
			snprintf(error, CONFIG_ERROR_MAX, "%.100s:%d: %.120s", name, n, message);
	}
	if (!ret && ferror(f)) {
		ret = -EIO;
		snprintf(error, CONFIG_ERROR_MAX, "%.100s cannot be read", name);
	}
	if (ret)
		config_free(c);
	return ret;
}

/* Who can write the configuration could have everybody's keys written. */
static int check_owner(const struct config *c, FILE *f, const char *path,
		       char error[static CONFIG_ERROR_MAX])
{
	struct stat st;

	if (!*c->key_log)
		return 0;
	if (!fstat(fileno(f), &st) && S_ISREG(st.st_mode) && st.st_uid == 0 &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	snprintf(error, CONFIG_ERROR_MAX,
		 "%.100s: key-log wants a file that root owns and nobody else can write", path);
	return -EPERM;
}

int config_read(struct config *c, const char *path, char error[static CONFIG_ERROR_MAX])
{
	FILE *f = fopen(path, "re");
	int ret;

	if (!f) {
		ret = -errno;
		snprintf(error, CONFIG_ERROR_MAX, "%.100s: %s", path, strerror(errno));
		return ret;
	}
	ret = config_read_stream(c, f, path, error);
	if (!ret)
		ret = check_owner(c, f, path, error);
	if (ret)
		config_free(c);
	fclose(f);
	return ret;
}
