"""The description of a network: the format of exported networks, version 2, read as untrusted data.

Words are 8-byte integers, little-endian.

    word      the header
    0         the bytes 89 6d 61 74 63 6e 76 0a, "\\x89matcnv\\n"
    1         version of the format, 2
    2         bytes of the file
    3         bytes of an element: 8, float64, or 4, float32
    4         number of steps, 1 to 4096
    5         typical number of images of a call, 1 to 65536, for which algorithms are chosen
    6, 7, 8   height, width, channels of an image
    9         number of outputs, 1 to 4096
    10        elements of theta
    11        1: theta follows the records, 0: it does not
    12 on     the value of each output

Value 0 is the image; step k = 0, 1, ... computes value k + 1. A record for each step follows:

    word      a record
    0         its length in words
    1, 2      name of the operation, ASCII, followed by zeros
    3         activation: a code of ``matconv/types.h``
    4, 5      two parameters of the activation, float64
    6         0: own parameters, if any; k + 1: those of step k
    7, 8, 9   number of inputs, words and numbers that follow
    10 on     inputs: values before that of this step; words of the operation; numbers, float64

Then theta: the parameters of each step that owns some, in order. Then zeros up to a multiple of 8
bytes, and a word with the CRC-32 of all bytes before it. The files in ``kernels/ops`` describe the
words, numbers and parameters of each operation.
"""

cdef enum:
    FORMAT_VERSION = 2
    MAX_STEPS = 4096
    MAX_IMAGES = 65536
    HEADER_WORDS = 12
    RECORD_WORDS = 10


cdef struct Header:
    Py_ssize_t item_size, steps, images, height, width, channels, outputs, n
    bint has_theta
    Py_ssize_t records      # index of the first word of the first record


cdef struct Record:
    Py_ssize_t at, length   # index of its first word; number of words
    const char *name
    size_t name_length
    Py_ssize_t owner        # 0: the step itself
    Py_ssize_t inputs, words, numbers   # how many of them


# Word k of the file as an integer.
cdef Py_ssize_t word(const unsigned char *data, Py_ssize_t k) noexcept nogil

# Word k of the file as a float64.
cdef double number(const unsigned char *data, Py_ssize_t k) noexcept nogil

# Read and check the header, also the length and the CRC of the file. IN: data. OUT: header. Returns
# a status; O(size).
cdef int read_header(const unsigned char *data, size_t size, Header *header) noexcept nogil

# Read and check the record at word `at`, which may be out of range. IN: data. OUT: record. Returns
# a status.
cdef int read_record(
    const unsigned char *data, size_t size, Py_ssize_t at, Record *record
) noexcept nogil

# Whether the file ends after word `at` with theta, if there is one, zeros and the CRC. IN: data,
# header.
cdef bint ends_with_theta(
    const unsigned char *data, size_t size, const Header *header, Py_ssize_t at
) noexcept nogil
