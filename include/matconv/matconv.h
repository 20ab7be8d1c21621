/* matconv for C and C++: convolution, pooling, dense layers and frozen networks without the GIL.
 *
 *     #include <matconv/matconv.h>
 *
 *     if (matconv_import() < 0)                  once, in the module's init function, with the GIL
 *         return NULL;
 *     ...
 *     matconv_geometry g;
 *     matconv_geometry_default(&g);
 *     g.l = 8; g.b = g.a = 28; g.d = 1;          8 images of 28 x 28 pixels, one channel
 *     g.d_out = 20; g.h_b = g.h_a = 5;           20 filters of 5 x 5
 *     status = matconv_geometry_init(&g);        now g.b_out, g.a_out are known
 *     status = matconv_conv_forward_f64(&g, MATCONV_AUTO, Z, W, b, 1, S, scratch, scratch_size);
 *
 * After the import nothing here needs the GIL or any Python object: every function may be called
 * from any thread, at any time, from several at once. None allocates (but matconv_network_open),
 * starts a thread, or writes to anything that is not its own OUT, INOUT or SCRATCH argument.
 * Products are SciPy's dgemm and sgemm, and a BLAS may do either: limit its threads to one before
 * calling from many (OPENBLAS_NUM_THREADS=1, or threadpoolctl); OpenBLAS takes some memory of its
 * own for a product, and does not survive it when there is none.
 *
 * A function returns MATCONV_OK or what is wrong; then it has written nothing. Arrays are
 * C-contiguous, channels last, not overlapping unless it says so:
 *
 *     Z   (l, b, a, d)               images: number, height, width, channels
 *     W   (d / groups, h_b, h_a, d_out)      filters
 *     S   (l, b_out, a_out, d_out)   outputs
 *
 * and dX is the gradient for X. Sizes and scratch_size count numbers, not bytes.
 */
#ifndef MATCONV_H
#define MATCONV_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The import ------------------------------------------------------------------------------------ */

/* The table of this translation unit, which calls matconv_import itself. For one table in a
 * program of several: define MATCONV_TABLE as a name of its own in all of them, and
 * MATCONV_EXTERN_TABLE as well in all but the one that imports. */
#if defined(MATCONV_TABLE) && defined(MATCONV_EXTERN_TABLE)
extern const matconv_api *MATCONV_TABLE;
#elif defined(MATCONV_TABLE)
const matconv_api *MATCONV_TABLE = NULL;
#else
#define MATCONV_TABLE matconv_table
static const matconv_api *matconv_table = NULL;
#endif

/* Whether matconv_import has found the functions. */
static inline int matconv_imported(void)
{
    return MATCONV_TABLE != NULL;
}

#ifdef Py_PYTHON_H
/* Load matconv and find its functions. With the GIL. Returns 0, or -1 with a Python exception:
 * not installed, or older than this header. */
static inline int matconv_import(void)
{
    const matconv_api *table;
    PyObject *module = PyImport_ImportModule("matconv.kernels.capi");
    if (module == NULL)
        return -1;
    Py_DECREF(module); /* sys.modules keeps it */
    table = (const matconv_api *) PyCapsule_Import("matconv.kernels.capi._API", 0);
    if (table == NULL)
        return -1;
    if (table->abi_version != MATCONV_ABI_VERSION) {
        PyErr_Format(PyExc_ImportError,
                     "compiled for version %d of matconv's ABI, the installed matconv has %d",
                     MATCONV_ABI_VERSION, table->abi_version);
        return -1;
    }
    if (table->size < sizeof(matconv_api)) {
        PyErr_Format(PyExc_ImportError,
                     "compiled for a newer matconv (a function table of %zu bytes) than the "
                     "installed one (%zu bytes): upgrade matconv",
                     sizeof(matconv_api), table->size);
        return -1;
    }
    MATCONV_TABLE = table;
    return 0;
}
#endif

#define matconv_status_string (MATCONV_TABLE->status_string)
#define matconv_geometry_init (MATCONV_TABLE->geometry_init)
#define matconv_im2col_f64 (MATCONV_TABLE->im2col_f64)
#define matconv_im2col_f32 (MATCONV_TABLE->im2col_f32)
#define matconv_col2im_f64 (MATCONV_TABLE->col2im_f64)
#define matconv_col2im_f32 (MATCONV_TABLE->col2im_f32)
#define matconv_bias_relu_f64 (MATCONV_TABLE->bias_relu_f64)
#define matconv_bias_relu_f32 (MATCONV_TABLE->bias_relu_f32)
#define matconv_bias_relu_backward_f64 (MATCONV_TABLE->bias_relu_backward_f64)
#define matconv_bias_relu_backward_f32 (MATCONV_TABLE->bias_relu_backward_f32)
#define matconv_conv_scratch_f64 (MATCONV_TABLE->conv_scratch_f64)
#define matconv_conv_scratch_f32 (MATCONV_TABLE->conv_scratch_f32)
#define matconv_conv_forward_f64 (MATCONV_TABLE->conv_forward_f64)
#define matconv_conv_forward_f32 (MATCONV_TABLE->conv_forward_f32)
#define matconv_conv_backward_f64 (MATCONV_TABLE->conv_backward_f64)
#define matconv_conv_backward_f32 (MATCONV_TABLE->conv_backward_f32)
#define matconv_max_pool_f64 (MATCONV_TABLE->max_pool_f64)
#define matconv_max_pool_f32 (MATCONV_TABLE->max_pool_f32)
#define matconv_max_pool_backward_f64 (MATCONV_TABLE->max_pool_backward_f64)
#define matconv_max_pool_backward_f32 (MATCONV_TABLE->max_pool_backward_f32)
#define matconv_avg_pool_f64 (MATCONV_TABLE->avg_pool_f64)
#define matconv_avg_pool_f32 (MATCONV_TABLE->avg_pool_f32)
#define matconv_avg_pool_backward_f64 (MATCONV_TABLE->avg_pool_backward_f64)
#define matconv_avg_pool_backward_f32 (MATCONV_TABLE->avg_pool_backward_f32)
#define matconv_dense_forward_f64 (MATCONV_TABLE->dense_forward_f64)
#define matconv_dense_forward_f32 (MATCONV_TABLE->dense_forward_f32)
#define matconv_dense_backward_f64 (MATCONV_TABLE->dense_backward_f64)
#define matconv_dense_backward_f32 (MATCONV_TABLE->dense_backward_f32)
#define matconv_network_open (MATCONV_TABLE->network_open)
#define matconv_network_open_memory (MATCONV_TABLE->network_open_memory)
#define matconv_network_close (MATCONV_TABLE->network_close)
#define matconv_network_get_shape (MATCONV_TABLE->network_get_shape)
#define matconv_network_workspace_size (MATCONV_TABLE->network_workspace_size)
#define matconv_network_predict_f64 (MATCONV_TABLE->network_predict_f64)
#define matconv_network_predict_f32 (MATCONV_TABLE->network_predict_f32)

#ifdef __cplusplus
}
#endif

#endif /* MATCONV_H */
