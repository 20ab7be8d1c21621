/* Constants and structs of matconv. Clients include <matconv/matconv.h>. */
#ifndef MATCONV_TYPES_H
#define MATCONV_TYPES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MATCONV_ABI_VERSION 1

/* Status codes ---------------------------------------------------------------------------------- */

enum {
    MATCONV_OK = 0,           /* success */
    MATCONV_SIZE = 1,         /* a size < 1, a padding or images < 0, threads not 1 to 1024 */
    MATCONV_KERNEL = 2,       /* the (dilated) kernel is larger than the padded input */
    MATCONV_GROUPS = 3,       /* groups does not divide the channels or the filters */
    MATCONV_OVERFLOW = 4,     /* a size or a product of sizes overflows */
    MATCONV_BLAS_INT = 5,     /* a matrix dimension overflows the integer type of BLAS */
    MATCONV_STRUCT = 6,       /* struct_size does not match the library: struct not initialized? */
    MATCONV_NULL = 7,         /* a required pointer is NULL */
    MATCONV_SCRATCH = 8,      /* scratch_size is too small */
    MATCONV_ALGORITHM = 9,    /* unknown algorithm, or method of upsample */
    MATCONV_PADDING = 10,     /* the padding of a pooling window is not smaller than the window */
    MATCONV_INDEX = 11,       /* an index of max_pool_backward is not in the image; no such output */
    MATCONV_DTYPE = 12,       /* the dtype of the network does not match */
    MATCONV_FORMAT = 13,      /* not an exported network, or a damaged one */
    MATCONV_VERSION = 14,     /* an exported network of another version of the format */
    MATCONV_MEMORY = 15,      /* out of memory */
    MATCONV_UNREADABLE = 16,  /* the file cannot be read */
    MATCONV_ACTIVATION = 17,  /* unknown activation, or invalid parameters for it */
    MATCONV_INTERRUPTED = 18, /* stopped before the end; the content of the outputs is unspecified */
    MATCONV_LOSS = 19,        /* unknown loss, invalid parameter, or an output too small for it */
    MATCONV_TARGET = 20,      /* an invalid label, target, weight or divisor, or labels and targets */
    MATCONV_DERIVATIVE = 21   /* no loss, or it or an operation does not have this derivative */
};

/* Algorithms ------------------------------------------------------------------------------------ */

/* The transforms of Winograd's algorithm may overflow, giving NaN or infinity, although the operands
 * and the exact result are finite. MATCONV_AUTO does not repeat the call by MATCONV_IM2COL then.
 * The forward pass does not overflow if max|Z|, max|W|, max|b| and column_length max|Z| max|W| are
 * below 1e303 (double) or 1e34 (float); the backward pass if max|dS|, max|Z|, max|W|,
 * kernel_height kernel_width group_filters max|dS| max|W| and
 * images out_height out_width max|dS| max|Z| are below 1e298 or 1e32. Otherwise use
 * MATCONV_IM2COL. */
enum {
    MATCONV_AUTO = 0,         /* the faster one, by a fixed rule on the geometry and the dtype */
    MATCONV_IM2COL = 1,       /* matrix products with phi(Z), exact for integers */
    MATCONV_WINOGRAD = 2      /* fewer multiplications; im2col where no transform is available */
};

/* Activations ----------------------------------------------------------------------------------- */

enum {
    MATCONV_ACTIVATION_NONE = 0,  /* sigma(x) = x */
    MATCONV_RELU = 1,             /* max(x, 0) */
    MATCONV_LEAKY_RELU = 2,       /* x where x > 0, else alpha x; alpha positive and finite */
    MATCONV_CLIP = 3,             /* min(max(x, alpha), beta); alpha <= beta, may be infinite */
    MATCONV_SIGMOID = 4,          /* 1 / (1 + e^-x) */
    MATCONV_TANH = 5,             /* tanh x */
    MATCONV_SOFTPLUS = 6,         /* log(1 + e^x) */
    MATCONV_ELU = 7,              /* x where x > 0, else alpha (e^x - 1); alpha positive, finite */
    MATCONV_HARD_SIGMOID = 8,     /* min(max(alpha x + beta, 0), 1); alpha positive, both finite */
    MATCONV_SILU = 9,             /* x / (1 + e^-x); the derivative needs x */
    MATCONV_HARD_SWISH = 10,      /* x min(max(x / 6 + 1/2, 0), 1); the derivative needs x */
    MATCONV_GELU = 11             /* x (1 + erf(x / sqrt 2)) / 2; the derivative needs x */
};

/* An activation sigma, applied to each element; NaN is propagated. Functions take a pointer to it;
 * NULL is MATCONV_ACTIVATION_NONE. All functions that compute sigma(x) take all codes; functions
 * that compute the derivative from sigma(x) return MATCONV_ACTIVATION for those that need x. It is a
 * struct so that a later version can append members for new codes (learned slopes, for example)
 * without changing the type of a function. A struct_size is not necessary, since a member is read
 * only if the code needs it. */
