"""The file of an exported network, read as data that nobody vouches for.

Words are integers of 8 bytes, little-endian.

    word     the header
    0        the bytes 89 6d 61 74 63 6e 76 0a, "\\x89matcnv\\n"
    1        version of the format, 1
    2        bytes of the file, all of it
    3        bytes of a number: 8, float64, or 4, float32
    4        layers, 1 to 4096
    5        images of a usual call, 1 to 65536: what the algorithms are chosen for
    6, 7, 8  height, width, channels of an image
    9        0

    word     each layer, from word 10 + 16 k on
    0        kind: 1 convolution, 2 dense, 3 max-pooling, 4 mean-pooling
    1        1: followed by a ReLU, 0: not
    2        algorithm of a convolution: 0 auto, 1 im2col, 2 winograd; else 0
    3        filters, units; of a pooling layer its channels
    4        groups
    5, 6     height, width of the filter or window
    7, 8     stride down, right
    9 to 12  padding: top, bottom, left, right
    13, 14   dilation down, right
    15       0

Of a dense layer, whose filter is one pixel on images of one pixel, words 4 to 8, 13 and 14 are 1
and 9 to 12 are 0; of a pooling layer words 4, 13 and 14 are 1. Then for each layer with parameters
its numbers: W, as theta holds it, and b. Then zeros up to a multiple of 8 bytes, and a word with
the CRC-32 of all bytes before it.
"""

from .geometry cimport Geometry

cdef enum:
    CONV = 1
    DENSE = 2
    MAX_POOL = 3
    AVG_POOL = 4
    MOST_LAYERS = 4096
    MOST_IMAGES = 65536


cdef struct Header:
    Py_ssize_t item_size, layers, images
    Py_ssize_t b, a, d


cdef struct Record:
    int kind, relu, algorithm
    Geometry g             # of one image; checked and complete
    Py_ssize_t W, bias     # bytes from the start of the file; 0 without parameters


# The header, when the file is a whole one: magic, version, length, CRC. IN: data (size bytes).
# OUT: header. Returns a Status; O(size).
cdef int read_header(const unsigned char *data, size_t size, Header *header) noexcept nogil

# Layer k on images of g.b x g.a x g.d, where g is that of the last record's output.
# IN: data, of a checked header. INOUT: shape (b, a, d), next: where the parameters of the layers
# before end, then of this one. OUT: record. Returns a Status.
cdef int read_layer(
    const unsigned char *data, size_t size, const Header *header, Py_ssize_t k,
    Py_ssize_t *shape, Py_ssize_t *next, Record *record,
) noexcept nogil

# Whether the parameters, which end at `next`, fill the file but for zeros and the CRC.
cdef bint ends_at(const unsigned char *data, size_t size, Py_ssize_t next) noexcept nogil
