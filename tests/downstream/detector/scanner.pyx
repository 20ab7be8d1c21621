# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A window that slides over a photograph, and a frozen network that looks at it.

`Scanner` takes all memory when it is made; `scan` then runs from the first pixel to the last box
without the GIL and without asking for memory.
"""

from libc.math cimport sqrt
from libc.stdlib cimport qsort
from matconv.kernels cimport (
    OK, Network, NetworkShape, check_status, import_matconv, network_close, network_get_shape,
    network_open, network_predict_f32, network_workspace_size,
)

import os

import numpy as np

import_matconv()

cdef enum:
    FULL = -1

cdef struct Box:
    double score, y, x, size


cdef int by_score(const void *one, const void *other) noexcept nogil:
    cdef double p = (<const Box *> one).score, q = (<const Box *> other).score
    return (p < q) - (p > q)


# The area that two boxes share over the area of both together.
cdef double overlap(const Box *p, const Box *q) noexcept nogil:
    cdef double rows = min(p.y + p.size, q.y + q.size) - max(p.y, q.y)
    cdef double columns = min(p.x + p.size, q.x + q.size) - max(p.x, q.x)
    cdef double both = max(rows, 0.0) * max(columns, 0.0)
    return both / (p.size * p.size + q.size * q.size - both)


cdef class Scanner:
    """Finds what a network with two outputs, (no, yes), takes for the thing.

    Windows are squares of `smallest` pixels and by sqrt(sqrt(2)) larger and larger ones, moved by
    a twelfth of their size. One thing makes many windows say yes: of each crowd the best is kept,
    and its score is the sum over the windows that share half of their area with it.

    Photographs are of height x width pixels; the network is given `at_once` windows at a time,
    and at most `most` of a photograph may say yes.
    """

    cdef Network *network
    cdef NetworkShape shape
    cdef double[:, ::1] integral        # of all pixels above and to the left
    cdef double[::1] corners
    cdef float[:, ::1] windows
    cdef float[:, ::1] outputs
    cdef float[::1] scratch
    cdef double[:, ::1] places          # boxes: score, y, x, size
    cdef int most
    cdef readonly Py_ssize_t looked_at

    def __cinit__(self, path, Py_ssize_t height, Py_ssize_t width, int at_once=64, int most=20000):
        cdef Py_ssize_t size = 0
        check_status(network_open(os.fsencode(path), &self.network))
        self.shape.struct_size = sizeof(NetworkShape)
        check_status(network_get_shape(self.network, 0, &self.shape))
        outputs = self.shape.out_height, self.shape.out_width, self.shape.out_channels
        if (self.shape.height, self.shape.channels, outputs) != (self.shape.width, 1, (1, 1, 2)):
            raise ValueError("Scanner: a network from grey squares to two outputs is needed")
        if min(height, width, at_once, most) < 1:
            raise ValueError("Scanner: height, width, at_once and most must be at least 1")
        check_status(network_workspace_size(self.network, at_once, &size))
        self.integral = np.zeros((height + 1, width + 1))
        self.corners = np.empty((self.shape.height + 1) ** 2)
        self.windows = np.empty((at_once, self.shape.height ** 2), np.float32)
        self.outputs = np.empty((at_once, 2), np.float32)
        self.scratch = np.empty(size + 1, np.float32)
        self.most = most
        self.places = np.empty((<Py_ssize_t> most + at_once, 4))     # the last ones wait

    def __dealloc__(self):
        network_close(self.network)

    def scan(
        self, const double[:, ::1] photograph, double smallest, double least=0
    ):
        """Boxes (score, y, x, size) with a score above `least`, the best first."""
        cdef int status = OK, count = 0
        self.check(photograph)
        if not smallest >= 1:
            raise ValueError("Scanner: smallest must be at least 1 pixel")
        with nogil:
            self.integrate(photograph)
            status = self.slide(smallest, &count)
            if status == OK:
                count = self.suppress(count, least)
        if status == FULL:
            raise ValueError(f"Scanner: more than {self.most} windows say yes")
        check_status(status)
        return np.array(self.places[:count])

    def window(self, const double[:, ::1] photograph, double y, double x, double size):
        """What the network sees of one box: to train it on its mistakes."""
        self.check(photograph)
        if not (0 <= y <= y + size <= photograph.shape[0] and size > 0) or (
            not 0 <= x <= x + size <= photograph.shape[1]
        ):
            raise ValueError("Scanner: the box does not lie in the photograph")
        self.integrate(photograph)
        self.cut(y, x, size, &self.windows[0, 0])
        return np.array(self.windows[0])

    cdef int check(self, const double[:, ::1] photograph) except -1:
        given = photograph.shape[0] + 1, photograph.shape[1] + 1
        if given != (self.integral.shape[0], self.integral.shape[1]):
            raise ValueError("Scanner: a photograph of another size")
        return 0

    cdef void integrate(self, const double[:, ::1] photograph) noexcept nogil:
        cdef Py_ssize_t q, p
        cdef double row
        for q in range(photograph.shape[0]):
            row = 0
            for p in range(photograph.shape[1]):
                row += photograph[q, p]
                self.integral[q + 1, p + 1] = self.integral[q, p + 1] + row

    # A box as the network's pixels, each the mean of its part: differences of the integral, which
    # is linear between pixels. Then with mean 0 and variance 1.
    cdef void cut(self, double y, double x, double size, float *window) noexcept nogil:
        cdef Py_ssize_t n = self.shape.height, q, p, j, i
        cdef double step = size / n, v, u, value, total = 0, squares = 0
        cdef double *c = &self.corners[0]
        for q in range(n + 1):
            j = min(<Py_ssize_t> (y + q * step), self.integral.shape[0] - 2)
            v = y + q * step - j
            for p in range(n + 1):
                i = min(<Py_ssize_t> (x + p * step), self.integral.shape[1] - 2)
                u = x + p * step - i
                c[q * (n + 1) + p] = (
                    (1 - v) * ((1 - u) * self.integral[j, i] + u * self.integral[j, i + 1])
                    + v * ((1 - u) * self.integral[j + 1, i] + u * self.integral[j + 1, i + 1])
                )
        for q in range(n):
            for p in range(n):
                j = q * (n + 1) + p
                value = (c[j + n + 2] - c[j + n + 1] - c[j + 1] + c[j]) / (step * step)
                window[q * n + p] = <float> value
                total += value
                squares += value * value
        total /= n * n
        squares = sqrt(max(squares / (n * n) - total * total, 1e-4))
        for q in range(n * n):
            window[q] = <float> ((window[q] - total) / squares)

    # All windows of all sizes. OUT: count, of boxes. Returns a status, or FULL.
    cdef int slide(self, double smallest, int *count) noexcept nogil:
        cdef double height = self.integral.shape[0] - 1, width = self.integral.shape[1] - 1
        cdef double size = smallest, y, x
        cdef int waiting = 0, at_once = <int> self.windows.shape[0], status
        cdef Box *boxes = <Box *> &self.places[0, 0]
        cdef Box *box
        self.looked_at = 0
        while size <= min(height, width):
            y = 0
            while y + size <= height:
                x = 0
                while x + size <= width:
                    box = &boxes[count[0] + waiting]
                    box.y, box.x, box.size = y, x, size
                    self.cut(y, x, size, &self.windows[waiting, 0])
                    waiting += 1
                    if waiting == at_once:
                        status = self.judge(waiting, boxes, count)
                        if status != OK:
                            return status
                        waiting = 0
                    x += size / 12
                y += size / 12
            size *= 1.189207115002721
        return self.judge(waiting, boxes, count)

    # The network's verdict on the windows that wait. INOUT: boxes, count: those it says yes to.
    # Returns a status, or FULL.
    cdef int judge(self, int n, Box *boxes, int *count) noexcept nogil:
        cdef float *outputs = &self.outputs[0, 0]
        cdef int k, status = network_predict_f32(
            self.network, n, &self.windows[0, 0], &outputs, &self.scratch[0],
            self.scratch.shape[0],
        )
        cdef int first = count[0]
        for k in range(n if status == OK else 0):
            boxes[first + k].score = self.outputs[k, 1] - self.outputs[k, 0]
            if boxes[first + k].score > 0:
                boxes[count[0]] = boxes[first + k]
                count[0] += 1
        self.looked_at += n
        return FULL if status == OK and count[0] > self.most else status

    # The best box of each crowd with a score above `least`, first in the list. Returns how many.
    cdef int suppress(self, int count, double least) noexcept nogil:
        cdef Box *boxes = <Box *> &self.places[0, 0]
        cdef Box best
        cdef double shared, total
        cdef int kept = 0, next = 0, rest, k
        qsort(boxes, count, sizeof(Box), by_score)
        while next < count:
            best = boxes[next]
            total = 0
            rest = next + 1
            for k in range(next, count):
                shared = overlap(&best, &boxes[k])
                if shared > 0.5:
                    total += boxes[k].score
                if shared < 0.2:
                    boxes[rest] = boxes[k]
                    rest += 1
            count = rest
            next += 1
            if total > least:
                best.score = total
                boxes[kept] = best
                kept += 1
        qsort(boxes, kept, sizeof(Box), by_score)
        return kept
