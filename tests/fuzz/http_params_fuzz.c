/* Percent-encoding, query strings, media types, dates: the small readers behind many headers.
 *
 * Input: any text.
 */
#include "fuzz.h"

#include "base/clock.h"
#include "base/kennitala.h"

void fuzz_start(void) {}

void fuzz_input(struct arena *a, struct str input)
{
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    struct str value, again;
    struct buf encoded;
    int64_t number;
    size_t count;

    if (http_url_decode(a, input, false, &value)) {
        must(str_is_utf8(value) && value.len <= input.len);
        must(str_find_char(value, '\0') == value.len);
        buf_init(&encoded, ARENA_MAX_BYTES);
        must(buf_add_url(&encoded, value));
        must(http_url_decode(a, buf_str(&encoded), false, &again) && str_eq(value, again));
        buf_done(&encoded);
    }
    if (http_query_parse(a, input, params, &count)) {
        must(count <= HTTP_QUERY_PARAMS_MAX);
        for (size_t i = 0; i < count; i++)
            must(str_is_utf8(params[i].name) && str_is_utf8(params[i].value));
    }
    (void)http_media_type_is(input, "application/json");
    if (http_media_type_param(input, "charset", &value))
        must(value.len <= input.len);
    (void)clock_parse_rfc3339(input, &number);
    (void)clock_parse_http_date(input, &number);
    if (base64url_decode(a, input, &value)) {
        again = base64url_encode(a, value);
        must(str_eq(input, again)); /* one spelling only */
    }
    if (base64_decode(a, input, &value))
        must(str_eq(input, base64_encode(a, value)));
}
