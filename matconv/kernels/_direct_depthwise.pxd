"""Depthwise sums over taps, row by row; the loops are in `_conv_direct_depthwise.h`."""

from ._activation cimport ACTIVATION_NONE, Activation, activation_is_rounded
from ._bias_relu cimport bias_activation_rows
from ._direct_taps cimport Run, Taps, Way, row_taps, run_length, same_taps
from ._types cimport real

cdef extern from "_conv_direct_depthwise.h" nogil:
    ctypedef struct Depthwise "matconv_depthwise":
        Py_ssize_t first, last
        Py_ssize_t[2] n, Z, W
        Py_ssize_t[2] pixels, pixel_Z, pixel_S
        int add, code
        double alpha, beta
    void depthwise_f64 "matconv_depthwise_f64"(
        const Depthwise *job, const double *Z, const double *W, const double *b, double *S
    )
    void depthwise_f32 "matconv_depthwise_f32"(
        const Depthwise *job, const float *Z, const float *W, const float *b, float *S
    )

cdef enum:
    MAX_RUNS = 32
    # bytes of the channels that a row is computed for at once: their taps and a tile stay in cache
    CHANNEL_BYTES = 1024


# The steps of the taps and pixels of `rows` rows and a run. OUT: job. A step of a single tap or
# pixel may overflow, and is 0.
cdef inline void set_steps(
    const Way *way, const Taps *taps, const Run *run, Py_ssize_t rows, Py_ssize_t right,
    Depthwise *job,
) noexcept nogil:
    cdef Py_ssize_t row_Z = way.a_in * way.d, width = way.g.h_a * way.d
    cdef bint any_taps = taps.n > 0 and run.taps.n > 0
    job.n[0], job.n[1] = taps.n, run.taps.n
    job.Z[0] = taps.step_at * row_Z if taps.n > 1 else 0
    job.W[0] = taps.step * width if taps.n > 1 else 0
    job.Z[1] = run.taps.step_at * way.d if run.taps.n > 1 else 0
    job.W[1] = run.taps.step * way.d if run.taps.n > 1 else 0
    job.pixels[0], job.pixels[1] = rows, run.n
    job.pixel_Z[0] = job.pixel_S[0] = job.pixel_Z[1] = job.pixel_S[1] = 0
    # without taps the next pixel may be outside the image, and its distance overflow
    if rows > 1:
        job.pixel_S[0] = way.a * way.d
        if any_taps:
            job.pixel_Z[0] = row_Z if way.backward else way.g.s_b * row_Z
    if run.n > 1:
        job.pixel_S[1] = right * way.d
        if any_taps:
            job.pixel_Z[1] = way.d if way.backward else way.g.s_a * way.d


# The result in the columns of some runs, in one row or two rows with the same taps. IN: Z, W, b or
# NULL. OUT: S.
cdef inline void depthwise_row(
    const Way *way, Py_ssize_t row, Py_ssize_t rows, const Taps *taps, const Run *runs,
    Py_ssize_t n_runs, Py_ssize_t right, const real *Z, const real *W, const real *b, real *S,
    Depthwise *job,
) noexcept nogil:
    cdef Py_ssize_t k, width = way.g.h_a * way.d, at_Z, at_W
    job.last = 0
    while job.last < way.d:
        job.first = job.last
        job.last = min(way.d, job.first + CHANNEL_BYTES // <Py_ssize_t> sizeof(real))
        for k in range(n_runs):
            set_steps(way, taps, &runs[k], rows, right, job)
            at_Z = at_W = 0
            if taps.n > 0 and runs[k].taps.n > 0:
                at_Z = (row // way.b * way.b_in + taps.at) * way.a_in + runs[k].taps.at
                at_W = taps.first * width + runs[k].taps.first * way.d
            if real is double:
                depthwise_f64(
                    job, Z + at_Z * way.d, W + at_W, b, S + (row * way.a + runs[k].x) * way.d
                )
            else:
                depthwise_f32(
                    job, Z + at_Z * way.d, W + at_W, b, S + (row * way.a + runs[k].x) * way.d
                )


# The rows `first` to `last` - 1 of the result at all columns. IN: Z, W, b or NULL, activation or
# NULL. OUT: S, or S += if add.
cdef inline void depthwise_rows(
    const Way *way, const real *Z, const real *W, const real *b, const Activation *activation,
    bint add, real *S, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    # a longer step leads out of the image
    cdef Py_ssize_t right = min(way.g.s_a, way.a) if way.backward else 1
    cdef Py_ssize_t start = 0, x = 0, row, rows, n, step = way.a * way.d
    cdef bint pairs = not way.backward or way.g.s_b == 1, rounded = False
    cdef Run[MAX_RUNS] runs
    cdef Taps taps, below
    cdef Depthwise job
    job.add, job.code = add, ACTIVATION_NONE
    if activation != NULL:
        rounded = activation_is_rounded(activation.code)
        if not rounded:
            job.code, job.alpha, job.beta = activation.code, activation.alpha, activation.beta
    # columns `start` modulo `right`
    while start < min(right, way.a):
        n = 0
        while n < MAX_RUNS and start < min(right, way.a):
            runs[n].x = x
            runs[n].n = run_length(way, x, right, way.a, &runs[n].taps)
            x += runs[n].n * right
            n += 1
            if x >= way.a:
                start += 1
                x = start
        row = first
        while row < last:
            row_taps(way, row % way.b, &taps)
            rows = 1
            if pairs and row + 1 < last and (row + 1) % way.b != 0:
                row_taps(way, (row + 1) % way.b, &below)
                rows = 2 if same_taps(&taps, &below) else 1
            depthwise_row(way, row, rows, &taps, runs, n, right, Z, W, b, S, &job)
            if rounded and start >= min(right, way.a):
                bias_activation_rows(
                    rows * way.a, way.d, S + row * step, <const real *> NULL, activation,
                    S + row * step,
                )
            row += rows
