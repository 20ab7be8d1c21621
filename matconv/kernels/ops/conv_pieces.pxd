"""Running the pieces of the passes of a convolution; `conv_cut` defines them."""

from libc.string cimport memset

from .._activation cimport Activation
from .._operation cimport Call, Range, Step, range_of
from .._bias_relu cimport activation_backward_rows, bias_activation_rows
from .._conv_driver cimport (
    Convolution, conv_add_sums, conv_backward_prepared, conv_backward_sum, conv_band,
    conv_channels, conv_forward_prepared, conv_prepare_backward, conv_set_images, conv_tiles,
    conv_units,
)
from .._geometry cimport Geometry
from .._tile cimport add_run
from .._types cimport real
from .conv_cut cimport (
    BANDS, BackwardCut, CHANNELS, ForwardCut, Runs, TILES, UNITS, adds_images, backward_phase,
    ceil_div, sums_of,
)


# A run of images, or a band of an image, as a convolution. OUT: part; at_Z, at_S: offsets in Z and
# S. Returns false if c has fewer images.
cdef inline bint run_of(
    const Convolution *c, const Runs *runs, Py_ssize_t image, Py_ssize_t band, Convolution *part,
    Py_ssize_t *at_Z, Py_ssize_t *at_S,
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Py_ssize_t row = 0, row_Z = 0
    if image >= g.l:
        return False
    if runs.way == BANDS:
        row = band * runs.length
        row_Z = conv_band(c, row, min(row + runs.length, g.b_out), part)
    else:
        part[0] = c[0]
        conv_set_images(part, min(runs.length, g.l - image))
    at_Z[0] = (image * g.b + row_Z) * g.a * g.d
    at_S[0] = (image * g.b_out + row) * g.a_out * g.d_out
    return True


# A piece of the forward pass of the images of c, which may be fewer than those of the cut.
# IN: Z, filters; Z_2, filters_2 or NULL; b or NULL, activation. OUT: S. SCRATCH: scratch.
cdef inline void forward_piece(
    const Convolution *c, const ForwardCut *cut, Py_ssize_t piece, const real *Z,
    const real *filters, const real *Z_2, const real *filters_2, const real *b,
    const Activation *activation, real *S, real *scratch,
) noexcept nogil:
    cdef Py_ssize_t tiles = conv_tiles(c), first, length, at_Z = 0, at_S = 0, t
    cdef Convolution part
    if cut.way == TILES:
        length = ceil_div(tiles, cut.pieces)
        first = min(tiles, piece * length)
        conv_forward_prepared(
            c, Z, filters, Z_2, filters_2, b, activation, S, first, min(tiles, first + length),
            scratch,
        )
        return
    if cut.way != UNITS:
        first = piece // cut.runs.bands if cut.way == BANDS else piece * cut.runs.length
        if run_of(c, &cut.runs, first, piece % cut.runs.bands, &part, &at_Z, &at_S):
            conv_forward_prepared(
                &part, Z + at_Z, filters, Z_2 if Z_2 == NULL else Z_2 + at_Z, filters_2, b,
                activation, S + at_S, 0, conv_tiles(&part), scratch,
            )
        return
    first = piece * cut.length
    conv_units(c, first, min(first + cut.length, c.g.d_out), &part)
    filters += first
    filters_2 = filters_2 if filters_2 == NULL else filters_2 + first
    S += first
    if b != NULL:
        b += first
    if c.by_winograd:
        conv_forward_prepared(
            &part, Z, filters, Z_2, filters_2, b, activation, S, 0, conv_tiles(&part), scratch
        )
        return
    conv_forward_prepared(
        &part, Z, filters, Z_2, filters_2, <const real *> NULL, NULL, S, 0, conv_tiles(&part),
        scratch,
    )
    for t in range(c.g.l * c.g.b_out * c.g.a_out):
        bias_activation_rows(
            1, part.g.d_out_g, S + t * c.g.d_out, b, activation, S + t * c.g.d_out
        )


# A piece of phase 0. INOUT: dS, dZ. OUT: sums for db and prepared filters, in call.shared.
cdef inline void first_piece(
    const Convolution *c, const BackwardCut *cut, const Step *step, Call *call, real *dS, real *db
) noexcept nogil:
    cdef const Geometry *g = &c.g
    cdef Range part = range_of(call, g.l * g.b_out * g.a_out, cut.positions)
    cdef Py_ssize_t size_Z = g.l * g.b * g.a * g.d, first, last
    cdef real *shared = <real *> call.shared
    cdef real *dZ = <real *> call.d_inputs[0]
    cdef real *sum_db = NULL
    if db != NULL:
        sum_db = shared + call.piece * g.d_out
        memset(sum_db, 0, g.d_out * sizeof(real))
    dS += part.first * g.d_out
    # in one pass: dS, and db(d_out) += dS(d_out, n) 1
    activation_backward_rows(
        part.last - part.first, g.d_out, dS,
        <const real *> call.output + part.first * g.d_out, &step.activation, dS, sum_db,
    )
    if dZ == NULL:
        return
    if adds_images(c, cut) and not call.add_input[0]:
        part = range_of(call, size_Z, ceil_div(size_Z, cut.position_pieces))
        memset(dZ + part.first, 0, (part.last - part.first) * sizeof(real))
    if cut.way != CHANNELS and call.prepared_backward == NULL and not c.reads_W:
        first = g.d_out * call.piece // cut.position_pieces
        last = g.d_out * (call.piece + 1) // cut.position_pieces
        if first < last:
            conv_prepare_backward(
                c, <const real *> call.arrays[0], shared + cut.filters_at, first, last,
                <real *> call.scratch,
            )


# db from the sums of phase 0, added in their order. INOUT: db or NULL.
cdef inline void add_bias_sums(
    const Convolution *c, const BackwardCut *cut, const Call *call, real *db
) noexcept nogil:
    cdef Py_ssize_t k
    if db == NULL:
        return
    if not call.add_arrays:
        memset(db, 0, c.g.d_out * sizeof(real))
    for k in range(cut.position_pieces):
        add_run(db, <const real *> call.shared + k * c.g.d_out, c.g.d_out)


# A piece of CHANNELS: their dZ and dW.
cdef inline void channels_piece(
    const Convolution *c, const BackwardCut *cut, Call *call, const real *dS, real *dZ, real *dW
) noexcept nogil:
    cdef Py_ssize_t first = call.piece * cut.length
    cdef Py_ssize_t at_W = first * c.g.h_b * c.g.h_a * c.g.d_out
    cdef bint add_images = call.add_input[0]
    cdef const real *prepared = NULL
    cdef Convolution part
    add_images = add_images or adds_images(c, cut)
    if conv_channels(c, first, min(first + cut.length, c.g.d_g), &part):
        if call.prepared_backward != NULL:
            prepared = <const real *> call.prepared_backward + first
    conv_backward_prepared(
        &part, dS, <const real *> call.inputs[0] + first, <const real *> call.arrays[0] + at_W,
        prepared, add_images, dZ if dZ == NULL else dZ + first,
        call.add_arrays, dW if dW == NULL else dW + at_W, <real *> NULL, <real *> call.scratch,
    )


# A piece of IMAGES or BANDS: its dZ and sum for dW; an odd band adds to the sum of the even band
# before it.
cdef inline void run_piece(
    const Convolution *c, const BackwardCut *cut, Call *call, const real *dS, real *dZ,
    bint wants_dW,
) noexcept nogil:
    cdef Py_ssize_t bands = cut.runs.bands, image = call.piece * cut.runs.length, band = 0
    cdef Py_ssize_t number = call.piece, at_Z = 0, at_S = 0
    cdef bint is_odd = cut.overlap and call.phase == 2, add_images = call.add_input[0]
    cdef const real *prepared = <const real *> call.prepared_backward
    cdef real *sum = NULL
    cdef Convolution part
    if cut.overlap:
        # bands of an image in this phase
        bands = bands // 2 if is_odd else (bands + 1) // 2
    if cut.way == BANDS:
        image, band = call.piece // bands, call.piece % bands
    if cut.overlap:
        number = image * ((cut.runs.bands + 1) // 2) + band
        band = 2 * band + is_odd
    if not run_of(c, &cut.runs, image, band, &part, &at_Z, &at_S):
        return
    add_images = add_images or adds_images(c, cut)
    if wants_dW:
        sum = <real *> call.shared + cut.sums_at + number * c.sum
    if c.reads_W:
        prepared = <const real *> call.arrays[0]
    elif prepared == NULL:
        prepared = <const real *> call.shared + cut.filters_at
    conv_backward_sum(
        &part, dS + at_S, <const real *> call.inputs[0] + at_Z, prepared, add_images,
        dZ if dZ == NULL else dZ + at_Z, is_odd, sum, <real *> call.scratch,
    )


# A piece of the last phase: some channels of dW from the sums.
cdef inline void last_piece(
    const Convolution *c, const BackwardCut *cut, Call *call, real *dW
) noexcept nogil:
    cdef Range part = range_of(call, c.g.d_g, cut.channels)
    if dW != NULL:
        conv_add_sums(
            c, <real *> call.shared + cut.sums_at, sums_of(cut, c.g.l), part.first, part.last,
            call.add_arrays, dW, <real *> call.scratch,
        )


# A piece of the backward pass of the images of c, which may be fewer than those of the cut. INOUT:
# dS. OUT: db or NULL; other arrays as for `Operation.backward`.
cdef inline void backward_piece(
    const Convolution *c, const BackwardCut *cut, const Step *step, Call *call, real *dS, real *db
) noexcept nogil:
    cdef real *dZ = <real *> call.d_inputs[0]
    cdef real *dW = <real *> call.d_arrays[0]
    cdef bint is_last = backward_phase(cut, call.phase + 1) == 0
    if c.g.l == 0:
        # dW = 0, db = 0
        if is_last and call.piece == 0:
            conv_backward_prepared(
                c, dS, <const real *> call.inputs[0], <const real *> call.arrays[0], <real *> NULL,
                False, <real *> NULL, call.add_arrays, dW, db, <real *> call.scratch,
            )
        return
    if call.phase == 0:
        first_piece(c, cut, step, call, dS, db)
        return
    if is_last and call.piece == 0:
        add_bias_sums(c, cut, call, db)
    if cut.way == CHANNELS:
        channels_piece(c, cut, call, dS, dZ, dW)
    elif is_last:
        last_piece(c, cut, call, dW)
    else:
        run_piece(c, cut, call, dS, dZ, dW != NULL)
