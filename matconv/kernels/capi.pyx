"""The C interface: functions with checks of their arguments, in a table in a capsule.

``include/matconv/types.h`` has their contracts. Arguments are checked, as far as possible in C,
before anything is written. No function raises; only those that use the thread pool acquire the GIL.
"""

from cpython.pycapsule cimport PyCapsule_New
from libc.string cimport memset

from ._activation cimport Activation, activation_needs_input, activation_status
from ._prediction cimport (
    frozen_predict, frozen_predict_threads, frozen_workspace, frozen_workspace_threads,
)
from ._algorithms cimport AUTO, IM2COL, WINOGRAD, choose_tile
from ._bias_relu cimport activation_backward_rows, bias_activation_rows
from ._capi_table cimport MATCONV_ABI_VERSION, Table
from ._conv_driver cimport (
    Convolution, conv_backward, conv_forward, conv_plan, conv_scratch, conv_tiles,
)
from ._conv_transpose cimport transposed_backward, transposed_forward
from ._frozen cimport (
    Frozen, frozen_close, frozen_open, frozen_open_memory, frozen_outputs, frozen_shape,
)
from ._geometry cimport Geometry, geometry_default, geometry_init, mul_overflows
from ._guard cimport begin_products_from_c, end_products
from ._im2col cimport col2im_add, im2col_fill, phi_overflows
from ._lrn cimport Lrn, lrn_backward_rows, lrn_init, lrn_rows, lrn_scratch
from ._pool_loops cimport avg_pool, avg_pool_backward, max_pool, max_pool_backward
from ._status cimport (
    ACTIVATION, ALGORITHM, GROUPS, INDEX, NULL_POINTER, OK, OVERFLOW, PADDING, SCRATCH, SIZE,
    STRUCT, status_string,
)
from ._types cimport real
from ._upsample cimport Upsampling, upsample_adjoint, upsample_init, upsample_rows

cdef extern from "limits.h":
    const int INT_MAX


# Copy a geometry and compute its second block. IN: given. OUT: g. Returns a status.
cdef int checked_geometry(const Geometry *given, Geometry *g) noexcept nogil:
    if given == NULL:
        return NULL_POINTER
    if given.struct_size != sizeof(Geometry):
        return STRUCT
    g[0] = given[0]
    return geometry_init(g)


cdef int api_geometry_init(Geometry *g) noexcept nogil:
    cdef Geometry own
    cdef int status = checked_geometry(g, &own)
    if status == OK:
        g[0] = own
    return status


# As `checked_geometry`, for phi(Z), which does not depend on filters.
cdef int phi_geometry(const Geometry *given, Geometry *g) noexcept nogil:
    cdef Geometry own
    cdef int status
    if given == NULL:
        return NULL_POINTER
    own = given[0]
    own.d_out = own.groups
    status = checked_geometry(&own, g)
    if status != OK:
        return status
    if g.groups != 1:
        return GROUPS
    return OVERFLOW if phi_overflows(g) else OK


cdef int api_im2col(const Geometry *given, const real *Z, real *phi) noexcept nogil:
    cdef Geometry g
    cdef int status = phi_geometry(given, &g)
    if status != OK:
        return status
    if g.l > 0 and (Z == NULL or phi == NULL):
        return NULL_POINTER
    im2col_fill(&g, Z, phi)
    return OK


cdef int api_col2im(const Geometry *given, const real *phi, real *Z) noexcept nogil:
    cdef Geometry g
    cdef int status = phi_geometry(given, &g)
    if status != OK:
        return status
    if g.l > 0:
        if Z == NULL or phi == NULL:
            return NULL_POINTER
        memset(Z, 0, g.l * g.b * g.a * g.d * sizeof(real))
    col2im_add(&g, phi, Z)
    return OK


cdef int check_rows(Py_ssize_t n, Py_ssize_t d) noexcept nogil:
    # d by itself first, since b and db have d elements also if n = 0
    cdef Py_ssize_t total = 0
    if n < 0 or d < 1:
        return SIZE
    if mul_overflows(d, sizeof(double), &total) or mul_overflows(n, total, &total):
        return OVERFLOW
    return OK


cdef int api_bias_activation(
    Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, const Activation *activation, real *Z
) noexcept nogil:
    cdef int status = check_rows(n, d)
    if status == OK:
        status = activation_status(activation, real is double)
    if status != OK:
        return status
    if n > 0 and (S == NULL or Z == NULL):
        return NULL_POINTER
    bias_activation_rows(n, d, S, b, activation, Z)
    return OK


