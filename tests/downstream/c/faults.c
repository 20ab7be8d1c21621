/* What C can do wrong: every refusal with its status and its untouched outputs. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <limits.h>
#include <math.h>
#include <matconv/matconv.h>
#include <stdlib.h>

#define MOST PTRDIFF_MAX

enum {
    ROOM = 4096,             /* numbers of the largest array below */
    SCRATCHES = 1 << 20,
    OUTPUT_BYTES = 3 * ROOM * (int) sizeof(double),
    GEOMETRY_CALLS = 9,      /* functions that take one */
    POISON = 0xA5
};

static void *inputs;                  /* zeros, which are indices as well */
static void *outputs, *scratches;
static int bad_indices[2 * ROOM];     /* one below the first pixel; one above the last */
static const matconv_activation relu[] = {{MATCONV_RELU, 0, 0}};
static const matconv_activation bad_activations[] = {
    {-1, 0, 0}, {MATCONV_GELU + 1, 0.5, 0.7}, {INT_MAX, 0, 0}, {INT_MIN, 0, 0},
    {MATCONV_LEAKY_RELU, 0, 0}, {MATCONV_LEAKY_RELU, -0.1, 0}, {MATCONV_LEAKY_RELU, HUGE_VAL, 0},
    {MATCONV_LEAKY_RELU, NAN, 0}, {MATCONV_CLIP, 1, 0}, {MATCONV_CLIP, NAN, 1},
    {MATCONV_CLIP, 0, NAN},
};
static unsigned char before[OUTPUT_BYTES];

static void poison(void)
{
    memset(outputs, POISON, OUTPUT_BYTES);
}

/* What is no output of the call itself has changed. */
static void touch(void)
{
    *(unsigned char *) outputs = 0;
}

/* One more entry (dtype, call, status, expected status, whether outputs were written to). */
static void record(PyObject *list, const char *dtype, const char *call, int expected, int status)
{
    const int touched = memcmp(outputs, before, OUTPUT_BYTES) != 0;
    PyObject *entry = Py_BuildValue("(ssiiN)", dtype, call, status, expected,
                                    PyBool_FromLong(touched));
    if (entry == NULL || PyList_Append(list, entry) < 0)
        PyErr_Print();
    Py_XDECREF(entry);
}

#define TRIED(call, text, expected) \
    do { int status_; poison(); status_ = (call); record(list, DTYPE, text, expected, status_); } \
    while (0)
#define REFUSED(expected, call) TRIED(call, #call, expected)
/* a call that must be fine, and write: so that those beside it are refused for one reason only */
#define FINE(call) TRIED(call, "fine: " #call, MATCONV_OK)

/* 2 images of 6 x 7 pixels, 4 channels, 4 filters of 3 x 3, padded by 1; or a window of 3 x 3. */
static matconv_geometry *usual(void)
{
    static matconv_geometry g;
    matconv_geometry_default(&g);
    g.images = 2;
    g.height = 6;
    g.width = 7;
    g.channels = g.filters = 4;
    g.kernel_height = g.kernel_width = 3;
    g.pad_top = g.pad_bottom = g.pad_left = g.pad_right = 1;
    return &g;
}

static const matconv_geometry *pooling(void)
{
    static matconv_geometry g;
    g = *usual();
    g.pad_top = g.pad_left = 0;
    return &g;
}

static const matconv_geometry *with(size_t offset, ptrdiff_t value)
{
    static matconv_geometry g;
    g = *usual();
    memcpy((char *) &g + offset, &value, sizeof value);
    return &g;
}

#define WITH(field, value) with(offsetof(matconv_geometry, field), value)

