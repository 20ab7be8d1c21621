"""Activations that are rounded several times; see `_activation`."""

from ._activation cimport Activation
from ._types cimport real

# Z(n, d) = sigma(S(n, d) + 1 b'), for a code from SIGMOID on. IN: S, b (d,) or NULL. OUT: Z, may be
# S.
cdef void rounded_rows(
    const Activation *activation, Py_ssize_t n, Py_ssize_t d, const real *S, const real *b, real *Z
) noexcept nogil

# dS(n) = sigma' dZ. IN: dZ; Z = sigma(S), or S if the activation needs its input. OUT: dS, may be
# dZ.
cdef void rounded_backward_rows(
    const Activation *activation, Py_ssize_t n, const real *dZ, const real *Z, real *dS
) noexcept nogil

# dS(n) = sigma' dZ and tdS(n) = sigma' tdZ + sigma'' tS dZ, for a code from SIGMOID on. IN: S and
# tS = R{S} if the activation needs its input, otherwise Z = sigma(S) and tZ = sigma' R{S} in their
# place. INOUT: dZ, tdZ, which become dS, tdS.
cdef void rounded_curved_rows(
    const Activation *activation, Py_ssize_t n, const real *S, const real *tS, real *dZ, real *tdZ
) noexcept nogil
