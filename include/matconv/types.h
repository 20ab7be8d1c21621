/* What matconv's C functions take and return; include <matconv/matconv.h>, which has the rest. */
#ifndef MATCONV_TYPES_H
#define MATCONV_TYPES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MATCONV_ABI_VERSION 1

/* Status ---------------------------------------------------------------------------------------- */

enum {
    MATCONV_OK = 0,
    MATCONV_SIZE = 1,         /* a size that must be at least 1 is not, or a padding is negative */
    MATCONV_KERNEL = 2,       /* the padded input is smaller than the (dilated) kernel */
    MATCONV_GROUPS = 3,       /* groups do not divide the channels or the filters */
    MATCONV_OVERFLOW = 4,     /* a size or a product of sizes does not fit */
    MATCONV_BLAS_INT = 5,     /* a matrix dimension does not fit the integers of BLAS */
    MATCONV_STRUCT = 6,       /* struct_size is not that of this library: not initialised? */
    MATCONV_NULL = 7,         /* NULL for an array that has elements */
    MATCONV_SCRATCH = 8,      /* scratch_size is too small */
    MATCONV_ALGORITHM = 9,    /* no such algorithm */
    MATCONV_PADDING = 10,     /* a pooling window's padding is not smaller than the window */
    MATCONV_INDEX = 11,       /* an index of max_pool_backward is not a pixel of the image */
    MATCONV_DTYPE = 12,       /* the network computes in the other dtype */
    MATCONV_FORMAT = 13,      /* not an exported network, or a damaged one */
    MATCONV_VERSION = 14,     /* an exported network of a newer version */
    MATCONV_MEMORY = 15,      /* no memory */
    MATCONV_UNREADABLE = 16   /* the file cannot be read */
};

/* Algorithms ------------------------------------------------------------------------------------ */

/* Winograd's transforms may overflow although the operands are finite and the result would be; what
 * MATCONV_AUTO chose is not changed then, and NaN or infinity is the result. In the forward pass
 * nothing overflows while max|Z|, max|W|, max|b| and K max|Z| max|W| are below 1e303 in double,
 * 1e34 in single precision; in the backward pass while max|dS|, max|Z|, max|W|,
 * h_b h_a d_out_g max|dS| max|W| and l b_out a_out max|dS| max|Z| are below 1e298, or 1e32.
 * Outside of that use MATCONV_IM2COL. */
enum {
    MATCONV_AUTO = 0,         /* the faster one, by a fixed rule on the geometry and the dtype */
    MATCONV_IM2COL = 1,       /* the formula itself, exact on integers */
    MATCONV_WINOGRAD = 2      /* fewer products; im2col where there are no transforms */
};

/* Geometry -------------------------------------------------------------------------------------- */

/* A window (a filter, a pooling window) that slides over images. */
typedef struct matconv_geometry {
    size_t struct_size;       /* sizeof(matconv_geometry); matconv_geometry_default sets it */
    /* given */
    ptrdiff_t l, b, a, d;     /* images (0 is legal), height, width, channels */
    ptrdiff_t d_out;          /* filters; for a pooling window: d */
    ptrdiff_t groups;
    ptrdiff_t h_b, h_a;       /* kernel height, width */
    ptrdiff_t s_b, s_a;       /* stride down, right */
    ptrdiff_t top, bottom, left, right; /* padding */
    ptrdiff_t dil_b, dil_a;   /* dilation down, right */
    /* derived by matconv_geometry_init; other functions derive their own */
    ptrdiff_t b_out, a_out;   /* output height, width */
    ptrdiff_t d_g, d_out_g;   /* channels and filters of one group */
    ptrdiff_t K;              /* h_b h_a d_g: length of the inner products */
} matconv_geometry;

/* Stride, dilation and groups 1, everything else 0. */
static inline void matconv_geometry_default(matconv_geometry *g)
{
    unsigned char *bytes = (unsigned char *) g;
    size_t k;
    for (k = 0; k < sizeof *g; k++)
        bytes[k] = 0;
    g->struct_size = sizeof *g;
    g->groups = g->s_b = g->s_a = g->dil_b = g->dil_a = 1;
}

/* Frozen networks ------------------------------------------------------------------------------- */

