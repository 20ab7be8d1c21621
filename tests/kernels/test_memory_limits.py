"""Matrix products under a memory limit raise MemoryError if BLAS cannot allocate its buffer."""

import subprocess
import sys

import pytest
from support.processes import script

if sys.platform != "linux":
    pytest.skip("limits of memory are Linux's", allow_module_level=True)

from support.limited import NAMES

NO_MEMORY = "matconv: no memory for BLAS's buffers"

# how much OpenBLAS maps for each buffer, and the same buffer again after it was given back
MEASURE = """
import ctypes, resource
import scipy.linalg.cython_blas as blas
def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
library = ctypes.CDLL(blas.__file__)
take, give = library.blas_memory_alloc, library.blas_memory_free
take.restype, give.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before, sizes = size(), []
first = take(0)
for _ in range(4):
    now = size()
    sizes.append(now - before)
    before = now
    take(0)
give(first)
assert take(0) == first
print(min(sizes), max(sizes), hasattr(library, "scipy_openblas_get_config"))
"""


@pytest.mark.parametrize("name", NAMES)
def test_first_product_no_memory_for_a_buffer_raises(name):
    assert script("limited.py", name, 8) == (
        "MATCONV_MEMORY\n" if name.startswith("c_") else NO_MEMORY + "\n"
    )


@pytest.mark.parametrize("name", ["conv2d", "into", "forward", "gradient", "c_predict"])
def test_first_product_memory_for_one_buffer_computes(name):
    """On the calling thread alone, where no other has memory for a second one."""
    assert script("limited.py", name, 44) == "computed\n"


def test_blas_buffer_has_assumed_size():
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=False
    )
    if "blas_memory_alloc" in done.stderr:
        pytest.skip("another BLAS, or one that hides its functions")
    assert done.returncode == 0, done.stderr
    smallest, largest, is_of_a_wheel = done.stdout.split()
    limit = 32 << 20 if is_of_a_wheel == "True" else 256 << 20
    assert 1 << 20 <= int(smallest) <= int(largest) <= limit
