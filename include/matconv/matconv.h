/* matconv for C and C++: convolution, pooling, dense layers, frozen networks, and derivatives of
 * networks with a loss, without the GIL.
 *
 *     #include <matconv/matconv.h>
 *
 *     if (matconv_import() < 0)              once, in the module's init function, with the GIL
 *         return NULL;
 *     ...
 *     matconv_geometry g;
 *     matconv_geometry_default(&g);
 *     g.images = 8;                          8 images of 28 x 28 pixels, one channel
 *     g.height = g.width = 28;
 *     g.channels = 1;
 *     g.filters = 20;                        20 filters of 5 x 5
 *     g.kernel_height = g.kernel_width = 5;
 *     status = matconv_geometry_init(&g);    computes g.out_height, g.out_width
 *     matconv_activation relu = {MATCONV_RELU, 0, 0};
 *     status = matconv_conv_forward_f64(&g, MATCONV_AUTO, Z, W, b, &relu, S, scratch, size);
 *
 * After the import no function needs the GIL or a Python object, and every function runs on the
 * calling thread, except matconv_network_predict_threads_f64 and _f32, which use matconv's thread
 * pool and acquire the GIL for a moment. All functions are reentrant: any thread may call them at any
 * time. Only matconv_network_open, matconv_objective_open, the same with _memory, and the thread pool
 * allocate memory.
 * No other function starts a thread or writes to anything but its OUT, INOUT and SCRATCH arguments,
 * but SciPy's BLAS, which computes the products, may do both: limit it to one thread before calling
 * from several (OPENBLAS_NUM_THREADS=1, or threadpoolctl).
 *
 * OpenBLAS needs a buffer for each product under way, which it reuses later; if there is no memory
 * for one, it waits for ever. matconv_conv_forward, matconv_conv_backward, matconv_dense_forward,
 * matconv_dense_backward, matconv_conv_transpose_forward, matconv_conv_transpose_backward,
 * matconv_network_predict, matconv_objective_gradient, matconv_objective_jvp, matconv_objective_vjp
 * and matconv_objective_gauss_newton ensure that there is one for each thread in such a call;
 * otherwise they return MATCONV_MEMORY before they write anything. This holds for up to 24
 * threads at the same time (40 with the wheels of SciPy), if no other code uses OpenBLAS's buffers or
 * the memory meanwhile. Later calls by as many threads use the same buffers.
 *
 * A function that can fail returns a status code. If that is not MATCONV_OK, the function has
 * written nothing (matconv_network_open and matconv_objective_open: only NULL;
 * MATCONV_INTERRUPTED: a part, or nothing).
 * Arrays are C-contiguous, channels last, and must not overlap unless stated otherwise:
 *
 *     Z   (images, height, width, channels)                               input
 *     W   (channels / groups, kernel_height, kernel_width, filters)       filters
 *     b   (filters,)                                                      bias
 *     S   (images, out_height, out_width, filters)                        output
 *
 * dX is the gradient for X. Sizes are in elements, not bytes, unless stated otherwise.
 */
#ifndef MATCONV_H
#define MATCONV_H

#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The import ------------------------------------------------------------------------------------ */

/* The pointer to the function table, which matconv_import sets; by default each translation unit
 * has its own. To share one, define MATCONV_TABLE as the name of a global variable in all units,
 * and MATCONV_EXTERN_TABLE in all units except the one that calls matconv_import. */
#if defined(MATCONV_TABLE) && defined(MATCONV_EXTERN_TABLE)
extern const matconv_api *MATCONV_TABLE;
#elif defined(MATCONV_TABLE)
const matconv_api *MATCONV_TABLE = NULL;
#else
#define MATCONV_TABLE matconv_table
static const matconv_api *matconv_table = NULL;
#endif

/* Whether matconv_import has succeeded. */
static inline int matconv_imported(void)
{
    return MATCONV_TABLE != NULL;
}

#ifdef Py_PYTHON_H
/* Import matconv and set the pointer to its function table; requires the GIL. Returns 0, or -1 with
 * a Python exception set: matconv is not installed, or older than this header. */
