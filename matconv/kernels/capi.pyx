"""The C interface: functions with checks of their arguments, in a table in a capsule.

``include/matconv/table.h`` has their contracts. Arguments are checked, as far as possible in C,
before anything is written. No function raises; only those that use the thread pool acquire the GIL.
"""

from cpython.pycapsule cimport PyCapsule_New

from ._capi_checks cimport checked_geometry
from ._capi_filters cimport (
    api_conv_backward, api_conv_forward, api_conv_scratch_f32, api_conv_scratch_f64,
    api_conv_transpose_backward, api_conv_transpose_forward, api_conv_transpose_scratch_f32,
    api_conv_transpose_scratch_f64, api_dense_backward, api_dense_forward,
)
from ._capi_images cimport (
    api_avg_pool, api_avg_pool_backward, api_bias_activation, api_bias_activation_backward,
    api_col2im, api_im2col, api_lrn, api_lrn_backward, api_max_pool, api_max_pool_backward,
    api_upsample, api_upsample_backward,
)
from ._capi_objectives cimport (
    api_objective_gauss_newton, api_objective_gradient, api_objective_jvp, api_objective_theta,
    api_objective_vjp,
)
from ._capi_table cimport MATCONV_ABI_VERSION, Table
from ._frozen cimport (
    Frozen, frozen_close, frozen_open, frozen_open_memory, frozen_outputs, frozen_shape,
)
from ._geometry cimport Geometry
from ._guard cimport begin_products_from_c, end_products
from ._objective cimport (
    objective_close, objective_open, objective_open_memory, objective_shape, objective_workspace,
)
from ._prediction cimport (
    frozen_predict, frozen_predict_threads, frozen_workspace, frozen_workspace_threads,
)
from ._status cimport OK, status_string
from ._types cimport real


cdef int api_geometry_init(Geometry *g) noexcept nogil:
    cdef Geometry own
    cdef int status = checked_geometry(g, &own)
    if status == OK:
        g[0] = own
    return status


cdef int api_predict(
    const Frozen *network, Py_ssize_t images, const real *Z, real **outputs, real *scratch,
    Py_ssize_t scratch_size,
) noexcept nogil:
    cdef int status = begin_products_from_c()
    if status == OK:
        status = frozen_predict(network, images, Z, outputs, scratch, scratch_size)
        end_products()
    return status


cdef Table table
table.abi_version = MATCONV_ABI_VERSION
table.size = sizeof(Table)
table.status_string = status_string
table.geometry_init = api_geometry_init
table.im2col_f64 = api_im2col[double]
table.im2col_f32 = api_im2col[float]
table.col2im_f64 = api_col2im[double]
table.col2im_f32 = api_col2im[float]
table.bias_activation_f64 = api_bias_activation[double]
table.bias_activation_f32 = api_bias_activation[float]
table.bias_activation_backward_f64 = api_bias_activation_backward[double]
table.bias_activation_backward_f32 = api_bias_activation_backward[float]
table.conv_scratch_f64 = api_conv_scratch_f64
table.conv_scratch_f32 = api_conv_scratch_f32
table.conv_forward_f64 = api_conv_forward[double]
table.conv_forward_f32 = api_conv_forward[float]
table.conv_backward_f64 = api_conv_backward[double]
table.conv_backward_f32 = api_conv_backward[float]
table.max_pool_f64 = api_max_pool[double]
table.max_pool_f32 = api_max_pool[float]
table.max_pool_backward_f64 = api_max_pool_backward[double]
table.max_pool_backward_f32 = api_max_pool_backward[float]
table.avg_pool_f64 = api_avg_pool[double]
table.avg_pool_f32 = api_avg_pool[float]
table.avg_pool_backward_f64 = api_avg_pool_backward[double]
table.avg_pool_backward_f32 = api_avg_pool_backward[float]
table.dense_forward_f64 = api_dense_forward[double]
table.dense_forward_f32 = api_dense_forward[float]
table.dense_backward_f64 = api_dense_backward[double]
table.dense_backward_f32 = api_dense_backward[float]
table.network_open = frozen_open
table.network_open_memory = frozen_open_memory
table.network_close = frozen_close
table.network_outputs = frozen_outputs
table.network_get_shape = frozen_shape
table.network_workspace_size = frozen_workspace
table.network_predict_f64 = api_predict[double]
table.network_predict_f32 = api_predict[float]
table.network_workspace_size_threads = frozen_workspace_threads
table.network_predict_threads_f64 = frozen_predict_threads[double]
table.network_predict_threads_f32 = frozen_predict_threads[float]
table.lrn_f64 = api_lrn[double]
table.lrn_f32 = api_lrn[float]
table.lrn_backward_f64 = api_lrn_backward[double]
table.lrn_backward_f32 = api_lrn_backward[float]
table.conv_transpose_scratch_f64 = api_conv_transpose_scratch_f64
table.conv_transpose_scratch_f32 = api_conv_transpose_scratch_f32
table.conv_transpose_forward_f64 = api_conv_transpose_forward[double]
table.conv_transpose_forward_f32 = api_conv_transpose_forward[float]
table.conv_transpose_backward_f64 = api_conv_transpose_backward[double]
table.conv_transpose_backward_f32 = api_conv_transpose_backward[float]
table.upsample_f64 = api_upsample[double]
table.upsample_f32 = api_upsample[float]
table.upsample_backward_f64 = api_upsample_backward[double]
table.upsample_backward_f32 = api_upsample_backward[float]
table.objective_open = objective_open
table.objective_open_memory = objective_open_memory
table.objective_close = objective_close
table.objective_get_shape = objective_shape
table.objective_workspace_size = objective_workspace
table.objective_get_theta_f64 = api_objective_theta[double]
table.objective_get_theta_f32 = api_objective_theta[float]
table.objective_gradient_f64 = api_objective_gradient[double]
table.objective_gradient_f32 = api_objective_gradient[float]
table.objective_jvp_f64 = api_objective_jvp[double]
table.objective_jvp_f32 = api_objective_jvp[float]
table.objective_vjp_f64 = api_objective_vjp[double]
table.objective_vjp_f32 = api_objective_vjp[float]
table.objective_gauss_newton_f64 = api_objective_gauss_newton[double]
table.objective_gauss_newton_f32 = api_objective_gauss_newton[float]

ABI_VERSION = MATCONV_ABI_VERSION
_API = PyCapsule_New(&table, b"matconv.kernels.capi._API", NULL)
