#include "net/backoff.h"

#include "base/encode.h"
#include "base/must.h"

int64_t backoff_full_jitter_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms)
{
    must(base_ms >= 1);
    must(cap_ms >= base_ms);
    must(cap_ms < UINT32_MAX);

    /* Doubling step by step cannot overflow: it stops at half the cap. */
    int64_t limit_ms = base_ms;
    for (unsigned i = 0; i < attempt && limit_ms < cap_ms; i++)
        limit_ms = limit_ms > cap_ms / 2 ? cap_ms : limit_ms * 2;

    return (int64_t)random_below((uint32_t)limit_ms + 1);
}
