"""Convolution as matrix products, a tile of phi at a time.

    Z (l, b, a, d)  --gather-->  phi tile (K, n)  --dgemm with W (d_out, K)-->  S tile (d_out, n)
                                 stays in cache                                + b, ReLU in place

A tile is n output positions, counted through all images, so that small images share one. Every
matrix is column-major, so a tile of S is a piece of the output array itself.
"""

from libc.string cimport memset

cimport numpy as cnp

from .arrays cimport as_input, as_output, as_scratch, check_shape
from .bias_relu cimport add_rows, bias_relu_rows
from .blas cimport gemm
from .geometry cimport Geometry, WindowGeometry, mul_overflows
from .status cimport OK, OVERFLOW
from .tile cimport (
    filters_in_tile_order, gather_tile, permute_filters, scatter_tile, unpermute_filters,
)
from .types cimport real

cnp.import_array()

cdef enum:
    # numbers of a phi tile: it shares the level-2 cache with what dgemm packs
    TILE_NUMBERS = 1 << 17
    TILE_MOST = 512
    # with fewer columns dgemm loses more than the cache gives; the backward pass wants more of
    # them, since each tile reads and writes the whole dW
    TILE_LEAST_FORWARD = 192
    TILE_LEAST_BACKWARD = 256


cdef inline bint is_direct(const Geometry *g) noexcept nogil:
    # a 1x1 filter on every pixel: phi(Z) is Z, nothing to gather
    return (
        g.h_b == 1 and g.h_a == 1 and g.s_b == 1 and g.s_a == 1
        and g.top == 0 and g.bottom == 0 and g.left == 0 and g.right == 0
    )


cdef inline Py_ssize_t usual_tile(const Geometry *g, bint backward) noexcept nogil:
    cdef Py_ssize_t n = TILE_NUMBERS // g.K // 16 * 16
    cdef Py_ssize_t least = TILE_LEAST_BACKWARD if backward else TILE_LEAST_FORWARD
    return min(max(n, least), <Py_ssize_t> TILE_MOST)


