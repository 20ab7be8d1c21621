"""Functions of the C interface for images and rows: phi, activations, pooling, and others.

``include/matconv/table.h`` has their contracts.
"""

from libc.string cimport memset

from ._activation cimport Activation, activation_needs_input, activation_status
from ._bias_relu cimport activation_backward_rows, bias_activation_rows
from ._capi_checks cimport check_rows, checked_geometry
from ._geometry cimport Geometry
from ._im2col cimport col2im_add, im2col_fill, phi_overflows
from ._lrn cimport Lrn, lrn_backward_rows, lrn_init, lrn_rows, lrn_scratch
from ._pool_loops cimport avg_pool, avg_pool_backward, max_pool, max_pool_backward
from ._status cimport ACTIVATION, GROUPS, INDEX, NULL_POINTER, OK, OVERFLOW, PADDING, SIZE
from ._types cimport real
from ._upsample cimport Upsampling, upsample_adjoint, upsample_init, upsample_rows

cdef extern from "limits.h":
    const int INT_MAX


# As `checked_geometry`, for phi(Z), which does not depend on filters.
cdef inline int phi_geometry(const Geometry *given, Geometry *g) noexcept nogil:
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


cdef inline int api_im2col(const Geometry *given, const real *Z, real *phi) noexcept nogil:
    cdef Geometry g
    cdef int status = phi_geometry(given, &g)
    if status != OK:
        return status
    if g.l > 0 and (Z == NULL or phi == NULL):
        return NULL_POINTER
    im2col_fill(&g, Z, phi)
    return OK


cdef inline int api_col2im(const Geometry *given, const real *phi, real *Z) noexcept nogil:
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


cdef inline int api_bias_activation(
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


cdef inline int api_bias_activation_backward(
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


# Copy and check the geometry of a pooling window. IN: given. OUT: g. Returns a status.
cdef inline int pool_window(const Geometry *given, Geometry *g) noexcept nogil:
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


cdef inline int api_max_pool(
    const Geometry *given, const real *Z, real *S, int *indices
) noexcept nogil:
    cdef Geometry g
    cdef int status = pool_window(given, &g)
    if status != OK:
        return status
    if g.l > 0 and (Z == NULL or S == NULL):
        return NULL_POINTER
    max_pool(&g, Z, S, indices, 0, g.l * g.b_out)
    return OK


cdef inline int api_max_pool_backward(
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


cdef inline int api_avg_pool(const Geometry *given, const real *Z, real *S) noexcept nogil:
    cdef Geometry g
    cdef int status = pool_window(given, &g)
    if status != OK:
        return status
    if g.l > 0 and (Z == NULL or S == NULL):
        return NULL_POINTER
    avg_pool(&g, NULL, Z, S, 0, g.l * g.b_out)
    return OK


cdef inline int api_avg_pool_backward(
    const Geometry *given, const real *dS, real *dZ
) noexcept nogil:
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
cdef inline int check_lrn(
    Py_ssize_t n, Py_ssize_t d, Py_ssize_t size, double k, double alpha, double beta, Lrn *lrn
) noexcept nogil:
    cdef int status = check_rows(n, d)
    if status == OK:
        status = lrn_init(d, size, k, alpha, beta, lrn)
    if status == OK and lrn_scratch(d) < 0:
        status = OVERFLOW
    return status


cdef inline int api_lrn(
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


cdef inline int api_lrn_backward(
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


cdef inline int api_upsample(
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


cdef inline int api_upsample_backward(
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
