"""Convolution with few channels per group, by loops over taps instead of products of matrices.

All passes are sums over taps of products with blocks of lanes, neighbouring channels of the output:

    S(pixel, lanes) += W(j, u, v, lanes) Z(pixel + (u, v), source + j)

`source` is the lane itself if each group has one input and one output channel; then the elements of
Z are vectors too. Otherwise a block is in one group, and one element of Z is multiplied by all of
its lanes. Pixels of a row with the same taps in the image form a run. The gradient for Z is such a
sum as well, over the taps whose distance from the pixel the stride divides: pixels of a row whose
columns are congruent modulo the stride have the same taps.
"""

from libc.string cimport memset

from ._activation cimport ACTIVATION_NONE, Activation
from ._bias_relu cimport bias_activation_rows
from ._geometry cimport Geometry
from ._tile cimport add_run, copy_run, inside
from ._types cimport real

cdef extern from *:
    """
    /* Several vectors of T for blocks of 16, 32 and 64 bytes, or elements for other compilers. */
    #if defined(__GNUC__)
    #define MATCONV_VECTOR(T, NAME, BYTES) \\
        typedef T NAME __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    #define MATCONV_UNROLL _Pragma("GCC unroll 16")
    #if defined(__AVX__)
    #define MATCONV_WIDE 32
    #else
    #define MATCONV_WIDE 16
    #endif
    MATCONV_VECTOR(double, matconv_narrow_f64, 16)
    MATCONV_VECTOR(float, matconv_narrow_f32, 16)
    MATCONV_VECTOR(double, matconv_wide_f64, MATCONV_WIDE)
    MATCONV_VECTOR(float, matconv_wide_f32, MATCONV_WIDE)
    #else
    #define MATCONV_UNROLL
    typedef double matconv_narrow_f64, matconv_wide_f64;
    typedef float matconv_narrow_f32, matconv_wide_f32;
    #endif
    #define MATCONV_LOAD(V, address) (*(const V *) (address))
    #define MATCONV_VECTOR_Z(V, z) MATCONV_LOAD(V, z)
    #define MATCONV_SCALAR_Z(V, z) (*(z))

    /* The sums over three axes of taps: their numbers, and their steps in Z and W. */
    typedef struct { Py_ssize_t n[3], Z[3], W[3]; } matconv_axes;

    /* S(p, lanes) = b + sum W Z, or +=, for P pixels and a block of N vectors V. */
    #define MATCONV_OUTPUTS(NAME, T, V, N, P, Z_OF) \\
    static void NAME(T *S, Py_ssize_t step_S, const T *Z, Py_ssize_t step_Z, const T *W, \\
                     const matconv_axes *axes, const T *b, int add) \\
    { \\
        enum { L = sizeof(V) / sizeof(T) }; \\
        Py_ssize_t u, v, j; \\
        int p, k; \\
        V sums[P][N]; \\
        MATCONV_UNROLL \\
        for (p = 0; p < P; p++) { \\
            MATCONV_UNROLL \\
            for (k = 0; k < N; k++) { \\
                sums[p][k] = (V) {0}; \\
                if (b) \\
                    sums[p][k] = MATCONV_LOAD(V, b + k * L); \\
            } \\
        } \\
        for (u = 0; u < axes->n[0]; u++) \\
            for (v = 0; v < axes->n[1]; v++) { \\
                const T *z = Z + u * axes->Z[0] + v * axes->Z[1]; \\
                const T *w = W + u * axes->W[0] + v * axes->W[1]; \\
                for (j = 0; j < axes->n[2]; j++, z += axes->Z[2], w += axes->W[2]) { \\
                    MATCONV_UNROLL \\
                    for (k = 0; k < N; k++) { \\
                        V w_k = MATCONV_LOAD(V, w + k * L); \\
                        MATCONV_UNROLL \\
                        for (p = 0; p < P; p++) \\
                            sums[p][k] += w_k * Z_OF(V, z + p * step_Z + k * L * VECTOR_STEP); \\
                    } \\
                } \\
            } \\
        MATCONV_UNROLL \\
        for (p = 0; p < P; p++) { \\
            MATCONV_UNROLL \\
            for (k = 0; k < N; k++) { \\
                V *target = (V *) (S + p * step_S + k * L); \\
                if (add) \\
                    sums[p][k] += *target; \\
                *target = sums[p][k]; \\
            } \\
        } \\
    }

    /* dW(i, j, lanes) += sum_p dS(p, lanes) Z(p + (i, j)) for A x B taps and a block of vectors. */
    #define MATCONV_FILTERS(NAME, T, V, N, A, B, Z_OF) \\
    static void NAME(Py_ssize_t n, const T *dS, Py_ssize_t step_S, const T *Z, \\
                     Py_ssize_t step_Z, const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, T *dW) \\
    { \\
        enum { L = sizeof(V) / sizeof(T) }; \\
        Py_ssize_t p; \\
        int i, j, k; \\
        V sums[A][B][N]; \\
        MATCONV_UNROLL \\
        for (i = 0; i < A; i++) { \\
            MATCONV_UNROLL \\
            for (j = 0; j < B; j++) { \\
                MATCONV_UNROLL \\
                for (k = 0; k < N; k++) \\
                    sums[i][j][k] = (V) {0}; \\
            } \\
        } \\
        for (p = 0; p < n; p++, dS += step_S, Z += step_Z) { \\
            MATCONV_UNROLL \\
            for (k = 0; k < N; k++) { \\
                V ds = MATCONV_LOAD(V, dS + k * L); \\
                MATCONV_UNROLL \\
                for (i = 0; i < A; i++) { \\
                    MATCONV_UNROLL \\
                    for (j = 0; j < B; j++) \\
                        sums[i][j][k] += ds * Z_OF(V, Z + i * taps_Z[0] + j * taps_Z[1] \\
                                                      + k * L * VECTOR_STEP); \\
                } \\
            } \\
        } \\
        MATCONV_UNROLL \\
        for (i = 0; i < A; i++) { \\
            MATCONV_UNROLL \\
            for (j = 0; j < B; j++) { \\
                MATCONV_UNROLL \\
                for (k = 0; k < N; k++) \\
                    *(V *) (dW + i * taps_W[0] + j * taps_W[1] + k * L) += sums[i][j][k]; \\
            } \\
        } \\
    }

    /* One function for n pixels and a block of lanes; all arguments are those of the parts. */
    #define MATCONV_OUTPUTS_RUN(NAME, T, V, N, P, Z_OF) \\
        MATCONV_OUTPUTS(NAME##_1, T, V, N, 1, Z_OF) \\
        MATCONV_OUTPUTS(NAME##_2, T, V, N, 2, Z_OF) \\
        MATCONV_OUTPUTS(NAME##_4, T, V, N, 4, Z_OF) \\
        MATCONV_OUTPUTS(NAME##_most, T, V, N, P, Z_OF) \\
    static void NAME(Py_ssize_t n, T *S, Py_ssize_t step_S, const T *Z, Py_ssize_t step_Z, \\
                     const T *W, const matconv_axes *axes, const T *b, int add) \\
    { \\
        for (; n >= P; n -= P, S += P * step_S, Z += P * step_Z) \\
            NAME##_most(S, step_S, Z, step_Z, W, axes, b, add); \\
        for (; n >= 4; n -= 4, S += 4 * step_S, Z += 4 * step_Z) \\
            NAME##_4(S, step_S, Z, step_Z, W, axes, b, add); \\
        if (n >= 2) { \\
            NAME##_2(S, step_S, Z, step_Z, W, axes, b, add); \\
            n -= 2, S += 2 * step_S, Z += 2 * step_Z; \\
        } \\
        if (n) \\
            NAME##_1(S, step_S, Z, step_Z, W, axes, b, add); \\
    }

    /* The taps of a grid of counts[0] x counts[1], A x B of them at once. */
    #define MATCONV_FILTERS_RUN(NAME, T, V, N, B, Z_OF) \\
        MATCONV_FILTERS(NAME##_11, T, V, N, 1, 1, Z_OF) \\
        MATCONV_FILTERS(NAME##_12, T, V, N, 1, 2, Z_OF) \\
        MATCONV_FILTERS(NAME##_1B, T, V, N, 1, B, Z_OF) \\
        MATCONV_FILTERS(NAME##_31, T, V, N, 3, 1, Z_OF) \\
        MATCONV_FILTERS(NAME##_32, T, V, N, 3, 2, Z_OF) \\
        MATCONV_FILTERS(NAME##_3B, T, V, N, 3, B, Z_OF) \\
    static void NAME(Py_ssize_t n, const T *dS, Py_ssize_t step_S, const T *Z, \\
                     Py_ssize_t step_Z, const Py_ssize_t *counts, const Py_ssize_t *taps_Z, \\
                     const Py_ssize_t *taps_W, T *dW) \\
    { \\
        Py_ssize_t i, j, rows, columns; \\
        for (i = 0; i < counts[0]; i += rows) { \\
            rows = counts[0] - i >= 3 ? 3 : 1; \\
            for (j = 0; j < counts[1]; j += columns) { \\
                const T *z = Z + i * taps_Z[0] + j * taps_Z[1]; \\
                T *w = dW + i * taps_W[0] + j * taps_W[1]; \\
                columns = counts[1] - j >= B ? B : counts[1] - j >= 2 ? 2 : 1; \\
                (rows == 3 ? columns == B ? NAME##_3B : columns == 2 ? NAME##_32 : NAME##_31 \\
                           : columns == B ? NAME##_1B : columns == 2 ? NAME##_12 : NAME##_11) \\
                    (n, dS, step_S, z, step_Z, taps_Z, taps_W, w); \\
            } \\
        } \\
    }

    /* For one dtype, the functions by blocks: an element, and 16, 32 and 64 bytes. */
    #define MATCONV_DIRECT(T, S) \\
        typedef void (*matconv_outputs_##S)( \\
            Py_ssize_t, T *, Py_ssize_t, const T *, Py_ssize_t, const T *, const matconv_axes *, \\
            const T *, int); \\
        typedef void (*matconv_filters_##S)( \\
            Py_ssize_t, const T *, Py_ssize_t, const T *, Py_ssize_t, const Py_ssize_t *, \\
            const Py_ssize_t *, const Py_ssize_t *, T *);

    #define MATCONV_BLOCKS(T, S, KIND, B, Z_OF) \\
        MATCONV_OUTPUTS_RUN(outputs_##KIND##0_##S, T, T, 1, 8, Z_OF) \\
        MATCONV_OUTPUTS_RUN(outputs_##KIND##1_##S, T, matconv_narrow_##S, \\
            16 / sizeof(matconv_narrow_##S), 8, Z_OF) \\
        MATCONV_OUTPUTS_RUN(outputs_##KIND##2_##S, T, matconv_wide_##S, \\
            32 / sizeof(matconv_wide_##S), 8, Z_OF) \\
        MATCONV_OUTPUTS_RUN(outputs_##KIND##3_##S, T, matconv_wide_##S, \\
            64 / sizeof(matconv_wide_##S), 6, Z_OF) \\
        MATCONV_FILTERS_RUN(filters_##KIND##0_##S, T, T, 1, B, Z_OF) \\
        MATCONV_FILTERS_RUN(filters_##KIND##1_##S, T, matconv_narrow_##S, \\
            16 / sizeof(matconv_narrow_##S), B, Z_OF) \\
        MATCONV_FILTERS_RUN(filters_##KIND##2_##S, T, matconv_wide_##S, \\
            32 / sizeof(matconv_wide_##S), B, Z_OF)

    #define MATCONV_TABLES(S) \\
        static const matconv_outputs_##S matconv_outputs_table_##S[2][4] = { \\
            {outputs_by_element0_##S, outputs_by_element1_##S, outputs_by_element2_##S, \\
             outputs_by_element3_##S}, \\
            {outputs_by_vector0_##S, outputs_by_vector1_##S, outputs_by_vector2_##S, \\
             outputs_by_vector3_##S}}; \\
        static const matconv_filters_##S matconv_filters_table_##S[2][3] = { \\
            {filters_by_element0_##S, filters_by_element1_##S, filters_by_element2_##S}, \\
            {filters_by_vector0_##S, filters_by_vector1_##S, filters_by_vector2_##S}};

    MATCONV_DIRECT(double, f64)
    MATCONV_DIRECT(float, f32)
    #define VECTOR_STEP 0
    MATCONV_BLOCKS(double, f64, by_element, 4, MATCONV_SCALAR_Z)
    MATCONV_BLOCKS(float, f32, by_element, 4, MATCONV_SCALAR_Z)
    #undef VECTOR_STEP
    #define VECTOR_STEP 1
    MATCONV_BLOCKS(double, f64, by_vector, 3, MATCONV_VECTOR_Z)
    MATCONV_BLOCKS(float, f32, by_vector, 3, MATCONV_VECTOR_Z)
    MATCONV_TABLES(f64)
    MATCONV_TABLES(f32)
    """
    ctypedef struct Axes "matconv_axes":
        Py_ssize_t[3] n, Z, W
    ctypedef void (*OutputsF64 "matconv_outputs_f64")(
        Py_ssize_t, double *, Py_ssize_t, const double *, Py_ssize_t, const double *,
        const Axes *, const double *, int) noexcept nogil
    ctypedef void (*OutputsF32 "matconv_outputs_f32")(
        Py_ssize_t, float *, Py_ssize_t, const float *, Py_ssize_t, const float *,
        const Axes *, const float *, int) noexcept nogil
    ctypedef void (*FiltersF64 "matconv_filters_f64")(
        Py_ssize_t, const double *, Py_ssize_t, const double *, Py_ssize_t, const Py_ssize_t *,
        const Py_ssize_t *, const Py_ssize_t *, double *) noexcept nogil
    ctypedef void (*FiltersF32 "matconv_filters_f32")(
        Py_ssize_t, const float *, Py_ssize_t, const float *, Py_ssize_t, const Py_ssize_t *,
        const Py_ssize_t *, const Py_ssize_t *, float *) noexcept nogil
    OutputsF64[2][4] outputs_f64 "matconv_outputs_table_f64"
    OutputsF32[2][4] outputs_f32 "matconv_outputs_table_f32"
    FiltersF64[2][3] filters_f64 "matconv_filters_table_f64"
    FiltersF32[2][3] filters_f32 "matconv_filters_table_f32"

