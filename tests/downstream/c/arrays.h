/* Arrays of Python as arguments of C functions, and statuses as exceptions. */
#ifndef ARRAYS_H
#define ARRAYS_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <matconv/matconv.h>

static inline PyObject *raise_for(int status)
{
    PyObject *kind = status == MATCONV_MEMORY ? PyExc_MemoryError
                   : status == MATCONV_UNREADABLE ? PyExc_OSError : PyExc_ValueError;
    PyErr_SetString(kind, matconv_status_string(status));
    return NULL;
}

static inline PyObject *none_or_raise(int status)
{
    if (status != MATCONV_OK)
        return raise_for(status);
    Py_RETURN_NONE;
}

enum { MAX_ARRAYS = 7 };

/* The arrays of a call, released together. */
typedef struct Arrays {
    Py_buffer views[MAX_ARRAYS];
    int count;
} Arrays;

static inline void release(Arrays *arrays)
{
    while (arrays->count > 0)
        PyBuffer_Release(&arrays->views[--arrays->count]);
}

/* Take another C-contiguous array with this number of axes and format, "d", "f", "i" or "l".
 * Returns it, or NULL with an exception and all arrays released. */
static inline Py_buffer *take(Arrays *arrays, PyObject *object, int axes, const char *format, int writable)
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

static inline double *numbers(const Py_buffer *view)
{
    return (double *) view->buf;
}

/* Check the numbers of elements, which the C functions cannot see. Returns 0, or -1 with an
 * exception and all arrays released. */
static inline int check_sizes(Arrays *arrays, const ptrdiff_t *expected)
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

#endif
