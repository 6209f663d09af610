/* Runs the thread pool without Python, for run.sh to build under sanitizers: TSan for its ordering, ASan and UBSan
 * for the rest. `pool time` measures instead; build it without sanitizers for that.
 *
 * Tasks write plain memory on purpose: ThreadSanitizer then sees whether the pool and the barrier order it. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <pthread.h>

/* The pool is included, so that it makes its threads through this and the tests can let the system refuse. */
static int threads_left = 1 << 30;

static int create_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *context)
{
    return threads_left-- > 0 ? pthread_create(thread, attributes, start, context) : EAGAIN;
}
#define pthread_create create_thread
#include "../../csrc/pool.c"
#undef pthread_create

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

static int passed, failed;

static void check(const char *what, int holds)
{
    if (holds) {
        passed++;
        return;
    }
    if (failed++ < 20)
        printf("    %s\n", what);
}

static void sleep_microseconds(int64_t microseconds)
{
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

/* ---- tasks ---- */

enum { MOST_TASKS = 1000 };

typedef struct {
    int64_t runs[MOST_TASKS];     /* of each task */
    pthread_t thread[MOST_TASKS]; /* that ran it last */
    int64_t work;                 /* additions in each task */
    double sum[MOST_TASKS];
} counts;

static void count_run(void *context, int64_t index, int64_t count)
{
    counts *all = context;
    all->runs[index]++;
    all->thread[index] = pthread_self();
    double sum = 0;
    for (int64_t k = 0; k < all->work; k++)
        sum += (double)((k + index) % 7);
    all->sum[index] = sum;
    (void)count;
}

/* Whether each of the first `count` tasks ran `runs` times, and no other. */
static int all_ran(const counts *all, int64_t count, int64_t runs)
{
    for (int64_t k = 0; k < MOST_TASKS; k++)
        if (all->runs[k] != (k < count ? runs : 0))
            return 0;
    return 1;
}

/* What tasks with a barrier compute, the same on any number of threads: steps in which each cell of a row becomes
 * the sum of itself and its right neighbour, modulo a prime. */
enum { CELLS = 24, PRIME = 65521 };

typedef struct {
    fl_barrier barrier;
    int64_t steps;
    int32_t cell[2][CELLS];
} row;

static void advance_row(void *context, int64_t index, int64_t count)
{
    row *cells = context;
    int64_t first = index * CELLS / count, end = (index + 1) * CELLS / count;
    for (int64_t step = 0; step < cells->steps; step++) {
        const int32_t *from = cells->cell[step % 2];
        for (int64_t k = first; k < end; k++)
            cells->cell[1 - step % 2][k] = (from[k] + from[(k + 1) % CELLS]) % PRIME;
        fl_barrier_wait(&cells->barrier, count);
    }
}

static void fill_row(row *cells, int64_t steps)
{
    memset(cells, 0, sizeof *cells);
    cells->steps = steps;
    for (int k = 0; k < CELLS; k++)
        cells->cell[0][k] = k * k + 1;
}

/* Runs the row on `count` tasks and alone; returns the number of tasks, or -1 where the results differ. */
static int64_t run_row(int64_t count, int64_t steps)
{
    row together, alone;
    fill_row(&together, steps);
    fill_row(&alone, steps);
    int64_t ran = fl_run_together(advance_row, &together, count);
    advance_row(&alone, 0, 1);
    return memcmp(together.cell, alone.cell, sizeof alone.cell) ? -1 : ran;
}

/* ---- tests ---- */

static counts tasks;

static counts *fresh_tasks(int64_t work)
{
    memset(&tasks, 0, sizeof tasks);
    tasks.work = work;
    return &tasks;
}

static void test_sizes(void)
{
    check("no thread before the first job", pool.workers == 0);
    fl_run(count_run, fresh_tasks(1), 0);
    check("no task", all_ran(&tasks, 0, 0));
    check("no task together", fl_run_together(count_run, &tasks, 0) == 0 && all_ran(&tasks, 0, 0));
    fl_run(count_run, &tasks, 1);
    check("one task together", fl_run_together(count_run, &tasks, 1) == 1 && all_ran(&tasks, 1, 2));
    check("no thread for one task", pool.workers == 0 && pthread_equal(tasks.thread[0], pthread_self()));
    for (int64_t count = 2; count <= 9; count++) {
        fl_run(count_run, fresh_tasks(100), count);
        check("each task once", all_ran(&tasks, count, 1));
        check("as many workers as needed", pool.workers == count - 1);
    }
}

static void test_assignment(void)
{
    fl_run(count_run, fresh_tasks(1), 4);
    check("task 0 in the caller", pthread_equal(tasks.thread[0], pthread_self()));
    pthread_t before[4];
    memcpy(before, tasks.thread, sizeof before);
    for (int run = 0; run < 100; run++)
        fl_run(count_run, &tasks, 2 + run % 3);
    for (int k = 0; k < 4; k++)
        for (int j = 0; j <= k; j++)
            check("a task keeps to its thread", pthread_equal(before[j], tasks.thread[k]) == (j == k));
}

static void test_long_work(void)
{
    fl_run(count_run, fresh_tasks(3000000), 4);
    for (int64_t k = 0; k < 4; k++) {
        double sum = 0;
        for (int64_t j = 0; j < tasks.work; j++)
            sum += (double)((j + k) % 7);
        check("the sum of long work", tasks.sum[k] == sum);
    }
}

static void test_short_jobs(void)
{
    int64_t jobs = 30000;
    fresh_tasks(3);
    for (int64_t k = 0; k < jobs; k++)
        fl_run(count_run, &tasks, 2);
    check("short jobs in a row", all_ran(&tasks, 2, jobs));
    fresh_tasks(3);
    for (int64_t k = 0; k < 100; k++) {  /* about the time after which workers fall asleep, and well beyond it */
        sleep_microseconds(k % 10 ? SPIN_NANOSECONDS / 1000 - 60 + k : 1000);
        fl_run(count_run, &tasks, 3);
    }
    check("short jobs with pauses", all_ran(&tasks, 3, 100));
}

static void sleep_if_not_first(void *context, int64_t index, int64_t count)
{
    if (index)
        sleep_microseconds(3000);
    count_run(context, index, count);
}

static void test_sleeping_caller(void)
{
    fresh_tasks(1);
    for (int k = 0; k < 10; k++)
        fl_run(sleep_if_not_first, &tasks, 3);
    check("the caller sleeps until the workers are done", all_ran(&tasks, 3, 10));
}

static void test_barriers(void)
{
    check("100,000 barriers", run_row(2, 100000) == 2);
    check("barriers of three", run_row(3, 1000) == 3);
    check("barriers of more tasks than processors", run_row(12, 1000) == 12);
    check("no barrier alone", run_row(1, 1000) == 1);
    row cells;
    fill_row(&cells, 501);
    fl_run_together(advance_row, &cells, 3);
    fl_run_together(advance_row, &cells, 3);
    check("a barrier serves the next job", atomic_load(&cells.barrier.arrivals) == 2 * 3 * 501);
}

static void run_nested(void *context, int64_t index, int64_t count)
{
    counts *inner = (counts *)context + index;
    fl_run(count_run, inner, 5);
    inner->runs[MOST_TASKS - 1] = fl_run_together(count_run, inner, 5);
    int own_thread = 1;
    for (int k = 0; k < 5; k++)
        own_thread &= pthread_equal(inner->thread[k], pthread_self());
    inner->runs[MOST_TASKS - 2] = own_thread;
    (void)count;
}

static void test_nested(void)
{
    static counts inner[3];
    fl_run(run_nested, inner, 3);
    for (int k = 0; k < 3; k++) {
        check("nested tasks", inner[k].runs[0] == 2 && inner[k].runs[1] == 1 && inner[k].runs[4] == 1);
        check("a nested job runs alone", inner[k].runs[MOST_TASKS - 1] == 1 && inner[k].runs[MOST_TASKS - 2]);
    }
}

enum { CALLER_JOBS = 5000 };

static void *call_often(void *failures)
{
    counts *own = calloc(1, sizeof *own);
    if (!own)
        exit(2);
    for (int k = 0; k < CALLER_JOBS; k++)
        fl_run(count_run, own, 3);
    *(int *)failures += !all_ran(own, 3, CALLER_JOBS);
    for (int k = 0; k < 200; k++) {
        int64_t ran = run_row(3, 10);
        *(int *)failures += ran != 3 && ran != 1;
    }
    free(own);
    return NULL;
}

/* Callers take turns by a relaxed atomic, which orders nothing else: what one job does to the pool must be ordered
 * before the other caller's next job by the pool alone. */
static _Atomic int64_t next_caller;

static void *call_in_turn(void *self)
{
    static counts all[2];
    for (int64_t k = 0; k < 100; k++) {
        while (atomic_load_explicit(&next_caller, memory_order_relaxed) % 2 != *(int *)self)
            sched_yield();
        fl_run(count_run, &all[*(int *)self], 3);
        atomic_fetch_add_explicit(&next_caller, 1, memory_order_relaxed);
    }
    *(int *)self = all_ran(&all[*(int *)self], 3, 100);
    return NULL;
}

static void test_callers_in_turn(void)
{
    pthread_t other;
    int callers[2] = {0, 1};
    if (pthread_create(&other, NULL, call_in_turn, callers + 1))
        exit(2);
    call_in_turn(callers);
    pthread_join(other, NULL);
    check("two callers in turn", callers[0] && callers[1]);
}

static void test_two_callers(void)
{
    pthread_t other;
    int failures[2] = {0, 0};
    if (pthread_create(&other, NULL, call_often, failures + 1))
        exit(2);
    call_often(failures);
    pthread_join(other, NULL);
    check("two callers at once", !failures[0] && !failures[1]);
    check("the pool is free again", run_row(3, 10) == 3);
}

static void look_at_signals(void *context, int64_t index, int64_t count)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    ((int *)context)[index] = sigismember(&blocked, SIGINT) && !sigismember(&blocked, SIGSEGV);
    (void)count;
}

