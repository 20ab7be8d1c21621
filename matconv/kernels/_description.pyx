"""Reading descriptions of networks. Every word is checked before it is used."""

from libc.string cimport memcmp, memcpy

from ._geometry cimport mul_overflows
from ._status cimport FORMAT, OK, VERSION

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    const Py_ssize_t PY_SSIZE_T_MIN

cdef enum:
    WORD = 8
    NAME = 16       # bytes of a name

cdef const unsigned char *MAGIC = b"\x89matcnv\n"


cdef unsigned int crc32(const unsigned char *data, size_t size) noexcept nogil:
    # the CRC-32 of zlib: IEEE 802.3, bits reversed
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


# Word k of the file.
cdef unsigned long long bits(const unsigned char *data, Py_ssize_t k) noexcept nogil:
    cdef unsigned long long value = 0
    cdef int i
    for i in range(WORD - 1, -1, -1):
        value = value << 8 | data[WORD * k + i]
    return value


cdef Py_ssize_t word(const unsigned char *data, Py_ssize_t k) noexcept nogil:
    cdef long long value = <long long> bits(data, k)
    if value > PY_SSIZE_T_MAX or value < PY_SSIZE_T_MIN:
        return PY_SSIZE_T_MIN  # on 32-bit systems; never a valid size
    return <Py_ssize_t> value


cdef double number(const unsigned char *data, Py_ssize_t k) noexcept nogil:
    cdef unsigned long long value = bits(data, k)
    cdef double result
    memcpy(&result, &value, sizeof(double))
    return result


cdef int read_header(const unsigned char *data, size_t size, Header *header) noexcept nogil:
    if size < WORD * (HEADER_WORDS + 2) or size % WORD or memcmp(data, MAGIC, WORD):
        return FORMAT
    if word(data, 1) != FORMAT_VERSION:
        return VERSION if word(data, 1) > 0 else FORMAT
    if word(data, 2) < 0 or <size_t> word(data, 2) != size:
        return FORMAT
    if bits(data, <Py_ssize_t> (size // WORD) - 1) != crc32(data, size - WORD):
        return FORMAT
    header.item_size = word(data, 3)
    header.steps = word(data, 4)
    header.images = word(data, 5)
    header.height, header.width, header.channels = word(data, 6), word(data, 7), word(data, 8)
    header.outputs = word(data, 9)
    header.n = word(data, 10)
    header.has_theta = word(data, 11) == 1
    if header.item_size != 8 and header.item_size != 4:
        return FORMAT
    if not 1 <= header.steps <= MAX_STEPS or not 1 <= header.images <= MAX_IMAGES:
        return FORMAT
    if header.height < 1 or header.width < 1 or header.channels < 1:
        return FORMAT
    if not 1 <= header.outputs <= MAX_STEPS or header.n < 0 or not 0 <= word(data, 11) <= 1:
        return FORMAT
    header.records = HEADER_WORDS + header.outputs
    if size < <size_t> (WORD * (header.records + RECORD_WORDS * header.steps + 1)):
        return FORMAT
    return OK


cdef int read_record(
    const unsigned char *data, size_t size, Py_ssize_t at, Record *record
) noexcept nogil:
    cdef Py_ssize_t left = <Py_ssize_t> (size // WORD) - 1 - at, k
    if left < RECORD_WORDS:
        return FORMAT
    record.at = at
    record.length = word(data, at)
    if not RECORD_WORDS <= record.length <= left:
        return FORMAT
    record.name = <const char *> data + WORD * (at + 1)
    record.name_length = 0
    while record.name_length < NAME and record.name[record.name_length] != 0:
        record.name_length += 1
    for k in range(<Py_ssize_t> record.name_length, NAME):
        if record.name[k] != 0:
            return FORMAT
    record.owner = word(data, at + 6)
    record.inputs = word(data, at + 7)
    record.words = word(data, at + 8)
    record.numbers = word(data, at + 9)
    left = record.length - RECORD_WORDS
    # each by itself first, so that their sum does not overflow
    if not 0 <= record.inputs <= left or not 0 <= record.words <= left:
        return FORMAT
    if not 0 <= record.numbers <= left:
        return FORMAT
    if record.inputs + record.words + record.numbers != left:
        return FORMAT
    return OK


cdef bint ends_with_theta(
    const unsigned char *data, size_t size, const Header *header, Py_ssize_t at
) noexcept nogil:
    cdef Py_ssize_t length = 0, end = WORD * at, last = <Py_ssize_t> size - WORD, k
    if header.has_theta and mul_overflows(header.n, header.item_size, &length):
        return False
    if end > last or length > last - end:
        return False
    end += length
    if (end + WORD - 1) // WORD * WORD != last:
        return False
    for k in range(end, last):
        if data[k] != 0:
            return False
    return True
