"""The description of a network: the file of an exported one, version 2, read as untrusted data.

Words are integers of 8 bytes, little-endian.

    word      the header
    0         the bytes 89 6d 61 74 63 6e 76 0a, "\\x89matcnv\\n"
    1         version of the format, 2
    2         bytes of the file, all of it
    3         bytes of a number: 8, float64, or 4, float32
    4         steps, 1 to 4096
    5         images of a usual call, 1 to 65536: what the algorithms are chosen for
    6, 7, 8   height, width, channels of an image
    9         outputs, 1 to 4096
    10        numbers in theta
    11        1: theta follows the records, 0: it does not
    12 on     the value of each output

Value 0 is the image; step k = 0, 1, ... makes value k + 1. A record for each step follows:

    word      a record
    0         its length in words
    1, 2      name of the operation, ASCII, zeros after it
    3         activation: 0 none, 1 ReLU, 2 leaky ReLU, 3 clip
    4, 5      two numbers of the activation, float64
    6         0: parameters of its own, if any; k + 1: those of step k
    7, 8, 9   how many inputs, words and numbers follow
    10 on     inputs: values before this step's; words of the operation; numbers, float64

Then theta: the parameters of each step that owns some, in order. Then zeros up to a multiple of 8
bytes, and a word with the CRC-32 of all bytes before it. ``kernels/ops`` has the words, numbers and
parameters of each operation.
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
    Py_ssize_t records      # word at which the first record begins


# A record, as it lies in the file; at: its first word.
cdef struct Record:
    Py_ssize_t at, length
    const char *name
    size_t name_length
    Py_ssize_t owner        # 0: itself
    Py_ssize_t inputs, words, numbers   # how many


# Word k of the file as an integer, or as a float64.
cdef Py_ssize_t word(const unsigned char *data, Py_ssize_t k) noexcept nogil
cdef double number(const unsigned char *data, Py_ssize_t k) noexcept nogil

# The header of a whole file: magic, version, length and CRC are right. OUT: header.
# Returns a Status; O(size).
cdef int read_header(const unsigned char *data, size_t size, Header *header) noexcept nogil

# The record that begins at word `at`, which may be anything. OUT: record. Returns a Status.
cdef int read_record(
    const unsigned char *data, size_t size, Py_ssize_t at, Record *record
) noexcept nogil

# Whether theta, if there is one, begins at word `at` and fills the file but for zeros and the CRC.
cdef bint ends_with_theta(
    const unsigned char *data, size_t size, const Header *header, Py_ssize_t at
) noexcept nogil
