/* Loaded before the C library (LD_PRELOAD): fails one chosen allocation of one thread, and counts
 * the blocks that are allocated. glibc only. */
#include <errno.h>
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static _Thread_local long countdown; /* 0: none fails */
static _Thread_local long failed;
static long blocks;
static struct { const char *from, *to; } exempt[16]; /* code whose allocations never fail */
static int exempts;

/* The n-th allocation of the calling thread from now on fails; 0: none. */
void failing_arm(long n)
{
    failed = 0;
    countdown = n;
}

/* Whether it has failed; none will any more. */
long failing_disarm(void)
{
    countdown = 0;
    return failed;
}

int failing_exempt(const char *from, const char *to)
{
    if (exempts == sizeof exempt / sizeof exempt[0])
        return -1;
    exempt[exempts].from = from;
    exempt[exempts++].to = to;
    return 0;
}

long failing_blocks(void)
{
    return __atomic_load_n(&blocks, __ATOMIC_RELAXED);
}

static int fails(const void *caller)
{
    const char *at = caller;
    int k;
    if (countdown == 0)
        return 0;
    for (k = 0; k < exempts; k++)
        if (at >= exempt[k].from && at < exempt[k].to)
            return 0;
    if (--countdown > 0)
        return 0;
    failed = 1;
    errno = ENOMEM;
    return 1;
}

static void *counted(void *block)
{
    if (block != NULL)
        __atomic_add_fetch(&blocks, 1, __ATOMIC_RELAXED);
    return block;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return old == NULL ? counted(__libc_realloc(NULL, size)) : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    void *found = NULL;
    if (!fails(__builtin_return_address(0)))
        found = counted(__libc_memalign(alignment, size));
    if (found == NULL)
        return ENOMEM;
    *block = found;
    return 0;
}

void free(void *block)
{
    if (block != NULL)
        __atomic_sub_fetch(&blocks, 1, __ATOMIC_RELAXED);
    __libc_free(block);
}
