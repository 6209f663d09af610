/* The pool of threads.
 *
 * Each worker has one word that says whose turn it is. The caller turns it from IDLE to BUSY, the worker back from
 * BUSY to IDLE; who waits for the other looks at the word for a while, then marks it and sleeps. pass_turn
 * and await_turn serve both. Only the thread that set `taken` touches the rest of the pool. */
#define _POSIX_C_SOURCE 200809L
#include "fastlstm.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

enum {
    /* How long a thread looks before it sleeps. Waking a sleeper costs 10 to 50 microseconds, handing over to one
     * that looks a fraction of one; jobs of one computation follow each other within this time, and looking longer
     * would only burn power and container quota after the last. */
    SPIN_NANOSECONDS = 80000,
    /* Looks before a thread offers its processor to others between looks: some microseconds of pauses. The offer
     * costs little where nobody wants it; where threads outnumber processors, who is awaited may need this one. */
    PAUSES = 256,
    LOOKS_PER_CLOCK = 32,  /* looks between two readings of the clock */
    CACHE_LINE = 128,      /* two lines of most processors, which fetch them in pairs; one of Apple's */
};

/* From BUSY on it is the worker's turn. In IDLE_ASLEEP the worker sleeps, in BUSY_AWAITED the caller. */
enum { IDLE, IDLE_ASLEEP, BUSY, BUSY_AWAITED };

typedef struct {
    _Alignas(CACHE_LINE) _Atomic int turn;
    pthread_mutex_t mutex;
    pthread_cond_t passed;
} fl_worker;

static struct {
    _Atomic int taken;    /* a job runs */
    int refused;          /* no more threads: the system made none, and asking again takes time */
    int64_t workers;      /* that exist */
    fl_task task;         /* the job, from here on */
    void *context;
    int64_t count;
    int64_t threads;      /* that take part */
    fl_worker worker[FL_MOST_THREADS];  /* the first is the caller's and unused */
} pool;

/* Of the forking process only the forking thread lives on in the child, and it is not inside a job. start_worker
 * initialises anew whatever the other threads left locked. */
static void forget_workers(void)
{
    pool.workers = 0;
    pool.refused = 0;
    atomic_store_explicit(&pool.taken, 0, memory_order_relaxed);
}

/* Before the first use, so that no fork can come between. Without the handler there are no threads. */
__attribute__((constructor)) static void watch_forks(void)
{
    pool.refused = pthread_atfork(NULL, NULL, forget_workers) != 0;
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The time between two looks at a word another thread will change; `looks` counts them. */
static inline void pause_between(int64_t looks)
{
    if (looks >= PAUSES) {
        sched_yield();
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");  /* its `yield` does nothing on most processors */
#endif
}

/* Returns once the turn has left `theirs`: looks for a while, then turns `theirs` to `asleep` and sleeps. */
static void await_turn(fl_worker *worker, int theirs, int asleep)
{
    int64_t looks = 0, end = nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int k = 0; k < LOOKS_PER_CLOCK; k++) {
            if (atomic_load_explicit(&worker->turn, memory_order_acquire) != theirs)
                return;
            pause_between(looks++);
        }
    } while (nanoseconds() < end);
    pthread_mutex_lock(&worker->mutex);
    int expected = theirs;
    if (atomic_compare_exchange_strong_explicit(&worker->turn, &expected, asleep, memory_order_acq_rel,
                                                memory_order_acquire))
        while (atomic_load_explicit(&worker->turn, memory_order_acquire) == asleep)
            pthread_cond_wait(&worker->passed, &worker->mutex);
    pthread_mutex_unlock(&worker->mutex);
}

/* Sets the other's turn, `theirs`, and wakes the other where it sleeps in `asleep`. */
static void pass_turn(fl_worker *worker, int theirs, int asleep)
{
    if (atomic_exchange_explicit(&worker->turn, theirs, memory_order_acq_rel) != asleep)
        return;
    pthread_mutex_lock(&worker->mutex);  /* obtained once the sleeper waits, or before it looks at the turn again */
    pthread_mutex_unlock(&worker->mutex);
    pthread_cond_signal(&worker->passed);
}

