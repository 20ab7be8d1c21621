/* Direct loops in blocks of channels: sums over taps of groups of several channels, and the sums
   over pixels for dW of all direct convolutions.

   The lanes of a vector are neighbouring output channels. BY_ELEMENT: all of them are multiplied by
   one element of Z; BY_VECTOR, with one channel per group: by a vector of Z. */

#ifndef MATCONV_CONV_DIRECT_BLOCKS_H
#define MATCONV_CONV_DIRECT_BLOCKS_H

#include "_conv_direct_vectors.h"

/* The number of vectors V, or elements, in a block of so many bytes. */
#define MATCONV_COUNT(BYTES, V) (BYTES / (int) sizeof(V))

#define MATCONV_BY_ELEMENT(V, z, k) (*(z))
#define MATCONV_BY_VECTOR(V, z, k) \
    MATCONV_LOAD(V, (z) + (k) * (Py_ssize_t) (sizeof(V) / sizeof(*(z))))

/* The sums over three axes of taps: their numbers, and their steps in Z and W. */
typedef struct { Py_ssize_t n[3], Z[3], W[3]; } matconv_axes;

/* S(p, lanes) = b + sum W Z, or +=, for P pixels and a block of N vectors V. */
#define MATCONV_OUTPUTS(NAME, T, V, N, P) \
static void NAME(T *S, Py_ssize_t step_S, const T *Z, Py_ssize_t step_Z, const T *W, \
                 const matconv_axes *axes, const T *b, int add) \
{ \
    enum { L = sizeof(V) / sizeof(T) }; \
    Py_ssize_t u, v, j; \
    int p, k; \
    V sums[P][N]; \
    MATCONV_UNROLL \
    for (p = 0; p < P; p++) { \
        MATCONV_UNROLL \
        for (k = 0; k < N; k++) { \
            sums[p][k] = (V) {0}; \
            if (b) \
                sums[p][k] = MATCONV_LOAD(V, b + k * L); \
        } \
    } \
    for (u = 0; u < axes->n[0]; u++) \
        for (v = 0; v < axes->n[1]; v++) { \
            const T *z = Z + u * axes->Z[0] + v * axes->Z[1]; \
            const T *w = W + u * axes->W[0] + v * axes->W[1]; \
            for (j = 0; j < axes->n[2]; j++, z += axes->Z[2], w += axes->W[2]) { \
                MATCONV_UNROLL \
                for (k = 0; k < N; k++) { \
                    V w_k = MATCONV_LOAD(V, w + k * L); \
                    MATCONV_UNROLL \
                    for (p = 0; p < P; p++) \
                        sums[p][k] += w_k * z[p * step_Z]; \
                } \
            } \
        } \
    MATCONV_UNROLL \
    for (p = 0; p < P; p++) { \
        MATCONV_UNROLL \
        for (k = 0; k < N; k++) { \
            V *target = (V *) (S + p * step_S + k * L); \
            if (add) \
                sums[p][k] += *target; \
            *target = sums[p][k]; \
        } \
    } \
}

/* The pixels of a sum for dW: their numbers down and right, and their steps in dS and Z. */
typedef struct { Py_ssize_t n[2], S[2], Z[2]; } matconv_pixels;

/* dW(i, j, lanes) += sum_p dS(p, lanes) Z(p + (i, j)) for A x B taps and a block of vectors. */
#define MATCONV_FILTERS(NAME, T, V, N, A, B, Z_OF) \
static void NAME(const matconv_pixels *pixels, const T *dS, const T *Z, \
                 const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, T *dW) \
{ \
    enum { L = sizeof(V) / sizeof(T) }; \
    Py_ssize_t q, p; \
    int i, j, k; \
    V sums[A][B][N]; \
    MATCONV_UNROLL \
    for (i = 0; i < A; i++) { \
        MATCONV_UNROLL \
        for (j = 0; j < B; j++) { \
            MATCONV_UNROLL \
            for (k = 0; k < N; k++) \
                sums[i][j][k] = (V) {0}; \
        } \
    } \
    for (q = 0; q < pixels->n[0]; q++) { \
        const T *ds_p = dS + q * pixels->S[0]; \
        const T *z_p = Z + q * pixels->Z[0]; \
        for (p = 0; p < pixels->n[1]; p++, ds_p += pixels->S[1], z_p += pixels->Z[1]) { \
            MATCONV_UNROLL \
            for (k = 0; k < N; k++) { \
                V ds = MATCONV_LOAD(V, ds_p + k * L); \
                MATCONV_UNROLL \
                for (i = 0; i < A; i++) { \
                    MATCONV_UNROLL \
                    for (j = 0; j < B; j++) \
                        sums[i][j][k] += \
                            ds * Z_OF(V, z_p + i * taps_Z[0] + j * taps_Z[1], k); \
                } \
            } \
        } \
    } \
    MATCONV_UNROLL \
    for (i = 0; i < A; i++) { \
        MATCONV_UNROLL \
        for (j = 0; j < B; j++) { \
            MATCONV_UNROLL \
            for (k = 0; k < N; k++) \
                *(V *) (dW + i * taps_W[0] + j * taps_W[1] + k * L) += sums[i][j][k]; \
        } \
    } \
}

