"""The pieces of the passes of a transposed convolution, which threads share.

A piece is several images or, if there are few, a band of an image: several rows of Z. Phases:

    forward, images
        0   S
    forward, bands
        0   the even bands of each image, or all of them if adjacent bands do not overlap in S
        1   the odd bands, added; the bias and the activation
    backward, images
        0   dS through the activation, dZ, sums for db and dW
        1   several channels of dW from the sums, in their order; the first piece also computes db
    backward, bands
        0   several pixels: dS through the activation, sums for db
        1   dZ, sums for dW
        2   as phase 1 of images
"""

from libc.string cimport memset

from .._activation cimport ACTIVATION_NONE, Activation
from .._operation cimport (
    Call, PIECE_ELEMENTS, Range, Step, piece_count, piece_length, range_of,
)
from .._bias_relu cimport activation_backward_rows, bias_activation_rows
from .._conv_driver cimport (
    Convolution, conv_add_sums, conv_backward_prepared, conv_backward_sum, conv_band,
    conv_forward_prepared, conv_prepare, conv_reads_theta, conv_set_images, conv_tiles,
)
from .._geometry cimport Geometry
from .._tile cimport add_run
from .._types cimport real
from .conv_cut cimport (
    BANDS, ENOUGH_PIECES, IMAGES, MAX_RUNS, MAX_SHARED_BYTES, Runs, bands_overlap, ceil_div,
    cut_runs, min_band, multiply_adds, runs_of,
)


cdef struct TransposedCut:
    Runs runs
    bint overlap                            # whether bands of the forward pass overlap in S
    # backward: pixels of a piece of phase 0 of BANDS; number of sums for db
    Py_ssize_t pixels, pixel_pieces
    Py_ssize_t channels, channel_pieces     # last phase: channels of a piece; number of pieces
    Py_ssize_t sums_at, shared              # elements: offset of the sums for dW; shared scratch