cdef int api_bias_activation_backward(
    Py_ssize_t n, Py_ssize_t d, const real *dZ, const real *Z, const Activation *activation,
    real *dS, real *db,
) noexcept nogil:
    cdef int status = check_rows(n, d)
    if status == OK:
        status = activation_status(activation, real is double)
    if status == OK and activation != NULL and activation_needs_input(activation.code):
        status = ACTIVATION
    if status != OK:
        return status
    if n > 0 and (dZ == NULL or Z == NULL or dS == NULL):
        return NULL_POINTER
    if db != NULL:
        memset(db, 0, d * sizeof(real))
    activation_backward_rows(n, d, dZ, Z, activation, dS, db)
    return OK


# Plan a convolution. IN: given. OUT: c. Returns a status.
cdef int plan_convolution(
    const Geometry *given, int algorithm, bint is_double, Convolution *c
) noexcept nogil:
    cdef Geometry g
    cdef Py_ssize_t m_b = 0, m_a = 0
    cdef int status = checked_geometry(given, &g)
    if status != OK:
        return status
    if not AUTO <= algorithm <= WINOGRAD:
        return ALGORITHM
    choose_tile(&g, is_double, algorithm, False, &m_b, &m_a)
    return conv_plan(&g, is_double, m_b, m_a, c)


cdef int check_scratch(Py_ssize_t needed, const void *scratch, Py_ssize_t size) noexcept nogil:
    if size < needed:
        return SCRATCH
    return NULL_POINTER if needed > 0 and scratch == NULL else OK


# Elements of scratch of both passes. IN: given. OUT: forward, backward, or NULL. Returns a status.
cdef int scratch_sizes(
    const Geometry *given, int algorithm, bint is_double, Py_ssize_t *forward,
    Py_ssize_t *backward,
) noexcept nogil:
    cdef Convolution c
    cdef int status = plan_convolution(given, algorithm, is_double, &c)
    if status == OK and forward != NULL:
        status = conv_scratch(&c, False, False, forward)
    if status == OK and backward != NULL:
        status = conv_scratch(&c, True, False, backward)
    return status