# Tiles of equal length (a short last one wastes dgemm), half as long again as usual at most.
# Of the geometry alone, never of threads or free memory, so that the bits are too.
cdef inline Py_ssize_t tile_length(
    const Geometry *g, Py_ssize_t total, bint backward
) noexcept nogil:
    cdef Py_ssize_t usual = usual_tile(g, backward)
    cdef Py_ssize_t count = max(<Py_ssize_t> 1, (total + usual // 2) // usual)
    return (total + count - 1) // count


cdef int conv_scratch_size(const Geometry *g, bint backward, Py_ssize_t *size) noexcept nogil:
    # W in the tile's order, dW in the tile's order (backward), one tile of phi
    cdef Py_ssize_t tile = 0, filters = 0
    if not is_direct(g) and mul_overflows(usual_tile(g, backward) * 3 // 2, g.K, &tile):
        return OVERFLOW
    if not filters_in_tile_order(g):
        filters = g.K * g.d_out
        if mul_overflows(filters, 2 if backward else 1, &filters):
            return OVERFLOW
    size[0] = tile + filters
    return OK


cdef int conv_forward(
    const Geometry *g, const real *Z, const real *W, const real *b, bint relu,
    real *S, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t total = g.l * g.b_out * g.a_out
    cdef Py_ssize_t length = tile_length(g, total, False), d_out_g = g.d_out_g
    cdef Py_ssize_t t0 = 0, n, group, ld_phi = g.K
    cdef bint direct = is_direct(g)
    cdef const real *phi = scratch
    cdef real *S_tile
    if not filters_in_tile_order(g):
        permute_filters(g, W, scratch)
        W = scratch
        scratch += g.K * g.d_out
    if direct:
        ld_phi = g.d
    while t0 < total:
        n = min(length, total - t0)
        S_tile = S + t0 * g.d_out
        for group in range(g.groups):
            if direct:
                phi = Z + t0 * g.d + group * g.d_g
            else:
                phi = scratch
                gather_tile(g, t0, n, Z + group * g.d_g, scratch)
            # S(d_out_g, n) = W(d_out_g, K) phi(K, n)
            gemm(
                c'N', c'N', d_out_g, n, g.K, W + group * d_out_g, g.d_out, phi, ld_phi,
                0, S_tile + group * d_out_g, g.d_out,
            )
        if b != NULL or relu:
            bias_relu_rows(n, g.d_out, S_tile, b, relu, S_tile)
        t0 += n
    return OK


cdef int conv_backward(
    const Geometry *g, const real *dS, const real *Z, const real *W,
    real *dZ, real *dW, real *db, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t total = g.l * g.b_out * g.a_out
    cdef Py_ssize_t length = tile_length(g, total, True), d_out_g = g.d_out_g
    cdef Py_ssize_t t0 = 0, n, group, ld_phi = g.K
    cdef bint direct = is_direct(g), in_order = filters_in_tile_order(g)
    cdef const real *phi
    cdef const real *dS_tile
    cdef real *dphi
    cdef real *dW_tile = dW
    if not in_order:
        if dZ != NULL:
            permute_filters(g, W, scratch)
            W = scratch
        scratch += g.K * g.d_out
        dW_tile = scratch
        scratch += g.K * g.d_out
    if direct:
        ld_phi = g.d
    elif dZ != NULL:
        memset(dZ, 0, g.l * g.b * g.a * g.d * sizeof(real))
    if dW != NULL and total == 0:
        memset(dW, 0, g.K * g.d_out * sizeof(real))
    if db != NULL:
        memset(db, 0, g.d_out * sizeof(real))
    while t0 < total:
        n = min(length, total - t0)
        for group in range(g.groups):
            dS_tile = dS + t0 * g.d_out + group * d_out_g
            if dW != NULL:
                if direct:
                    phi = Z + t0 * g.d + group * g.d_g
                else:
                    phi = scratch
                    gather_tile(g, t0, n, Z + group * g.d_g, scratch)
                # dW(d_out_g, K) += dS(d_out_g, n) phi(K, n)'
                gemm(
                    c'N', c'T', d_out_g, g.K, n, dS_tile, g.d_out, phi, ld_phi,
                    t0 != 0, dW_tile + group * d_out_g, g.d_out,
                )
            if dZ != NULL:
                dphi = dZ + t0 * g.d + group * g.d_g if direct else scratch
                # dphi(K, n) = W(d_out_g, K)' dS(d_out_g, n)
                gemm(
                    c'T', c'N', g.K, n, d_out_g, W + group * d_out_g, g.d_out, dS_tile, g.d_out,
                    0, dphi, ld_phi,
                )
                if not direct:
                    # Z's gradient: vec(dZ) += P_phi' vec(dphi)
                    scatter_tile(g, t0, n, dZ + group * g.d_g, dphi)
        if db != NULL:
            # db(d_out) += dS(d_out, n) 1
            add_rows(n, g.d_out, dS + t0 * g.d_out, db)
        t0 += n
    if dW != NULL and not in_order and total > 0:
        unpermute_filters(g, dW_tile, dW)
    return OK


def scratch_size(WindowGeometry geometry, bint backward):
    """Numbers of scratch that one call of `forward` or `backward` needs; any batch size."""
    cdef Py_ssize_t size = 0
    if conv_scratch_size(&geometry.c, backward, &size) != OK:
        raise OverflowError(f"{geometry.function}: the size of the scratch overflows")
    return size


cdef void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


def forward(WindowGeometry geometry, Z, W, b=None, bint relu=False, out=None, scratch=None):
    """`conv2d` for a geometry that is already checked; l is taken from Z.

    Parameters
    ----------
    geometry : WindowGeometry
    Z, W, b, relu, out
        As for `conv2d`.
    scratch : 1-D array of at least ``scratch_size(geometry, False)`` numbers, optional

    Returns
    -------
    S : ndarray, shape (l, b_out, a_out, d_out)
    """
    cdef str function = geometry.function
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray bias = None
    cdef Geometry g
    geometry.for_images(cnp.PyArray_DIM(images, 0), &g)
    check_shape(function, "Z", images, (g.l, g.b, g.a, g.d))
    check_shape(function, "W", filters, (g.d_g, g.h_b, g.h_a, g.d_out))
    if b is not None:
        bias = as_input(function, "b", b, 1, images)
        check_shape(function, "b", bias, (g.d_out,))
    cdef cnp.ndarray S = as_output(
        function, "out", out, (g.l, g.b_out, g.a_out, g.d_out), images,
        (("Z", Z), ("W", W), ("b", b)),
    )
    cdef cnp.ndarray work = as_scratch(function, scratch, scratch_size(geometry, False), images)
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    cdef void *Z_ = data(images)
    cdef void *W_ = data(filters)
    cdef void *b_ = data(bias)
    cdef void *S_ = data(S)
    cdef void *work_ = data(work)
    with nogil:
        if is_double:
            conv_forward(
                &g, <const double *> Z_, <const double *> W_, <const double *> b_, relu,
                <double *> S_, <double *> work_,
            )
        else:
            conv_forward(
                &g, <const float *> Z_, <const float *> W_, <const float *> b_, relu,
                <float *> S_, <float *> work_,
            )
    return S


def backward(
    WindowGeometry geometry, dS, Z, W, bint need_dZ=True, bint need_dW=True, bint need_db=True,
    out_dZ=None, out_dW=None, out_db=None, scratch=None,
):
    """`conv2d_backward` for a geometry that is already checked; l is taken from Z.

    Parameters
    ----------
    geometry : WindowGeometry
    dS, Z, W, need_dZ, need_dW, need_db
        As for `conv2d_backward`.
    out_dZ, out_dW, out_db : arrays, optional
        Where the gradients go; C-contiguous.
    scratch : 1-D array of at least ``scratch_size(geometry, True)`` numbers, optional

    Returns
    -------
    dZ, dW, db : ndarray or None
    """
    cdef str function = geometry.function
    cdef cnp.ndarray images = as_input(function, "Z", Z, 4)
    cdef cnp.ndarray filters = as_input(function, "W", W, 4, images)
    cdef cnp.ndarray gradient = as_input(function, "dS", dS, 4, images)
    cdef cnp.ndarray dZ = None
    cdef cnp.ndarray dW = None
    cdef cnp.ndarray db = None
    cdef Geometry g
    cdef tuple inputs = (("dS", dS), ("Z", Z), ("W", W))
    geometry.for_images(cnp.PyArray_DIM(images, 0), &g)
    check_shape(function, "Z", images, (g.l, g.b, g.a, g.d))
    check_shape(function, "W", filters, (g.d_g, g.h_b, g.h_a, g.d_out))
    check_shape(function, "dS", gradient, (g.l, g.b_out, g.a_out, g.d_out))
    if need_dZ:
        dZ = as_output(function, "dZ", out_dZ, (g.l, g.b, g.a, g.d), images, inputs)
    if need_dW:
        dW = as_output(function, "dW", out_dW, (g.d_g, g.h_b, g.h_a, g.d_out), images, inputs)
    if need_db:
        db = as_output(function, "db", out_db, (g.d_out,), images, inputs)
    cdef cnp.ndarray work = as_scratch(function, scratch, scratch_size(geometry, True), images)
    cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
    cdef void *dS_ = data(gradient)
    cdef void *Z_ = data(images)
    cdef void *W_ = data(filters)
    cdef void *dZ_ = data(dZ)
    cdef void *dW_ = data(dW)
    cdef void *db_ = data(db)
    cdef void *work_ = data(work)
    with nogil:
        if is_double:
            conv_backward(
                &g, <const double *> dS_, <const double *> Z_, <const double *> W_,
                <double *> dZ_, <double *> dW_, <double *> db_, <double *> work_,
            )
        else:
            conv_backward(
                &g, <const float *> dS_, <const float *> Z_, <const float *> W_,
                <float *> dZ_, <float *> dW_, <float *> db_, <float *> work_,
            )
    return dZ, dW, db


cdef WindowGeometry conv_geometry(
    str function, cnp.ndarray Z, cnp.ndarray W, object stride, object pad, object dilation,
    object groups,
):
    cdef WindowGeometry geometry = WindowGeometry(
        function, (<object> Z).shape, (cnp.PyArray_DIM(W, 1), cnp.PyArray_DIM(W, 2)),
        stride, pad, dilation, groups, cnp.PyArray_DIM(W, 3),
    )
    if cnp.PyArray_DIM(W, 0) != geometry.c.d_g:
        raise ValueError(
            f"{function}: W has {cnp.PyArray_DIM(W, 0)} channels where Z has {geometry.c.d}"
            + (f" in groups of {geometry.c.d_g}" if geometry.c.groups > 1 else "")
        )
    return geometry


def conv2d(Z, W, b=None, stride=1, pad=0, dilation=1, groups=1, relu=False, out=None):
    """S = W phi(Z) + b 1', and sigma(S) when ``relu``: equations (1) to (3).

    Parameters
    ----------
    Z : array, shape (l, b, a, d)
        Images: count, height, width, channels; float64 or float32. l may be 0.
    W : array, shape (d/groups, h_b, h_a, d_out)
        Filters, as theta holds them: output channel fastest, then horizontal offset, vertical
        offset, input channel, so that ``W.reshape(-1, d_out).T`` is the notes' W.
    b : array, shape (d_out,), optional
    stride, dilation : int or (height, width)
    pad : int, (height, width) or ((top, bottom), (left, right))
        Rows and columns of zeros around each image.
    groups : int
        Output channels k d_out/groups, ... see input channels k d/groups, ... only.
    relu : bool
    out : array, shape of the result, optional
        C-contiguous, of Z's dtype, not overlapping Z, W or b.

    Returns
    -------
    S : ndarray, shape (l, b_out, a_out, d_out)
        ``b_out = floor((b + top + bottom - ((h_b - 1) dilation + 1)) / stride) + 1``.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError
        Nothing has been written then.

    Notes
    -----
    Like the field, and the notes, this is a correlation: filters are not turned. Products go to
    BLAS in tiles of output positions; integers within the range of the dtype come out exact.

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> W = np.ones((1, 3, 3, 1))
    >>> matconv.conv2d(Z, W, np.array([0.5]))[0, :, :, 0]
    array([[45.5, 54.5],
           [81.5, 90.5]])
    """
    cdef cnp.ndarray images = as_input("conv2d", "Z", Z, 4)
    cdef cnp.ndarray filters = as_input("conv2d", "W", W, 4, images)
    cdef WindowGeometry geometry = conv_geometry(
        "conv2d", images, filters, stride, pad, dilation, groups
    )
    # checked against what came: a converted copy overlaps nothing
    S = as_output("conv2d", "out", out, geometry.out_shape, images, (("Z", Z), ("W", W), ("b", b)))
    return forward(geometry, images, filters, b, relu, S)


def conv2d_backward(
    dS, Z, W, stride=1, pad=0, dilation=1, groups=1, need_dZ=True, need_dW=True, need_db=True
):
    """The gradients for Z, W and b from the gradient for S = W phi(Z) + b 1'.

    Parameters
    ----------
    dS : array, shape (l, b_out, a_out, d_out)
        Gradient for S, before the ReLU (`bias_relu_backward` gives it).
    Z, W, stride, pad, dilation, groups
        As for `conv2d`.
    need_dZ, need_dW, need_db : bool
        What is not needed is not computed.

    Returns
    -------
    dZ : ndarray, shape of Z, or None
        ``vec(dZ) = P_phi' vec(W' dS)``.
    dW : ndarray, shape of W, or None
        ``dW = sum_i dS phi(Z^i)'``.
    db : ndarray, shape (d_out,), or None
        ``db = sum_i dS 1``.

    Raises
    ------
    TypeError, ValueError, OverflowError, MemoryError

    Examples
    --------
    >>> import numpy as np, matconv
    >>> Z, W = np.ones((1, 3, 3, 1)), np.ones((1, 2, 2, 1))
    >>> dZ, dW, db = matconv.conv2d_backward(np.ones((1, 2, 2, 1)), Z, W)
    >>> dZ[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    >>> dW.ravel(), db
    (array([4., 4., 4., 4.]), array([4.]))
    """
    cdef cnp.ndarray images = as_input("conv2d_backward", "Z", Z, 4)
    cdef cnp.ndarray filters = as_input("conv2d_backward", "W", W, 4, images)
    cdef WindowGeometry geometry = conv_geometry(
        "conv2d_backward", images, filters, stride, pad, dilation, groups
    )
    return backward(geometry, dS, images, filters, need_dZ, need_dW, need_db)