# Divide into IMAGES or, if there are few, BANDS; the backward pass is limited by the memory of the
# sums. OUT: cut.
cdef inline void cut_transposed(
    const Convolution *c, bint backward, TransposedCut *cut
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t item = sizeof(double) if c.is_double else sizeof(float)
    cdef Py_ssize_t wanted = runs_of(multiply_adds(g) * (2 if backward else 1)), bands
    cdef Py_ssize_t limit = MAX_RUNS, at_once
    cdef bint overlap = not backward and bands_overlap(g)
    cdef Runs runs
    memset(cut, 0, sizeof(TransposedCut))
    if backward:
        limit = min(MAX_SHARED_BYTES // item // (c.sum + g.d), limit)
    cut.runs.way = IMAGES
    cut.runs.bands = 1
    cut.runs.length = max(
        ceil_div(g.l, max(min(min(wanted, limit), g.l), <Py_ssize_t> 1)), <Py_ssize_t> 1
    )
    cut.runs.pieces = piece_count(g.l, cut.runs.length)
    if cut.runs.pieces < ENOUGH_PIECES and g.l > 0:
        bands = min(ceil_div(wanted, g.l), limit // g.l)
        cut_runs(c, wanted, bands, min_band(g), &runs)
        at_once = g.l * (runs.bands // 2) if overlap else runs.pieces
        if runs.way == BANDS and at_once > cut.runs.pieces:
            cut.runs = runs
            cut.overlap = overlap
    if not backward or cut.runs.pieces == 1:
        return
    cut.pixel_pieces = cut.runs.pieces
    if cut.runs.way == BANDS:
        cut.pixels = piece_length(g.l * g.b * g.a, g.d, PIECE_ELEMENTS)
        cut.pixel_pieces = piece_count(g.l * g.b * g.a, cut.pixels)
    cut.channels = piece_length(
        g.d_g, <double> cut.runs.pieces * c.sum / g.d_g, PIECE_ELEMENTS
    )
    cut.channel_pieces = piece_count(g.d_g, cut.channels)
    cut.sums_at = cut.pixel_pieces * g.d
    cut.shared = cut.sums_at + cut.runs.pieces * c.sum


# Bands of an image in a phase of the forward pass.
cdef inline Py_ssize_t bands_of_phase(const TransposedCut *cut, int phase) noexcept nogil:
    if not cut.overlap:
        return cut.runs.bands if phase == 0 else 0
    return (cut.runs.bands + 1 - phase) // 2 if phase <= 1 else 0


# The number of pieces of a phase of the forward pass over the images of c; 0 if there is no such
# phase.
cdef inline Py_ssize_t transposed_forward_phase(
    const Convolution *c, const TransposedCut *cut, int phase
) noexcept nogil:
    if cut.runs.way == BANDS:
        return c.g.l * bands_of_phase(cut, phase)
    return cut.runs.pieces if phase == 0 else 0


# The number of pieces of a phase of the backward pass; 0 if there is no such phase.
cdef inline Py_ssize_t transposed_backward_phase(
    const TransposedCut *cut, int phase
) noexcept nogil:
    if cut.runs.pieces == 1:
        return 1 if phase == 0 else 0
    if cut.runs.way == BANDS:
        if phase <= 1:
            return cut.pixel_pieces if phase == 0 else cut.runs.pieces
        phase -= 1
    if phase == 0:
        return cut.runs.pieces
    return cut.channel_pieces if phase == 1 else 0


# The first row of S that a band of an image writes; the number of rows after the last band.
cdef inline Py_ssize_t first_row(
    const Geometry *g, const Runs *runs, Py_ssize_t band
) noexcept nogil:
    if band >= runs.bands:
        return g.b
    return min(max(band * runs.length * g.s_b - g.top, <Py_ssize_t> 0), g.b)


# The part of c for a band. OUT: part. Returns the first row of the part in S.
cdef inline Py_ssize_t band_of(
    const Convolution *c, const Runs *runs, Py_ssize_t band, Convolution *part
) noexcept nogil:
    cdef Py_ssize_t row = band * runs.length
    return conv_band(c, row, min(row + runs.length, c.g.b_out), part)


# S = sigma(P_phi' W' Z + b 1') for all images of c. IN: Z, prepared or W, b or NULL. OUT: S.
# SCRATCH: c.backward.
cdef inline void transposed_images(
    const Convolution *c, const real *Z, const real *W, const real *prepared, const real *b,
    const Activation *activation, real *S, real *scratch,
) noexcept nogil:
    conv_backward_prepared(
        c, Z, <const real *> NULL, W, prepared, False, S, False, <real *> NULL, <real *> NULL,
        scratch,
    )
    bias_activation_rows(c.g.l * c.g.b * c.g.a, c.g.d, S, b, activation, S)


# A piece of the forward pass of BANDS. Rows of S belong to the even band that writes them first and
# those after it up to the next even band, and in the same way to an odd band: these are the rows
# that an even band sets to zero beyond its own, and that have all terms after an odd band.
cdef inline void transposed_band(
    const Convolution *c, const TransposedCut *cut, const Call *call, const real *Z, const real *W,
    const real *b, const Activation *activation, real *S,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef bint odd = cut.overlap and call.phase == 1
    cdef Py_ssize_t count = bands_of_phase(cut, call.phase), step = 2 if cut.overlap else 1
    cdef Py_ssize_t image = call.piece // count, band = call.piece % count * step + odd
    cdef Py_ssize_t row = g.a * g.d, first, last, next_first
    cdef Convolution part
    if image >= call.images:
        return
    Z += (image * g.b_out + band * cut.runs.length) * g.a_out * g.d_out
    S += image * g.b * row
    first = band_of(c, &cut.runs, band, &part)
    last = first + part.g.b
    next_first = first_row(g, &cut.runs, band + step)
    conv_backward_prepared(
        &part, Z, <const real *> NULL, W, <const real *> call.prepared, odd, S + first * row,
        False, <real *> NULL, <real *> NULL, <real *> call.scratch,
    )
    if not odd:
        memset(S + last * row, 0, (next_first - last) * row * sizeof(real))
    if odd or not cut.overlap:
        if band == 1 and odd:
            first = 0
        S += first * row
        bias_activation_rows((next_first - first) * g.a, g.d, S, b, activation, S)


# A piece of the forward pass. IN: Z, W or prepared, b or NULL. OUT: S.
cdef inline void transposed_forward_piece(
    const Convolution *c, const TransposedCut *cut, const Call *call, const real *Z, const real *W,
    const real *b, const Activation *activation, real *S,
) noexcept nogil:
    cdef Range images
    cdef Convolution part = c[0]
    if cut.runs.way == BANDS:
        transposed_band(c, cut, call, Z, W, b, activation, S)
        return
    images = range_of(call, call.images, cut.runs.length)
    conv_set_images(&part, images.last - images.first)
    transposed_images(
        &part, Z + images.first * c.g.b_out * c.g.a_out * c.g.d_out, W,
        <const real *> call.prepared, b, activation, S + images.first * c.g.b * c.g.a * c.g.d,
        <real *> call.scratch,
    )


# dZ = W phi(dS), or += if add. OUT: dZ. SCRATCH: scratch.
cdef inline void input_gradient(
    const Convolution *c, const Call *call, const real *dS, bint add, real *dZ, real *scratch
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t image = g.b_out * g.a_out * g.d_out, k
    cdef const real *filters = <const real *> call.arrays[0]
    cdef const real *none = NULL
    cdef Convolution one = c[0]
    if not conv_reads_theta(c):
        filters = <const real *> call.prepared_backward
        if filters == NULL:
            conv_prepare(c, <const real *> call.arrays[0], scratch, scratch + c.prepared)
            filters = scratch
            scratch += c.prepared
    if not add:
        conv_forward_prepared(
            c, dS, filters, none, none, none, NULL, dZ, 0, conv_tiles(c), scratch
        )
        return
    conv_set_images(&one, 1)
    for k in range(g.l):
        conv_forward_prepared(
            &one, dS + k * g.b * g.a * g.d, filters, none, none, none, NULL, scratch, 0,
            conv_tiles(&one), scratch + image,
        )
        add_run(dZ + k * image, scratch, image)


# dS through the activation and db += dS 1 for some pixels. INOUT: dS; db or NULL.
cdef inline void pixels_gradient(
    const Step *step, const Call *call, Range pixels, real *dS, real *db
) noexcept nogil:
    cdef Py_ssize_t d = step.values[step.output].channels
    if db != NULL or step.activation.code != ACTIVATION_NONE:
        dS += pixels.first * d
        activation_backward_rows(
            pixels.last - pixels.first, d, dS,
            <const real *> call.output + pixels.first * d, &step.activation, dS, db,
        )


# The sum for dW of a piece of the backward pass, from its number.
cdef inline real *filters_sum(
    const Convolution *c, const TransposedCut *cut, real *shared, Py_ssize_t piece
) noexcept nogil:
    return shared + cut.sums_at + piece * c.sum


# dZ and the sum for dW of a part that begins with these rows of Z and S, counted through all
# images; `number` is that of the piece.
cdef inline void part_gradient(
    const Convolution *part, const TransposedCut *cut, const Call *call, Py_ssize_t row_Z,
    Py_ssize_t row_S, Py_ssize_t number, const real *dS,
) noexcept nogil:
    cdef const Geometry *g = &part.g
    cdef Py_ssize_t at = row_Z * g.a_out * g.d_out
    cdef real *dZ = <real *> call.d_inputs[0]
    dS += row_S * g.a * g.d
    if dZ != NULL:
        input_gradient(part, call, dS, call.add_input[0], dZ + at, <real *> call.scratch)
    if call.d_arrays[0] != NULL:
        conv_backward_sum(
            part, <const real *> call.inputs[0] + at, dS, <real *> NULL, False, <real *> NULL,
            False, filters_sum(part, cut, <real *> call.shared, number), <real *> call.scratch,
        )


# Phase 0 of IMAGES, phase 1 of BANDS.
cdef inline void gradients_piece(
    const Convolution *c, const TransposedCut *cut, const Call *call, const real *dS
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Range images
    cdef Convolution part = c[0]
    cdef Py_ssize_t image, band, row
    if cut.runs.way != BANDS:
        images = range_of(call, call.images, cut.runs.length)
        conv_set_images(&part, images.last - images.first)
        part_gradient(
            &part, cut, call, images.first * g.b_out, images.first * g.b, call.piece, dS
        )
        return
    image, band = call.piece // cut.runs.bands, call.piece % cut.runs.bands
    if image < call.images:
        row = band_of(c, &cut.runs, band, &part)
        part_gradient(
            &part, cut, call, image * g.b_out + band * cut.runs.length, image * g.b + row,
            call.piece, dS,
        )
    elif call.d_arrays[0] != NULL:
        memset(
            filters_sum(c, cut, <real *> call.shared, call.piece), 0, c.sum * sizeof(dS[0])
        )


# The last phase: some channels of dW and, in the first piece, db from the sums. OUT: dW, db.
cdef inline void sums_piece(
    const Convolution *c, const TransposedCut *cut, const Call *call, real *dW, real *db
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Range channels
    cdef Py_ssize_t k
    if db != NULL and call.piece == 0:
        if not call.add_arrays:
            memset(db, 0, g.d * sizeof(real))
        for k in range(cut.pixel_pieces):
            add_run(db, <const real *> call.shared + k * g.d, g.d)
    if dW != NULL:
        channels = range_of(call, g.d_g, cut.channels)
        conv_add_sums(
            c, filters_sum(c, cut, <real *> call.shared, 0), cut.runs.pieces, channels.first,
            channels.last, call.add_arrays, dW, <real *> call.scratch,
        )


# A piece of the backward pass, which has several. INOUT: dS. OUT: db or NULL; other arrays as for
# `Operation.backward`.
cdef inline void transposed_backward_piece(
    const Convolution *c, const TransposedCut *cut, const Step *step, const Call *call, real *dS,
    real *db,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Range pixels
    cdef real *sum_db = NULL
    if transposed_backward_phase(cut, call.phase + 1) == 0:
        sums_piece(c, cut, call, <real *> call.d_arrays[0], db)
        return
    if call.phase == 0:
        if db != NULL:
            sum_db = <real *> call.shared + call.piece * g.d
            memset(sum_db, 0, g.d * sizeof(real))
        if cut.runs.way == BANDS:
            pixels = range_of(call, call.images * g.b * g.a, cut.pixels)
        else:
            pixels = range_of(call, call.images, cut.runs.length)
            pixels.first *= g.b * g.a
            pixels.last *= g.b * g.a
        pixels_gradient(step, call, pixels, dS, sum_db)
        if cut.runs.way == BANDS:
            return
    gradients_piece(c, cut, call, dS)
