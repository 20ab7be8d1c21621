"""The pieces of the passes of a convolution, which threads share.

    TILES     forward: several tiles of phi, or blocks of Winograd's tiles
    IMAGES    several images; backward each piece has its own sum for dW
    BANDS     rows of the output of an image; backward each piece has its own sum for dW, or two
              adjacent ones that overlap in dZ share one
    UNITS     forward: several filters; phi, or the transform of Z, is computed for each piece
    CHANNELS  backward: several channels of the input, with their rows of dW; dS is read, or
              transformed, for each piece

Phases of the backward pass:

    0           positions: dS through the activation, a sum for db; dZ = 0; prepared filters
    1           images, channels, or the even bands of each image
    2           the odd bands, if adjacent bands overlap in dZ
    last        dW and db from the sums of the pieces, in their order, for several channels of dW.
                With CHANNELS there are no sums for dW, and the first piece of phase 1 computes db
"""

from libc.string cimport memset

from .._operation cimport (
    MAX_PIECES, PIECE_ELEMENTS, PIECE_MULTIPLY_ADDS, piece_count, piece_length,
)
from .._conv_driver cimport Convolution, conv_channels, conv_tiles, conv_units
from .._columns cimport columns_pay
from .._conv_im2col cimport is_direct
from .._conv_taps cimport taps_pay
from .._geometry cimport Geometry
from .._tuning cimport tuning_of

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    TILES = 0
    IMAGES
    BANDS
    UNITS
    CHANNELS

    # if there are fewer pieces that do not repeat work, others are considered
    ENOUGH_PIECES = 8
    # maximum number of pieces that repeat work, or that have their own sum for dW
    MAX_RUNS = 32
    MAX_UNITS = 8
    MAX_WINOGRAD_UNITS = 4
    # fewer images are divided into bands
    ENOUGH_IMAGES = 16
    # minimum columns of the products of a piece; half as many for up to FEW_RUNS pieces
    MIN_POSITIONS = 256
    MIN_TAPS_IMAGES = 16
    FEW_RUNS = 4
    # minimum rows of a product; by Winograd's algorithm the other operand is transformed for these
    MIN_CHANNELS = 32
    MIN_WINOGRAD_CHANNELS = 64
    MIN_COLUMN_CHANNELS = 512   # of `columns_product`, which reads so many elements in a row
    # maximum bytes of the sums for dW (by im2col two are always allowed), and of prepared filters
    MAX_SHARED_BYTES = 1 << 26


# Pieces of IMAGES or BANDS.
cdef struct Runs:
    int way
    Py_ssize_t length           # images or output rows of a piece
    Py_ssize_t bands            # of an image
    Py_ssize_t pieces


cdef struct ForwardCut:
    int way
    Runs runs
    Py_ssize_t length           # filters of a piece of UNITS
    Py_ssize_t pieces


cdef struct BackwardCut:
    int way
    Runs runs
    bint overlap                # whether adjacent bands overlap in dZ
    Py_ssize_t images           # planned
    Py_ssize_t length           # channels of a piece of CHANNELS
    Py_ssize_t pieces           # in all phases except the first and the last
    Py_ssize_t positions, position_pieces       # phase 0: positions of a piece; number of pieces
    Py_ssize_t channels, channel_pieces         # last phase: channels of a piece; number of pieces
    # elements: offsets of prepared filters and of the sums for dW in the shared scratch; its size
    Py_ssize_t filters_at, sums_at, shared


# x / y, rounded up.
cdef inline Py_ssize_t ceil_div(Py_ssize_t x, Py_ssize_t y) noexcept nogil:
    return (x + y - 1) // y


# x, rounded up to a multiple.
cdef inline Py_ssize_t rounded_up(Py_ssize_t x, Py_ssize_t multiple) noexcept nogil:
    return ceil_div(x, multiple) * multiple


# Multiply-adds of the forward pass.
cdef inline double multiply_adds(const Geometry *g) noexcept nogil:
    return <double> g.l * g.b_out * g.a_out * g.d_out * g.K


# Whether the convolution is computed by taps.
cdef inline bint has_taps(const Convolution *c) noexcept nogil:
    return not c.by_winograd and not c.direct and taps_pay(&c.g)


