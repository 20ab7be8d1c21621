"""Convolution of images with few channels: phi is read from the image itself, not gathered.

    S(pixel, lanes) = b(lanes) + sum_k W(k, lanes) Z(pixel + offsets[k])
    dW(k, lanes)   += sum_pixel dS(pixel, lanes) Z(pixel + offsets[k])

The filters are in panels of some vectors of lanes, the last one with lanes that are not used. A
block of sums stays in registers: a panel of lanes for several pixels of a row, or for several k.
"""

from libc.string cimport memset

from ._activation cimport ACTIVATION_NONE, Activation
from ._bias_relu cimport bias_activation_rows
from ._geometry cimport Geometry
from ._tile cimport add_run, copy_run, zero_run
from ._types cimport real

cdef extern from "_conv_direct_vectors.h" nogil:
    # whether the compiler has vectors; loops over elements are slower than BLAS
    bint VECTORS "MATCONV_VECTORS"
    ctypedef struct VectorF64 "matconv_wide_f64":
        pass
    ctypedef struct VectorF32 "matconv_wide_f32":
        pass

cdef extern from "_conv_offsets_blocks.h" nogil:
    ctypedef void (*OutputsF64 "matconv_outputs_function_f64")(
        Py_ssize_t, const Py_ssize_t *, const double *, Py_ssize_t, const double *,
        const double *, double *, Py_ssize_t) noexcept
    ctypedef void (*OutputsF32 "matconv_outputs_function_f32")(
        Py_ssize_t, const Py_ssize_t *, const float *, Py_ssize_t, const float *,
        const float *, float *, Py_ssize_t) noexcept
    ctypedef void (*FiltersF64 "matconv_filters_function_f64")(
        Py_ssize_t, const Py_ssize_t *, const double *, Py_ssize_t, const double *, Py_ssize_t,
        double *) noexcept
    ctypedef void (*FiltersF32 "matconv_filters_function_f32")(
        Py_ssize_t, const Py_ssize_t *, const float *, Py_ssize_t, const float *, Py_ssize_t,
        float *) noexcept
    # by whether for a single pixel, and vectors of a panel, less 1
    OutputsF64[2][3] outputs_f64 "matconv_all_outputs_f64"
    OutputsF32[2][3] outputs_f32 "matconv_all_outputs_f32"
    FiltersF64[3] filters_f64 "matconv_all_filters_f64"
    FiltersF32[3] filters_f32 "matconv_all_filters_f32"

cdef enum:
    MAX_CHANNELS = 4
    MAX_INNER = 192             # elements of a column of phi
    MAX_LANES = 24              # of a panel: 3 vectors
    MAX_GROUP = 6               # pixels of a block of sums, or elements of a column of phi
    MAX_FILTERS = 4096
    MAX_WIDTH = 1 << 12         # of an image, and of its padding on either side
    MAX_DILATION = 1 << 14
    # elements of a band of rows, if it has more than one
    BAND = 1 << 14
    MAX_BAND = 1 << 17
    # pixels of a row whose S or dS, of a panel, stays in cache
    MAX_PIXELS = 64


# Filters `first` to first + kept - 1, in `vectors` vectors of `lanes` lanes in total.
cdef struct Panel:
    int vectors
    Py_ssize_t first, lanes, kept


# A band of rows of an image with its padding: elements of a row, and the offsets of a column of
# phi, padded with unused ones.
cdef struct Band:
    Py_ssize_t rows, row
    Py_ssize_t[MAX_INNER + MAX_GROUP] offsets


cdef inline Py_ssize_t reach(Py_ssize_t h, Py_ssize_t dil) noexcept nogil:
    return (h - 1) * dil + 1 if h > 1 else 1