static void run_share(int64_t thread)
{
    for (int64_t k = thread; k < pool.count; k += pool.threads)
        pool.task(pool.context, k, pool.count);
}

static void *work(void *argument)
{
    fl_worker *self = argument;
    fl_flush_denormals();
    for (;;) {
        await_turn(self, IDLE, IDLE_ASLEEP);
        run_share(self - pool.worker);
        pass_turn(self, IDLE, BUSY_AWAITED);
    }
    return NULL;
}

/* Signals are for the threads of the program: a worker takes only those that its own instructions raise. */
static void block_signals(sigset_t *before)
{
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

/* 0, or an error. */
static int start_worker(fl_worker *worker)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t before;
    atomic_store_explicit(&worker->turn, IDLE, memory_order_relaxed);
    int error = pthread_mutex_init(&worker->mutex, NULL);
    if (!error)
        error = pthread_cond_init(&worker->passed, NULL);
    if (!error)
        error = pthread_attr_init(&attributes);
    if (error)
        return error;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    block_signals(&before);
    error = pthread_create(&thread, &attributes, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static void release_pool(void) { atomic_store_explicit(&pool.taken, 0, memory_order_release); }

/* Takes the pool for a job on up to `wanted` threads, and returns how many it gets. 1: nothing is taken. */
static int64_t take_threads(int64_t wanted)
{
    if (wanted < 2 || atomic_exchange_explicit(&pool.taken, 1, memory_order_acquire))
        return 1;
    while (pool.workers < wanted - 1 && pool.workers < FL_MOST_THREADS - 1 && !pool.refused) {
        if (start_worker(&pool.worker[pool.workers + 1]))
            pool.refused = 1;
        else
            pool.workers++;
    }
    int64_t threads = wanted <= pool.workers ? wanted : pool.workers + 1;
    if (threads == 1)
        release_pool();
    return threads;
}

static void run_on_threads(fl_task task, void *context, int64_t count, int64_t threads)
{
    pool.task = task, pool.context = context, pool.count = count, pool.threads = threads;
    for (int64_t k = 1; k < threads; k++)
        pass_turn(&pool.worker[k], BUSY, IDLE_ASLEEP);
    run_share(0);
    for (int64_t k = 1; k < threads; k++)
        await_turn(&pool.worker[k], BUSY, BUSY_AWAITED);
    release_pool();
}

void fl_run(fl_task task, void *context, int64_t count)
{
    unsigned int mode = fl_flush_denormals();
    int64_t threads = take_threads(count);
    if (threads > 1)
        run_on_threads(task, context, count, threads);
    else
        for (int64_t k = 0; k < count; k++)
            task(context, k, count);
    fl_restore_denormals(mode);
}

int64_t fl_run_together(fl_task task, void *context, int64_t count)
{
    unsigned int mode = fl_flush_denormals();
    int64_t threads = count <= FL_MOST_THREADS ? take_threads(count) : 1;
    if (threads > 1 && threads == count) {
        run_on_threads(task, context, count, threads);
    } else {
        if (threads > 1)
            release_pool();
        if (count > 1)
            count = 1;
        if (count == 1)
            task(context, 0, 1);
    }
    fl_restore_denormals(mode);
    return count;
}

/* The counter only grows: who arrives waits for the end of its round of `count` arrivals. Each arrival releases
 * what its task wrote and passes on what those before released, so that seeing the last one is enough. */
void fl_barrier_wait(fl_barrier *barrier, int64_t count)
{
    if (count < 2)
        return;
    uint64_t before = atomic_fetch_add_explicit(&barrier->arrivals, 1, memory_order_acq_rel);
    uint64_t end = (before / (uint64_t)count + 1) * (uint64_t)count;
    for (int64_t looks = 0; atomic_load_explicit(&barrier->arrivals, memory_order_acquire) < end; looks++)
        pause_between(looks);
}
