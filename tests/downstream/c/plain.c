/* matconv from C: operators on buffers, and a frozen network, all without the GIL. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <matconv/matconv.h>
#include <pthread.h>
#include <stdlib.h>

static PyObject *raise_for(int status)
{
    PyObject *kind = status == MATCONV_MEMORY ? PyExc_MemoryError
                   : status == MATCONV_UNREADABLE ? PyExc_OSError : PyExc_ValueError;
    PyErr_SetString(kind, matconv_status_string(status));
    return NULL;
}

static PyObject *none_or_raise(int status)
{
    if (status != MATCONV_OK)
        return raise_for(status);
    Py_RETURN_NONE;
}

/* Arguments ------------------------------------------------------------------------------------- */

enum { MOST_ARRAYS = 6 };

/* The arrays of a call, released together. */
typedef struct Arrays {
    Py_buffer views[MOST_ARRAYS];
    int count;
} Arrays;

static void release(Arrays *arrays)
{
    while (arrays->count > 0)
        PyBuffer_Release(&arrays->views[--arrays->count]);
}

/* One more C-contiguous array of so many axes and of numbers of that format, "d", "f" or "i".
 * Returns it, or NULL with an exception and all arrays released. */
static Py_buffer *take(Arrays *arrays, PyObject *object, int axes, const char *format, int writable)
{
    Py_buffer *view = &arrays->views[arrays->count];
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) == 0) {
        arrays->count++;
        if (view->ndim == axes && view->format != NULL && strcmp(view->format, format) == 0)
            return view;
        PyErr_Format(PyExc_ValueError, "an array of %d axes and format %s is needed", axes, format);
    }
    release(arrays);
    return NULL;
}

static double *numbers(const Py_buffer *view)
{
    return (double *) view->buf;
}

/* Whether the arrays have exactly these many numbers: what C itself cannot see. */
static int check_sizes(Arrays *arrays, const ptrdiff_t *expected)
{
    int k;
    for (k = 0; k < arrays->count; k++)
        if (arrays->views[k].len / arrays->views[k].itemsize != expected[k]) {
            PyErr_Format(PyExc_ValueError, "array %d has %zd numbers, not %zd", k,
                         arrays->views[k].len / arrays->views[k].itemsize, expected[k]);
            release(arrays);
            return -1;
        }
    return 0;
}

static int window(matconv_geometry *g, const Py_buffer *Z, ptrdiff_t kernel_height,
                  ptrdiff_t kernel_width, ptrdiff_t filters, ptrdiff_t stride, ptrdiff_t pad)
{
    matconv_geometry_default(g);
    g->images = Z->shape[0];
    g->height = Z->shape[1];
    g->width = Z->shape[2];
    g->channels = Z->shape[3];
    g->filters = filters;
    g->kernel_height = kernel_height;
    g->kernel_width = kernel_width;
    g->stride_down = g->stride_right = stride;
    g->pad_top = g->pad_bottom = g->pad_left = g->pad_right = pad;
    return matconv_geometry_init(g); /* now out_height and out_width are known */
}

/* Elements of Z, W and S. */
static ptrdiff_t input_size(const matconv_geometry *g)
{
    return g->images * g->height * g->width * g->channels;
}

static ptrdiff_t filters_size(const matconv_geometry *g)
{
    return g->column_length * g->filters;
}

static ptrdiff_t output_size(const matconv_geometry *g)
{
    return g->images * g->out_height * g->out_width * g->filters;
}

/* Operators ------------------------------------------------------------------------------------- */

