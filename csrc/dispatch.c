/* Which rows of the kernel table exist, which of them this processor runs, and the floating-point mode. */
#include "fastlstm.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

extern const fl_kernels_f32 fl_kernels_f32_scalar;
extern const fl_kernels_f64 fl_kernels_f64_scalar;

static int always(void) { return 1; }

#if defined(__x86_64__)
extern const fl_kernels_f32 fl_kernels_f32_avx2, fl_kernels_f32_avx512;
extern const fl_kernels_f64 fl_kernels_f64_avx2, fl_kernels_f64_avx512;

static int has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}
#endif

#if defined(__aarch64__)
extern const fl_kernels_f32 fl_kernels_f32_neon;
extern const fl_kernels_f64 fl_kernels_f64_neon;
#endif

static const fl_row table[] = {
#if defined(__x86_64__)
    {"avx512", &fl_kernels_f32_avx512, &fl_kernels_f64_avx512, has_avx512},
    {"avx2", &fl_kernels_f32_avx2, &fl_kernels_f64_avx2, has_avx2},
#endif
#if defined(__aarch64__)
    {"neon", &fl_kernels_f32_neon, &fl_kernels_f64_neon, always},
#endif
    {"scalar", &fl_kernels_f32_scalar, &fl_kernels_f64_scalar, always},
};

const fl_row *fl_rows(size_t *count)
{
    *count = sizeof table / sizeof *table;
    return table;
}

const fl_row *fl_select(const char *name)
{
    size_t count;
    const fl_row *rows = fl_rows(&count);
    for (size_t k = 0; k < count; k++)
        if ((!name || !strcmp(name, rows[k].name)) && rows[k].supported())
            return &rows[k];
    return NULL;
}

#if defined(__x86_64__)
enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };

unsigned int fl_flush_denormals(void)
{
    unsigned int mode = _mm_getcsr();
    _mm_setcsr(mode | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return mode;
}

void fl_restore_denormals(unsigned int mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
/* The control register's FZ bit, for inputs and results alike; the upper half of the register is 0. */
enum { FLUSH_TO_ZERO = 1 << 24 };

static void set_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }

unsigned int fl_flush_denormals(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    set_mode(mode | FLUSH_TO_ZERO);
    return (unsigned int)mode;
}

void fl_restore_denormals(unsigned int mode) { set_mode(mode); }
#else
unsigned int fl_flush_denormals(void) { return 0; }
void fl_restore_denormals(unsigned int mode) { (void)mode; }
#endif
