"""The transforms of the filters: U = G_b g G'_a, its transpose, and the adjoint."""

from ._geometry cimport Geometry
from ._tile cimport add_run, copy_run, transpose, zero_run
from ._transforms cimport apply
from ._types cimport real
from ._winograd cimport Winograd


# The taps of phase (u, v) of a filter: r_b x r_a runs of `run` elements, zero if the phase has
# fewer taps. IN: W, with rows `row` and columns `column` apart. OUT: taps.
cdef inline void gather_taps(
    const Geometry *g, const Winograd *w, Py_ssize_t u, Py_ssize_t v, const real *W,
    Py_ssize_t row, Py_ssize_t column, Py_ssize_t run, real *taps,
) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(w.b.r):
        for j in range(w.a.r):
            if i * g.s_b + u < g.h_b and j * g.s_a + v < g.h_a:
                copy_run(taps, W + (i * g.s_b + u) * row + (j * g.s_a + v) * column, run)
            else:
                zero_run(taps, run)
            taps += run


# U(positions, inner, d_out) = G_b g G'_a. IN: W. OUT: U. SCRATCH: work.
cdef inline void filter_transform(
    const Geometry *g, const Winograd *w, const real *W, real *U, real *work
) noexcept nogil:
    cdef Py_ssize_t f = g.d_out, j, u, v, i
    cdef real *half = work + w.size_work
    for u in range(w.b.phases):
        for v in range(w.a.phases):
            for j in range(g.d_g):
                gather_taps(g, w, u, v, W + j * g.h_b * g.h_a * f, g.h_a * f, f, f, work)
                apply(w.b.filter, w.a.r * f, work, w.a.r * f, half, w.a.r * f)
                for i in range(w.b.n):
                    apply(w.a.filter, f, half + i * w.a.r * f, f,
                          U + i * w.a.n * w.step_U, w.step_U)
                U += f


# The adjoint of filter_transform: dW = G'_b dU G_a, or += if add, of channels first to last - 1.
# IN: dU. OUT: dW. SCRATCH: work.
cdef inline void filter_transform_adjoint(
    const Geometry *g, const Winograd *w, const real *dU, Py_ssize_t first, Py_ssize_t last,
    bint add, real *dW, real *work,
) noexcept nogil:
    cdef Py_ssize_t f = g.d_out, j, u, v, i, k
    cdef real *half = work + w.size_work
    cdef real *tap
    dU += first * f
    for u in range(w.b.phases):
        for v in range(w.a.phases):
            for j in range(first, last):
                for i in range(w.b.n):
                    apply(w.a.filter_adjoint, f, dU + i * w.a.n * w.step_U, w.step_U,
                          half + i * w.a.r * f, f)
                apply(w.b.filter_adjoint, w.a.r * f, half, w.a.r * f, work, w.a.r * f)
                for i in range(w.b.r):
                    for k in range(w.a.r):
                        if i * g.s_b + u >= g.h_b or k * g.s_a + v >= g.h_a:
                            continue
                        tap = dW + ((j * g.h_b + i * g.s_b + u) * g.h_a + k * g.s_a + v) * f
                        if add:
                            add_run(tap, work + (i * w.a.r + k) * f, f)
                        else:
                            copy_run(tap, work + (i * w.a.r + k) * f, f)
                dU += f
            # skip the other channels of this phase
            dU += (g.d_g - (last - first)) * f


# U'(positions, d_out, inner) of filters first to last - 1: each U_k is transposed, since dgemm is
# faster if neither operand of the product for dV is transposed. IN: W. OUT: Ut. SCRATCH: work; Wt,
# K (last - first) elements, W in the order (h_b, h_a, last - first, d_g).
cdef inline void filter_transform_transposed(
    const Geometry *g, const Winograd *w, const real *W, real *Ut, Py_ssize_t first,
    Py_ssize_t last, real *work, real *Wt,
) noexcept nogil:
    cdef Py_ssize_t f, u, v, i, pixel, hh = g.h_b * g.h_a, d_g = g.d_g, n = last - first
    cdef real *half = work + w.size_work
    for pixel in range(hh):
        transpose(d_g, n, W + pixel * g.d_out + first, hh * g.d_out, Wt + pixel * n * d_g, d_g)
    Ut += first * w.inner
    for f in range(n):
        for u in range(w.b.phases):
            for v in range(w.a.phases):
                gather_taps(g, w, u, v, Wt + f * d_g, g.h_a * n * d_g, n * d_g, d_g, work)
                apply(w.b.filter, w.a.r * d_g, work, w.a.r * d_g, half, w.a.r * d_g)
                for i in range(w.b.n):
                    apply(w.a.filter, d_g, half + i * w.a.r * d_g, d_g,
                          Ut + i * w.a.n * w.step_U, w.step_U)
                Ut += d_g