typedef struct matconv_activation {
    int code;
    double alpha, beta;       /* rounded to the dtype of the function */
} matconv_activation;

/* Methods of upsample --------------------------------------------------------------------------- */

enum {
    MATCONV_NEAREST = 0,          /* each pixel is repeated */
    MATCONV_BILINEAR = 1,         /* the centres of pixels are at 1/2, 3/2, ... in both images */
    MATCONV_BILINEAR_ALIGNED = 2  /* the corner pixels of both images are at the same places */
};

/* Geometry -------------------------------------------------------------------------------------- */

/* A window (the filters of a convolution, or a pooling window) that slides over images. */
typedef struct matconv_geometry {
    size_t struct_size;       /* sizeof(matconv_geometry); matconv_geometry_default sets it */
    /* set by the caller */
    ptrdiff_t images;         /* number of images, may be 0 */
    ptrdiff_t height, width, channels;                      /* of one image */
    ptrdiff_t filters;        /* number of filters; of a pooling window: channels */
    ptrdiff_t groups;
    ptrdiff_t kernel_height, kernel_width;                  /* of a filter or a pooling window */
    ptrdiff_t stride_down, stride_right;
    ptrdiff_t pad_top, pad_bottom, pad_left, pad_right;
    ptrdiff_t dilation_down, dilation_right;
    /* set by matconv_geometry_init; all other functions ignore them and compute their own */
    ptrdiff_t out_height, out_width;                        /* of one output */
    ptrdiff_t group_channels, group_filters;                /* of one of the groups */
    ptrdiff_t column_length;  /* of phi, per group: kernel_height kernel_width group_channels */
} matconv_geometry;

/* Set struct_size, strides, dilations and groups = 1, everything else = 0. OUT: g. */
static inline void matconv_geometry_default(matconv_geometry *g)
{
    unsigned char *bytes = (unsigned char *) g;
    size_t k;
    for (k = 0; k < sizeof *g; k++)
        bytes[k] = 0;
    g->struct_size = sizeof *g;
    g->groups = 1;
    g->stride_down = g->stride_right = 1;
    g->dilation_down = g->dilation_right = 1;
}

/* Frozen networks ------------------------------------------------------------------------------- */

/* A network with its weights, opened by matconv_network_open; immutable. */
typedef struct matconv_network matconv_network;

typedef struct matconv_network_shape {
    size_t struct_size;       /* sizeof(matconv_network_shape), set by the caller */
    ptrdiff_t height, width, channels;                      /* of one image */
    ptrdiff_t out_height, out_width, out_channels;          /* of one output; vector: 1, 1, units */
    ptrdiff_t item_size;      /* bytes of an element: 8 (float64) or 4 (float32) */
} matconv_network_shape;

/* Objectives ------------------------------------------------------------------------------------ */

/* A network with its weights, one of its outputs, and a loss of this output:
 *
 *     f(theta) = sum_i w_i xi(z_i(theta); y_i) / divisor
 *
 * without regularisation: theta'theta / (2C), theta / C and v / C are left to the caller. Opened by
 * matconv_objective_open; immutable. */
typedef struct matconv_objective matconv_objective;

/* A loss xi. The names are those of matconv.losses.LOSSES: "softmax", "squared", and others. */
typedef struct matconv_loss {
    size_t struct_size;       /* sizeof(matconv_loss), set by the caller */
    const char *name;
    double parameter;         /* delta of "huber", positive and finite; 0 for all others */
    int positions;            /* nonzero: a sample is a position of the output, with its channels;
                               * 0: an image, with all elements of the output */
} matconv_loss;

typedef struct matconv_objective_shape {
    size_t struct_size;       /* sizeof(matconv_objective_shape), set by the caller */
    ptrdiff_t height, width, channels;                      /* of one image */
    ptrdiff_t out_height, out_width, out_channels;          /* of the output; vector: 1, 1, units */
    ptrdiff_t parameters;     /* elements of theta */
    ptrdiff_t item_size;      /* bytes of an element: 8 (float64) or 4 (float32) */
} matconv_objective_shape;

/* What the outputs for images are compared with, together with targets. */
typedef struct matconv_samples {
    size_t struct_size;       /* sizeof(matconv_samples), set by the caller */
    ptrdiff_t images;         /* number of images, may be 0 */
    const ptrdiff_t *labels;  /* for each sample the index of an element, or -1: it is ignored; NULL:
                               * there are targets */
    const double *weights;    /* w (images,), not negative and finite; NULL: all are 1 */
    double divisor;           /* positive and finite; for a mean the number of samples that are not
                               * ignored, or the sum of their weights */
} matconv_samples;

/* Whether to stop a computation: nonzero stops it. Called by the thread that started the computation,
 * every 50 ms at most. */
typedef int (*matconv_poll)(void *argument);

#ifdef __cplusplus
}
#endif

#endif /* MATCONV_TYPES_H */
