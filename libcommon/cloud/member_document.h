/*
 * member_document.h - a member as Django tells it, made into the documents members/{kennitala}
 *
 * Two documents belong to a member. members/{kt} is what people see; the member may change parts of
 * it. members/{kt}/server/membership (the record) no client can write: it holds what decides, the
 * status, the version and the ids of the latest events, and hashes of the addresses Django gave
 * last. Who applies an event reads both and writes both in one transaction.
 *
 * Rules. The newest version wins in any order; an event without a version counts as new when it
 * comes. A known event id or version changes nothing. A deleted member stays inactive, whatever
 * updates come later, until MEMBER_REACTIVATE or the creation of a newer row (a higher Django id,
 * or a version above the deletion's); both clear deleted_at (M-F17). Fields that Django does not
 * know are never touched; of profile.addresses only what Django itself gave before is replaced, and
 * at most one is the default (M-F18, M-F24). The transformation is total: any JSON gives documents
 * that Firestore takes (M-T5).
 *
 * Any thread. Source: contract members.md §4, §5.1, §6.2, §7; M-F17 - M-F24.
 */
#ifndef LIBCOMMON_CLOUD_MEMBER_DOCUMENT_H
#define LIBCOMMON_CLOUD_MEMBER_DOCUMENT_H

#include "base/kennitala.h"
#include "cloud/firestore.h"

#define MEMBER_COUNTRIES_MAX 256
/* Django's table has Iceland at 109; what other ids mean, the setting says. */
#define MEMBER_COUNTRIES_DEFAULT "109:IS"
#define MEMBER_EVENT_ID_MAX      128
#define MEMBER_EVENTS_KEPT       16

struct member_countries {
    struct {
        int64_t id;
        char code[3];
    } entries[MEMBER_COUNTRIES_MAX];
    size_t count;
};
/* "109:IS,53:DK", upper-case ISO 3166 codes, no id twice. ERR_BAD_REQUEST names the entry by
 * position. */
bool member_countries_parse(struct str text, struct member_countries *ret,
                            struct error *e) MUST_CHECK;

enum member_action { MEMBER_UPDATE, MEMBER_CREATE, MEMBER_DELETE, MEMBER_REACTIVATE };

struct member_event {
    enum member_action action;
    const char *kennitala; /* ten digits */
    const cJSON *data;     /* Django's member JSON; anything, NULL too */
    bool has_version;      /* otherwise the member `version` of data, when it is there */
    int64_t version;
    struct str event_id; /* empty: none */
    int64_t now_ms;
    const struct member_countries *countries;
    /* Who has it written, and in which request: metadata.updated_by and metadata.correlation_id of
     * each write, which auditmemberchanges reads (M-F11). No actor is "system": the register. */
    struct str actor, correlation_id;
};
#define MEMBER_ACTOR_SYSTEM "system"
/* Adds both to a map `metadata`. */
void member_document_stamp(cJSON *metadata, struct str actor, struct str correlation_id);

enum member_outcome {
    MEMBER_WRITTEN,
    MEMBER_UNCHANGED, /* members/{kt} said so already; the record may be noted */
    MEMBER_REPEATED,  /* this event was applied before */
    MEMBER_OUTDATED,  /* a newer one was */
};

struct member_change {
    enum member_outcome outcome;
    bool inactive;             /* what the record says from now on */
    struct fs_write writes[2]; /* in the arena; FS_ANY: for a transaction */
    size_t write_count;
};

/* Pure. `member` and `record` as they were read; existing or not. */
void member_document_apply(struct arena *a, const struct member_event *event,
                           const struct fs_document *member, const struct fs_document *record,
                           struct member_change *ret);

/* For writes outside a transaction: lets `write` through only while `read` is what is stored. */
void member_document_guard(struct fs_write *write, const struct fs_document *read);

/* Paths of the two documents, in the arena: {members/kt, members/kt/server/membership}. */
void member_document_paths(struct arena *a, const char *kennitala, struct str ret[2]);

struct member_result {
    enum member_outcome outcome;
    bool inactive;
};
/* Reads, applies and writes in one transaction; again when others wrote meanwhile. */
bool member_document_sync(struct firestore *fs, const struct member_event *event,
                          int64_t deadline_ms, struct member_result *ret,
                          struct error *e) MUST_CHECK;

/*
 * Is `data` a member as contract §6.2 describes it, of this kennitala? Null and absent are fine
 * everywhere. False: *ret_field is the first name at fault (static text, never a value). For the
 * webhook, which answers 400.
 */
bool member_document_check(const cJSON *data, const char *kennitala,
                           const char **ret_field) MUST_CHECK;

/*
 * Numbers of test accounts, which neither webhook nor sync takes for people (M-F25). Genuine system
 * numbers may begin alike (contract §4.1), so single ones can be named, both ways.
 */
#define MEMBER_TEST_ACCOUNTS_MAX     64
#define MEMBER_TEST_ACCOUNTS_DEFAULT "9999"
#define MEMBER_TEST_ACCOUNTS_HELP                                                                  \
    "Test accounts: beginnings of their numbers (four digits or more, the first 8 or 9) or whole " \
    "numbers, separated by ','; '!' before a whole number: a genuine one. \"none\": there are "    \
    "none."
struct member_test_accounts {
    struct {
        char digits[KENNITALA_SIZE];
        bool is_genuine;
    } entries[MEMBER_TEST_ACCOUNTS_MAX];
    size_t count;
};
/* ERR_BAD_REQUEST names the entry by position. A beginning that a person's or a company's number
 * could have is refused. */
bool member_test_accounts_parse(struct str text, struct member_test_accounts *ret,
                                struct error *e) MUST_CHECK;
/* ssn: ten digits, or with a hyphen after the sixth; what is neither is no test account. */
bool member_is_test_account(const struct member_test_accounts *accounts, struct str ssn);

/* Contract §4.2: seven digits for an Icelandic number, anything else as it was given, bounded; in
 * the arena. Idempotent. */
struct str member_phone(struct arena *a, struct str text);

#endif