/* Geometries that every function refuses, in the same way. */
static const struct Fault {
    const char *name;
    size_t offset;
    ptrdiff_t value;
    int expected;
} faults[] = {
#define FAULT(field, value, expected) \
    {#field " = " #value, offsetof(matconv_geometry, field), value, expected}
    FAULT(struct_size, 0, MATCONV_STRUCT),
    FAULT(struct_size, sizeof(matconv_geometry) - 1, MATCONV_STRUCT),
    FAULT(struct_size, sizeof(matconv_geometry) + 8, MATCONV_STRUCT),
    FAULT(images, -1, MATCONV_SIZE),
    FAULT(height, 0, MATCONV_SIZE),
    FAULT(height, -6, MATCONV_SIZE),
    FAULT(width, 0, MATCONV_SIZE),
    FAULT(channels, 0, MATCONV_SIZE),
    FAULT(filters, 0, MATCONV_SIZE),
    FAULT(groups, 0, MATCONV_SIZE),
    FAULT(kernel_height, 0, MATCONV_SIZE),
    FAULT(kernel_width, -3, MATCONV_SIZE),
    FAULT(stride_down, 0, MATCONV_SIZE),
    FAULT(stride_right, -1, MATCONV_SIZE),
    FAULT(pad_top, -1, MATCONV_SIZE),
    FAULT(pad_bottom, -1, MATCONV_SIZE),
    FAULT(pad_left, PTRDIFF_MIN, MATCONV_SIZE),
    FAULT(pad_right, -1, MATCONV_SIZE),
    FAULT(dilation_down, 0, MATCONV_SIZE),
    FAULT(dilation_right, -1, MATCONV_SIZE),
    FAULT(groups, 3, MATCONV_GROUPS),
    FAULT(kernel_height, 9, MATCONV_KERNEL),
    FAULT(kernel_width, 10, MATCONV_KERNEL),
    FAULT(dilation_down, 4, MATCONV_KERNEL),
    FAULT(images, MOST, MATCONV_OVERFLOW),
    FAULT(height, MOST, MATCONV_OVERFLOW),
    FAULT(width, MOST / 8, MATCONV_OVERFLOW),
    FAULT(channels, MOST, MATCONV_OVERFLOW),
    FAULT(filters, MOST, MATCONV_OVERFLOW),
    FAULT(pad_top, MOST, MATCONV_OVERFLOW),
    FAULT(pad_right, MOST, MATCONV_OVERFLOW),
    FAULT(dilation_down, MOST, MATCONV_OVERFLOW),
    FAULT(channels, (ptrdiff_t) INT_MAX + 1, MATCONV_BLAS_INT),
#undef FAULT
};

#define real double
#define DTYPE "f64"
#define F(name) matconv_##name##_f64
#define N(name) name##_f64
#include "refused.h"
#undef real
#undef DTYPE
#undef F
#undef N
#define real float
#define DTYPE "f32"
#define F(name) matconv_##name##_f32
#define N(name) name##_f32
#include "refused.h"
#undef real
#undef DTYPE
#undef F
#undef N
#define DTYPE ""

/* refused(): a list of (dtype, call, status, expected, untouched) */
static PyObject *refused(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    PyObject *list = PyList_New(0);
    size_t k;
    int which;
    if (list == NULL)
        return NULL;
    for (which = 0; which < GEOMETRY_CALLS; which++) {
        FINE(by_geometry_f64(which, pooling()));
        FINE(by_geometry_f32(which, pooling()));
        REFUSED(MATCONV_NULL, by_geometry_f64(which, NULL));
        REFUSED(MATCONV_NULL, by_geometry_f32(which, NULL));
    }
    for (k = 0; k < sizeof faults / sizeof faults[0]; k++) {
        const struct Fault *f = &faults[k];
        matconv_geometry g = *with(f->offset, f->value), kept = g;
        int status = matconv_geometry_init(&g);
        poison();
        if (memcmp(&g, &kept, sizeof g) != 0)
            touch();
        record(list, "", f->name, f->expected, status);
        /* im2col and col2im, which come first, have no filters */
        which = f->offset == offsetof(matconv_geometry, filters) ? 2 : 0;
        for (; which < GEOMETRY_CALLS; which++) {
            poison();
            status = by_geometry_f64(which, &g);
            record(list, "f64", f->name, f->expected, status);
            poison();
            status = by_geometry_f32(which, &g);
            record(list, "f32", f->name, f->expected, status);
        }
    }
    REFUSED(MATCONV_NULL, matconv_geometry_init(NULL));
    refuse_arguments_f64(list);
    refuse_arguments_f32(list);
    return list;
}

/* refused_networks(bytes64, bytes32): the same of frozen networks of both dtypes */
static PyObject *refused_networks(PyObject *Py_UNUSED(self), PyObject *args)
{
    const char *bytes[2];
    Py_ssize_t sizes[2];
    matconv_network *networks[2] = {NULL, NULL};
    matconv_network **network = outputs;
    matconv_network_shape shape, kept;
    ptrdiff_t *size = outputs;
    double *doubles = outputs;
    float *floats = outputs;
    PyObject *list;
    int k;
    if (!PyArg_ParseTuple(args, "y#y#", &bytes[0], &sizes[0], &bytes[1], &sizes[1]) ||
        !(list = PyList_New(0)))
        return NULL;
    for (k = 0; k < 2; k++)
        REFUSED(MATCONV_OK,
                matconv_network_open_memory(bytes[k], (size_t) sizes[k], &networks[k]));
    if (networks[0] == NULL || networks[1] == NULL)
        return list;
    refuse_predictions_f64(list, networks[0]);
    refuse_predictions_f32(list, networks[1]);
    REFUSED(MATCONV_DTYPE,
            matconv_network_predict_f64(networks[1], 2, inputs, &doubles, scratches, SCRATCHES));
    REFUSED(MATCONV_DTYPE,
            matconv_network_predict_f32(networks[0], 2, inputs, &floats, scratches, SCRATCHES));
    REFUSED(MATCONV_NULL, matconv_network_workspace_size(NULL, 2, size));
    REFUSED(MATCONV_NULL, matconv_network_workspace_size(networks[0], 2, NULL));
    REFUSED(MATCONV_SIZE, matconv_network_workspace_size(networks[0], -1, size));
    for (k = 0; k < 3; k++) {
        const size_t wrong[] = {0, sizeof shape - 1, sizeof shape + 8};
        memset(&shape, POISON, sizeof shape);
        shape.struct_size = wrong[k];
        kept = shape;
        poison();
        {
            int status = matconv_network_get_shape(networks[0], 0, &shape);
            if (memcmp(&shape, &kept, sizeof shape) != 0)
                touch();
            record(list, "", "network_get_shape, struct_size", MATCONV_STRUCT, status);
        }
    }
    REFUSED(MATCONV_NULL, matconv_network_get_shape(networks[0], 0, NULL));
    REFUSED(MATCONV_NULL, matconv_network_get_shape(NULL, 0, &kept));
    kept.struct_size = sizeof kept;
    REFUSED(MATCONV_INDEX, matconv_network_get_shape(networks[0], 1, &kept));
    REFUSED(MATCONV_INDEX, matconv_network_get_shape(networks[0], -1, &kept));
    REFUSED(MATCONV_NULL, matconv_network_outputs(networks[0], NULL));
    REFUSED(MATCONV_NULL, matconv_network_outputs(NULL, size));
    for (k = 0; k < 2; k++)
        matconv_network_close(networks[k]);
    matconv_network_close(NULL);

    /* what cannot be opened; the one output is NULL then. All bytes of the description, some of
     * the numbers; a bit of the version makes it another one. */
    for (k = 0; k < sizes[0]; k += k < 1024 ? 1 : 97) {
        const int expected = k >= 8 && k < 16 ? MATCONV_VERSION : MATCONV_FORMAT;
        char *copy = malloc((size_t) sizes[0]);
        if (copy == NULL)
            return list;
        memcpy(copy, bytes[0], (size_t) sizes[0]);
        copy[k] ^= 1;
        poison();
        {
            int status = matconv_network_open_memory(copy, (size_t) sizes[0], network);
            int is_null = *network == NULL;
            poison();
            if (!is_null)
                touch();
            record(list, "", "a bit turned", expected, status);
            poison();
            status = matconv_network_open_memory(bytes[0], (size_t) k, network);
            is_null = *network == NULL;
            poison();
            if (!is_null)
                touch();
            record(list, "", "cut short", MATCONV_FORMAT, status);
        }
        free(copy);
    }
    REFUSED(MATCONV_NULL, matconv_network_open_memory(bytes[0], (size_t) sizes[0], NULL));
    REFUSED(MATCONV_NULL, matconv_network_open("/", NULL));
    return list;
}

/* opened(path): the status of opening it, and whether the network is NULL */
static PyObject *opened(PyObject *Py_UNUSED(self), PyObject *args)
{
    const char *path;
    matconv_network *network = outputs; /* anything but NULL */
    int status;
    if (!PyArg_ParseTuple(args, "z", &path))
        return NULL;
    status = matconv_network_open(path, &network);
    if (status == MATCONV_OK)
        matconv_network_close(network);
    return Py_BuildValue("(iN)", status, PyBool_FromLong(network == NULL));
}

static PyMethodDef methods[] = {
    {"refused", refused, METH_NOARGS, NULL},
    {"refused_networks", refused_networks, METH_VARARGS, NULL},
    {"opened", opened, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "faults", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_faults(void)
{
    if (matconv_import() < 0)
        return NULL;
    inputs = calloc(ROOM, sizeof(double));
    outputs = malloc(OUTPUT_BYTES);
    scratches = calloc(SCRATCHES, sizeof(double));
    if (inputs == NULL || outputs == NULL || scratches == NULL)
        return PyErr_NoMemory();
    memset(before, POISON, sizeof before);
    bad_indices[0] = -1;
    bad_indices[ROOM] = 6 * 7;
    return PyModule_Create(&definition);
}