static void test_signals(void)
{
    int blocked[2];
    fl_run(look_at_signals, blocked, 2);
    check("workers leave signals to the program's threads", !blocked[0] && blocked[1]);
}

static void divide_smallest(void *context, int64_t index, int64_t count)
{
    volatile double smallest = DBL_MIN;
    ((int *)context)[index] = smallest / 4 == 0;
    (void)count;
}

static void test_denormals(void)
{
    int flushed[3], alone, kept, expected;  /* not everywhere: fl_flush_denormals does what the processor can */
    unsigned int mode = fl_flush_denormals();
    divide_smallest(&expected, 0, 1);
    fl_restore_denormals(mode);
    fl_run(divide_smallest, flushed, 3);
    check("tasks flush denormals", flushed[0] == expected && flushed[1] == expected && flushed[2] == expected);
    fl_run_together(divide_smallest, &alone, 1);
    check("a task alone flushes denormals", alone == expected);
    divide_smallest(&kept, 0, 1);
    check("the caller's mode is restored", !kept);
}

static void test_most_tasks(void)
{
    int64_t ran = fl_run_together(count_run, fresh_tasks(1), FL_MOST_THREADS + 1);
    check("more tasks together than threads can be", ran == 1);
    check("one of them does all", all_ran(&tasks, 1, 1));
    fl_run(count_run, fresh_tasks(1), MOST_TASKS);
    check("more tasks than threads can be", all_ran(&tasks, MOST_TASKS, 1));
    check("no more threads than allowed", pool.workers == FL_MOST_THREADS - 1);
    check("dealt out in turn", pthread_equal(tasks.thread[1], tasks.thread[1 + FL_MOST_THREADS]));
}