static inline int matconv_import(void)
{
    const matconv_api *table;
    PyObject *module = PyImport_ImportModule("matconv.kernels.capi");
    if (module == NULL)
        return -1;
    Py_DECREF(module); /* sys.modules has a reference */
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
#define matconv_bias_activation_f64 (MATCONV_TABLE->bias_activation_f64)
#define matconv_bias_activation_f32 (MATCONV_TABLE->bias_activation_f32)
#define matconv_bias_activation_backward_f64 (MATCONV_TABLE->bias_activation_backward_f64)
#define matconv_bias_activation_backward_f32 (MATCONV_TABLE->bias_activation_backward_f32)
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
#define matconv_network_outputs (MATCONV_TABLE->network_outputs)
#define matconv_network_get_shape (MATCONV_TABLE->network_get_shape)
#define matconv_network_workspace_size (MATCONV_TABLE->network_workspace_size)
#define matconv_network_predict_f64 (MATCONV_TABLE->network_predict_f64)
#define matconv_network_predict_f32 (MATCONV_TABLE->network_predict_f32)
#define matconv_network_workspace_size_threads (MATCONV_TABLE->network_workspace_size_threads)
#define matconv_network_predict_threads_f64 (MATCONV_TABLE->network_predict_threads_f64)
#define matconv_network_predict_threads_f32 (MATCONV_TABLE->network_predict_threads_f32)
#define matconv_lrn_f64 (MATCONV_TABLE->lrn_f64)
#define matconv_lrn_f32 (MATCONV_TABLE->lrn_f32)
#define matconv_lrn_backward_f64 (MATCONV_TABLE->lrn_backward_f64)
#define matconv_lrn_backward_f32 (MATCONV_TABLE->lrn_backward_f32)
#define matconv_conv_transpose_scratch_f64 (MATCONV_TABLE->conv_transpose_scratch_f64)
#define matconv_conv_transpose_scratch_f32 (MATCONV_TABLE->conv_transpose_scratch_f32)
#define matconv_conv_transpose_forward_f64 (MATCONV_TABLE->conv_transpose_forward_f64)
#define matconv_conv_transpose_forward_f32 (MATCONV_TABLE->conv_transpose_forward_f32)
#define matconv_conv_transpose_backward_f64 (MATCONV_TABLE->conv_transpose_backward_f64)
#define matconv_conv_transpose_backward_f32 (MATCONV_TABLE->conv_transpose_backward_f32)
#define matconv_upsample_f64 (MATCONV_TABLE->upsample_f64)
#define matconv_upsample_f32 (MATCONV_TABLE->upsample_f32)
#define matconv_upsample_backward_f64 (MATCONV_TABLE->upsample_backward_f64)
#define matconv_upsample_backward_f32 (MATCONV_TABLE->upsample_backward_f32)
#define matconv_objective_open (MATCONV_TABLE->objective_open)
#define matconv_objective_open_memory (MATCONV_TABLE->objective_open_memory)
#define matconv_objective_close (MATCONV_TABLE->objective_close)
#define matconv_objective_get_shape (MATCONV_TABLE->objective_get_shape)
#define matconv_objective_workspace_size (MATCONV_TABLE->objective_workspace_size)
#define matconv_objective_get_theta_f64 (MATCONV_TABLE->objective_get_theta_f64)
#define matconv_objective_get_theta_f32 (MATCONV_TABLE->objective_get_theta_f32)
#define matconv_objective_gradient_f64 (MATCONV_TABLE->objective_gradient_f64)
#define matconv_objective_gradient_f32 (MATCONV_TABLE->objective_gradient_f32)
#define matconv_objective_jvp_f64 (MATCONV_TABLE->objective_jvp_f64)
#define matconv_objective_jvp_f32 (MATCONV_TABLE->objective_jvp_f32)
#define matconv_objective_vjp_f64 (MATCONV_TABLE->objective_vjp_f64)
#define matconv_objective_vjp_f32 (MATCONV_TABLE->objective_vjp_f32)
#define matconv_objective_gauss_newton_f64 (MATCONV_TABLE->objective_gauss_newton_f64)
#define matconv_objective_gauss_newton_f32 (MATCONV_TABLE->objective_gauss_newton_f32)

#ifdef __cplusplus
}
#endif

#endif /* MATCONV_H */
