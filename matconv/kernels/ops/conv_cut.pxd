"""How the passes of a convolution are cut into pieces that threads share.

    forward     TILES     runs of tiles of phi, or of blocks of Winograd's tiles
                UNITS     filters; phi or its transform is made again for each piece
    backward    IMAGES    runs of images, each with its own sum for dW
                BANDS     rows of the output of an image, each pair with its own sum for dW
                CHANNELS  channels of the input, whose rows of dW no other piece has

Phases of the backward pass:

    0           positions: dS through the activation, a sum for db; zeros in dZ; W'
    1           images, channels, or the even bands of each image
    2           the odd bands, where bands next to each other overlap in dZ
    last        dW and db from the sums of the pieces, in their order: runs of channels of dW.
                CHANNELS have no sums for dW, and the first piece of phase 1 sums db
"""

from .._operation cimport (
    MAX_PIECES, PIECE_ELEMENTS, PIECE_MULTIPLY_ADDS, piece_count, piece_length,
)
from ..conv_driver cimport Convolution, conv_channels, conv_tiles, conv_units
from ..conv_im2col cimport is_direct
from ..conv_taps cimport taps_pay
from ..geometry cimport Geometry

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    TILES
    UNITS
    IMAGES
    BANDS
    CHANNELS

    # pieces that are enough for the way that repeats nothing
    ENOUGH_PIECES = 8
    # and runs of images or rows, each of which costs a sum for dW
    MAX_RUNS = 32
    # so many images are runs enough; fewer are cut into bands
    ENOUGH_IMAGES = 16
    # of a piece at least: columns of a product
    MIN_POSITIONS = 256
    MIN_WINOGRAD_TILES = 14
    MIN_TAPS_IMAGES = 16
    # rows of a product; those of Winograd's against the transforms of the other operand
    MIN_CHANNELS = 32
    MIN_WINOGRAD_CHANNELS = 64
    # of the sums for dW, or twice dW by im2col; and of W' that is not prepared elsewhere
    MAX_SHARED_BYTES = 1 << 26


cdef struct ForwardCut:
    int way
    Py_ssize_t length           # filters of a piece of UNITS
    Py_ssize_t pieces


cdef struct BackwardCut:
    int way
    Py_ssize_t positions, position_pieces       # of phase 0: positions of a piece; pieces
    Py_ssize_t length           # images, output rows or channels of a piece
    Py_ssize_t images, bands    # planned; of an image
    bint overlap                # of bands next to each other
    Py_ssize_t pieces           # of all images, in all phases but the first and the last
    Py_ssize_t channels, channel_pieces         # of the last phase: channels of a piece; pieces
    Py_ssize_t filters_at, sums_at, shared      # elements: W', sums for dW in `shared`, and all


cdef inline Py_ssize_t ceil_div(Py_ssize_t x, Py_ssize_t y) noexcept nogil:
    return (x + y - 1) // y


cdef inline Py_ssize_t rounded_up(Py_ssize_t x, Py_ssize_t multiple) noexcept nogil:
    return ceil_div(x, multiple) * multiple


cdef inline double multiply_adds(const Geometry *g) noexcept nogil:
    return <double> g.l * g.b_out * g.a_out * g.d_out * g.K


cdef inline bint has_taps(const Convolution *c) noexcept nogil:
    return not c.by_winograd and taps_pay(&c.g)


# OUT: cut. Returns the elements of scratch of the pass, whole or in pieces.
cdef inline Py_ssize_t cut_forward(const Convolution *c, ForwardCut *cut) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef double work = multiply_adds(g)
    cdef Py_ssize_t tiles = conv_tiles(c), units, pieces
    cdef Convolution part
    cut.way = TILES
    cut.pieces = piece_count(
        tiles, piece_length(tiles, work / max(tiles, <Py_ssize_t> 1), PIECE_MULTIPLY_ADDS)
    )
    if g.groups > 1 or has_taps(c):
        return c.forward
    units = piece_length(g.d_out, work / g.d_out, PIECE_MULTIPLY_ADDS)
    units = max(units, <Py_ssize_t> (MIN_WINOGRAD_CHANNELS if c.by_winograd else MIN_CHANNELS))
    units = rounded_up(units, 8)
    pieces = piece_count(g.d_out, units)
    if cut.pieces >= min(pieces, <Py_ssize_t> ENOUGH_PIECES):
        return c.forward
    cut.way = UNITS
    cut.length = units
    cut.pieces = pieces
    conv_units(c, 0, units, &part)
    return max(c.forward, part.forward)