# Divide into up to `wanted` pieces of IMAGES, or up to `bands` BANDS of each image, with at least
# `rows` rows each. OUT: runs.
cdef inline void cut_runs(
    const Convolution *c, Py_ssize_t wanted, Py_ssize_t bands, Py_ssize_t rows, Runs *runs
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t positions = g.b_out * g.a_out, minimum = MIN_POSITIONS
    if c.by_winograd:
        positions = c.w.b.tiles * c.w.a.tiles
        minimum = tuning_of(c.is_double).min_piece_tiles
    bands = min(bands, max(positions // minimum, min(2 * positions // minimum, FEW_RUNS)))
    if g.l < ENOUGH_IMAGES and bands > 1:
        runs.way = BANDS
        runs.length = max(ceil_div(g.b_out, bands), rows)
        if c.by_winograd:
            runs.length = rounded_up(runs.length, c.w.b.m)
        runs.bands = ceil_div(g.b_out, runs.length)
        runs.pieces = g.l * runs.bands
        if runs.bands > 1:
            return
    runs.way = IMAGES
    runs.bands = 1
    # near-equal runs
    runs.pieces = g.l // ceil_div(minimum, positions)
    runs.pieces = max(
        runs.pieces, min(g.l // ceil_div(minimum, 2 * positions), <Py_ssize_t> FEW_RUNS)
    )
    if has_taps(c):
        runs.pieces = min(runs.pieces, g.l // MIN_TAPS_IMAGES)
    runs.pieces = max(min(wanted, runs.pieces), <Py_ssize_t> 1)
    runs.length = ceil_div(g.l, runs.pieces)
    runs.pieces = ceil_div(g.l, runs.length)


# The number of runs for this number of multiply-adds.
cdef inline Py_ssize_t runs_of(double work) noexcept nogil:
    cdef double runs = min(work / PIECE_MULTIPLY_ADDS, <double> MAX_RUNS)
    return max(<Py_ssize_t> runs, <Py_ssize_t> 1)


# Filters of a piece of UNITS.
cdef inline Py_ssize_t units_of(const Convolution *c, double work) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t pieces = MAX_PIECES, minimum = MIN_CHANNELS
    if c.by_winograd:
        pieces, minimum = MAX_WINOGRAD_UNITS, MIN_WINOGRAD_CHANNELS
    elif columns_pay(g.d_out, g.l * g.b_out * g.a_out, g.K, c.is_double):
        minimum = MIN_COLUMN_CHANNELS
    elif not is_direct(g):
        pieces = MAX_UNITS
    minimum = max(minimum, ceil_div(g.d_out, pieces))
    return rounded_up(
        max(piece_length(g.d_out, work / g.d_out, PIECE_MULTIPLY_ADDS), minimum), 8
    )


# Divide the forward pass. OUT: cut. Returns the elements of scratch of the pass, as a whole or in
# pieces. In a frozen network, which usually runs on one thread, pieces by Winograd's algorithm are
# whole blocks, which do not repeat work.
cdef inline Py_ssize_t cut_forward(
    const Convolution *c, bint frozen, ForwardCut *cut
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef double work = multiply_adds(g)
    cdef Py_ssize_t tiles = conv_tiles(c), runs = runs_of(work), pieces
    cdef Convolution part
    memset(cut, 0, sizeof(ForwardCut))
    cut.pieces = piece_count(
        tiles, piece_length(tiles, work / max(tiles, <Py_ssize_t> 1), PIECE_MULTIPLY_ADDS)
    )
    if c.by_winograd and frozen:
        return c.forward
    if c.by_winograd and cut.pieces < ENOUGH_PIECES and g.l > 0:
        # runs have smaller blocks than the pass as a whole
        cut_runs(c, runs, ceil_div(runs, g.l), 1, &cut.runs)
        if cut.runs.pieces > cut.pieces:
            cut.way = cut.runs.way
            cut.pieces = cut.runs.pieces
    if g.groups > 1 or has_taps(c):
        return c.forward
    cut.length = units_of(c, work)
    pieces = piece_count(g.d_out, cut.length)
    if cut.pieces >= min(pieces, <Py_ssize_t> (4 if c.by_winograd else ENOUGH_PIECES)):
        return c.forward
    cut.way = UNITS
    cut.pieces = pieces
    conv_units(c, 0, cut.length, &part)
    return max(c.forward, part.forward)


# Output rows of a band such that only adjacent bands overlap in dZ. Rows q to q' - 1 of the output
# write rows q s - top to (q' - 1) s - top + (h - 1) dil of dZ, and those of the band after the next
# begin at q" s - top, so the condition is (q" - q') s >= (h - 1) dil + 1 - s.
cdef inline Py_ssize_t min_band(const Geometry *g) noexcept nogil:
    return max((g.h_b - 1) * g.dil_b // g.s_b, <Py_ssize_t> 1)


# Whether adjacent bands overlap in dZ: (h - 1) dil + 1 - s > 0.
cdef inline bint bands_overlap(const Geometry *g) noexcept nogil:
    return (g.h_b - 1) * g.dil_b >= g.s_b


# Divide the backward pass into IMAGES or BANDS, limited by the memory of their sums. OUT: cut.
# Returns how many pieces can run at the same time.
cdef inline Py_ssize_t cut_backward_runs(
    const Convolution *c, double work, BackwardCut *cut
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t item = sizeof(double) if c.is_double else sizeof(float)
    cdef Py_ssize_t runs = runs_of(work), bands
    cdef Py_ssize_t sums = max(
        MAX_SHARED_BYTES // item // c.sum, <Py_ssize_t> (0 if c.by_winograd else 2)
    )
    cut.pieces = 1
    if sums < 2 or c.prepared_backward > MAX_SHARED_BYTES // item:
        return 1
    cut.overlap = bands_overlap(g)
    bands = min(ceil_div(runs, g.l), sums // g.l * (2 if cut.overlap else 1))
    cut_runs(c, min(runs, sums), bands, min_band(g), &cut.runs)
    cut.way = cut.runs.way
    cut.pieces = cut.runs.pieces
    cut.overlap = cut.overlap and cut.way == BANDS
    return g.l * (cut.runs.bands // 2) if cut.overlap else cut.pieces


# Divide the backward pass into CHANNELS. OUT: cut. Returns the elements of scratch of a piece.
cdef inline Py_ssize_t cut_channels(
    const Convolution *c, double work, BackwardCut *cut
) noexcept nogil:
    cdef Py_ssize_t d = c.g.d_g
    cdef Convolution part, last
    cut.way = CHANNELS
    cut.overlap = False
    cut.length = max(
        piece_length(d, work / d, PIECE_MULTIPLY_ADDS),
        <Py_ssize_t> (MIN_WINOGRAD_CHANNELS if c.by_winograd else MIN_CHANNELS),
    )
    cut.length = min(rounded_up(cut.length, 8), d)
    cut.pieces = ceil_div(d, cut.length)
    conv_channels(c, 0, cut.length, &part)
    conv_channels(c, (cut.pieces - 1) * cut.length, d, &last)
    return max(part.backward, last.backward)


# The number of sums for dW for this number of images.
cdef inline Py_ssize_t sums_of(const BackwardCut *cut, Py_ssize_t images) noexcept nogil:
    if cut.way == CHANNELS:
        return 0
    if cut.way == IMAGES:
        return ceil_div(images, cut.runs.length)
    return images * ((cut.runs.bands + 1) // 2 if cut.overlap else cut.runs.bands)


# Divide the backward pass. OUT: cut. Returns the elements of scratch of the pass, as a whole or in
# pieces.
cdef inline Py_ssize_t cut_backward(const Convolution *c, BackwardCut *cut) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t n = g.l * g.b_out * g.a_out, at_once, sums, scratch
    cdef double work = 2 * multiply_adds(g)
    cdef BackwardCut channels
    memset(cut, 0, sizeof(BackwardCut))
    cut.pieces = 1
    # so that no sum below overflows
    if g.l == 0 or c.prepared > PY_SSIZE_T_MAX // 1024:
        return c.backward
    cut.images = g.l
    cut.positions = piece_length(n, g.d_out, PIECE_ELEMENTS)
    cut.position_pieces = piece_count(n, cut.positions)
    at_once = cut_backward_runs(c, work, cut)
    scratch = c.backward
    if g.groups == 1:
        channels = cut[0]
        sums = cut_channels(c, work, &channels)
        if at_once < min(channels.pieces, <Py_ssize_t> ENOUGH_PIECES):
            cut[0] = channels
            scratch = max(scratch, sums)
            at_once = channels.pieces
    if at_once == 1:
        cut.pieces = 1
        return c.backward
    sums = sums_of(cut, g.l)
    cut.channels = piece_length(g.d_g, <double> sums * c.sum / g.d_g, PIECE_ELEMENTS)
    cut.channel_pieces = piece_count(g.d_g, cut.channels)
    cut.filters_at = rounded_up(cut.position_pieces * g.d_out, 8)
    cut.sums_at = cut.filters_at
    if cut.way != CHANNELS:
        cut.sums_at += rounded_up(c.prepared_backward, 8)
    cut.shared = cut.sums_at + sums * c.sum
    return scratch


# The number of pieces of a phase of the backward pass; 0 if there is no such phase.
cdef inline Py_ssize_t backward_phase(const BackwardCut *cut, int phase) noexcept nogil:
    cdef bint overlap = cut.overlap
    if phase == 0:
        return 1 if cut.pieces == 1 else cut.position_pieces
    if cut.pieces == 1:
        return 0
    if phase == 1:
        return cut.images * ((cut.runs.bands + 1) // 2) if overlap else cut.pieces
    if phase == 2 and overlap:
        return cut.images * (cut.runs.bands // 2)
    if phase == (3 if overlap else 2) and cut.way != CHANNELS:
        return cut.channel_pieces
    return 0


# Whether phase 0 sets dZ to zero and the other phases add to it.
cdef inline bint adds_images(const Convolution *c, const BackwardCut *cut) noexcept nogil:
    return cut.way != IMAGES and (c.by_winograd or not is_direct(&c.g))
