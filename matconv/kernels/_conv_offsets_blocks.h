/* Sums over a column of phi that is read from the image itself: in blocks of a panel of N vectors
   of lanes, for several pixels or for several elements of the column. */

#ifndef MATCONV_CONV_OFFSETS_BLOCKS_H
#define MATCONV_CONV_OFFSETS_BLOCKS_H

#include <stddef.h>

#include "_conv_direct_vectors.h"

/* S(p, lanes) = b(lanes) + sum_k W(k, lanes) Z(p, offsets[k]) for P pixels, N vectors. */
#define MATCONV_OUTPUTS(NAME, T, V, N, P) \
static void NAME(Py_ssize_t K, const Py_ssize_t *offsets, const T *Z, Py_ssize_t step_Z, \
                 const T *W, const T *b, T *S, Py_ssize_t step_S) \
{ \
    enum { L = sizeof(V) / sizeof(T) }; \
    V sums[P][N]; \
    const T *z[P]; \
    Py_ssize_t k; \
    int p, n; \
    MATCONV_UNROLL \
    for (p = 0; p < P; p++) { \
        z[p] = Z + p * step_Z; \
        MATCONV_UNROLL \
        for (n = 0; n < N; n++) \
            sums[p][n] = MATCONV_LOAD(V, b + n * L); \
    } \
    for (k = 0; k < K; k++, W += N * L) { \
        V w[N]; \
        MATCONV_UNROLL \
        for (n = 0; n < N; n++) \
            w[n] = MATCONV_LOAD(V, W + n * L); \
        MATCONV_UNROLL \
        for (p = 0; p < P; p++) { \
            const T z_p = z[p][offsets[k]]; \
            MATCONV_UNROLL \
            for (n = 0; n < N; n++) \
                sums[p][n] += w[n] * z_p; \
        } \
    } \
    MATCONV_UNROLL \
    for (p = 0; p < P; p++) { \
        MATCONV_UNROLL \
        for (n = 0; n < N; n++) \
            *(V *) (S + p * step_S + n * L) = sums[p][n]; \
    } \
}

/* dW(k, lanes) += sum_p dS(p, lanes) Z(p, offsets[k]) for Q elements k, N vectors, all p. */
#define MATCONV_FILTERS(NAME, T, V, N, Q) \
static void NAME(Py_ssize_t pixels, const Py_ssize_t *offsets, const T *Z, \
                 Py_ssize_t step_Z, const T *dS, Py_ssize_t step_S, T *dW) \
{ \
    enum { L = sizeof(V) / sizeof(T) }; \
    V sums[Q][N]; \
    const T *z[Q]; \
    Py_ssize_t p, at = 0; \
    int q, n; \
    MATCONV_UNROLL \
    for (q = 0; q < Q; q++) { \
        z[q] = Z + offsets[q]; \
        MATCONV_UNROLL \
        for (n = 0; n < N; n++) \
            sums[q][n] = (V) {0}; \
    } \
    for (p = 0; p < pixels; p++, at += step_Z, dS += step_S) { \
        V ds[N]; \
        MATCONV_UNROLL \
        for (n = 0; n < N; n++) \
            ds[n] = MATCONV_LOAD(V, dS + n * L); \
        MATCONV_UNROLL \
        for (q = 0; q < Q; q++) { \
            const T z_q = z[q][at]; \
            MATCONV_UNROLL \
            for (n = 0; n < N; n++) \
                sums[q][n] += ds[n] * z_q; \
        } \
    } \
    MATCONV_UNROLL \
    for (q = 0; q < Q; q++) { \
        MATCONV_UNROLL \
        for (n = 0; n < N; n++) \
            *(V *) (dW + (q * N + n) * L) += sums[q][n]; \
    } \
}

#define MATCONV_BOTH(KIND, NAME, N, SIZE) \
    KIND(NAME##_f64, double, matconv_wide_f64, N, SIZE) \
    KIND(NAME##_f32, float, matconv_wide_f32, N, SIZE)
MATCONV_BOTH(MATCONV_OUTPUTS, matconv_outputs_1, 1, 6)
MATCONV_BOTH(MATCONV_OUTPUTS, matconv_outputs_2, 2, 6)
MATCONV_BOTH(MATCONV_OUTPUTS, matconv_outputs_3, 3, 4)
MATCONV_BOTH(MATCONV_OUTPUTS, matconv_output_1, 1, 1)
MATCONV_BOTH(MATCONV_OUTPUTS, matconv_output_2, 2, 1)
MATCONV_BOTH(MATCONV_OUTPUTS, matconv_output_3, 3, 1)
MATCONV_BOTH(MATCONV_FILTERS, matconv_filters_1, 1, 6)
MATCONV_BOTH(MATCONV_FILTERS, matconv_filters_2, 2, 6)
MATCONV_BOTH(MATCONV_FILTERS, matconv_filters_3, 3, 4)

/* by the vectors of a panel, less 1 */
#define MATCONV_TABLE(NAME, T) {NAME##_1_##T, NAME##_2_##T, NAME##_3_##T}
typedef void (*matconv_outputs_function_f64)(
    Py_ssize_t, const Py_ssize_t *, const double *, Py_ssize_t, const double *,
    const double *, double *, Py_ssize_t);
typedef void (*matconv_outputs_function_f32)(
    Py_ssize_t, const Py_ssize_t *, const float *, Py_ssize_t, const float *,
    const float *, float *, Py_ssize_t);
typedef void (*matconv_filters_function_f64)(
    Py_ssize_t, const Py_ssize_t *, const double *, Py_ssize_t, const double *, Py_ssize_t,
    double *);
typedef void (*matconv_filters_function_f32)(
    Py_ssize_t, const Py_ssize_t *, const float *, Py_ssize_t, const float *, Py_ssize_t,
    float *);
static const matconv_outputs_function_f64 matconv_all_outputs_f64[2][3]
    = {MATCONV_TABLE(matconv_outputs, f64), MATCONV_TABLE(matconv_output, f64)};
static const matconv_outputs_function_f32 matconv_all_outputs_f32[2][3]
    = {MATCONV_TABLE(matconv_outputs, f32), MATCONV_TABLE(matconv_output, f32)};
static const matconv_filters_function_f64 matconv_all_filters_f64[3]
    = MATCONV_TABLE(matconv_filters, f64);
static const matconv_filters_function_f32 matconv_all_filters_f32[3]
    = MATCONV_TABLE(matconv_filters, f32);

#endif