# Rows q to q' - 1 of the output write rows q s - top to (q' - 1) s - top + (h - 1) dil of dZ, and
# those of the band after the next begin at q" s - top. So bands meet only their neighbours when
# (q" - q') s >= (h - 1) dil + 1 - s, and not even these when that is 0 or less.
cdef inline Py_ssize_t min_band(const Geometry *g) noexcept nogil:
    return max((g.h_b - 1) * g.dil_b // g.s_b, <Py_ssize_t> 1)


cdef inline bint bands_overlap(const Geometry *g) noexcept nogil:
    return (g.h_b - 1) * g.dil_b >= g.s_b


# Runs of images or bands. OUT: cut.
cdef inline void cut_runs(const Convolution *c, double work, BackwardCut *cut) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t item = sizeof(double) if c.is_double else sizeof(float)
    cdef Py_ssize_t positions = g.b_out * g.a_out, minimum = MIN_POSITIONS
    cdef Py_ssize_t sums = max(
        MAX_SHARED_BYTES // item // c.sum, <Py_ssize_t> (0 if c.by_winograd else 2)
    )
    cdef Py_ssize_t runs = <Py_ssize_t> min(work / PIECE_MULTIPLY_ADDS, <double> MAX_RUNS)
    runs = max(runs, <Py_ssize_t> 1)
    if c.by_winograd:
        positions = c.w.b.tiles * c.w.a.tiles
        minimum = MIN_WINOGRAD_TILES
    cut.way = IMAGES
    cut.bands = cut.pieces = 1
    cut.overlap = False
    if sums < 2:
        return
    if g.l < ENOUGH_IMAGES:
        cut.overlap = bands_overlap(g)
        cut.bands = min(ceil_div(runs, g.l), positions // minimum)
        cut.bands = min(cut.bands, sums // g.l * (2 if cut.overlap else 1))
    if cut.bands > 1:
        cut.way = BANDS
        cut.length = max(ceil_div(g.b_out, cut.bands), min_band(g))
        if c.by_winograd:
            cut.length = rounded_up(cut.length, c.w.b.m)
        cut.bands = ceil_div(g.b_out, cut.length)
    if cut.bands <= 1:
        cut.way = IMAGES
        cut.bands = 1
        cut.overlap = False
        cut.length = max(ceil_div(g.l, min(runs, sums)), ceil_div(minimum, positions))
        if has_taps(c):
            cut.length = max(cut.length, <Py_ssize_t> MIN_TAPS_IMAGES)
    cut.pieces = ceil_div(g.l, cut.length) if cut.way == IMAGES else g.l * cut.bands


# OUT: cut. Returns the elements of scratch of a piece.
cdef inline Py_ssize_t cut_channels(
    const Convolution *c, double work, BackwardCut *cut
) noexcept nogil:
    cdef Py_ssize_t d = c.g.d_g
    cdef Convolution part, last
    cut.way = CHANNELS
    cut.length = max(
        piece_length(d, work / d, PIECE_MULTIPLY_ADDS),
        <Py_ssize_t> (MIN_WINOGRAD_CHANNELS if c.by_winograd else MIN_CHANNELS),
    )
    cut.length = min(rounded_up(cut.length, 8), d)
    cut.pieces = ceil_div(d, cut.length)
    conv_channels(c, 0, cut.length, &part)
    conv_channels(c, (cut.pieces - 1) * cut.length, d, &last)
    return max(part.backward, last.backward)


# Sums for dW that pieces make of so many images.
cdef inline Py_ssize_t sums_of(const BackwardCut *cut, Py_ssize_t images) noexcept nogil:
    if cut.way == CHANNELS:
        return 0
    if cut.way == IMAGES:
        return ceil_div(images, cut.length)
    return images * ((cut.bands + 1) // 2 if cut.overlap else cut.bands)


# OUT: cut. Returns the elements of scratch of the pass, whole or in pieces.
cdef inline Py_ssize_t cut_backward(const Convolution *c, BackwardCut *cut) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t item = sizeof(double) if c.is_double else sizeof(float)
    cdef Py_ssize_t n = g.l * g.b_out * g.a_out, sums, scratch
    cdef double work = 2 * multiply_adds(g)
    cdef BackwardCut channels
    cut.shared = 0
    cut.pieces = 1
    # no sum below overflows
    if g.l == 0 or c.prepared > PY_SSIZE_T_MAX // 1024:
        return c.backward
    cut.images = g.l
    cut.positions = piece_length(n, g.d_out, PIECE_ELEMENTS)
    cut.position_pieces = piece_count(n, cut.positions)
    cut_runs(c, work, cut)
    if c.prepared_backward > MAX_SHARED_BYTES // item:
        cut.pieces = 1
    scratch = c.backward
    if g.groups == 1:
        channels = cut[0]
        sums = cut_channels(c, work, &channels)
        if cut.pieces < min(channels.pieces, <Py_ssize_t> ENOUGH_PIECES):
            cut[0] = channels
            scratch = max(scratch, sums)
    if cut.pieces == 1:
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


# Pieces of a phase of the backward pass; 0: there is no such phase.
cdef inline Py_ssize_t backward_phase(const BackwardCut *cut, int phase) noexcept nogil:
    cdef bint overlap = cut.way == BANDS and cut.overlap
    if phase == 0:
        return 1 if cut.pieces == 1 else cut.position_pieces
    if cut.pieces == 1:
        return 0
    if phase == 1:
        return cut.images * ((cut.bands + 1) // 2) if overlap else cut.pieces
    if phase == 2 and overlap:
        return cut.images * (cut.bands // 2)
    if phase == (3 if overlap else 2) and cut.way != CHANNELS:
        return cut.channel_pieces
    return 0


# Whether phase 0 sets dZ to zero, and the other phases add to it.
cdef inline bint adds_images(const Convolution *c, const BackwardCut *cut) noexcept nogil:
    return cut.way != IMAGES and (c.by_winograd or not is_direct(&c.g))