/* A network with its weights, as matconv_network_open made it; never written to again. */
typedef struct matconv_network matconv_network;

typedef struct matconv_network_shape {
    size_t struct_size;       /* sizeof(matconv_network_shape), set by the caller */
    ptrdiff_t b, a, d;        /* of one image */
    ptrdiff_t b_out, a_out, d_out; /* of one output; 1, 1, units after a dense layer */
    ptrdiff_t item_size;      /* 8: computes in float64, 4: in float32 */
} matconv_network_shape;

/* The function table ---------------------------------------------------------------------------- */

/* Append-only: an entry never moves, goes, or changes its type. */
typedef struct matconv_api {
    int abi_version;          /* MATCONV_ABI_VERSION of the library */
    size_t size;              /* bytes of the library's table */

    /* What a status means, in words; a string for any number. */
    const char *(*status_string)(int status);

    /* Check what is given, fill what is derived. INOUT: g. */
    int (*geometry_init)(matconv_geometry *g);

    /* phi(Z), whole: equation (4) of the notes; groups must be 1, d_out counts for nothing.
     * IN: Z. OUT: phi (l, b_out a_out, d h_b h_a). */
    int (*im2col_f64)(const matconv_geometry *g, const double *Z, double *phi);
    int (*im2col_f32)(const matconv_geometry *g, const float *Z, float *phi);

    /* Its adjoint: Z = P_phi' phi. IN: phi. OUT: Z. */
    int (*col2im_f64)(const matconv_geometry *g, const double *phi, double *Z);
    int (*col2im_f32)(const matconv_geometry *g, const float *phi, float *Z);

    /* Z(n, d) = max(S + 1 b', 0). IN: S, b (d,). OUT: Z, may be S. */
    int (*bias_relu_f64)(ptrdiff_t n, ptrdiff_t d, const double *S, const double *b, double *Z);
    int (*bias_relu_f32)(ptrdiff_t n, ptrdiff_t d, const float *S, const float *b, float *Z);

    /* dS(n, d) = dZ where Z > 0 (or is a NaN), else 0; db(d) = the sum of its rows.
     * IN: dZ, Z. OUT: dS, may be dZ; db. */
    int (*bias_relu_backward_f64)(ptrdiff_t n, ptrdiff_t d, const double *dZ, const double *Z,
                                  double *dS, double *db);
    int (*bias_relu_backward_f32)(ptrdiff_t n, ptrdiff_t d, const float *dZ, const float *Z,
                                  float *dS, float *db);

    /* Scratch that conv_forward and conv_backward need for g. OUT: forward, backward (each may
     * be NULL). Enough for any smaller l with the same algorithm, unless that is MATCONV_AUTO. */
    int (*conv_scratch_f64)(const matconv_geometry *g, int algorithm, ptrdiff_t *forward,
                            ptrdiff_t *backward);
    int (*conv_scratch_f32)(const matconv_geometry *g, int algorithm, ptrdiff_t *forward,
                            ptrdiff_t *backward);

    /* S = W phi(Z) + b 1', and max(S, 0) when relu: equations (1) to (3).
     * IN: Z, W, b (d_out,) or NULL. OUT: S. SCRATCH: scratch. */
    int (*conv_forward_f64)(const matconv_geometry *g, int algorithm, const double *Z,
                            const double *W, const double *b, int relu, double *S,
                            double *scratch, ptrdiff_t scratch_size);
    int (*conv_forward_f32)(const matconv_geometry *g, int algorithm, const float *Z,
                            const float *W, const float *b, int relu, float *S,
                            float *scratch, ptrdiff_t scratch_size);

    /* vec(dZ) = P_phi' vec(W' dS), dW = sum_i dS phi(Z^i)', db = sum_i dS 1.
     * IN: dS (before the ReLU), Z, W. OUT: dZ, dW, db; NULL: not computed. SCRATCH: scratch. */
    int (*conv_backward_f64)(const matconv_geometry *g, int algorithm, const double *dS,
                             const double *Z, const double *W, double *dZ, double *dW, double *db,
                             double *scratch, ptrdiff_t scratch_size);
    int (*conv_backward_f32)(const matconv_geometry *g, int algorithm, const float *dS,
                             const float *Z, const float *W, float *dZ, float *dW, float *db,
                             float *scratch, ptrdiff_t scratch_size);

    /* The largest number of each window, channel by channel; padding never wins, a NaN does.
     * IN: Z. OUT: S (l, b_out, a_out, d); indices, of S's shape, or NULL: q a + p of the pixel
     * (q, p) it came from, of equal ones the first. groups, dilation 1 and d_out = d. */
    int (*max_pool_f64)(const matconv_geometry *g, const double *Z, double *S, int *indices);
    int (*max_pool_f32)(const matconv_geometry *g, const float *Z, float *S, int *indices);

    /* Its adjoint. IN: dS, indices (checked). OUT: dZ. */
    int (*max_pool_backward_f64)(const matconv_geometry *g, const double *dS, const int *indices,
                                 double *dZ);
    int (*max_pool_backward_f32)(const matconv_geometry *g, const float *dS, const int *indices,
                                 float *dZ);

    /* The mean of each window's real pixels, and its adjoint. */
    int (*avg_pool_f64)(const matconv_geometry *g, const double *Z, double *S);
    int (*avg_pool_f32)(const matconv_geometry *g, const float *Z, float *S);
    int (*avg_pool_backward_f64)(const matconv_geometry *g, const double *dS, double *dZ);
    int (*avg_pool_backward_f32)(const matconv_geometry *g, const float *dS, float *dZ);

    /* S(l, units) = Z(l, m) W(m, units) + 1 b', and max(S, 0) when relu.
     * IN: Z, W, b (units,) or NULL. OUT: S. */
    int (*dense_forward_f64)(ptrdiff_t l, ptrdiff_t m, ptrdiff_t units, const double *Z,
                             const double *W, const double *b, int relu, double *S);
    int (*dense_forward_f32)(ptrdiff_t l, ptrdiff_t m, ptrdiff_t units, const float *Z,
                             const float *W, const float *b, int relu, float *S);

    /* IN: dS (before the ReLU), Z, W. OUT: dZ, dW, db; NULL: not computed.
     * SCRATCH: m units numbers. */
    int (*dense_backward_f64)(ptrdiff_t l, ptrdiff_t m, ptrdiff_t units, const double *dS,
                              const double *Z, const double *W, double *dZ, double *dW, double *db,
                              double *scratch, ptrdiff_t scratch_size);
    int (*dense_backward_f32)(ptrdiff_t l, ptrdiff_t m, ptrdiff_t units, const float *dS,
                              const float *Z, const float *W, float *dZ, float *dW, float *db,
                              float *scratch, ptrdiff_t scratch_size);

    /* A network that Network.export wrote: from a file, from size bytes in memory (which may go
     * afterwards). OUT: network, NULL unless MATCONV_OK. The only functions that allocate; the
     * file may be anything, it is never trusted. */
    int (*network_open)(const char *path, matconv_network **network);
    int (*network_open_memory)(const void *bytes, size_t size, matconv_network **network);

    /* Give its memory back; NULL is fine. Nobody may be using it. */
    void (*network_close)(matconv_network *network);

    /* INOUT: shape, whose struct_size the caller has set. */
    int (*network_get_shape)(const matconv_network *network, matconv_network_shape *shape);

    /* Scratch that predict needs for n images at once, and for any fewer. OUT: size. */
    int (*network_workspace_size)(const matconv_network *network, ptrdiff_t n, ptrdiff_t *size);

    /* The outputs of the last layer for n images. IN: images (n, b, a, d).
     * OUT: out (n, b_out, a_out, d_out). SCRATCH: scratch. One network, any number of threads.
     * The same call gives the same bits; the same images in other portions may not, in the last
     * ones, for BLAS adds up products of other sizes in another order. */
    int (*network_predict_f64)(const matconv_network *network, ptrdiff_t n, const double *images,
                               double *out, double *scratch, ptrdiff_t scratch_size);
    int (*network_predict_f32)(const matconv_network *network, ptrdiff_t n, const float *images,
                               float *out, float *scratch, ptrdiff_t scratch_size);
} matconv_api;

#ifdef __cplusplus
}
#endif

#endif /* MATCONV_TYPES_H */
