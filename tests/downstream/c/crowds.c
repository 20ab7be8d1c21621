/* Many threads on one network, and how much stack a thread needs: POSIX threads, which Python knows
 * nothing of. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <matconv/matconv.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Threads --------------------------------------------------------------------------------------- */

typedef struct Crowd {
    matconv_network *network;
    const double *images;
    ptrdiff_t n;
    pthread_barrier_t together;
} Crowd;

typedef struct Member {
    Crowd *crowd;
    double *out, *scratch;
    ptrdiff_t size;
    int status;
} Member;

static void *predict_together(void *argument)
{
    Member *member = argument;
    Crowd *crowd = member->crowd;
    pthread_barrier_wait(&crowd->together);
    member->status = matconv_network_predict_f64(crowd->network, crowd->n, crowd->images,
                                                 &member->out, member->scratch, member->size);
    return NULL;
}

/* crowd(bytes, images, out, threads, stack): each thread predicts all images, at the same moment,
 * into its own part of out. Returns how many did. */
static PyObject *crowd(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer bytes, images, out;
    Py_ssize_t n, stack;
    int threads, k, failed = 0, done = 0;
    Crowd all;
    Member *members;
    pthread_t *handles;
    pthread_attr_t attributes;
    ptrdiff_t size = 0, outputs;
    matconv_network_shape shape;

    if (!PyArg_ParseTuple(args, "y*y*w*nin", &bytes, &images, &out, &n, &threads, &stack))
        return NULL;
    members = calloc((size_t) threads, sizeof *members);
    handles = calloc((size_t) threads, sizeof *handles);
    shape.struct_size = sizeof shape;
    all.images = images.buf;
    all.n = n;
    if (members == NULL || handles == NULL ||
        matconv_network_open_memory(bytes.buf, (size_t) bytes.len, &all.network) != MATCONV_OK ||
        matconv_network_get_shape(all.network, 0, &shape) != MATCONV_OK ||
        matconv_network_workspace_size(all.network, n, &size) != MATCONV_OK)
        return PyErr_Format(PyExc_ValueError, "crowd: what is given does not fit");
    outputs = n * shape.out_height * shape.out_width * shape.out_channels;
    if (out.len != 8 * threads * outputs)
        return PyErr_Format(PyExc_ValueError, "crowd: the array of outputs does not fit");
    pthread_attr_init(&attributes);
    if (stack > 0 && pthread_attr_setstacksize(&attributes, (size_t) stack) != 0)
        return PyErr_Format(PyExc_ValueError, "the system allows no stack of %zd bytes", stack);
    pthread_barrier_init(&all.together, NULL, (unsigned) threads);
    for (k = 0; k < threads; k++) {
        members[k].crowd = &all;
        members[k].out = (double *) out.buf + k * outputs;
        members[k].scratch = malloc((size_t) size * sizeof(double));
        members[k].size = size;
        members[k].status = -1;
    }
    Py_BEGIN_ALLOW_THREADS
    for (k = 0; k < threads; k++)
        failed |= pthread_create(&handles[k], &attributes, predict_together, &members[k]);
    if (failed)
        abort(); /* the others wait at the barrier for ever */
    for (k = 0; k < threads; k++)
        pthread_join(handles[k], NULL);
    Py_END_ALLOW_THREADS
    for (k = 0; k < threads; k++) {
        done += members[k].status == MATCONV_OK;
        free(members[k].scratch);
    }
    matconv_network_close(all.network);
    pthread_barrier_destroy(&all.together);
    pthread_attr_destroy(&attributes);
    free(members);
    free(handles);
    PyBuffer_Release(&bytes);
    PyBuffer_Release(&images);
    PyBuffer_Release(&out);
    return PyLong_FromLong(done);
}

/* Stack ----------------------------------------------------------------------------------------- */

enum { STACK = 1 << 20, POISON = 0xA5 };

typedef struct Task {
    int which;
    matconv_network *network;
    double *in, *out, *scratch;
    int status;
} Task;

static const char *const tasks[] = {
    "nothing", "conv_forward, im2col", "conv_forward, winograd", "conv_backward, im2col",
    "conv_backward, winograd", "dense_forward", "max_pool", "network_predict", "network_open",
};
enum { TASKS = sizeof tasks / sizeof tasks[0], LARGE = 1 << 20 };

