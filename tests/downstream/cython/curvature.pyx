# cython: language_level=3, boundscheck=False, wraparound=False
"""matconv from Cython: the gradient of an exported network, and a Gauss-Newton product."""

from libc.stdlib cimport free, malloc
from matconv.kernels cimport (
    MEMORY, OK, Loss, Objective, ObjectiveShape, Samples, check_status, import_matconv,
    objective_close, objective_gauss_newton_f64, objective_get_shape, objective_gradient_f64,
    objective_open, objective_workspace_size,
)

import os

import_matconv()


def gradient_and_product(
    path, bytes loss, const double[:, :, :, ::1] Z, const Py_ssize_t[::1] labels,
    const double[::1] theta, const double[::1] v, double[::1] gradient, double[::1] product,
):
    """Compute f, its gradient and G v for a loss with labels; return f."""
    cdef Loss of_labels = [sizeof(Loss), loss, 0, 0]
    cdef Samples samples = [sizeof(Samples), Z.shape[0], &labels[0], NULL, <double> Z.shape[0]]
    cdef Objective *objective = NULL
    cdef ObjectiveShape shape
    cdef Py_ssize_t size = 0
    cdef double value = 0
    cdef double *scratch = NULL
    cdef int status
    cdef bytes encoded = os.fsencode(path)
    check_status(objective_open(encoded, &of_labels, 0, &objective))
    shape.struct_size = sizeof(ObjectiveShape)
    status = objective_get_shape(objective, &shape)
    wanted = shape.height, shape.width, shape.channels, Z.shape[0], *(4 * [shape.parameters])
    if (Z.shape[1], Z.shape[2], Z.shape[3], len(labels), *map(len, (
        theta, v, gradient, product
    ))) != wanted:
        objective_close(objective)
        raise ValueError("gradient_and_product: the arrays do not fit the network")
    with nogil:
        if status == OK:
            status = objective_workspace_size(objective, samples.images, NULL, &size)
        if status == OK:
            scratch = <double *> malloc(size * sizeof(double))
            status = MEMORY if scratch == NULL else OK
        if status == OK:
            status = objective_gradient_f64(
                objective, &theta[0], &samples, &Z[0, 0, 0, 0], NULL, &value, &gradient[0],
                scratch, size, NULL, NULL,
            )
        if status == OK:
            status = objective_gauss_newton_f64(
                objective, &theta[0], &samples, &Z[0, 0, 0, 0], NULL, &v[0], &product[0], scratch,
                size, NULL, NULL,
            )
        free(scratch)
        objective_close(objective)
    check_status(status)
    return value
