/* matconv from C: a frozen network that predicts on pthreads and by the thread pool. */
#include "arrays.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct Network {
    PyObject_HEAD
    matconv_network *network;
    matconv_network_shape shape;
} Network;

/* Network(path) or Network(bytes) */
static PyObject *network_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *source;
    Network *self;
    int status;
    if (!PyArg_ParseTuple(args, "O", &source) || !(self = (Network *) type->tp_alloc(type, 0)))
        return NULL;
    if (PyBytes_Check(source)) {
        const char *bytes = PyBytes_AS_STRING(source);
        const size_t size = (size_t) PyBytes_GET_SIZE(source);
        Py_BEGIN_ALLOW_THREADS
        status = matconv_network_open_memory(bytes, size, &self->network);
        Py_END_ALLOW_THREADS
    } else {
        PyObject *path;
        if (!PyUnicode_FSConverter(source, &path)) {
            Py_DECREF(self);
            return NULL;
        }
        Py_BEGIN_ALLOW_THREADS
        status = matconv_network_open(PyBytes_AS_STRING(path), &self->network);
        Py_END_ALLOW_THREADS
        Py_DECREF(path);
    }
    self->shape.struct_size = sizeof self->shape;
    if (status == MATCONV_OK)
        status = matconv_network_get_shape(self->network, 0, &self->shape);
    if (status == MATCONV_OK)
        return (PyObject *) self;
    Py_DECREF(self);
    return raise_for(status);
}

static void network_dealloc(Network *self)
{
    matconv_network_close(self->network);
    Py_TYPE(self)->tp_free((PyObject *) self);
}

/* The work of one pthread: a part of the images, with its own scratch. */
typedef struct Part {
    const Network *network;
    ptrdiff_t n;
    const double *images;
    double *out;
    int status;
} Part;

static void *predict_part(void *argument)
{
    Part *part = argument;
    ptrdiff_t size = 0;
    double *scratch = NULL;
    part->status = matconv_network_workspace_size(part->network->network, part->n, &size);
    if (part->status == MATCONV_OK) {
        scratch = malloc((size_t) (size + 1) * sizeof *scratch);
        part->status = scratch == NULL ? MATCONV_MEMORY
                     : matconv_network_predict_f64(part->network->network, part->n, part->images,
                                                   &part->out, scratch, size);
    }
    free(scratch);
    return NULL;
}

/* Predict all images, in as many parts as threads; the calling thread has the last one. */
static int predict_parts(const Network *network, ptrdiff_t n, const double *images, double *out,
                         int threads)
{
    const matconv_network_shape *s = &network->shape;
    pthread_t *handles = malloc((size_t) threads * sizeof *handles);
    Part *parts = malloc((size_t) threads * sizeof *parts);
    int k, status = handles == NULL || parts == NULL ? MATCONV_MEMORY : MATCONV_OK;
    for (k = 0; status == MATCONV_OK && k < threads; k++) {
        const ptrdiff_t first = n * k / threads;
        parts[k].network = network;
        parts[k].n = n * (k + 1) / threads - first;
        parts[k].images = images + first * s->height * s->width * s->channels;
        parts[k].out = out + first * s->out_height * s->out_width * s->out_channels;
    }
    for (k = 0; status == MATCONV_OK && k < threads - 1; k++)
        if (pthread_create(&handles[k], NULL, predict_part, &parts[k]) != 0)
            break;
    if (status == MATCONV_OK) {
        int started = k;
        for (; k < threads; k++) /* and the parts without a thread */
            predict_part(&parts[k]);
        for (k = 0; k < threads; k++) {
            if (k < started)
                pthread_join(handles[k], NULL);
            if (parts[k].status != MATCONV_OK)
                status = parts[k].status;
        }
    }
    free(handles);
    free(parts);
    return status;
}

/* predict(images, out, threads) */
static PyObject *network_predict(Network *self, PyObject *args)
{
    PyObject *images_, *out_;
    int threads, status;
    Arrays arrays = {.count = 0};
    const Py_buffer *images, *out;
    const matconv_network_shape *s = &self->shape;

    if (!PyArg_ParseTuple(args, "OOi", &images_, &out_, &threads) ||
        !(images = take(&arrays, images_, 4, "d", 0)) || !(out = take(&arrays, out_, 2, "d", 1)))
        return NULL;
    {
        const ptrdiff_t n = images->shape[0];
        const ptrdiff_t sizes[] = {n * s->height * s->width * s->channels,
                                   n * s->out_height * s->out_width * s->out_channels};
        if (check_sizes(&arrays, sizes) < 0)
            return NULL;
        Py_BEGIN_ALLOW_THREADS
        status = predict_parts(self, n, numbers(images), numbers(out), threads < 1 ? 1 : threads);
        Py_END_ALLOW_THREADS
    }
    release(&arrays);
    return none_or_raise(status);
}

