"""Compiled losses: xi summed over samples, its gradient, and its Hessian B.

A sample is an image with all its outputs, or a position of the output with its channels. A loss is
a record in the table of `_losses.pyx`; its code is 1 more than its index, and 0 is no loss.
"""

from ._types cimport real

cdef enum:
    NO_LOSS = 0

# The rows of targets that a loss takes, besides labels.
ctypedef enum TargetKind:
    ONLY_LABELS             # none; at least 2 elements of a sample
    DISTRIBUTIONS           # not negative, with the sum 1; at least 2 elements
    ROWS                    # any
    ATTRIBUTES              # 0, 1, or -1: not labelled; a single element has no labels
    PROBABLE_ATTRIBUTES     # the same, or between 0 and 1


# Properties of a loss.
cdef struct Traits:
    TargetKind targets
    bint curved             # its Hessian B is not 0 everywhere
    bint has_parameter      # which is positive and finite


# The samples of a call and what their outputs z are compared with.
cdef struct Samples:
    Py_ssize_t images
    Py_ssize_t positions        # samples of an image
    Py_ssize_t n                # elements of a sample
    const Py_ssize_t *labels    # (images, positions), negative: not labelled; or NULL
    const void *rows            # (images, positions, n), in the dtype of z, if labels is NULL
    const double *weights       # (images,); NULL: all are 1
    double divisor              # of gradients and Hessians
    double parameter            # of the loss; 0 if it has none


# Return sum_i w_i xi_i in double precision. Samples that are not labelled, or whose weight is 0,
# are not evaluated.
# IN: z (images, positions, n). OUT: dz = w_i / divisor times the gradient, or NULL.
cdef double loss_value(int code, const Samples *samples, const real *z, real *dz) noexcept nogil


# OUT: product = w_i / divisor times B tz, for each sample. All arrays have the shape of z.
cdef void loss_product(
    int code, const Samples *samples, const real *z, const real *tz, real *product
) noexcept nogil


# OUT: S (images, positions, n, n) with S S' = w_i / divisor times B, for each sample.
cdef void loss_factor(int code, const Samples *samples, const real *z, real *S) noexcept nogil


# The code of the loss with a name; NO_LOSS if there is none.
cdef int loss_code(const char *name) noexcept nogil


# The properties of a loss.
cdef Traits loss_traits(int code) noexcept nogil
