/*
 * limits.h - every size limit of the suite, by name
 *
 * Whatever comes from outside has a bound, and the bound stands here. Sizes are bytes, times
 * milliseconds unless the name says otherwise.
 */
#ifndef LIBCOMMON_BASE_LIMITS_H
#define LIBCOMMON_BASE_LIMITS_H

/* HTTP in */
#define HTTP_HEAD_MAX_BYTES   16384 /* request line and headers together */
#define HTTP_HEADERS_MAX      64
#define HTTP_TARGET_MAX_BYTES 8192
#define HTTP_BODY_MAX_BYTES                                                                        \
    65536 /* V-D5: at least 50 kB; a route may allow less, a service more                          \
           */
#define HTTP_QUERY_PARAMS_MAX     32
#define ROUTE_PARAMS_MAX          4
#define CORRELATION_ID_MAX_BYTES  128
#define USER_AGENT_LOG_MAX_BYTES  256
#define IDEMPOTENCY_KEY_MAX_BYTES 128

/* HTTP out */
#define HTTP_ANSWER_MAX_BYTES (1U << 20)

/* JSON */
#define JSON_DEPTH_MAX   32
#define JSON_MEMBERS_MAX 4096 /* members of one object; the duplicate check is linear in it */

#define JSON_NUMBER_MAX_BYTES 63 /* what cJSON 1.7.15 reads of a number */

/* Identity */
#define JWT_MAX_BYTES  8192
#define JWKS_MAX_BYTES 65536
#define JWKS_KEYS_MAX  16
#define RSA_BITS_MIN   2048
#define RSA_BITS_MAX   4096
#define UID_MAX_BYTES  128
#define ROLES_MAX      16
#define ROLE_MAX_BYTES 64
#define S2S_KEYS_MAX   16

/* Memory of one request */
#define ARENA_BLOCK_BYTES 4096
#define ARENA_MAX_BYTES   (8U << 20)

/* Logs: Cloud Logging cuts at 256 KiB; ours are far below */
#define LOG_LINE_MAX_BYTES 8192

#endif