/* conv(Z, W, b, S, stride, pad, algorithm): S = W phi(Z) + b 1' */
static PyObject *conv(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *Z_, *W_, *b_, *S_;
    Py_ssize_t stride, pad;
    int algorithm, status;
    Arrays arrays = {.count = 0};
    const Py_buffer *Z, *W, *b, *S;
    matconv_geometry g;
    ptrdiff_t size = 0;
    double *scratch;

    if (!PyArg_ParseTuple(args, "OOOOnni", &Z_, &W_, &b_, &S_, &stride, &pad, &algorithm) ||
        !(Z = take(&arrays, Z_, 4, "d", 0)) || !(W = take(&arrays, W_, 4, "d", 0)) ||
        !(b = take(&arrays, b_, 1, "d", 0)) || !(S = take(&arrays, S_, 4, "d", 1)))
        return NULL;
    status = window(&g, Z, W->shape[1], W->shape[2], W->shape[3], stride, pad);
    if (status == MATCONV_OK)
        status = matconv_conv_scratch_f64(&g, algorithm, &size, NULL);
    if (status == MATCONV_OK) {
        const ptrdiff_t sizes[] = {input_size(&g), filters_size(&g), g.filters, output_size(&g)};
        if (check_sizes(&arrays, sizes) < 0)
            return NULL;
        Py_BEGIN_ALLOW_THREADS
        scratch = malloc((size_t) (size + 1) * sizeof *scratch);
        status = scratch == NULL ? MATCONV_MEMORY
               : matconv_conv_forward_f64(&g, algorithm, numbers(Z), numbers(W), numbers(b),
                                          NULL, numbers(S), scratch, size);
        free(scratch);
        Py_END_ALLOW_THREADS
    }
    release(&arrays);
    return none_or_raise(status);
}

/* conv_backward(dS, Z, W, dZ, dW, db, stride, pad, algorithm) */
static PyObject *conv_backward(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *o[6];
    Py_ssize_t stride, pad;
    int algorithm, status;
    Arrays arrays = {.count = 0};
    const Py_buffer *dS, *Z, *W, *dZ, *dW, *db;
    matconv_geometry g;
    ptrdiff_t size = 0;
    double *scratch;

    if (!PyArg_ParseTuple(args, "OOOOOOnni", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &stride,
                          &pad, &algorithm) ||
        !(dS = take(&arrays, o[0], 4, "d", 0)) || !(Z = take(&arrays, o[1], 4, "d", 0)) ||
        !(W = take(&arrays, o[2], 4, "d", 0)) || !(dZ = take(&arrays, o[3], 4, "d", 1)) ||
        !(dW = take(&arrays, o[4], 4, "d", 1)) || !(db = take(&arrays, o[5], 1, "d", 1)))
        return NULL;
    status = window(&g, Z, W->shape[1], W->shape[2], W->shape[3], stride, pad);
    if (status == MATCONV_OK)
        status = matconv_conv_scratch_f64(&g, algorithm, NULL, &size);
    if (status == MATCONV_OK) {
        const ptrdiff_t sizes[] = {output_size(&g), input_size(&g), filters_size(&g),
                                   input_size(&g), filters_size(&g), g.filters};
        if (check_sizes(&arrays, sizes) < 0)
            return NULL;
        Py_BEGIN_ALLOW_THREADS
        scratch = malloc((size_t) (size + 1) * sizeof *scratch);
        status = scratch == NULL ? MATCONV_MEMORY
               : matconv_conv_backward_f64(&g, algorithm, numbers(dS), numbers(Z), numbers(W),
                                           numbers(dZ), numbers(dW), numbers(db), scratch, size);
        free(scratch);
        Py_END_ALLOW_THREADS
    }
    release(&arrays);
    return none_or_raise(status);
}

/* max_pool(Z, S, indices, window): windows that do not overlap */
static PyObject *max_pool(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *Z_, *S_, *indices_;
    Py_ssize_t h;
    int status;
    Arrays arrays = {.count = 0};
    const Py_buffer *Z, *S, *indices;
    matconv_geometry g;

    if (!PyArg_ParseTuple(args, "OOOn", &Z_, &S_, &indices_, &h) ||
        !(Z = take(&arrays, Z_, 4, "d", 0)) || !(S = take(&arrays, S_, 4, "d", 1)) ||
        !(indices = take(&arrays, indices_, 4, "i", 1)))
        return NULL;
    status = window(&g, Z, h, h, Z->shape[3], h, 0);
    if (status == MATCONV_OK) {
        const ptrdiff_t sizes[] = {input_size(&g), output_size(&g), output_size(&g)};
        if (check_sizes(&arrays, sizes) < 0)
            return NULL;
        Py_BEGIN_ALLOW_THREADS
        status = matconv_max_pool_f64(&g, numbers(Z), numbers(S), (int *) indices->buf);
        Py_END_ALLOW_THREADS
    }
    release(&arrays);
    return none_or_raise(status);
}