/* One function for n pixels and a block of lanes; all arguments are those of the parts. */
#define MATCONV_OUTPUTS_RUN(NAME, T, V, N, P) \
    MATCONV_OUTPUTS(NAME##_1, T, V, N, 1) \
    MATCONV_OUTPUTS(NAME##_2, T, V, N, 2) \
    MATCONV_OUTPUTS(NAME##_4, T, V, N, 4) \
    MATCONV_OUTPUTS(NAME##_6, T, V, N, 6) \
    MATCONV_OUTPUTS(NAME##_full, T, V, N, P) \
static void NAME(Py_ssize_t n, T *S, Py_ssize_t step_S, const T *Z, Py_ssize_t step_Z, \
                 const T *W, const matconv_axes *axes, const T *b, int add) \
{ \
    Py_ssize_t part; \
    for (; n > 0; n -= part, S += part * step_S, Z += part * step_Z) { \
        part = n == P || n >= P + 4 ? P : n >= 6 ? 6 : n >= 4 ? 4 : n >= 2 ? 2 : 1; \
        (part == P ? NAME##_full : part == 6 ? NAME##_6 : part == 4 ? NAME##_4 \
                                 : part == 2 ? NAME##_2 : NAME##_1) \
            (S, step_S, Z, step_Z, W, axes, b, add); \
    } \
}

/* The taps of a grid of counts[0] x counts[1], A x B of them at once. */
#define MATCONV_FILTERS_RUN(NAME, T, V, N, B, Z_OF) \
    MATCONV_FILTERS(NAME##_11, T, V, N, 1, 1, Z_OF) \
    MATCONV_FILTERS(NAME##_12, T, V, N, 1, 2, Z_OF) \
    MATCONV_FILTERS(NAME##_1B, T, V, N, 1, B, Z_OF) \
    MATCONV_FILTERS(NAME##_31, T, V, N, 3, 1, Z_OF) \
    MATCONV_FILTERS(NAME##_32, T, V, N, 3, 2, Z_OF) \
    MATCONV_FILTERS(NAME##_3B, T, V, N, 3, B, Z_OF) \
static void NAME(const matconv_pixels *pixels, const T *dS, const T *Z, \
                 const Py_ssize_t *counts, const Py_ssize_t *taps_Z, \
                 const Py_ssize_t *taps_W, T *dW) \
{ \
    Py_ssize_t i, j, rows, columns; \
    for (i = 0; i < counts[0]; i += rows) { \
        rows = counts[0] - i >= 3 ? 3 : 1; \
        for (j = 0; j < counts[1]; j += columns) { \
            const T *z = Z + i * taps_Z[0] + j * taps_Z[1]; \
            T *w = dW + i * taps_W[0] + j * taps_W[1]; \
            columns = counts[1] - j >= B ? B : counts[1] - j >= 2 ? 2 : 1; \
            (rows == 3 ? columns == B ? NAME##_3B : columns == 2 ? NAME##_32 : NAME##_31 \
                       : columns == B ? NAME##_1B : columns == 2 ? NAME##_12 : NAME##_11) \
                (pixels, dS, z, taps_Z, taps_W, w); \
        } \
    } \
}

/* The same by vector for 3 x 3 taps, and pixels X steps of taps apart: each element of Z is loaded
   once for Q pixels. */
#define MATCONV_FILTERS_3(NAME, T, V, Q, X) \
static void NAME(const matconv_pixels *pixels, const T *dS, const T *Z, \
                 const Py_ssize_t *taps_Z, const Py_ssize_t *taps_W, T *dW) \
{ \
    Py_ssize_t q, p; \
    int i, j, k, x; \
    V sums[3][3], ds[Q]; \
    MATCONV_UNROLL \
    for (i = 0; i < 9; i++) \
        sums[i / 3][i % 3] = (V) {0}; \
    for (q = 0; q < pixels->n[0]; q++) { \
        const T *ds_p = dS + q * pixels->S[0]; \
        const T *z_p = Z + q * pixels->Z[0]; \
        for (p = 0; p + Q <= pixels->n[1]; p += Q) { \
            MATCONV_FILTERS_3_PIXELS(V, Q, X) \
        } \
        for (; p < pixels->n[1]; p++) { \
            MATCONV_FILTERS_3_PIXELS(V, 1, X) \
        } \
    } \
    MATCONV_UNROLL \
    for (i = 0; i < 9; i++) \
        *(V *) (dW + i / 3 * taps_W[0] + i % 3 * taps_W[1]) += sums[i / 3][i % 3]; \
}

#define MATCONV_FILTERS_3_PIXELS(V, Q, X) \
    MATCONV_UNROLL \
    for (k = 0; k < Q; k++) \
        ds[k] = MATCONV_LOAD(V, ds_p + k * pixels->S[1]); \
    MATCONV_UNROLL \
    for (i = 0; i < 3; i++) { \
        MATCONV_UNROLL \
        for (x = 0; x < (Q - 1) * X + 3; x++) { \
            V z = MATCONV_LOAD(V, z_p + i * taps_Z[0] + x * taps_Z[1]); \
            MATCONV_UNROLL \
            for (k = 0; k < Q; k++) { \
                j = x - k * X; \
                if (j >= 0 && j < 3) \
                    sums[i][j] += ds[k] * z; \
            } \
        } \
    } \
    ds_p += Q * pixels->S[1]; \
    z_p += Q * pixels->Z[1];

/* The functions by vector for a block of 32 bytes. */
#define MATCONV_FILTERS_3_RUN(T, S) \
MATCONV_FILTERS_3(filters_31_##S, T, matconv_wide_##S, 3, 1) \
MATCONV_FILTERS_3(filters_32_##S, T, matconv_wide_##S, 2, 2) \
static void filters_3_##S(const matconv_pixels *pixels, const T *dS, const T *Z, \
                          const Py_ssize_t *counts, const Py_ssize_t *taps_Z, \
                          const Py_ssize_t *taps_W, T *dW) \
{ \
    enum { L = sizeof(matconv_wide_##S) / sizeof(T) }; \
    int k, X = pixels->Z[1] == taps_Z[1] ? 1 : pixels->Z[1] == 2 * taps_Z[1] ? 2 : 0; \
    if (!X || counts[0] != 3 || counts[1] != 3 || pixels->n[1] < 2) { \
        filters_by_vector2_##S(pixels, dS, Z, counts, taps_Z, taps_W, dW); \
        return; \
    } \
    for (k = 0; k < MATCONV_COUNT(32, matconv_wide_##S) * L; k += L) \
        (X == 1 ? filters_31_##S : filters_32_##S) \
            (pixels, dS + k, Z + k, taps_Z, taps_W, dW + k); \
}

/* For one dtype, the functions by blocks: an element, and 16, 32 and 64 bytes. */
#define MATCONV_BLOCKS(T, S) \
typedef void (*matconv_outputs_##S)( \
    Py_ssize_t, T *, Py_ssize_t, const T *, Py_ssize_t, const T *, const matconv_axes *, \
    const T *, int); \
MATCONV_OUTPUTS_RUN(outputs0_##S, T, T, 1, 8) \
MATCONV_OUTPUTS_RUN(outputs1_##S, T, matconv_narrow_##S, \
    MATCONV_COUNT(16, matconv_narrow_##S), 12) \
MATCONV_OUTPUTS_RUN(outputs2_##S, T, matconv_wide_##S, MATCONV_COUNT(32, matconv_wide_##S), 12) \
MATCONV_OUTPUTS_RUN(outputs3_##S, T, matconv_wide_##S, MATCONV_COUNT(64, matconv_wide_##S), 6) \
static const matconv_outputs_##S matconv_outputs_table_##S[4] = { \
    outputs0_##S, outputs1_##S, outputs2_##S, outputs3_##S}; \
typedef void (*matconv_filters_##S)( \
    const matconv_pixels *, const T *, const T *, const Py_ssize_t *, const Py_ssize_t *, \
    const Py_ssize_t *, T *); \
MATCONV_FILTERS_BLOCKS(T, S, by_element, 4, MATCONV_BY_ELEMENT) \
MATCONV_FILTERS_BLOCKS(T, S, by_vector, 3, MATCONV_BY_VECTOR) \
MATCONV_FILTERS_3_RUN(T, S) \
static const matconv_filters_##S matconv_filters_table_##S[2][3] = { \
    {filters_by_element0_##S, filters_by_element1_##S, filters_by_element2_##S}, \
    {filters_by_vector0_##S, filters_by_vector1_##S, filters_3_##S}};

#define MATCONV_FILTERS_BLOCKS(T, S, KIND, B, Z_OF) \
MATCONV_FILTERS_RUN(filters_##KIND##0_##S, T, T, 1, B, Z_OF) \
MATCONV_FILTERS_RUN(filters_##KIND##1_##S, T, matconv_narrow_##S, \
    MATCONV_COUNT(16, matconv_narrow_##S), B, Z_OF) \
MATCONV_FILTERS_RUN(filters_##KIND##2_##S, T, matconv_wide_##S, \
    MATCONV_COUNT(32, matconv_wide_##S), B, Z_OF)

MATCONV_BLOCKS(double, f64)
MATCONV_BLOCKS(float, f32)

#endif
