/* What one core can do at best, as one line of JSON: float32 fused multiply-adds in GFLOP/s, reading in GB/s from
 * buffers that fit in half of the L1, half of the L2, a part of the L3, and no cache, and the sizes of the caches. Each
 * speed is the best of several runs.
 * Compile with -O3 -march=native. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__AVX512F__)
#define BYTES 64
#define ACCUMULATORS 24 /* of 32 registers: more than latency times units needs */
#elif defined(__AVX__)
#define BYTES 32
#define ACCUMULATORS 12 /* of 16 */
#else
#define BYTES 16
#define ACCUMULATORS 24 /* NEON: 4 units, 32 registers */
#endif
#define LANES (BYTES / 4)
#define RUNS 7

typedef float vec __attribute__((vector_size(BYTES)));

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile float sink;

static void use(vec x)
{
    for (int k = 0; k < LANES; k++)
        sink = x[k];
}

/* The best of so many runs, of some 2 ms each. */
double fma_gflops(int runs)
{
    const long steps = 10000000 / ACCUMULATORS;
    volatile float factor = 0.999f, term = 1e-3f; /* unknown to the compiler; the values stay near 1 */
    double best = 0;
    for (int run = 0; run < runs; run++) {
        vec sums[ACCUMULATORS], a, b, total;
        for (int k = 0; k < LANES; k++)
            a[k] = factor, b[k] = term, total[k] = 0;
        for (int k = 0; k < ACCUMULATORS; k++)
            sums[k] = b * (float)k;
        double began = now();
        for (long step = 0; step < steps; step++)
#pragma GCC unroll 24
            for (int k = 0; k < ACCUMULATORS; k++)
                sums[k] = sums[k] * a + b;
        double speed = 2e-9 * LANES * ACCUMULATORS * (double)steps / (now() - began);
        for (int k = 0; k < ACCUMULATORS; k++)
            total += sums[k];
        use(total);
        best = speed > best ? speed : best;
    }
    return best;
}

/* Reads `size` bytes, over and over, about `volume` bytes a run. */
static double read_gbs(size_t size, double volume)
{
    enum { STREAMS = 8 };
    size -= size % (STREAMS * BYTES);
    vec *buffer = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (!buffer)
        return 0;
    memset(buffer, 0, size);
    long passes = (long)(volume / (double)size) + 1;
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        vec sums[STREAMS], total;
        memset(sums, 0, sizeof sums);
        memset(&total, 0, sizeof total);
        double began = now();
        for (long pass = 0; pass < passes; pass++) {
            for (size_t j = 0; j < size / BYTES; j += STREAMS)
#pragma GCC unroll 8
                for (int k = 0; k < STREAMS; k++)
                    sums[k] += buffer[j + (size_t)k];
            __asm__ volatile("" ::: "memory"); /* every pass reads again */
        }
        double speed = 1e-9 * (double)size * (double)passes / (now() - began);
        for (int k = 0; k < STREAMS; k++)
            total += sums[k];
        use(total);
        best = speed > best ? speed : best;
    }
    free(buffer);
    return best;
}

/* A cache's size as the system tells it, or a usual one. */
static size_t cache_size(int level)
{
    static const size_t usual[] = {0, 32 << 10, 1 << 20, 32 << 20};
    long size = 0;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    size = sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : level == 2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE);
#endif
    return size > 0 ? (size_t)size : usual[level];
}

int main(void)
{
    size_t l1 = cache_size(1), l2 = cache_size(2), l3 = cache_size(3);
    size_t part = l3 / 2 < 4 * l2 ? l3 / 2 : 4 * l2; /* others use the L3 too */
    size_t beyond = 4 * l3 < (size_t)1 << 30 ? 4 * l3 : (size_t)1 << 30;
    printf("{\"fma_gflops\": %.1f, \"l1_gbs\": %.1f, ", fma_gflops(RUNS), read_gbs(l1 / 2, 2e9));
    printf("\"l2_gbs\": %.1f, \"l3_gbs\": %.1f, ", read_gbs(l2 / 2, 2e9), read_gbs(part, 1e9));
    printf("\"dram_gbs\": %.1f, ", read_gbs(beyond, 1e9));
    printf("\"l1_bytes\": %zu, \"l2_bytes\": %zu, \"l3_bytes\": %zu}\n", l1, l2, l3);
    return 0;
}