/* ---- forks: not under ThreadSanitizer, which ends a forked child that makes threads ---- */

#if !defined(THREAD_SANITIZER)
/* The child's part: jobs with workers of its own. The alarm ends a child that hangs. */
static int child_works(void)
{
    alarm(5);
    int idle = !atomic_load(&pool.taken) && pool.workers == 0;
    fl_run(count_run, fresh_tasks(100), 4);
    return idle && all_ran(&tasks, 4, 1) && run_row(3, 20) == 3 && pool.workers == 3;
}

static int fork_works(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(child_works() ? 0 : 1);
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_fork_after_use(void)
{
    int works = 0;
    for (int k = 0; k < 100; k++) {
        fl_run(count_run, fresh_tasks(1), 3);
        if (k % 2)
            sleep_microseconds(1000);  /* the workers sleep */
        works += fork_works();
    }
    check("100 of 100 forks after use", works == 100);
    check("the parent goes on", run_row(3, 10) == 3);
}

static _Atomic int stop;

static void *call_until_stopped(void *runs)
{
    static row cells;
    for (int k = 0; !atomic_load(&stop); k++) {
        fill_row(&cells, 50);
        fl_run_together(advance_row, &cells, 2 + k % 2);
        if (k % 16 == 0)
            sleep_microseconds(200);
        ++*(int64_t *)runs;
    }
    return NULL;
}

static void test_fork_during_use(void)
{
    pthread_t other;
    int works = 0;
    int64_t runs = 0;
    if (pthread_create(&other, NULL, call_until_stopped, &runs))
        exit(2);
    for (int k = 0; k < 100; k++)
        works += fork_works();
    atomic_store(&stop, 1);
    pthread_join(other, NULL);
    check("100 of 100 forks while another thread uses the pool", works == 100);
    check("the other thread went on", runs > 0);
}

/* In a child, which has no workers to begin with. */
static int refused_child_works(void)
{
    alarm(5);
    threads_left = 2;
    int works = run_row(4, 10) == 1 && pool.workers == 2;
    fl_run(count_run, fresh_tasks(1), 8);
    works &= all_ran(&tasks, 8, 1) && pthread_equal(tasks.thread[1], tasks.thread[7]);
    return works && run_row(3, 10) == 3 && run_row(4, 10) == 1 && threads_left == -1;
}

static void test_refused_threads(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        threads_left = 0;
        fl_run(count_run, fresh_tasks(1), 3);
        int works = all_ran(&tasks, 3, 1) && !atomic_load(&pool.taken);
        forget_workers();
        _exit(works && refused_child_works() ? 0 : 1);
    }
    waitpid(child, &status, 0);
    check("the system makes fewer threads than wanted, or none", WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

/* ---- figures ---- */

static void do_nothing(void *context, int64_t index, int64_t count) { (void)context, (void)index, (void)count; }

static void only_barriers(void *context, int64_t index, int64_t count)
{
    for (int64_t k = 0; k < 100000; k++)
        fl_barrier_wait(context, count);
    (void)index;
}

static int by_size(const void *a, const void *b)
{
    return (*(const int64_t *)a > *(const int64_t *)b) - (*(const int64_t *)a < *(const int64_t *)b);
}

/* Prints the time of an empty job of two tasks that comes `gap` after the one before. */
static void time_jobs(const char *what, int64_t gap, int64_t jobs)
{
    int64_t *times = calloc((size_t)jobs, sizeof *times);
    if (!times)
        exit(2);
    fl_run(do_nothing, NULL, 2);
    for (int64_t k = 0; k < jobs; k++) {
        if (gap)
            sleep_microseconds(gap);
        int64_t start = nanoseconds();
        fl_run(do_nothing, NULL, 2);
        times[k] = nanoseconds() - start;
    }
    qsort(times, (size_t)jobs, sizeof *times, by_size);
    printf("%-40s median %6.2f us, 99th percentile %6.2f us\n", what, (double)times[jobs / 2] / 1000,
           (double)times[jobs * 99 / 100] / 1000);
    free(times);
}

static int measure(void)
{
    time_jobs("two tasks, the worker looking", 0, 100000);
    time_jobs("two tasks, the worker asleep", 1000, 500);
    for (int64_t count = 2; count <= 8; count *= 2) {
        fl_barrier barrier = {0};
        int64_t start = nanoseconds();
        fl_run_together(only_barriers, &barrier, count);
        printf("%d tasks, each barrier %29.2f us\n", (int)count, (double)(nanoseconds() - start) / 1e8);
    }
    return 0;
}

int main(int arguments, char **argument)
{
    if (arguments > 1 && !strcmp(argument[1], "time"))
        return measure();
    test_sizes();
    test_assignment();
    test_long_work();
    test_short_jobs();
    test_sleeping_caller();
    test_barriers();
    test_nested();
    test_callers_in_turn();
    test_two_callers();
    test_signals();
    test_denormals();
#if defined(THREAD_SANITIZER)
    printf("forks: left out under ThreadSanitizer\n");
#else
    test_fork_after_use();
    test_fork_during_use();
    test_refused_threads();
#endif
    test_most_tasks();
    printf("pool: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
