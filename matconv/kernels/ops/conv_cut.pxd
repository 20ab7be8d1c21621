"""How the passes of a convolution are cut into pieces that threads share.

    TILES     forward: runs of tiles of phi, or of blocks of Winograd's tiles
    IMAGES    runs of images; backward each with its own sum for dW
    BANDS     rows of the output of an image; backward each with its own sum for dW, or two that
              are next to each other and overlap in dZ with one
    UNITS     forward: filters; phi or its transform is made again for each piece
    CHANNELS  backward: channels of the input, whose rows of dW no other piece has; likewise for dS

Phases of the backward pass:

    0           positions: dS through the activation, a sum for db; zeros in dZ; W'
    1           images, channels, or the even bands of each image
    2           the odd bands, where bands next to each other overlap in dZ
    last        dW and db from the sums of the pieces, in their order: runs of channels of dW.
                CHANNELS have no sums for dW, and the first piece of phase 1 sums db
"""

from libc.string cimport memset

from .._operation cimport (
    MAX_PIECES, PIECE_ELEMENTS, PIECE_MULTIPLY_ADDS, piece_count, piece_length,
)
from .._conv_driver cimport Convolution, conv_channels, conv_tiles, conv_units
from .._conv_im2col cimport is_direct
from .._conv_taps cimport taps_pay
from .._geometry cimport Geometry

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    TILES = 0
    IMAGES
    BANDS
    UNITS
    CHANNELS

    # so many pieces, which repeat nothing, are enough; more are cut in another way
    ENOUGH_PIECES = 8
    # pieces of the ways that repeat something, or that cost a sum for dW, at most
    MAX_RUNS = 32
    MAX_UNITS = 8
    MAX_WINOGRAD_UNITS = 4
    # so many images are runs enough; fewer are cut into bands
    ENOUGH_IMAGES = 16
    # of a piece at least: columns of a product, or half as many for FEW_RUNS
    MIN_POSITIONS = 256
    MIN_WINOGRAD_TILES = 28
    MIN_TAPS_IMAGES = 16
    FEW_RUNS = 4
    # rows of a product; those of Winograd's against the transforms of the other operand
    MIN_CHANNELS = 32
    MIN_WINOGRAD_CHANNELS = 64
    # of the sums for dW, or twice dW by im2col; and of W' that is not prepared elsewhere
    MAX_SHARED_BYTES = 1 << 26


# Runs of images, or bands of each image.
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
    bint overlap                # of bands next to each other
    Py_ssize_t images           # planned
    Py_ssize_t length           # of CHANNELS: of a piece
    Py_ssize_t pieces           # in all phases but the first and the last
    Py_ssize_t positions, position_pieces       # of phase 0: positions of a piece; pieces
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


# At most `wanted` pieces: images, or `bands` of an image's rows, at least `rows` of them each.
# OUT: runs.
cdef inline void cut_runs(
    const Convolution *c, Py_ssize_t wanted, Py_ssize_t bands, Py_ssize_t rows, Runs *runs
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t positions = g.b_out * g.a_out, minimum = MIN_POSITIONS
    if c.by_winograd:
        positions = c.w.b.tiles * c.w.a.tiles
        minimum = MIN_WINOGRAD_TILES
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


cdef inline Py_ssize_t runs_of(double work) noexcept nogil:
    cdef double runs = min(work / PIECE_MULTIPLY_ADDS, <double> MAX_RUNS)
    return max(<Py_ssize_t> runs, <Py_ssize_t> 1)


# Filters of a piece of UNITS.
cdef inline Py_ssize_t units_of(const Convolution *c, double work) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t pieces = MAX_PIECES, minimum = MIN_CHANNELS
    if c.by_winograd:
        pieces, minimum = MAX_WINOGRAD_UNITS, MIN_WINOGRAD_CHANNELS
    elif not is_direct(g):
        pieces = MAX_UNITS
    minimum = max(minimum, ceil_div(g.d_out, pieces))
    return rounded_up(
        max(piece_length(g.d_out, work / g.d_out, PIECE_MULTIPLY_ADDS), minimum), 8
    )


# OUT: cut. Returns the elements of scratch of the pass, whole or in pieces. A frozen network's
# pieces by Winograd are whole blocks, which repeat nothing: it is one thread that usually runs it.
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
        # smaller than the blocks of the pass as a whole
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


# Rows q to q' - 1 of the output write rows q s - top to (q' - 1) s - top + (h - 1) dil of dZ, and
# those of the band after the next begin at q" s - top. So bands meet only their neighbours when
# (q" - q') s >= (h - 1) dil + 1 - s, and not even these when that is 0 or less.
cdef inline Py_ssize_t min_band(const Geometry *g) noexcept nogil:
    return max((g.h_b - 1) * g.dil_b // g.s_b, <Py_ssize_t> 1)


cdef inline bint bands_overlap(const Geometry *g) noexcept nogil:
    return (g.h_b - 1) * g.dil_b >= g.s_b


# Runs of images or bands, as far as there is memory for their sums. OUT: cut. Returns how many of
# them threads can share at a time.
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


# OUT: cut. Returns the elements of scratch of a piece.
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


# Sums for dW that pieces make of so many images.
cdef inline Py_ssize_t sums_of(const BackwardCut *cut, Py_ssize_t images) noexcept nogil:
    if cut.way == CHANNELS:
        return 0
    if cut.way == IMAGES:
        return ceil_div(images, cut.runs.length)
    return images * ((cut.runs.bands + 1) // 2 if cut.overlap else cut.runs.bands)


# OUT: cut. Returns the elements of scratch of the pass, whole or in pieces.
cdef inline Py_ssize_t cut_backward(const Convolution *c, BackwardCut *cut) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t n = g.l * g.b_out * g.a_out, at_once, sums, scratch
    cdef double work = 2 * multiply_adds(g)
    cdef BackwardCut channels
    memset(cut, 0, sizeof(BackwardCut))
    cut.pieces = 1
    # no sum below overflows
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


# Pieces of a phase of the backward pass; 0: there is no such phase.
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


# Whether phase 0 sets dZ to zero, and the other phases add to it.
cdef inline bint adds_images(const Convolution *c, const BackwardCut *cut) noexcept nogil:
    return cut.way != IMAGES and (c.by_winograd or not is_direct(&c.g))
