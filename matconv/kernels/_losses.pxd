"""Compiled losses: xi summed over samples, its gradient, and its Hessian B.

A sample is an image with all its outputs, or a position of the output with its channels. A loss is
a record in the table of `_losses.pyx`; its code is 1 more than its index, and 0 is no loss.
"""

from ._types cimport real

cdef enum:
    NO_LOSS = 0


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
