#include "net/breaker.h"

#include "base/must.h"

static bool open_time_is_over(const struct breaker *b, int64_t now_ms)
{
    return now_ms - b->opened_at_ms >= b->open_ms;
}

static void open_now(struct breaker *b, int64_t now_ms)
{
    b->state = BREAKER_OPEN;
    b->opened_at_ms = now_ms;
    b->probing = false;
}

static void close_now(struct breaker *b)
{
    b->state = BREAKER_CLOSED;
    b->failures = 0;
    b->probing = false;
}

void breaker_init(struct breaker *b, unsigned failures_to_open, int64_t open_ms)
{
    must(open_ms >= 0);
    *b = (struct breaker){
        .failures_to_open = failures_to_open, .open_ms = open_ms, .state = BREAKER_CLOSED};
    must(pthread_mutex_init(&b->lock, NULL) == 0);
}

void breaker_done(struct breaker *b)
{
    must(pthread_mutex_destroy(&b->lock) == 0);
}

bool breaker_allow(struct breaker *b, int64_t now_ms)
{
    if (b->failures_to_open == 0)
        return true;

    must(pthread_mutex_lock(&b->lock) == 0);
    if (b->state == BREAKER_OPEN && open_time_is_over(b, now_ms))
        b->state = BREAKER_HALF_OPEN;

    bool allowed = b->state == BREAKER_CLOSED;
    if (b->state == BREAKER_HALF_OPEN && !b->probing) {
        b->probing = true;
        allowed = true;
    }
    must(pthread_mutex_unlock(&b->lock) == 0);
    return allowed;
}

void breaker_report(struct breaker *b, bool success, int64_t now_ms)
{
    if (b->failures_to_open == 0)
        return;

    must(pthread_mutex_lock(&b->lock) == 0);
    switch (b->state) {
    case BREAKER_CLOSED:
        b->failures = success ? 0 : b->failures + 1;
        if (b->failures >= b->failures_to_open)
            open_now(b, now_ms);
        break;
    case BREAKER_HALF_OPEN:
        if (success)
            close_now(b);
        else
            open_now(b, now_ms);
        break;
    case BREAKER_OPEN:
        /* A call that began before the breaker opened says nothing new; counting it would push
         * the probe further away. */
        break;
    }
    must(pthread_mutex_unlock(&b->lock) == 0);
}

enum breaker_state breaker_state_now(struct breaker *b, int64_t now_ms)
{
    must(pthread_mutex_lock(&b->lock) == 0);
    enum breaker_state state = b->state;
    if (state == BREAKER_OPEN && open_time_is_over(b, now_ms))
        state = BREAKER_HALF_OPEN;
    must(pthread_mutex_unlock(&b->lock) == 0);
    return state;
}
