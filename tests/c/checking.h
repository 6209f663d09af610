/* What the drivers share: counting checks, random numbers and memory of exact sizes. */
#include "fastlstm.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed, row_failed;

static void check(const char *what, double got, double want, double bound)
{
    double error = fabs(got - want) / fmax(1, fabs(want));
    if (error <= bound || (isnan(got) && isnan(want))) {
        passed++;
        return;
    }
    failed++;
    if (row_failed++ < 5)
        printf("    %s: got %.17g, want %.17g\n", what, got, want);
}

/* Uniform in [-2, 2], the same on every machine and for every row (Marsaglia's xorshift64). */
static uint64_t random_state;

static double random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0 * 4 - 2;
}

static void *exactly(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FOR_EACH(type, item, array)                                          \
    for (size_t item##_at = 0; item##_at < COUNT(array); item##_at++)        \
        for (type item = (array)[item##_at], *item##_once = &item; item##_once; item##_once = NULL)

/* The lines above for one REAL, which NAME adds the suffix of. */
#define REAL float
#define NAME(x) x##_f32
#include "checking.inc.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) x##_f64
#include "checking.inc.h"
#undef REAL
#undef NAME