cdef enum:
    # maximum channels of a group, of the input and of the output
    MAX_CHANNELS = 8
    # pixels of a part of a run, so that what they read stays in cache; lanes of 64 bytes
    MAX_PIXELS = 16
    MAX_LANES = 16


# The taps in the image along one axis, for one output: their number, the first one and their
# distance; the input of the first one, and the distance of those of the others.
cdef struct Taps:
    Py_ssize_t n, first, step, at, step_at


# A sum over taps that is a function of whole images: S of Z, or dZ of dS. Shapes (height, width,
# channels) of the result and of the source, and channels per group.
cdef struct Way:
    const Geometry *g
    bint backward
    Py_ssize_t b, a, d, d_g
    Py_ssize_t b_in, a_in, d_in, d_g_in
    bint by_vector          # one channel per group in both


# A block of lanes: index in the tables, first lane, and those that are kept.
cdef struct Block:
    int code
    Py_ssize_t first, lanes, skipped, kept


cdef bint direct_pays(const Geometry *g) noexcept nogil:
    return g.groups > 1 and g.d_g <= MAX_CHANNELS and g.d_out_g <= MAX_CHANNELS


# The taps of output k: its inputs are k s - pad + v dil, 0 <= v < h, of n.
cdef inline void taps_of(
    Py_ssize_t k, Py_ssize_t s, Py_ssize_t pad, Py_ssize_t dil, Py_ssize_t n, Py_ssize_t h,
    Taps *taps,
) noexcept nogil:
    cdef Py_ssize_t last = 0
    inside(k * s - pad, dil, n, h, &taps.first, &last)
    taps.n = last - taps.first
    taps.step = 1
    taps.at = k * s - pad + taps.first * dil
    taps.step_at = dil