/* A prediction by matconv's thread pool, for a thread that Python did not create. */
typedef struct Request {
    Part part;
    int threads, stop;
    long asked;
} Request;

static int stop_asked(void *argument)
{
    Request *request = argument;
    request->asked++;
    return request->stop;
}

static void *predict_by_pool(void *argument)
{
    Request *request = argument;
    Part *part = &request->part;
    matconv_network *network = part->network->network;
    ptrdiff_t size = 0;
    double *scratch = NULL;
    part->status =
        matconv_network_workspace_size_threads(network, part->n, request->threads, &size);
    if (part->status == MATCONV_OK) {
        scratch = malloc((size_t) (size + 1) * sizeof *scratch);
        part->status = scratch == NULL ? MATCONV_MEMORY
                     : matconv_network_predict_threads_f64(network, part->n, part->images,
                                                           &part->out, scratch, size,
                                                           request->threads, stop_asked, request);
    }
    free(scratch);
    return NULL;
}

/* predict_by_pool(images, out, threads, stop, alien) -> number of calls of stop_asked.
 * alien: by a pthread, else by the calling thread, which keeps the GIL. */
static PyObject *network_predict_by_pool(Network *self, PyObject *args)
{
    PyObject *images_, *out_;
    Request request = {.asked = 0};
    pthread_t thread;
    Arrays arrays = {.count = 0};
    const Py_buffer *images, *out;
    const matconv_network_shape *s = &self->shape;
    int alien;

    if (!PyArg_ParseTuple(args, "OOipp", &images_, &out_, &request.threads, &request.stop,
                          &alien) ||
        !(images = take(&arrays, images_, 4, "d", 0)) || !(out = take(&arrays, out_, 2, "d", 1)))
        return NULL;
    {
        const ptrdiff_t n = images->shape[0];
        const ptrdiff_t sizes[] = {n * s->height * s->width * s->channels,
                                   n * s->out_height * s->out_width * s->out_channels};
        if (check_sizes(&arrays, sizes) < 0)
            return NULL;
        request.part.network = self;
        request.part.n = n;
        request.part.images = numbers(images);
        request.part.out = numbers(out);
    }
    if (alien) {
        Py_BEGIN_ALLOW_THREADS
        if (pthread_create(&thread, NULL, predict_by_pool, &request) != 0)
            request.part.status = MATCONV_MEMORY;
        else
            pthread_join(thread, NULL);
        Py_END_ALLOW_THREADS
    } else
        predict_by_pool(&request);
    release(&arrays);
    return request.part.status == MATCONV_OK ? PyLong_FromLong(request.asked)
                                             : raise_for(request.part.status);
}

static PyObject *network_shape(Network *self, void *Py_UNUSED(closure))
{
    const matconv_network_shape *s = &self->shape;
    return Py_BuildValue("(nnn)(nnn)n", s->height, s->width, s->channels, s->out_height,
                         s->out_width, s->out_channels, s->item_size);
}

static PyMethodDef network_methods[] = {
    {"predict", (PyCFunction) network_predict, METH_VARARGS, NULL},
    {"predict_by_pool", (PyCFunction) network_predict_by_pool, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef network_attributes[] = {
    {"shape", (getter) network_shape, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject network_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "predicting.Network",
    .tp_basicsize = sizeof(Network),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = network_new,
    .tp_dealloc = (destructor) network_dealloc,
    .tp_methods = network_methods,
    .tp_getset = network_attributes,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "predicting", .m_size = -1,
};

PyMODINIT_FUNC PyInit_predicting(void)
{
    PyObject *module;
    if (matconv_import() < 0 || PyType_Ready(&network_type) < 0)
        return NULL;
    module = PyModule_Create(&definition);
    if (module != NULL &&
        PyModule_AddObjectRef(module, "Network", (PyObject *) &network_type) < 0)
        Py_CLEAR(module);
    return module;
}
