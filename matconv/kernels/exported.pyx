"""The file of an exported network: every word checked before it is used."""

from libc.string cimport memcmp

from .algorithms cimport AUTO, WINOGRAD
from .geometry cimport Geometry, geometry_default, geometry_init, mul_overflows
from .status cimport FORMAT, OK, VERSION

cdef extern from "limits.h":
    const int INT_MAX
cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    NEWEST = 1
    WORD = 8
    HEADER_WORDS = 10
    LAYER_WORDS = 16

cdef const unsigned char *MAGIC = b"\x89matcnv\n"


cdef unsigned int crc32(const unsigned char *data, size_t size) noexcept nogil:
    # the CRC of IEEE 802.3, bits reversed, as zlib's
    cdef unsigned int table[256]
    cdef unsigned int k, _bit, crc
    cdef size_t i
    for k in range(256):
        crc = k
        for _bit in range(8):
            crc = (crc >> 1) ^ (0xEDB88320U if crc & 1 else 0)
        table[k] = crc
    crc = 0xFFFFFFFFU
    for i in range(size):
        crc = table[(crc ^ data[i]) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFFU


cdef unsigned long long bits(const unsigned char *data, Py_ssize_t k) noexcept nogil:
    cdef unsigned long long value = 0
    cdef int i
    for i in range(WORD - 1, -1, -1):
        value = value << 8 | data[WORD * k + i]
    return value


# Word k; -1 when it is negative or does not fit Py_ssize_t.
cdef Py_ssize_t word(const unsigned char *data, Py_ssize_t k) noexcept nogil:
    cdef unsigned long long value = bits(data, k)
    return <Py_ssize_t> value if value <= <unsigned long long> PY_SSIZE_T_MAX else -1


cdef int read_header(const unsigned char *data, size_t size, Header *header) noexcept nogil:
    if size < WORD * HEADER_WORDS + WORD or size % WORD or memcmp(data, MAGIC, WORD):
        return FORMAT
    if word(data, 1) > NEWEST:
        return VERSION
    if word(data, 1) != NEWEST or word(data, 2) < 0 or <size_t> word(data, 2) != size:
        return FORMAT
    if bits(data, word(data, 2) // WORD - 1) != crc32(data, size - WORD):
        return FORMAT
    header.item_size = word(data, 3)
    header.layers = word(data, 4)
    header.images = word(data, 5)
    header.b = word(data, 6)
    header.a = word(data, 7)
    header.d = word(data, 8)
    if header.item_size != 8 and header.item_size != 4:
        return FORMAT
    if not 1 <= header.layers <= MOST_LAYERS or not 1 <= header.images <= MOST_IMAGES:
        return FORMAT
    if header.b < 1 or header.a < 1 or header.d < 1 or word(data, 9) != 0:
        return FORMAT
    if size < <size_t> (WORD * (HEADER_WORDS + LAYER_WORDS * header.layers + 1)):
        return FORMAT
    return OK


cdef bint is_pixel(const Geometry *g) noexcept nogil:
    return (
        g.groups == 1 and g.h_b == 1 and g.h_a == 1 and g.s_b == 1 and g.s_a == 1
        and g.top == 0 and g.bottom == 0 and g.left == 0 and g.right == 0
    )


cdef bint is_window(const Geometry *g) noexcept nogil:
    return (
        g.groups == 1 and g.d_out == g.d
        and g.top < g.h_b and g.bottom < g.h_b and g.left < g.h_a and g.right < g.h_a
        and g.b <= INT_MAX // g.a
    )


# From `next` on, count numbers. INOUT: next. OUT: at.
cdef int take_numbers(
    size_t size, Py_ssize_t item_size, Py_ssize_t count, Py_ssize_t *next, Py_ssize_t *at
) noexcept nogil:
    cdef Py_ssize_t length = 0
    if mul_overflows(count, item_size, &length) or length > <Py_ssize_t> size - WORD - next[0]:
        return FORMAT
    at[0] = next[0]
    next[0] += length
    return OK


cdef int read_layer(
    const unsigned char *data, size_t size, const Header *header, Py_ssize_t k,
    Py_ssize_t *shape, Py_ssize_t *next, Record *record,
) noexcept nogil:
    cdef const unsigned char *row = data + WORD * (HEADER_WORDS + LAYER_WORDS * k)
    cdef Geometry *g = &record.g
    cdef Py_ssize_t kind = word(row, 0), relu = word(row, 1), algorithm = word(row, 2), numbers = 0
    if k == 0:
        shape[0], shape[1], shape[2] = header.b, header.a, header.d
        next[0] = WORD * (HEADER_WORDS + LAYER_WORDS * header.layers)
    if not CONV <= kind <= AVG_POOL or not 0 <= relu <= 1 or word(row, 15) != 0:
        return FORMAT
    if not AUTO <= algorithm <= (WINOGRAD if kind == CONV else AUTO):
        return FORMAT
    if relu and kind >= MAX_POOL:
        return FORMAT
    geometry_default(g)
    g.l = 1
    g.b, g.a, g.d = shape[0], shape[1], shape[2]
    if kind == DENSE:
        if mul_overflows(g.b, g.a, &numbers) or mul_overflows(numbers, g.d, &g.d):
            return FORMAT
        g.b = g.a = 1
    g.d_out = word(row, 3)
    g.groups = word(row, 4)
    g.h_b, g.h_a = word(row, 5), word(row, 6)
    g.s_b, g.s_a = word(row, 7), word(row, 8)
    g.top, g.bottom = word(row, 9), word(row, 10)
    g.left, g.right = word(row, 11), word(row, 12)
    g.dil_b, g.dil_a = word(row, 13), word(row, 14)
    # before geometry_init, which takes any for a single row or column
    if kind != CONV and (g.dil_b != 1 or g.dil_a != 1):
        return FORMAT
    if geometry_init(g) != OK:
        return FORMAT
    if kind == DENSE and not is_pixel(g) or kind >= MAX_POOL and not is_window(g):
        return FORMAT
    shape[0], shape[1], shape[2] = g.b_out, g.a_out, g.d_out
    record.kind = <int> kind
    record.relu = <int> relu
    record.algorithm = <int> algorithm
    record.W = record.bias = 0
    if kind >= MAX_POOL:
        return OK
    if take_numbers(size, header.item_size, g.K * g.d_out, next, &record.W) != OK:
        return FORMAT
    return take_numbers(size, header.item_size, g.d_out, next, &record.bias)


cdef bint ends_at(const unsigned char *data, size_t size, Py_ssize_t next) noexcept nogil:
    cdef Py_ssize_t k
    if (next + WORD - 1) // WORD * WORD + WORD != <Py_ssize_t> size:
        return False
    for k in range(next, <Py_ssize_t> size - WORD):
        if data[k] != 0:
            return False
    return True