/* max_pool_backward(dS, indices, dZ, window) */
static PyObject *max_pool_backward(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *dS_, *indices_, *dZ_;
    Py_ssize_t h;
    int status;
    Arrays arrays = {.count = 0};
    const Py_buffer *dS, *indices, *dZ;
    matconv_geometry g;

    if (!PyArg_ParseTuple(args, "OOOn", &dS_, &indices_, &dZ_, &h) ||
        !(dS = take(&arrays, dS_, 4, "d", 0)) || !(indices = take(&arrays, indices_, 4, "i", 0)) ||
        !(dZ = take(&arrays, dZ_, 4, "d", 1)))
        return NULL;
    status = window(&g, dZ, h, h, dZ->shape[3], h, 0);
    if (status == MATCONV_OK) {
        const ptrdiff_t sizes[] = {output_size(&g), output_size(&g), input_size(&g)};
        if (check_sizes(&arrays, sizes) < 0)
            return NULL;
        Py_BEGIN_ALLOW_THREADS
        status = matconv_max_pool_backward_f64(&g, numbers(dS), (const int *) indices->buf,
                                               numbers(dZ));
        Py_END_ALLOW_THREADS
    }
    release(&arrays);
    return none_or_raise(status);
}

/* dense(Z, W, b, S): S = max(Z W + 1 b', 0) */
static PyObject *dense(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *Z_, *W_, *b_, *S_;
    int status;
    Arrays arrays = {.count = 0};
    const Py_buffer *Z, *W, *b, *S;

    if (!PyArg_ParseTuple(args, "OOOO", &Z_, &W_, &b_, &S_) ||
        !(Z = take(&arrays, Z_, 2, "d", 0)) || !(W = take(&arrays, W_, 2, "d", 0)) ||
        !(b = take(&arrays, b_, 1, "d", 0)) || !(S = take(&arrays, S_, 2, "d", 1)))
        return NULL;
    {
        const matconv_activation relu = {MATCONV_RELU, 0, 0};
        const ptrdiff_t images = Z->shape[0], inputs = W->shape[0], units = W->shape[1];
        const ptrdiff_t sizes[] = {images * inputs, inputs * units, units, images * units};
        if (check_sizes(&arrays, sizes) < 0)
            return NULL;
        Py_BEGIN_ALLOW_THREADS
        status = matconv_dense_forward_f64(images, inputs, units, numbers(Z), numbers(W),
                                           numbers(b), &relu, numbers(S));
        Py_END_ALLOW_THREADS
    }
    release(&arrays);
    return none_or_raise(status);
}

/* Frozen networks ------------------------------------------------------------------------------- */

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

/* What one pthread computes: the images of its own part, with scratch of its own. */
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

/* All images, in as many parts as threads; the calling thread has the last one. */
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
        for (; k < threads; k++) /* and those for which there is no thread */
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

/* What a thread that Python knows nothing of asks matconv's thread pool for. */
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

/* predict_by_pool(images, out, threads, stop, alien) -> how often it was asked whether to stop.
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
    .tp_name = "plain.Network",
    .tp_basicsize = sizeof(Network),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = network_new,
    .tp_dealloc = (destructor) network_dealloc,
    .tp_methods = network_methods,
    .tp_getset = network_attributes,
};

/* The module ------------------------------------------------------------------------------------ */

static PyMethodDef methods[] = {
    {"conv", conv, METH_VARARGS, NULL},
    {"conv_backward", conv_backward, METH_VARARGS, NULL},
    {"max_pool", max_pool, METH_VARARGS, NULL},
    {"max_pool_backward", max_pool_backward, METH_VARARGS, NULL},
    {"dense", dense, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "plain", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_plain(void)
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
