/* Depthwise convolutions: sums over taps where neighbouring channels are lanes of vectors.

   A tile is some neighbouring pixels of the result. All its channels are computed before the next
   tile, so that memory is read in order. With 3 x 3 taps each element of Z is loaded once for a
   tile, and the taps once. The order of the taps in a sum is the same everywhere.

   Function names end in the pixels of a tile, down and right, and in X, the distance of pixels in
   multiples of that of taps. */

#ifndef MATCONV_CONV_DIRECT_DEPTHWISE_H
#define MATCONV_CONV_DIRECT_DEPTHWISE_H

#include <stddef.h>

#include "matconv/types.h"

#include "_conv_direct_vectors.h"

/* What is summed. Members of two elements are down and right; steps are in elements. */
typedef struct {
    Py_ssize_t first, last;         /* channels */
    Py_ssize_t n[2];                /* taps */
    Py_ssize_t Z[2], W[2];          /* steps of taps */
    Py_ssize_t pixels[2];           /* of the result; 1 or 2 down */
    Py_ssize_t pixel_Z[2], pixel_S[2];
    int add;                        /* S += instead of S = */
    int code;                       /* an activation that is rounded at most once */
    double alpha, beta;
} matconv_depthwise;

/* S = sigma(sums), or +=, for R x P pixels from channel c on and N vectors V; M: a vector of masks.
   As activation_value in _activation.pxd. */
#define MATCONV_FINISH(T, V, M, SELECT, R, P, N) \
    if (job->code == MATCONV_RELU) { \
        MATCONV_EACH(R, P, N) \
            x = sums[i][p][k]; \
            sums[i][p][k] = SELECT(V, M, x <= (V) {0}, (V) {0}, x); \
        MATCONV_END \
    } else if (job->code == MATCONV_LEAKY_RELU) { \
        V alpha = (T) job->alpha - (V) {0}; \
        MATCONV_EACH(R, P, N) \
            x = sums[i][p][k]; \
            sums[i][p][k] = SELECT(V, M, x <= (V) {0}, alpha * x, x); \
        MATCONV_END \
    } else if (job->code == MATCONV_CLIP) { \
        V alpha = (T) job->alpha - (V) {0}, beta = (T) job->beta - (V) {0}; \
        MATCONV_EACH(R, P, N) \
            x = SELECT(V, M, sums[i][p][k] <= alpha, alpha, sums[i][p][k]); \
            sums[i][p][k] = SELECT(V, M, x >= beta, beta, x); \
        MATCONV_END \
    } \
    MATCONV_EACH(R, P, N) \
        V *target = (V *) (S + i * job->pixel_S[0] + p * job->pixel_S[1] + c + k * L); \
        x = sums[i][p][k]; \
        if (job->add) \
            x += *target; \
        *target = x; \
    MATCONV_END