cdef bint offsets_pay(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t row
    if not VECTORS or g.d_g != g.d or g.d > MAX_CHANNELS or g.h_b * g.h_a == 1 or g.K > MAX_INNER:
        return False
    if g.d_out < 8 or g.d_out > MAX_FILTERS or max(g.a, g.left, g.right) > MAX_WIDTH:
        return False
    row = (g.a + g.left + g.right) * g.d
    # a window is not wider than the image with its padding; its height is not bounded by the above
    return (g.h_b == 1 or g.dil_b <= MAX_DILATION) and reach(g.h_b, g.dil_b) * row <= MAX_BAND


# Output rows whose input is in a band.
cdef inline Py_ssize_t band_rows(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t rows = BAND // ((g.a + g.left + g.right) * g.d) - reach(g.h_b, g.dil_b)
    return 1 if rows < g.s_b else 1 + rows // g.s_b


cdef Py_ssize_t offsets_scratch(const Geometry *g) noexcept nogil:
    cdef Py_ssize_t rows = band_rows(g), lanes = g.d_out + MAX_LANES
    cdef Py_ssize_t last = (rows - 1) * g.s_b if rows > 1 else 0
    cdef Py_ssize_t band = (last + reach(g.h_b, g.dil_b)) * (g.a + g.left + g.right) * g.d
    # packed filters and biases, or sums; S or dS of a panel
    return band + (g.K + MAX_GROUP) * lanes + MAX_PIXELS * MAX_LANES


# The next panel after filter `first`: at most three vectors, but not one after three.
cdef inline void panel_of(
    const Geometry *g, Py_ssize_t first, Py_ssize_t lanes, Panel *panel
) noexcept nogil:
    cdef Py_ssize_t left = (g.d_out_g - first + lanes - 1) // lanes
    panel.vectors = 2 if left == 4 else <int> min(left, <Py_ssize_t> 3)
    panel.first = first
    panel.lanes = panel.vectors * lanes
    panel.kept = min(panel.lanes, g.d_out_g - first)


# Pixels, or elements of a column of phi, of a block of sums.
cdef inline Py_ssize_t group_of(const Panel *panel) noexcept nogil:
    return 4 if panel.vectors == 3 else MAX_GROUP


# OUT: band.
cdef void set_band(const Geometry *g, Band *band) noexcept nogil:
    cdef Py_ssize_t u, v, j, k = 0
    band.rows = band_rows(g)
    band.row = (g.a + g.left + g.right) * g.d
    for u in range(g.h_b):
        for v in range(g.h_a):
            for j in range(g.d):
                band.offsets[k] = (u * g.dil_b if u > 0 else 0) * band.row
                band.offsets[k] += (v * g.dil_a if v > 0 else 0) * g.d + j
                k += 1
    for j in range(MAX_GROUP):
        band.offsets[k + j] = 0


# The rows of the image for output rows y to y + rows - 1, with padding. IN: Z, the image. OUT:
# copy.
cdef const real *rows_of(
    const Geometry *g, const Band *band, Py_ssize_t y, Py_ssize_t rows, const real *Z, real *copy
) noexcept nogil:
    cdef Py_ssize_t first = y * g.s_b - g.top if y > 0 else -g.top, k, left = g.left * g.d
    cdef Py_ssize_t count = ((rows - 1) * g.s_b if rows > 1 else 0) + reach(g.h_b, g.dil_b)
    cdef Py_ssize_t row_Z = g.a * g.d
    if band.row == row_Z and first >= 0 and first + count <= g.b:
        return Z + first * row_Z
    for k in range(count):
        if first + k < 0 or first + k >= g.b:
            memset(copy, 0, band.row * sizeof(real))
        else:
            zero_run(copy, left)
            copy_run(copy + left, Z + (first + k) * row_Z, row_Z)
            zero_run(copy + left + row_Z, band.row - left - row_Z)
        copy += band.row
    return copy - count * band.row


# W(K, lanes) of a panel. IN: W_tile, b or NULL. OUT: packed ((K + 1) lanes,), b first.
cdef void pack_panel(
    const Geometry *g, const Panel *panel, const real *W_tile, const real *b, real *packed
) noexcept nogil:
    cdef Py_ssize_t k
    memset(packed, 0, (g.K + 1) * panel.lanes * sizeof(real))
    if b != NULL:
        copy_run(packed, b + panel.first, panel.kept)
    for k in range(g.K):
        packed += panel.lanes
        copy_run(packed, W_tile + k * g.d_out + panel.first, panel.kept)


# The sums of one panel for some pixels of a row. IN: Z, at the first one; packed. OUT: S.
cdef inline void pixels_panel(
    const Geometry *g, const Band *band, const Panel *panel, Py_ssize_t n, const real *Z,
    const real *packed, real *S, Py_ssize_t step_S,
) noexcept nogil:
    cdef Py_ssize_t p = 0, group = group_of(panel), step_Z = 0
    cdef const real *W = packed + panel.lanes
    cdef bint one = n < group
    if n > 1:
        step_Z = g.s_a * g.d
    if one:
        group = 1
    while p < n:
        # the last group begins earlier: some sums are computed twice
        p = min(p, n - group)
        if real is double:
            outputs_f64[one][panel.vectors - 1](
                g.K, band.offsets, Z + p * step_Z, step_Z, W, packed, S + p * step_S, step_S
            )
        else:
            outputs_f32[one][panel.vectors - 1](
                g.K, band.offsets, Z + p * step_Z, step_Z, W, packed, S + p * step_S, step_S
            )
        p += group


# All panels of a row of outputs. IN: Z, at the first pixel; packed filters. OUT: S.
cdef void row_outputs(
    const Geometry *g, const Band *band, const real *Z, const real *packed, real *sums, real *S,
    Py_ssize_t lanes,
) noexcept nogil:
    cdef Py_ssize_t first = 0, x, p, n, step_Z = g.s_a * g.d if g.a_out > 1 else 0
    cdef Panel panel
    while first < g.d_out_g:
        panel_of(g, first, lanes, &panel)
        if panel.kept == panel.lanes:
            pixels_panel(g, band, &panel, g.a_out, Z, packed, S + first, g.d_out)
        else:
            x = 0
            while x < g.a_out:
                n = min(g.a_out - x, <Py_ssize_t> MAX_PIXELS)
                pixels_panel(g, band, &panel, n, Z + x * step_Z, packed, sums, panel.lanes)
                for p in range(n):
                    copy_run(
                        S + (x + p) * g.d_out + first, sums + p * panel.lanes, panel.kept
                    )
                x += n
        packed += (g.K + 1) * panel.lanes
        first += panel.kept


cdef void offsets_forward(
    const Geometry *g, const real *Z, const real *W_tile, const real *b,
    const Activation *activation, real *S, Py_ssize_t first, Py_ssize_t last, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t lanes = (
        sizeof(VectorF64) if real is double else sizeof(VectorF32)
    ) // sizeof(real)
    cdef Py_ssize_t c = 0, n, k, y
    cdef bint active = activation != NULL and activation.code != ACTIVATION_NONE
    cdef real *packed = scratch
    cdef real *sums
    cdef const real *rows
    cdef real *S_row
    cdef Band band
    cdef Panel panel
    set_band(g, &band)
    while c < g.d_out_g:
        panel_of(g, c, lanes, &panel)
        pack_panel(g, &panel, W_tile, b, scratch)
        scratch += (g.K + 1) * panel.lanes
        c += panel.kept
    sums = scratch
    scratch += MAX_PIXELS * MAX_LANES
    while first < last:
        y = first % g.b_out
        n = min(min(last - first, g.b_out - y), band.rows)
        rows = rows_of(g, &band, y, n, Z + first // g.b_out * g.b * g.a * g.d, scratch)
        for k in range(n):
            S_row = S + (first + k) * g.a_out * g.d_out
            row_outputs(
                g, &band, rows + (k * g.s_b if k > 0 else 0) * band.row, packed, sums, S_row, lanes
            )
            if active:
                bias_activation_rows(
                    g.a_out, g.d_out, S_row, <const real *> NULL, activation, S_row
                )
        first += n


# Elements of a column of phi, rounded up to whole groups.
cdef inline Py_ssize_t padded_inner(const Geometry *g, const Panel *panel) noexcept nogil:
    cdef Py_ssize_t group = group_of(panel)
    return (g.K + group - 1) // group * group


# dW of one panel += the sums over n pixels of a row. IN: dS; Z, at the first pixel. INOUT: dW,
# packed.
cdef inline void filters_panel(
    const Geometry *g, const Band *band, const Panel *panel, Py_ssize_t n, const real *dS,
    Py_ssize_t step_S, const real *Z, real *dW,
) noexcept nogil:
    cdef Py_ssize_t k = 0, step_Z = g.s_a * g.d if n > 1 else 0
    while k < g.K:
        if real is double:
            filters_f64[panel.vectors - 1](
                n, band.offsets + k, Z, step_Z, dS, step_S, dW + k * panel.lanes
            )
        else:
            filters_f32[panel.vectors - 1](
                n, band.offsets + k, Z, step_Z, dS, step_S, dW + k * panel.lanes
            )
        k += group_of(panel)


# dW of one panel += the sums over a row. IN: dS, from the panel's first filter on; Z. INOUT: dW,
# packed. SCRATCH: dS_panel.
cdef void row_filters(
    const Geometry *g, const Band *band, const Panel *panel, const real *dS, const real *Z,
    real *dS_panel, real *dW,
) noexcept nogil:
    cdef Py_ssize_t x = 0, n, p, step_Z = g.s_a * g.d if g.a_out > 1 else 0
    while x < g.a_out:
        n = min(g.a_out - x, <Py_ssize_t> MAX_PIXELS)
        if panel.kept == panel.lanes:
            filters_panel(g, band, panel, n, dS + x * g.d_out, g.d_out, Z + x * step_Z, dW)
        else:
            for p in range(n):
                copy_run(dS_panel + p * panel.lanes, dS + (x + p) * g.d_out, panel.kept)
                zero_run(dS_panel + p * panel.lanes + panel.kept, panel.lanes - panel.kept)
            filters_panel(g, band, panel, n, dS_panel, panel.lanes, Z + x * step_Z, dW)
        x += n


cdef void offsets_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW_tile, real *scratch
) noexcept nogil:
    cdef Py_ssize_t lanes = (
        sizeof(VectorF64) if real is double else sizeof(VectorF32)
    ) // sizeof(real)
    cdef Py_ssize_t row = 0, rows = g.l * g.b_out, c = 0, n, k, y
    cdef Py_ssize_t size = (g.K + MAX_GROUP) * (g.d_out + MAX_LANES)
    cdef const real *Z_rows
    cdef real *dS_panel = scratch + size
    cdef real *copy = dS_panel + MAX_PIXELS * MAX_LANES
    cdef real *dW
    cdef Band band
    cdef Panel panel
    set_band(g, &band)
    memset(scratch, 0, size * sizeof(real))
    while row < rows:
        y = row % g.b_out
        n = min(min(rows - row, g.b_out - y), band.rows)
        Z_rows = rows_of(g, &band, y, n, Z + row // g.b_out * g.b * g.a * g.d, copy)
        c = 0
        dW = scratch
        while c < g.d_out_g:
            panel_of(g, c, lanes, &panel)
            for k in range(n):
                row_filters(
                    g, &band, &panel, dS + (row + k) * g.a_out * g.d_out + c,
                    Z_rows + (k * g.s_b if k > 0 else 0) * band.row, dS_panel, dW,
                )
            dW += padded_inner(g, &panel) * panel.lanes
            c += panel.kept
        row += n
    c = 0
    dW = scratch
    while c < g.d_out_g:
        panel_of(g, c, lanes, &panel)
        for k in range(g.K):
            if add:
                add_run(dW_tile + k * g.d_out + c, dW + k * panel.lanes, panel.kept)
            else:
                copy_run(dW_tile + k * g.d_out + c, dW + k * panel.lanes, panel.kept)
        dW += padded_inner(g, &panel) * panel.lanes
        c += panel.kept