static void *run_task(void *argument)
{
    Task *t = argument;
    const int algorithm = t->which % 2 ? MATCONV_IM2COL : MATCONV_WINOGRAD;
    double *in = t->in, *out = t->out, *s = t->scratch;
    matconv_network *network = NULL;
    const matconv_activation relu = {MATCONV_RELU, 0, 0};
    matconv_geometry g;
    matconv_geometry_default(&g);
    g.images = 2;
    g.height = g.width = 28;
    g.channels = g.filters = 32;
    g.kernel_height = g.kernel_width = 3;
    g.pad_top = g.pad_bottom = g.pad_left = g.pad_right = 1;
    switch (t->which) {
    case 0: t->status = MATCONV_OK; break;
    case 1: case 2:
        t->status = matconv_conv_forward_f64(&g, algorithm, in, in, in, &relu, out, s, LARGE);
        break;
    case 3: case 4:
        t->status = matconv_conv_backward_f64(&g, algorithm, in, in, in, out, out + LARGE / 4,
                                              out + LARGE / 2, s, LARGE);
        break;
    case 5: t->status = matconv_dense_forward_f64(64, 512, 256, in, in, in, &relu, out); break;
    case 6: t->status = matconv_max_pool_f64(&g, in, out, NULL); break;
    case 7: t->status = matconv_network_predict_f64(t->network, 1, in, &out, s, LARGE); break;
    default:
        t->status = matconv_network_open_memory(in, *(size_t *) out, &network);
        matconv_network_close(network);
    }
    return NULL;
}

/* stack_needed(bytes): a list of (what, status, bytes of a painted stack that were written to) */
static PyObject *stack_needed(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer bytes;
    PyObject *list = PyList_New(0);
    Task task;
    if (list == NULL || !PyArg_ParseTuple(args, "y*", &bytes))
        return NULL;
    task.in = calloc(LARGE, sizeof(double));
    task.out = calloc(LARGE, sizeof(double));
    task.scratch = calloc(LARGE, sizeof(double));
    if (task.in == NULL || task.out == NULL || task.scratch == NULL ||
        matconv_network_open_memory(bytes.buf, (size_t) bytes.len, &task.network) != MATCONV_OK)
        return PyErr_NoMemory();
    for (task.which = 0; task.which < TASKS; task.which++) {
        unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_t attributes;
        pthread_t handle;
        PyObject *entry;
        int failed;
        size_t free_bytes = 0;
        if (stack == MAP_FAILED)
            return PyErr_NoMemory();
        memset(stack, POISON, STACK);
        if (task.which == TASKS - 1) {
            memcpy(task.in, bytes.buf, (size_t) bytes.len);
            *(size_t *) (void *) task.out = (size_t) bytes.len;
        }
        pthread_attr_init(&attributes);
        failed = pthread_attr_setstack(&attributes, stack, STACK);
        Py_BEGIN_ALLOW_THREADS
        failed = failed || pthread_create(&handle, &attributes, run_task, &task);
        if (!failed)
            pthread_join(handle, NULL);
        Py_END_ALLOW_THREADS
        pthread_attr_destroy(&attributes);
        if (failed)
            return PyErr_Format(PyExc_OSError, "no thread with a stack of our own");
        while (free_bytes < STACK && stack[free_bytes] == POISON)
            free_bytes++;
        munmap(stack, STACK);
        entry = Py_BuildValue("(sin)", tasks[task.which], task.status,
                              (Py_ssize_t) (STACK - free_bytes));
        if (entry == NULL || PyList_Append(list, entry) < 0)
            return NULL;
        Py_DECREF(entry);
    }
    matconv_network_close(task.network);
    free(task.in);
    free(task.out);
    free(task.scratch);
    PyBuffer_Release(&bytes);
    return list;
}

static PyMethodDef methods[] = {
    {"crowd", crowd, METH_VARARGS, NULL},
    {"stack_needed", stack_needed, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "crowds", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_crowds(void)
{
    return matconv_import() < 0 ? NULL : PyModule_Create(&definition);
}
