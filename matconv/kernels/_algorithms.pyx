"""The choice of the algorithm of a convolution, and of the tiles of Winograd's algorithm.

With few channels per group the loops of `_conv_direct` are chosen. Otherwise the candidate with the
minimum cost is chosen. The unit is one multiply-add of a product of matrices in cache; the
constants for other operations are measured in this unit:

    im2col      outputs (K d_out + GATHER K), or without the zeros of phi (`_conv_taps`);
                outputs K d_out if phi is not gathered (`_conv_offsets`)
    winograd    tiles n_b n_a (d' d_out + TRANSFORM (d' + d_out + CALL)) + n_b n_a FILTERS d' d_out

with d' = s_b s_a d channels of all phases; the constants are those of `_tuning`, by the dtype.
Gathering an element is cheap if rows of one channel are copied (GATHER_ROW). The second line has
the transforms of tiles and, last, of the filters, which is not negligible for few images. The
filters of a frozen network are transformed only once; their cost is that of reading them from
memory, STREAM for each element of U, or of W. ``bench/run.py layers --peers im2col winograd``
compares what is chosen here with both algorithms.

Larger tiles need fewer products and are less accurate; `toom_cook.LARGEST` has the largest tiles.
"""

from ._conv_direct cimport DIRECT, direct_pays
from ._conv_offsets cimport offsets_pay
from ._conv_taps cimport taps_count, taps_pay
from ._geometry cimport Geometry
from ._tuning cimport Tuning, tuning_of
from ._winograd cimport Winograd, winograd_plan

cdef enum:
    MAX_OUTPUTS = 9         # of a tile in one direction: 10 inputs, 2 filter taps

# in the order of AUTO, IM2COL, WINOGRAD
DESCRIPTIONS = {
    "auto": "whichever is faster, by a fixed rule",
    "im2col": "one matrix product, as in the notes",
    "winograd": "transforms that need fewer products, where there are any",
}
NAMES = tuple(DESCRIPTIONS)


cdef double im2col_cost(const Geometry *g, bint is_double, bint prepared) noexcept nogil:
    cdef double outputs = <double> g.l * g.b_out * g.a_out * g.groups
    cdef const Tuning *tuning = tuning_of(is_double)
    cdef double gather = tuning.gather
    cdef double filters = tuning.stream * g.K * g.d_out if prepared else 0
    if g.d == 1 and g.s_a == 1:
        gather = tuning.gather_row
    if taps_pay(g):
        return filters + <double> g.l * g.groups * taps_count(g) * g.d_g * g.d_out_g
    if offsets_pay(g):
        return filters + outputs * g.K * g.d_out
    return filters + outputs * g.K * (g.d_out_g + gather)


cdef double winograd_cost(
    const Geometry *g, const Winograd *w, bint is_double, bint prepared
) noexcept nogil:
    cdef const Tuning *tuning = tuning_of(is_double)
    cdef double filters = tuning.stream if prepared else tuning.filters
    cdef double channels = <double> w.inner + g.d_out_g + tuning.call
    cdef double tiles = <double> g.l * w.b.tiles * w.a.tiles
    cdef double product = <double> w.inner * g.d_out_g
    return g.groups * <double> w.positions * (
        tiles * (product + tuning.transform * channels) + filters * product
    )


cdef void choose_tile(
    const Geometry *g, bint is_double, int algorithm, bint prepared, Py_ssize_t *m_b,
    Py_ssize_t *m_a,
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef double cost, minimum = im2col_cost(g, is_double, prepared)
    cdef bint found = algorithm != WINOGRAD
    cdef Winograd w
    m_b[0] = 0
    m_a[0] = 0
    if algorithm == AUTO and direct_pays(g):
        m_b[0] = m_a[0] = DIRECT
        return
    if algorithm == IM2COL:
        return
    for i in range(2, MAX_OUTPUTS + 1):
        for j in range(2, MAX_OUTPUTS + 1):
            if winograd_plan(g, i, j, is_double, &w):
                cost = winograd_cost(g, &w, is_double, prepared)
                if not found or cost < minimum:
                    found = True
                    minimum = cost
                    m_b[0] = i
                    m_a[0] = j


def as_algorithm(str function, name):
    """Return the code of an algorithm from its name."""
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(
            f"{function}: algorithm must be 'auto', 'im2col' or 'winograd', got {name!r}"
        )
    return NAMES.index(name)