cdef int api_conv_scratch_f64(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return scratch_sizes(g, algorithm, True, forward, backward)


cdef int api_conv_scratch_f32(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return scratch_sizes(g, algorithm, False, forward, backward)


cdef int api_conv_forward(
    const Geometry *given, int algorithm, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    cdef Convolution c
    cdef Py_ssize_t needed = 0
    cdef int status = plan_convolution(given, algorithm, real is double, &c)
    if status == OK:
        status = activation_status(activation, real is double)
    if status == OK:
        status = conv_scratch(&c, False, False, &needed)
    if status != OK:
        return status
    if W == NULL or (c.g.l > 0 and (Z == NULL or S == NULL)):
        return NULL_POINTER
    status = check_scratch(needed, scratch, scratch_size)
    if status == OK:
        status = begin_products_from_c()
    if status != OK:
        return status
    conv_forward(&c, Z, W, b, activation, S, 0, conv_tiles(&c), scratch, False)
    end_products()
    return OK


# With room_for_W, scratch has at least as many elements as W, whatever is needed on this machine.
cdef int check_and_conv_backward(
    const Geometry *given, int algorithm, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size, bint room_for_W,
) noexcept nogil:
    cdef Convolution c
    cdef Py_ssize_t needed = 0
    cdef int status = plan_convolution(given, algorithm, real is double, &c)
    if status == OK:
        status = conv_scratch(&c, True, False, &needed)
    if status != OK:
        return status
    if room_for_W:
        needed = max(needed, c.g.K * c.g.d_out)
    if W == NULL or (c.g.l > 0 and (Z == NULL or dS == NULL)):
        return NULL_POINTER
    status = check_scratch(needed, scratch, scratch_size)
    if status == OK:
        status = begin_products_from_c()
    if status != OK:
        return status
    conv_backward(&c, dS, Z, W, dZ, dW, db, scratch, False)
    end_products()
    return OK


cdef int api_conv_backward(
    const Geometry *given, int algorithm, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    return check_and_conv_backward(
        given, algorithm, dS, Z, W, dZ, dW, db, scratch, scratch_size, False
    )


# As `scratch_sizes`, for a transposed convolution.
cdef int transposed_scratch_sizes(
    const Geometry *given, int algorithm, bint is_double, Py_ssize_t *forward,
    Py_ssize_t *backward,
) noexcept nogil:
    cdef Py_ssize_t convolution = 0, adjoint = 0
    cdef int status = scratch_sizes(given, algorithm, is_double, &convolution, &adjoint)
    if status == OK and forward != NULL:
        forward[0] = adjoint
    if status == OK and backward != NULL:
        backward[0] = max(convolution, adjoint)
    return status


cdef int api_conv_transpose_scratch_f64(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return transposed_scratch_sizes(g, algorithm, True, forward, backward)


cdef int api_conv_transpose_scratch_f32(
    const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
) noexcept nogil:
    return transposed_scratch_sizes(g, algorithm, False, forward, backward)


cdef int api_conv_transpose_forward(
    const Geometry *given, int algorithm, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    cdef Convolution c
    cdef Py_ssize_t needed = 0
    cdef int status = plan_convolution(given, algorithm, real is double, &c)
    if status == OK:
        status = activation_status(activation, real is double)
    if status == OK:
        status = conv_scratch(&c, True, False, &needed)
    if status != OK:
        return status
    if W == NULL or (c.g.l > 0 and (Z == NULL or S == NULL)):
        return NULL_POINTER
    status = check_scratch(needed, scratch, scratch_size)
    if status == OK:
        status = begin_products_from_c()
    if status != OK:
        return status
    transposed_forward(&c, Z, W, b, activation, S, scratch, False)
    end_products()
    return OK


cdef int api_conv_transpose_backward(
    const Geometry *given, int algorithm, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    cdef Convolution c
    cdef Py_ssize_t needed = 0
    cdef int status = plan_convolution(given, algorithm, real is double, &c)
    if status == OK:
        status = transposed_scratch_sizes(given, algorithm, real is double, NULL, &needed)
    if status != OK:
        return status
    if W == NULL or (c.g.l > 0 and (Z == NULL or dS == NULL)):
        return NULL_POINTER
    status = check_scratch(needed, scratch, scratch_size)
    if status == OK:
        status = begin_products_from_c()
    if status != OK:
        return status
    transposed_backward(&c, dS, Z, W, dZ, dW, db, scratch, False)
    end_products()
    return OK


# Copy and check the geometry of a pooling window. IN: given. OUT: g. Returns a status.
cdef int pool_window(const Geometry *given, Geometry *g) noexcept nogil:
    cdef int status = checked_geometry(given, g)
    if status != OK:
        return status
    if g.groups != 1:
        return GROUPS
    if g.d_out != g.d or g.dil_b != 1 or g.dil_a != 1:
        return SIZE
    if g.top >= g.h_b or g.bottom >= g.h_b or g.left >= g.h_a or g.right >= g.h_a:
        return PADDING
    return OVERFLOW if g.b > INT_MAX // g.a else OK


cdef int api_max_pool(const Geometry *given, const real *Z, real *S, int *indices) noexcept nogil:
    cdef Geometry g
    cdef int status = pool_window(given, &g)
    if status != OK:
        return status
    if g.l > 0 and (Z == NULL or S == NULL):
        return NULL_POINTER
    max_pool(&g, Z, S, indices, 0, g.l * g.b_out)
    return OK


cdef int api_max_pool_backward(
    const Geometry *given, const real *dS, const int *indices, real *dZ
) noexcept nogil:
    cdef Geometry g
    cdef Py_ssize_t k
    cdef int status = pool_window(given, &g)
    if status != OK or g.l == 0:
        return status
    if dS == NULL or indices == NULL or dZ == NULL:
        return NULL_POINTER
    for k in range(g.l * g.b_out * g.a_out * g.d):
        if not 0 <= indices[k] < g.b * g.a:
            return INDEX
    memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    max_pool_backward(&g, dS, indices, dZ, 0, g.l * g.b_out)
    return OK


cdef int api_avg_pool(const Geometry *given, const real *Z, real *S) noexcept nogil:
    cdef Geometry g
    cdef int status = pool_window(given, &g)
    if status != OK:
        return status
    if g.l > 0 and (Z == NULL or S == NULL):
        return NULL_POINTER
    avg_pool(&g, NULL, Z, S, 0, g.l * g.b_out)
    return OK


cdef int api_avg_pool_backward(const Geometry *given, const real *dS, real *dZ) noexcept nogil:
    cdef Geometry g
    cdef int status = pool_window(given, &g)
    if status != OK or g.l == 0:
        return status
    if dS == NULL or dZ == NULL:
        return NULL_POINTER
    memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    avg_pool_backward(&g, NULL, dS, dZ, 0, g.l * g.b_out)
    return OK


# Check the arguments of both functions of `lrn`. OUT: lrn. Returns a status.
cdef int check_lrn(
    Py_ssize_t n, Py_ssize_t d, Py_ssize_t size, double k, double alpha, double beta, Lrn *lrn
) noexcept nogil:
    cdef int status = check_rows(n, d)
    if status == OK:
        status = lrn_init(d, size, k, alpha, beta, lrn)
    if status == OK and lrn_scratch(d) < 0:
        status = OVERFLOW
    return status


cdef int api_lrn(
    Py_ssize_t n, Py_ssize_t d, Py_ssize_t size, double k, double alpha, double beta,
    const real *Z, real *S, real *scratch,
) noexcept nogil:
    cdef Lrn lrn
    cdef int status = check_lrn(n, d, size, k, alpha, beta, &lrn)
    if status != OK or n == 0:
        return status
    if Z == NULL or S == NULL or scratch == NULL:
        return NULL_POINTER
    lrn_rows(&lrn, n, Z, S, scratch)
    return OK


cdef int api_lrn_backward(
    Py_ssize_t n, Py_ssize_t d, Py_ssize_t size, double k, double alpha, double beta,
    const real *dS, const real *Z, real *dZ, real *scratch,
) noexcept nogil:
    cdef Lrn lrn
    cdef int status = check_lrn(n, d, size, k, alpha, beta, &lrn)
    if status != OK or n == 0:
        return status
    if dS == NULL or Z == NULL or dZ == NULL or scratch == NULL:
        return NULL_POINTER
    lrn_backward_rows(&lrn, n, dS, Z, False, dZ, scratch)
    return OK


cdef int api_upsample(
    Py_ssize_t images, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels,
    Py_ssize_t factor_down, Py_ssize_t factor_right, int method, const real *Z, real *S,
) noexcept nogil:
    cdef Upsampling u
    cdef int status = upsample_init(
        images, height, width, channels, factor_down, factor_right, method, &u
    )
    if status != OK or images == 0:
        return status
    if Z == NULL or S == NULL:
        return NULL_POINTER
    upsample_rows(&u, Z, S, 0, images * height * factor_down)
    return OK


cdef int api_upsample_backward(
    Py_ssize_t images, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels,
    Py_ssize_t factor_down, Py_ssize_t factor_right, int method, const real *dS, real *dZ,
) noexcept nogil:
    cdef Upsampling u
    cdef int status = upsample_init(
        images, height, width, channels, factor_down, factor_right, method, &u
    )
    if status != OK or images == 0:
        return status
    if dS == NULL or dZ == NULL:
        return NULL_POINTER
    memset(dZ, 0, images * height * width * channels * sizeof(real))
    upsample_adjoint(&u, dS, dZ, 0, images * height)
    return OK


# A dense layer as a 1x1 convolution of images of one pixel. OUT: g.
cdef void dense_geometry(Py_ssize_t l, Py_ssize_t m, Py_ssize_t units, Geometry *g) noexcept nogil:
    geometry_default(g)
    g.l = l
    g.b = g.a = g.h_b = g.h_a = 1
    g.d = m
    g.d_out = units


cdef int api_dense_forward(
    Py_ssize_t l, Py_ssize_t m, Py_ssize_t units, const real *Z, const real *W, const real *b,
    const Activation *activation, real *S,
) noexcept nogil:
    cdef Geometry g
    dense_geometry(l, m, units, &g)
    return api_conv_forward(&g, IM2COL, Z, W, b, activation, S, <real *> NULL, 0)


cdef int api_dense_backward(
    Py_ssize_t l, Py_ssize_t m, Py_ssize_t units, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch, Py_ssize_t scratch_size,
) noexcept nogil:
    cdef Geometry g
    dense_geometry(l, m, units, &g)
    return check_and_conv_backward(
        &g, IM2COL, dS, Z, W, dZ, dW, db, scratch, scratch_size, True
    )


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

ABI_VERSION = MATCONV_ABI_VERSION
_API = PyCapsule_New(&table, b"matconv.kernels.capi._API", NULL)