#define MATCONV_EACH(R, P, N) \
    MATCONV_UNROLL for (i = 0; i < R; i++) { \
        MATCONV_UNROLL for (p = 0; p < P; p++) { \
            MATCONV_UNROLL for (k = 0; k < N; k++) {
#define MATCONV_END } } }

/* 3 x 3 taps for R x P pixels and the channels that are whole vectors. IN: Z, W, b or NULL, at the
   first tap of the first pixel. OUT: S. */
#define MATCONV_TILE(NAME, T, V, M, SELECT, R, P, X) \
static void NAME(const matconv_depthwise *job, const T *Z, const T *W, const T *b, T *S) \
{ \
    enum { L = sizeof(V) / sizeof(T) }; \
    Py_ssize_t c; \
    int i, p, k, y, x_Z, u, v; \
    for (c = job->first; c + L <= job->last; c += L) { \
        V w[3][3], sums[R][P][1], x, start = (V) {0}; \
        if (b) \
            start = MATCONV_LOAD(V, b + c); \
        MATCONV_EACH(R, P, 1) \
            sums[i][p][k] = start; \
        MATCONV_END \
        MATCONV_UNROLL for (u = 0; u < 3; u++) { \
            MATCONV_UNROLL for (v = 0; v < 3; v++) \
                w[u][v] = MATCONV_LOAD(V, W + u * job->W[0] + v * job->W[1] + c); \
        } \
        MATCONV_UNROLL for (y = 0; y < (R - 1) * X + 3; y++) { \
            const T *row = Z + y * job->Z[0] + c; \
            MATCONV_UNROLL for (x_Z = 0; x_Z < (P - 1) * X + 3; x_Z++) { \
                x = MATCONV_LOAD(V, row + x_Z * job->Z[1]); \
                MATCONV_EACH(R, P, 1) \
                    u = y - i * X; \
                    v = x_Z - p * X; \
                    if (u >= 0 && u < 3 && v >= 0 && v < 3) \
                        sums[i][p][k] += w[u][v] * x; \
                MATCONV_END \
            } \
        } \
        MATCONV_FINISH(T, V, M, SELECT, R, P, 1) \
    } \
}

/* Any taps for P pixels and N vectors at a time, as long as channels remain. INOUT: c. */
#define MATCONV_PIXEL_BLOCKS(T, V, M, SELECT, P, N) \
    for (; c + N * (Py_ssize_t) (sizeof(V) / sizeof(T)) <= job->last; \
         c += N * (Py_ssize_t) (sizeof(V) / sizeof(T))) { \
        enum { L = sizeof(V) / sizeof(T) }; \
        V sums[1][P][N], x; \
        MATCONV_EACH(1, P, N) \
            sums[i][p][k] = (V) {0}; \
            if (b) \
                sums[i][p][k] = MATCONV_LOAD(V, b + c + k * L); \
        MATCONV_END \
        for (u = 0; u < job->n[0]; u++) { \
            const T *z = Z + u * job->Z[0] + c; \
            const T *w = W + u * job->W[0] + c; \
            for (v = 0; v < job->n[1]; v++, z += job->Z[1], w += job->W[1]) { \
                MATCONV_EACH(1, P, N) \
                    sums[i][p][k] += MATCONV_LOAD(V, w + k * L) \
                                     * MATCONV_LOAD(V, z + p * job->pixel_Z[1] + k * L); \
                MATCONV_END \
            } \
        } \
        MATCONV_FINISH(T, V, M, SELECT, 1, P, N) \
    }

/* The same for the channels from c on. */
#define MATCONV_PIXELS(NAME, T, S_, P, N) \
static void NAME(const matconv_depthwise *job, Py_ssize_t c, const T *Z, const T *W, \
                 const T *b, T *S) \
{ \
    Py_ssize_t u, v; \
    int i, p, k; \
    MATCONV_PIXEL_BLOCKS(T, matconv_wide_##S_, matconv_wide_mask_##S_, \
                         MATCONV_SELECT_VECTOR, P, N) \
    MATCONV_PIXEL_BLOCKS(T, matconv_wide_##S_, matconv_wide_mask_##S_, \
                         MATCONV_SELECT_VECTOR, P, 1) \
    MATCONV_PIXEL_BLOCKS(T, matconv_narrow_##S_, matconv_narrow_mask_##S_, \
                         MATCONV_SELECT_VECTOR, P, 1) \
    MATCONV_PIXEL_BLOCKS(T, T, T, MATCONV_SELECT_ELEMENT, P, 1) \
}

/* The functions of one dtype. */
#define MATCONV_DEPTHWISE(T, S_) \
MATCONV_TILES(T, S_, 1) \
MATCONV_TILES(T, S_, 2) \
MATCONV_PIXELS(depthwise_1_##S_, T, S_, 1, 4) \
MATCONV_PIXELS(depthwise_2_##S_, T, S_, 2, 4) \
MATCONV_PIXELS(depthwise_4_##S_, T, S_, 4, 2) \
MATCONV_PIXELS(depthwise_6_##S_, T, S_, 6, 2) \
\
/* Any taps for one row of pixels and the channels from c on. */ \
static void depthwise_row_##S_(const matconv_depthwise *job, Py_ssize_t c, const T *Z, \
                               const T *W, const T *b, T *S) \
{ \
    Py_ssize_t n, part; \
    for (n = job->pixels[1]; n > 0; n -= part) { \
        part = n >= 6 ? 6 : n >= 4 ? 4 : n >= 2 ? 2 : 1; \
        (part == 6 ? depthwise_6_##S_ : part == 4 ? depthwise_4_##S_ \
                   : part == 2 ? depthwise_2_##S_ : depthwise_1_##S_)(job, c, Z, W, b, S); \
        Z += part * job->pixel_Z[1]; \
        S += part * job->pixel_S[1]; \
    } \
} \
\
/* 3 x 3 taps for one or two rows of two or more pixels X steps of taps apart, in tiles of three \
   columns and, at the end, of two. */ \
static void depthwise_tiles_##S_(const matconv_depthwise *job, int X, const T *Z, const T *W, \
                                 const T *b, T *S) \
{ \
    Py_ssize_t n, part; \
    int pair = job->pixels[0] == 2; \
    for (n = job->pixels[1]; n > 0; n -= part) { \
        part = n == 2 || n == 4 ? 2 : 3; \
        (X == 1 ? part == 3 ? pair ? depthwise_231_##S_ : depthwise_131_##S_ \
                            : pair ? depthwise_221_##S_ : depthwise_121_##S_ \
                : part == 3 ? pair ? depthwise_232_##S_ : depthwise_132_##S_ \
                            : pair ? depthwise_222_##S_ : depthwise_122_##S_)(job, Z, W, b, S); \
        Z += part * job->pixel_Z[1]; \
        S += part * job->pixel_S[1]; \
    } \
} \
\
/* The pixels of a job. IN: Z, W at the first tap of the first pixel, b or NULL. OUT: S. */ \
static void matconv_depthwise_##S_(const matconv_depthwise *job, const T *Z, const T *W, \
                                   const T *b, T *S) \
{ \
    enum { L = sizeof(matconv_wide_##S_) / sizeof(T) }; \
    Py_ssize_t c = job->first, i; \
    if (job->n[0] == 3 && job->n[1] == 3 && job->pixels[1] >= 2) { \
        int X = job->pixel_Z[1] == job->Z[1] ? 1 : job->pixel_Z[1] == 2 * job->Z[1] ? 2 : 0; \
        if (X && (job->pixels[0] == 1 || job->pixel_Z[0] == X * job->Z[0])) { \
            depthwise_tiles_##S_(job, X, Z, W, b, S); \
            c = job->last - (job->last - c) % L; \
        } \
    } \
    for (i = 0; i < job->pixels[0] && c < job->last; i++) \
        depthwise_row_##S_(job, c, Z + i * job->pixel_Z[0], W, b, S + i * job->pixel_S[0]); \
}

#define MATCONV_TILES(T, S_, X) \
MATCONV_TILE_OF(depthwise_12##X##_##S_, T, S_, 1, 2, X) \
MATCONV_TILE_OF(depthwise_13##X##_##S_, T, S_, 1, 3, X) \
MATCONV_TILE_OF(depthwise_22##X##_##S_, T, S_, 2, 2, X) \
MATCONV_TILE_OF(depthwise_23##X##_##S_, T, S_, 2, 3, X)

#define MATCONV_TILE_OF(NAME, T, S_, R, P, X) \
MATCONV_TILE(NAME, T, matconv_wide_##S_, matconv_wide_mask_##S_, MATCONV_SELECT_VECTOR, R, P, X)

MATCONV_DEPTHWISE(double, f64)
MATCONV_DEPTHWISE(float, f32)

#endif
