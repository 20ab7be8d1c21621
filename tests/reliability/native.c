/* One function of C on a thread that Python has never seen, with a stack of a given size; how
 * much of the stack was touched. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { MARK = 0xC5 };

typedef int (*function)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t,
                        intptr_t, intptr_t, intptr_t);

struct work {
    function called;
    const intptr_t *given;
    int status;
};

static void *run(void *argument)
{
    struct work *work = argument;
    const intptr_t *a = work->given;
    work->status = work->called(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]);
    return NULL;
}

/* The status of called(given[0], ..., given[9]), all integers and pointers; -1: no thread.
 * OUT: touched, bytes of the stack, those of starting the thread among them. */
int native_call(void *called, const intptr_t *given, size_t size, size_t *touched)
{
    struct work work = {NULL, given, -1};
    const size_t page = 4096;
    pthread_attr_t attributes;
    pthread_t thread;
    size_t k = 0;
    /* with a page below that must not be touched */
    unsigned char *memory = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    mprotect(memory, page, PROT_NONE);
    memset(memory + page, MARK, size);
    memcpy(&work.called, &called, sizeof called);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, memory + page, size);
    if (pthread_create(&thread, &attributes, run, &work) == 0)
        pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    while (k < size && memory[page + k] == MARK)
        k++;
    *touched = size - k;
    munmap(memory, size + page);
    return work.status;
}
