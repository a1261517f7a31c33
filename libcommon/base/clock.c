#include "base/clock.h"
#include "base/must.h"

#include <errno.h>

#define YEAR_9999_END_MS 253402300799999 /* 9999-12-31T23:59:59.999Z */

static int64_t clock_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_unix_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

int64_t clock_unix_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_left_ms(int64_t deadline_ms)
{
    int64_t now = clock_mono_ms();
    return deadline_ms > now ? deadline_ms - now : 0;
}

void clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    must(pthread_condattr_init(&monotonic) == 0);
    must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(cond, &monotonic) == 0);
    must(pthread_condattr_destroy(&monotonic) == 0);
}

bool clock_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ms)
{
    if (deadline_ms < 0)
        deadline_ms = 0;
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000L};
    int rc = pthread_cond_timedwait(cond, mutex, &until);
    must(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

static void put_digits(char *out, int width, int value)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

void clock_iso_utc(int64_t unix_ms, char out[CLOCK_ISO_SIZE])
{
    struct tm tm;
    if (unix_ms < 0)
        unix_ms = 0;
    if (unix_ms > YEAR_9999_END_MS)
        unix_ms = YEAR_9999_END_MS;
    time_t seconds = (time_t)(unix_ms / 1000);
    gmtime_r(&seconds, &tm);
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    put_digits(out, 4, tm.tm_year + 1900);
    put_digits(out + 5, 2, tm.tm_mon + 1);
    put_digits(out + 8, 2, tm.tm_mday);
    put_digits(out + 11, 2, tm.tm_hour);
    put_digits(out + 14, 2, tm.tm_min);
    put_digits(out + 17, 2, tm.tm_sec);
    put_digits(out + 20, 3, (int)(unix_ms % 1000));
}

/*
 * Reads text against a shape in which '0' stands for a digit and everything else for itself. The
 * digits are checked only; take_number() reads them.
 */
static bool has_shape(struct str s, const char *shape)
{
    for (size_t i = 0; shape[i]; i++) {
        if (i >= s.len)
            return false;
        bool digit = s.ptr[i] >= '0' && s.ptr[i] <= '9';
        if (shape[i] == '0' ? !digit : s.ptr[i] != shape[i])
            return false;
    }
    return true;
}

static int take_number(struct str s, size_t at, size_t width)
{
    int value = 0;
    for (size_t i = 0; i < width; i++)
        value = value * 10 + (s.ptr[at + i] - '0');
    return value;
}

static int days_in_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* month 1..12. timegm() would accept and shift impossible dates, so they are refused before. */
static bool to_unix_s(int year, int month, int day, int hour, int minute, int second, int64_t *ret)
{
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    *ret = (int64_t)timegm(&tm);
    return true;
}

/* ".1" to ".123456789" in front of the offset; nothing is 0 ms. */
static bool take_fraction(struct str *rest, int64_t *ret_ms)
{
    size_t digits = 0;
    *ret_ms = 0;
    if (rest->len == 0 || rest->ptr[0] != '.')
        return true;
    while (digits + 1 < rest->len && rest->ptr[digits + 1] >= '0' && rest->ptr[digits + 1] <= '9')
        digits++;
    if (digits < 1 || digits > 9)
        return false;
    for (size_t i = 1; i <= 3; i++)
        *ret_ms = *ret_ms * 10 + (i <= digits ? rest->ptr[i] - '0' : 0);
    *rest = str_skip(*rest, digits + 1);
    return true;
}

static bool take_offset(struct str rest, int64_t *ret_s)
{
    *ret_s = 0;
    if (str_eq(rest, STR("Z")))
        return true;
    if (rest.len != 6 || (rest.ptr[0] != '+' && rest.ptr[0] != '-') ||
        !has_shape(str_skip(rest, 1), "00:00"))
        return false;
    int hours = take_number(rest, 1, 2);
    int minutes = take_number(rest, 4, 2);
    *ret_s = (int64_t)(hours * 3600 + minutes * 60) * (rest.ptr[0] == '-' ? -1 : 1);
    return hours <= 23 && minutes <= 59;
}

bool clock_parse_rfc3339(struct str s, int64_t *ret_unix_ms)
{
    int64_t seconds;
    int64_t ms;
    int64_t offset_s;
    if (!has_shape(s, "0000-00-00T00:00:00") && !has_shape(s, "0000-00-00 00:00:00"))
        return false;
    if (!to_unix_s(take_number(s, 0, 4), take_number(s, 5, 2), take_number(s, 8, 2),
                   take_number(s, 11, 2), take_number(s, 14, 2), take_number(s, 17, 2), &seconds))
        return false;
    struct str rest = str_skip(s, 19);
    if (!take_fraction(&rest, &ms) || !take_offset(rest, &offset_s))
        return false;
    *ret_unix_ms = (seconds - offset_s) * 1000 + ms;
    return true;
}

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void clock_http_date(int64_t unix_s, char out[CLOCK_ISO_SIZE])
{
    struct tm tm;
    if (unix_s < 0)
        unix_s = 0;
    if (unix_s > YEAR_9999_END_MS / 1000)
        unix_s = YEAR_9999_END_MS / 1000;
    time_t seconds = (time_t)unix_s;
    gmtime_r(&seconds, &tm);
    memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", 30);
    memcpy(out, day_names[tm.tm_wday], 3);
    put_digits(out + 5, 2, tm.tm_mday);
    memcpy(out + 8, month_names[tm.tm_mon], 3);
    put_digits(out + 12, 4, tm.tm_year + 1900);
    put_digits(out + 17, 2, tm.tm_hour);
    put_digits(out + 20, 2, tm.tm_min);
    put_digits(out + 23, 2, tm.tm_sec);
}

bool clock_parse_http_date(struct str s, int64_t *ret_unix_s)
{
    char again[CLOCK_ISO_SIZE];
    int month = 0;
    int64_t seconds;
    if (s.len != 29 || !has_shape(str_skip(s, 3), ", 00 ") || !has_shape(str_skip(s, 11), " 0000 "))
        return false;
    if (!has_shape(str_skip(s, 17), "00:00:00 GMT"))
        return false;
    while (month < 12 && !str_eq(str_n(s.ptr + 8, 3), str_n(month_names[month], 3)))
        month++;
    if (!to_unix_s(take_number(s, 12, 4), month + 1, take_number(s, 5, 2), take_number(s, 17, 2),
                   take_number(s, 20, 2), take_number(s, 23, 2), &seconds))
        return false;
    /* Written again it must be the same, or the day of the week is a lie (or the year too early to
     * be written). */
    clock_http_date(seconds, again);
    if (!str_eq_text(s, again))
        return false;
    *ret_unix_s = seconds;
    return true;
}
