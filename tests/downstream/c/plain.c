/* matconv from C: operators on buffers, without the GIL. */
#include "arrays.h"

#include <stdlib.h>

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
    return matconv_import() < 0 ? NULL : PyModule_Create(&definition);
}
