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

    /* The pixels of a sum for dW: their numbers down and right, and their steps in dS and Z. */
    typedef struct { Py_ssize_t n[2], S[2], Z[2]; } matconv_pixels;

    /* dW(i, j, lanes) += sum_p dS(p, lanes) Z(p + (i, j)) for A x B taps and a block of vectors. */
    #define MATCONV_FILTERS(NAME, T, V, N, A, B, Z_OF) \\
    static void NAME(const matconv_pixels *pixels, const T *dS, const T *Z, \\
                     const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, T *dW) \\
    { \\
        enum { L = sizeof(V) / sizeof(T) }; \\
        Py_ssize_t q, p; \\
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
        for (q = 0; q < pixels->n[0]; q++) { \\
            const T *ds_p = dS + q * pixels->S[0]; \\
            const T *z_p = Z + q * pixels->Z[0]; \\
            for (p = 0; p < pixels->n[1]; p++, ds_p += pixels->S[1], z_p += pixels->Z[1]) { \\
                MATCONV_UNROLL \\
                for (k = 0; k < N; k++) { \\
                    V ds = MATCONV_LOAD(V, ds_p + k * L); \\
                    MATCONV_UNROLL \\
                    for (i = 0; i < A; i++) { \\
                        MATCONV_UNROLL \\
                        for (j = 0; j < B; j++) \\
                            sums[i][j][k] += ds * Z_OF(V, z_p + i * taps_Z[0] + j * taps_Z[1] \\
                                                          + k * L * VECTOR_STEP); \\
                    } \\
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
        MATCONV_OUTPUTS(NAME##_6, T, V, N, 6, Z_OF) \\
        MATCONV_OUTPUTS(NAME##_full, T, V, N, P, Z_OF) \\
    static void NAME(Py_ssize_t n, T *S, Py_ssize_t step_S, const T *Z, Py_ssize_t step_Z, \\
                     const T *W, const matconv_axes *axes, const T *b, int add) \\
    { \\
        Py_ssize_t part; \\
        for (; n > 0; n -= part, S += part * step_S, Z += part * step_Z) { \\
            part = n == P || n >= P + 4 ? P : n >= 6 ? 6 : n >= 4 ? 4 : n >= 2 ? 2 : 1; \\
            (part == P ? NAME##_full : part == 6 ? NAME##_6 : part == 4 ? NAME##_4 \\
                                     : part == 2 ? NAME##_2 : NAME##_1) \\
                (S, step_S, Z, step_Z, W, axes, b, add); \\
        } \\
    }

    /* The taps of a grid of counts[0] x counts[1], A x B of them at once. */
    #define MATCONV_FILTERS_RUN(NAME, T, V, N, B, Z_OF) \\
        MATCONV_FILTERS(NAME##_11, T, V, N, 1, 1, Z_OF) \\
        MATCONV_FILTERS(NAME##_12, T, V, N, 1, 2, Z_OF) \\
        MATCONV_FILTERS(NAME##_1B, T, V, N, 1, B, Z_OF) \\
        MATCONV_FILTERS(NAME##_31, T, V, N, 3, 1, Z_OF) \\
        MATCONV_FILTERS(NAME##_32, T, V, N, 3, 2, Z_OF) \\
        MATCONV_FILTERS(NAME##_3B, T, V, N, 3, B, Z_OF) \\
    static void NAME(const matconv_pixels *pixels, const T *dS, const T *Z, \\
                     const Py_ssize_t *counts, const Py_ssize_t *taps_Z, \\
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
                    (pixels, dS, z, taps_Z, taps_W, w); \\
            } \\
        } \\
    }

    /* For one dtype, the functions by blocks: an element, and 16, 32 and 64 bytes. */
    #define MATCONV_DIRECT(T, S) \\
        typedef void (*matconv_outputs_##S)( \\
            Py_ssize_t, T *, Py_ssize_t, const T *, Py_ssize_t, const T *, const matconv_axes *, \\
            const T *, int); \\
        typedef void (*matconv_filters_##S)( \\
            const matconv_pixels *, const T *, const T *, const Py_ssize_t *, \\
            const Py_ssize_t *, const Py_ssize_t *, T *);

    #define MATCONV_BLOCKS(T, S, KIND, B, Z_OF) \\
        MATCONV_OUTPUTS_RUN(outputs_##KIND##0_##S, T, T, 1, 8, Z_OF) \\
        MATCONV_OUTPUTS_RUN(outputs_##KIND##1_##S, T, matconv_narrow_##S, \\
            16 / sizeof(matconv_narrow_##S), 12, Z_OF) \\
        MATCONV_OUTPUTS_RUN(outputs_##KIND##2_##S, T, matconv_wide_##S, \\
            32 / sizeof(matconv_wide_##S), 12, Z_OF) \\
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
    ctypedef struct Pixels "matconv_pixels":
        Py_ssize_t[2] n, S, Z
    ctypedef void (*OutputsF64 "matconv_outputs_f64")(
        Py_ssize_t, double *, Py_ssize_t, const double *, Py_ssize_t, const double *,
        const Axes *, const double *, int) noexcept nogil
    ctypedef void (*OutputsF32 "matconv_outputs_f32")(
        Py_ssize_t, float *, Py_ssize_t, const float *, Py_ssize_t, const float *,
        const Axes *, const float *, int) noexcept nogil
    ctypedef void (*FiltersF64 "matconv_filters_f64")(
        const Pixels *, const double *, const double *, const Py_ssize_t *, const Py_ssize_t *,
        const Py_ssize_t *, double *) noexcept nogil
    ctypedef void (*FiltersF32 "matconv_filters_f32")(
        const Pixels *, const float *, const float *, const Py_ssize_t *, const Py_ssize_t *,
        const Py_ssize_t *, float *) noexcept nogil
    OutputsF64[2][4] outputs_f64 "matconv_outputs_table_f64"
    OutputsF32[2][4] outputs_f32 "matconv_outputs_table_f32"
    FiltersF64[2][3] filters_f64 "matconv_filters_table_f64"
    FiltersF32[2][3] filters_f32 "matconv_filters_table_f32"

cdef enum:
    # maximum channels of a group, of the input and of the output
    MAX_CHANNELS = 8
    # pixels of a part of a run, so that what they read stays in cache; lanes of 64 bytes
    MAX_PIXELS = 24
    MAX_LANES = 16
    # shorter runs are extended down instead of to the right
    WIDE = 4
    # pixels of a sum for dW, so that what it reads stays in cache
    SUM_PIXELS = 128


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


# The block of lanes from `first` on, of `d` in groups of `d_g`, with `maximum` bytes or less: the
# whole vectors that remain, or, in the last block of a group, a vector of which some lanes are
# dropped. It reads nothing after the last lane, since it begins earlier in the last group.
cdef inline void block_of(
    Py_ssize_t first, Py_ssize_t d, Py_ssize_t d_g, bint by_vector, Py_ssize_t item,
    Py_ssize_t maximum, Block *block,
) noexcept nogil:
    cdef Py_ssize_t left = d - first if by_vector else d_g - first % d_g
    cdef Py_ssize_t size = maximum
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


# The rows row, row + step, ..., before `end` with the taps of `row`. OUT: taps. Returns their
# number.
cdef inline Py_ssize_t rows_length(
    const Way *way, Py_ssize_t row, Py_ssize_t step, Py_ssize_t end, Taps *taps
) noexcept nogil:
    cdef Py_ssize_t n = 1, y = row % way.b
    cdef Taps other
    row_taps(way, y, taps)
    # in one image
    end = min(end, row - y + way.b)
    while row + n * step < end:
        row_taps(way, y + n * step, &other)
        if other.n != taps.n or (other.n > 0 and other.first != taps.first):
            break
        n += 1
    return n


# The result at pixels with the same taps: n of them from (row, x) on, in a row or, if down, in a
# column, `step` apart. IN: Z, W, b or NULL, activation. OUT: S.
cdef void run_result(
    const Way *way, Py_ssize_t row, Py_ssize_t x, Py_ssize_t step, Py_ssize_t n, bint down,
    const Taps *rows, const Taps *columns, const real *Z, const real *W, const real *b,
    const Activation *activation, bint add, real *S,
) noexcept nogil:
    cdef const Geometry *g = way.g
    cdef Py_ssize_t p = 0, part, k, width = g.h_a * way.d
    cdef Py_ssize_t step_S = 0, step_Z = 0
    cdef Axes axes
    # the axes of tap rows, tap columns and channels; that of the innermost loop has more than one
    cdef int u = 1 if way.by_vector else 0
    cdef int v = u + 1, j = 0 if way.by_vector else 2
    # steps are in the image if there are two pixels or taps; of one they may overflow
    if n > 1:
        step_S = step * way.d * (way.a if down else 1)
        step_Z = way.d_in * (way.a_in if down else 1)
        if not way.backward:
            step_Z *= g.s_b if down else g.s_a
    axes.n[u], axes.n[v] = rows.n, columns.n
    axes.Z[u] = rows.step_at * way.a_in * way.d_in if rows.n > 1 else 0
    axes.W[u] = rows.step * width if rows.n > 1 else 0
    axes.Z[v] = columns.step_at * way.d_in if columns.n > 1 else 0
    axes.W[v] = columns.step * way.d if columns.n > 1 else 0
    axes.n[j], axes.Z[j], axes.W[j] = way.d_g_in, 1, g.h_b * width
    if rows.n > 0 and columns.n > 0:
        Z += ((row // way.b * way.b_in + rows.at) * way.a_in + columns.at) * way.d_in
        W += rows.first * width + columns.first * way.d
    S += (row * way.a + x) * way.d
    while p < n:
        part = min(n - p, <Py_ssize_t> MAX_PIXELS)
        run_pixels(
            way, part, S + p * step_S, step_S, Z + p * step_Z, step_Z, W, &axes, b, add
        )
        if activation != NULL and activation.code != ACTIVATION_NONE:
            for k in range(p, p + part):
                bias_activation_rows(
                    1, way.d, S + k * step_S, <const real *> NULL, activation, S + k * step_S
                )
        p += MAX_PIXELS


# The rows `first` to `last` - 1 of the result at all columns.
cdef void all_runs(
    const Way *way, const real *Z, const real *W, const real *b, const Activation *activation,
    bint add, real *S, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t right = way.g.s_a if way.backward else 1
    cdef Py_ssize_t down = way.g.s_b if way.backward else 1
    cdef Py_ssize_t start, x, n, row, k, m
    cdef Taps columns, rows
    for start in range(min(right, way.a)):
        x = start
        while x < way.a:
            n = run_length(way, x, right, way.a, &columns)
            if n >= WIDE:
                for row in range(first, last):
                    row_taps(way, row % way.b, &rows)
                    run_result(
                        way, row, x, right, n, False, &rows, &columns, Z, W, b, activation, add, S
                    )
            for k in range(n if n < WIDE else 0):
                for m in range(down):
                    column_result(
                        way, x + k * right, down, m, &columns, Z, W, b, activation, add, S, first,
                        last,
                    )
                columns.at += 1 if way.backward else way.g.s_a
            x += n * right


# The result in column x, for rows from `first` to `last` - 1 whose number in their image is
# congruent to `rest` modulo `step`.
cdef void column_result(
    const Way *way, Py_ssize_t x, Py_ssize_t step, Py_ssize_t rest, const Taps *columns,
    const real *Z, const real *W, const real *b, const Activation *activation, bint add, real *S,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t row, end, n
    cdef Taps rows
    while first < last:
        # the rows of one image
        end = min(last, (first // way.b + 1) * way.b)
        row = first + (rest - first % way.b % step + step) % step
        while row < end:
            n = rows_length(way, row, step, end, &rows)
            run_result(
                way, row, x, step, n, True, &rows, columns, Z, W, b, activation, add, S
            )
            row += n * step
        first = end


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


# dW += dS phi(Z)' for the taps of a rectangle of pixels and all channels. IN: dS, at the first
# pixel; Z, at the first tap. INOUT: dW, at the first tap.
cdef void run_filters(
    const Way *way, const Pixels *pixels, const real *dS, const real *Z, const Axes *axes,
    real *dW,
) noexcept nogil:
    cdef const Geometry *g = way.g
    cdef Py_ssize_t c = 0, u, tap_rows = 1 if way.by_vector else axes.n[0]
    cdef const real *Z_block
    cdef Block block
    # taps (u, v) of a depthwise convolution, otherwise (v, channel) for each u
    cdef int at = 0 if way.by_vector else 1
    while c < g.d_out:
        block_of(c, g.d_out, g.d_out_g, way.by_vector, sizeof(real), 32, &block)
        Z_block = Z + (c if way.by_vector else c // g.d_out_g * g.d_g)
        for u in range(tap_rows):
            if block.kept == block.lanes:
                grid(
                    &block, way.by_vector, pixels, dS + c, Z_block + u * axes.Z[0],
                    &axes.n[at], &axes.Z[at], &axes.W[at], dW + c + u * axes.W[0],
                )
            else:
                grid_part(
                    &block, pixels, dS + block.first, Z_block + u * axes.Z[0], &axes.n[at],
                    &axes.Z[at], &axes.W[at], dW + c + u * axes.W[0],
                )
        c += block.kept


# dW += for a grid of taps and one block of lanes.
cdef inline void grid(
    const Block *block, bint by_vector, const Pixels *pixels, const real *dS, const real *Z,
    const Py_ssize_t *counts, const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, real *dW,
) noexcept nogil:
    if real is double:
        filters_f64[by_vector][block.code](pixels, dS, Z, counts, taps_Z, taps_W, dW)
    else:
        filters_f32[by_vector][block.code](pixels, dS, Z, counts, taps_Z, taps_W, dW)


# As `grid`, for a block of which some lanes are dropped, and not more than MAX_CHANNELS columns of
# taps.
cdef void grid_part(
    const Block *block, const Pixels *pixels, const real *dS, const real *Z,
    const Py_ssize_t *counts, const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, real *dW,
) noexcept nogil:
    cdef real[3 * MAX_CHANNELS * MAX_LANES] sums
    cdef Py_ssize_t[2] part, sums_W
    cdef Py_ssize_t v = 0, i, j
    sums_W[0], sums_W[1] = counts[1] * block.lanes, block.lanes
    while v < counts[0]:
        part[0], part[1] = min(counts[0] - v, <Py_ssize_t> 3), counts[1]
        memset(sums, 0, part[0] * sums_W[0] * sizeof(real))
        grid(block, False, pixels, dS, Z + v * taps_Z[0], part, taps_Z, sums_W, sums)
        for i in range(part[0]):
            for j in range(part[1]):
                add_run(
                    dW + (v + i) * taps_W[0] + j * taps_W[1],
                    sums + i * sums_W[0] + j * sums_W[1] + block.skipped, block.kept,
                )
        v += 3


cdef void direct_filters(
    const Geometry *g, const real *dS, const real *Z, bint add, real *dW
) noexcept nogil:
    cdef Py_ssize_t x = 0, n, m, row, width = g.h_a * g.d_out
    cdef Axes axes
    cdef Pixels pixels
    cdef Taps columns, rows
    cdef Way way
    set_way(g, False, &way)
    if not add:
        memset(dW, 0, g.K * g.d_out * sizeof(real))
    # a longer step is that of a single tap or pixel, and is not used
    axes.Z[0], axes.W[0] = min(g.dil_b, g.b) * g.a * g.d, width
    axes.Z[1], axes.W[1] = min(g.dil_a, g.a) * g.d, g.d_out
    axes.n[2], axes.Z[2], axes.W[2] = g.d_g, 1, g.h_b * width
    pixels.S[0], pixels.Z[0] = g.a_out * g.d_out, min(g.s_b, g.b) * g.a * g.d
    pixels.S[1], pixels.Z[1] = g.d_out, min(g.s_a, g.a) * g.d
    while x < g.a_out:
        n = run_length(&way, x, 1, g.a_out, &columns)
        axes.n[1], pixels.n[1] = columns.n, n
        row = 0
        while row < g.l * g.b_out and columns.n > 0:
            m = rows_length(&way, row, 1, row + max(SUM_PIXELS // n, <Py_ssize_t> 1), &rows)
            axes.n[0], pixels.n[0] = rows.n, m
            if rows.n > 0:
                run_filters(
                    &way, &pixels, dS + (row * g.a_out + x) * g.d_out,
                    Z + ((row // g.b_out * g.b + rows.at) * g.a + columns.at) * g.d, &axes,
                    dW + rows.first * width + columns.first * g.d_out,
                )
            row += m
        x += n
