#include "net/http_bytes.h"

#define ALL  (IN_TOKEN | IN_TARGET | IN_VALUE | IN_HOST)
#define TEXT (IN_TARGET | IN_VALUE)

const unsigned char http_byte_class[256] = {
    ['\t'] = IN_VALUE,
    [' '] = IN_VALUE,
    ['!'] = ALL,
    ['"'] = TEXT,
    ['#'] = IN_TOKEN | IN_VALUE,
    ['$'] = ALL,
    ['%'] = IN_TOKEN | IN_VALUE | IN_HOST,
    ['&' ... '\''] = ALL,
    ['(' ... ')'] = TEXT | IN_HOST,
    ['*' ... '+'] = ALL,
    [','] = TEXT,
    ['-' ... '.'] = ALL,
    ['/'] = TEXT,
    ['0' ... '9'] = ALL,
    [':' ... ';'] = TEXT | IN_HOST,
    ['<'] = TEXT,
    ['='] = TEXT | IN_HOST,
    ['>' ... '@'] = TEXT,
    ['A' ... 'Z'] = ALL,
    ['['] = TEXT | IN_HOST,
    ['\\'] = TEXT,
    [']'] = TEXT | IN_HOST,
    ['^'] = TEXT | IN_TOKEN,
    ['_'] = ALL,
    ['`'] = TEXT | IN_TOKEN,
    ['a' ... 'z'] = ALL,
    ['{'] = TEXT,
    ['|'] = TEXT | IN_TOKEN,
    ['}'] = TEXT,
    ['~'] = ALL,
    [0x80 ... 0xFF] = IN_VALUE,
};
