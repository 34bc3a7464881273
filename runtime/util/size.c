/* SPDX-License-Identifier: MIT
 *
 * Amounts of memory as people write them.
 */
#include "util/size.h"

#include "util/error.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    double factor;
} units[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
    {"PB", 1e15},
    {"K", 1024.0},
    {"M", 1048576.0},
    {"G", 1073741824.0},
    {"T", 1099511627776.0},
    {"P", 1125899906842624.0},
    {"KiB", 1024.0},
    {"MiB", 1048576.0},
    {"GiB", 1073741824.0},
    {"TiB", 1099511627776.0},
    {"PiB", 1125899906842624.0},
};

int mni_size_parse(const char *text, uint64_t *bytes)
{
    const char *at = text;
    double number = 0, place = 1;
    int digits = 0;

    /* By hand, not strtod: that takes signs, exponents, hexadecimal, infinities and the locale's comma. */
    if (!text || !bytes)
        return mni_error(MN_E_INVALID, "no memory size was given");
    for (; isdigit((unsigned char)*at); at++, digits++)
        number = number * 10 + (*at - '0');
    if (*at == '.')
        for (at++; isdigit((unsigned char)*at); at++, digits++) {
            place /= 10;
            number += (*at - '0') * place;
        }
    while (*at == ' ')
        at++;
    for (size_t i = 0; digits > 0 && i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(at, units[i].name) != 0)
            continue;
        double product = number * units[i].factor;
        if (product < 1 || product >= 9223372036854775808.0)
            break;
        *bytes = (uint64_t)product;
        return 0;
    }
    return mni_error(
        MN_E_INVALID,
        "\"%.40s\" is not an amount of memory; write a number of bytes greater than 0 or "
        "one with a unit, such as 1500000, 512MiB, 1.5GiB or 2GB",
        text);
}

char *mni_size_format(uint64_t bytes, char *text, size_t room)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double number = (double)bytes;
    unsigned unit = 0;

    while (number >= 1024 && unit < 6) {
        number /= 1024;
        unit++;
    }
    if (number == (double)(uint64_t)number)
        snprintf(text, room, "%.0f %s", number, names[unit]);
    else
        snprintf(text, room, "%.2f %s", number, names[unit]);
    return text;
}