# The taps that lead from pixel k to an output: (k + pad - v dil) / s is an integer from 0 to n - 1.
cdef inline void taps_to(
    Py_ssize_t k, Py_ssize_t s, Py_ssize_t pad, Py_ssize_t dil, Py_ssize_t n, Py_ssize_t h,
    Taps *taps,
) noexcept nogil:
    cdef Py_ssize_t v = 0, x = k + pad, last
    taps.n = taps.first = taps.at = 0
    taps.step = 1
    # the distance of taps, s / gcd(s, dil)
    while taps.step * dil % s != 0:
        taps.step += 1
    taps.step_at = -(taps.step * dil // s)
    # x - v dil <= (n - 1) s
    if x > (n - 1) * s:
        v = (x - (n - 1) * s + dil - 1) // dil
    last = min(x // dil, h - 1)
    taps.first = v
    while v <= last and v < taps.first + taps.step and (x - v * dil) % s != 0:
        v += 1
    if v <= last and (x - v * dil) % s == 0:
        taps.first = v
        taps.at = (x - v * dil) // s
        taps.n = (last - v) // taps.step + 1


cdef inline void row_taps(const Way *way, Py_ssize_t y, Taps *taps) noexcept nogil:
    cdef const Geometry *g = way.g
    if way.backward:
        taps_to(y, g.s_b, g.top, g.dil_b, way.b_in, g.h_b, taps)
    else:
        taps_of(y, g.s_b, g.top, g.dil_b, way.b_in, g.h_b, taps)


cdef inline void column_taps(const Way *way, Py_ssize_t x, Taps *taps) noexcept nogil:
    cdef const Geometry *g = way.g
    if way.backward:
        taps_to(x, g.s_a, g.left, g.dil_a, way.a_in, g.h_a, taps)
    else:
        taps_of(x, g.s_a, g.left, g.dil_a, way.a_in, g.h_a, taps)


# The columns x, x + step, ..., before `end` with the taps of x. OUT: taps. Returns their number.
cdef inline Py_ssize_t run_length(
    const Way *way, Py_ssize_t x, Py_ssize_t step, Py_ssize_t end, Taps *taps
) noexcept nogil:
    cdef Py_ssize_t n = 1
    cdef Taps other
    column_taps(way, x, taps)
    while x + n * step < end:
        column_taps(way, x + n * step, &other)
        if other.n != taps.n or (other.n > 0 and other.first != taps.first):
            break
        n += 1
    return n


# The block of lanes from `first` on, of `d` in groups of `d_g`, with at most `most` bytes: the whole
# vectors that remain, or, in the last block of a group, a vector of which some lanes are dropped. It
# reads nothing after the last lane, since it begins earlier in the last group.
cdef inline void block_of(
    Py_ssize_t first, Py_ssize_t d, Py_ssize_t d_g, bint by_vector, Py_ssize_t item,
    Py_ssize_t most, Block *block,
) noexcept nogil:
    cdef Py_ssize_t left = d - first if by_vector else d_g - first % d_g
    cdef Py_ssize_t size = most
    block.code = 0
    block.lanes = 1
    if left > 1:
        while size > 16 and (size > left * item if by_vector else size // 2 >= left * item):
            size //= 2
        if not by_vector or size <= left * item:
            block.code = 1 if size == 16 else 2 if size == 32 else 3
            block.lanes = size // item
    block.kept = min(left, block.lanes)
    block.first = min(first, d - block.lanes)
    block.skipped = first - block.first


# The sums of one run of pixels and one block. IN: Z, W, b. OUT: S.
cdef inline void run_block(
    const Block *block, bint by_vector, Py_ssize_t n, real *S, Py_ssize_t step_S, const real *Z,
    Py_ssize_t step_Z, const real *W, const Axes *axes, const real *b, bint add,
) noexcept nogil:
    if real is double:
        outputs_f64[by_vector][block.code](n, S, step_S, Z, step_Z, W, axes, b, add)
    else:
        outputs_f32[by_vector][block.code](n, S, step_S, Z, step_Z, W, axes, b, add)


# All channels of a run of n pixels, not more than MAX_PIXELS. IN: Z, at the first tap of the first
# pixel; W, at the first tap; b or NULL. OUT: S, at the first pixel.
cdef void run_pixels(
    const Way *way, Py_ssize_t n, real *S, Py_ssize_t step_S, const real *Z, Py_ssize_t step_Z,
    const real *W, const Axes *axes, const real *b, bint add,
) noexcept nogil:
    cdef real[MAX_PIXELS * MAX_LANES] sums
    cdef Py_ssize_t c = 0, p
    cdef const real *bias = NULL
    cdef Block block
    while c < way.d:
        block_of(c, way.d, way.d_g, way.by_vector, sizeof(real), 64, &block)
        if b != NULL:
            bias = b + block.first
        if block.kept == block.lanes:
            run_block(
                &block, way.by_vector, n, S + c, step_S,
                Z + (c if way.by_vector else c // way.d_g * way.d_g_in), step_Z, W + c, axes,
                bias, add,
            )
        else:
            run_block(
                &block, way.by_vector, n, sums, block.lanes, Z + c // way.d_g * way.d_g_in,
                step_Z, W + block.first, axes, bias, False,
            )
            for p in range(n):
                if add:
                    add_run(
                        S + p * step_S + c, sums + p * block.lanes + block.skipped, block.kept
                    )
                else:
                    copy_run(
                        S + p * step_S + c, sums + p * block.lanes + block.skipped, block.kept
                    )
        c += block.kept


# The rows `first` to `last` - 1 of the result, counted through all images, at the columns of a run:
# n columns from x on, `step` apart. IN: Z, W, b or NULL, activation. OUT: S.
cdef void run_rows(
    const Way *way, Py_ssize_t x, Py_ssize_t step, Py_ssize_t n, const Taps *columns,
    const real *Z, const real *W, const real *b, const Activation *activation, bint add, real *S,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t row, p, part, width = way.g.h_a * way.d
    # from one pixel of the run to the next
    cdef Py_ssize_t step_Z = way.d_in * (1 if way.backward else way.g.s_a), step_S = step * way.d
    cdef const real *Z_row
    cdef const real *W_row
    cdef real *S_row
    cdef Axes axes
    cdef Taps rows
    axes.n[1], axes.Z[1] = columns.n, columns.step_at * way.d_in
    axes.W[1] = columns.step * way.d
    axes.n[2], axes.Z[2], axes.W[2] = way.d_g_in, 1, way.g.h_b * width
    for row in range(first, last):
        row_taps(way, row % way.b, &rows)
        axes.n[0], axes.Z[0] = rows.n, rows.step_at * way.a_in * way.d_in
        axes.W[0] = rows.step * width
        Z_row = Z
        W_row = W
        if rows.n > 0 and columns.n > 0:
            Z_row = Z + ((row // way.b * way.b_in + rows.at) * way.a_in + columns.at) * way.d_in
            W_row = W + rows.first * width + columns.first * way.d
        S_row = S + (row * way.a + x) * way.d
        p = 0
        while p < n:
            part = min(n - p, <Py_ssize_t> MAX_PIXELS)
            run_pixels(
                way, part, S_row + p * step_S, step_S, Z_row + p * step_Z, step_Z, W_row, &axes,
                b, add,
            )
            if activation != NULL and activation.code != ACTIVATION_NONE:
                bias_activation_rows(
                    part, way.d, S_row + p * step_S, <const real *> NULL, activation,
                    S_row + p * step_S,
                )
            p += MAX_PIXELS


# The rows `first` to `last` - 1 of the result at all columns.
cdef void all_runs(
    const Way *way, const real *Z, const real *W, const real *b, const Activation *activation,
    bint add, real *S, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t step = way.g.s_a if way.backward else 1, start, x, n
    cdef Taps columns
    for start in range(min(step, way.a)):
        x = start
        while x < way.a:
            n = run_length(way, x, step, way.a, &columns)
            run_rows(way, x, step, n, &columns, Z, W, b, activation, add, S, first, last)
            x += n * step


# OUT: way.
cdef void set_way(const Geometry *g, bint backward, Way *way) noexcept nogil:
    way.g = g
    way.backward = backward
    way.by_vector = g.d_g == 1 and g.d_out_g == 1
    way.b, way.a, way.d, way.d_g = g.b_out, g.a_out, g.d_out, g.d_out_g
    way.b_in, way.a_in, way.d_in, way.d_g_in = g.b, g.a, g.d, g.d_g
    if backward:
        way.b, way.a, way.d, way.d_g = g.b, g.a, g.d, g.d_g
        way.b_in, way.a_in, way.d_in, way.d_g_in = g.b_out, g.a_out, g.d_out, g.d_out_g


cdef void direct_forward(
    const Geometry *g, const real *Z, const real *W, const real *b, const Activation *activation,
    real *S, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Way way
    set_way(g, False, &way)
    all_runs(&way, Z, W, b, activation, False, S, first, last)


cdef void direct_prepare_backward(
    const Geometry *g, const real *W, real *Wt, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    cdef Py_ssize_t hh = g.h_b * g.h_a, tap, j, o, k, c
    for j in range(g.d_g):
        for tap in range(hh):
            for o in range(first, last):
                # filter k of group c // d_g, of whose channels this is number j
                k = o % g.d_out_g
                c = o // g.d_out_g * g.d_g + j
                Wt[(k * hh + tap) * g.d + c] = W[(j * hh + tap) * g.d_out + o]


cdef void direct_images(
    const Geometry *g, const real *dS, const real *Wt, bint add, real *dZ
) noexcept nogil:
    cdef Way way
    set_way(g, True, &way)
    all_runs(&way, dS, Wt, <const real *> NULL, NULL, add, dZ, 0, g.l * g.b)


# dW += dS phi(Z)' for the taps of a run of n pixels in one row and all channels. IN: dS, at the
# first pixel; Z, at the first tap. INOUT: dW, at the first tap.
cdef void run_filters(
    const Way *way, Py_ssize_t n, const real *dS, const real *Z, Py_ssize_t n_u,
    const Axes *axes, real *dW,
) noexcept nogil:
    cdef const Geometry *g = way.g
    cdef real[3 * MAX_CHANNELS * MAX_LANES] sums
    cdef Py_ssize_t[2] counts, taps_Z, taps_W, part, sums_W
    cdef Py_ssize_t c = 0, u, v, i, j, step_Z = g.s_a * g.d
    cdef real *dW_part
    cdef const real *Z_group
    cdef Block block
    # taps (u, v) of a depthwise convolution, otherwise (v, channel) for each u
    cdef int at = 0 if way.by_vector else 1
    counts[0], counts[1] = axes.n[at], axes.n[at + 1]
    taps_Z[0], taps_Z[1] = axes.Z[at], axes.Z[at + 1]
    taps_W[0], taps_W[1] = axes.W[at], axes.W[at + 1]
    while c < g.d_out:
        block_of(c, g.d_out, g.d_out_g, way.by_vector, sizeof(real), 32, &block)
        Z_group = Z + (c if way.by_vector else c // g.d_out_g * g.d_g)
        for u in range(1 if way.by_vector else n_u):
            if block.kept == block.lanes:
                grid(
                    &block, way.by_vector, n, dS + c, g.d_out, Z_group + u * axes.Z[0], step_Z,
                    counts, taps_Z, taps_W, dW + c + u * axes.W[0],
                )
                continue
            sums_W[0], sums_W[1] = MAX_CHANNELS * MAX_LANES, MAX_LANES
            v = 0
            while v < counts[0]:
                part[0], part[1] = min(counts[0] - v, <Py_ssize_t> 3), counts[1]
                memset(sums, 0, sizeof(sums))
                grid(
                    &block, way.by_vector, n, dS + block.first, g.d_out,
                    Z_group + u * axes.Z[0] + v * taps_Z[0], step_Z, part, taps_Z, sums_W, sums,
                )
                for i in range(part[0]):
                    for j in range(part[1]):
                        dW_part = dW + c + u * axes.W[0] + (v + i) * taps_W[0] + j * taps_W[1]
                        add_run(
                            dW_part, sums + i * sums_W[0] + j * sums_W[1] + block.skipped,
                            block.kept,
                        )
                v += 3
        c += block.kept


# dW += for a grid of taps and one block of lanes.
cdef inline void grid(
    const Block *block, bint by_vector, Py_ssize_t n, const real *dS, Py_ssize_t step_S,
    const real *Z, Py_ssize_t step_Z, const Py_ssize_t *counts, const Py_ssize_t *taps_Z,
    const Py_ssize_t *taps_W, real *dW,
) noexcept nogil:
    if real is double:
        filters_f64[by_vector][block.code](
            n, dS, step_S, Z, step_Z, counts, taps_Z, taps_W, dW
        )
    else:
        filters_f32[by_vector][block.code](
            n, dS, step_S, Z, step_Z, counts, taps_Z, taps_W, dW
        )


cdef void direct_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW
) noexcept nogil:
    cdef Py_ssize_t x = 0, n, row, width = g.h_a * g.d_out
    cdef Axes axes
    cdef Taps columns, rows
    cdef Way way
    set_way(g, False, &way)
    if not add:
        memset(dW, 0, g.K * g.d_out * sizeof(real))
    axes.Z[0], axes.W[0] = g.dil_b * g.a * g.d, width
    axes.Z[1], axes.W[1] = g.dil_a * g.d, g.d_out
    axes.n[2], axes.Z[2], axes.W[2] = g.d_g, 1, g.h_b * width
    while x < g.a_out:
        n = run_length(&way, x, 1, g.a_out, &columns)
        axes.n[1] = columns.n
        for row in range(g.l * g.b_out if columns.n > 0 else 0):
            row_taps(&way, row % g.b_out, &rows)
            axes.n[0] = rows.n
            if rows.n > 0:
                run_filters(
                    &way, n, dS + (row * g.a_out + x) * g.d_out,
                    Z + ((row // g.b_out * g.b + rows.at) * g.a + columns.at) * g.d, rows.n,
                    &axes, dW + rows.first * width + columns.first * g.d_out,
                )
        x += n
