"""Model files and image files, each format one module.

    errors    FormatError: what a file holds is wrong (what the system says stays an OSError)
    regular   opening what somebody else wrote: regular files only, bounded expansion
    atomic    atomic_write: the old file or the new one, never half of it
    idx       IDX, the format of MNIST, plain or gzip
    npy, npz  arrays by name, without pickle
    model     save_model, load_model: a network, its theta, and what is needed to use them

Whatever a file declares is compared with the file itself before anything of that size is
allocated.
"""

from matconv.io.atomic import atomic_write
from matconv.io.errors import FormatError
from matconv.io.idx import read_idx, read_idx_images
from matconv.io.model import Model, load_model, save_model
from matconv.io.npz import read_images_npz, read_npz

__all__ = [
    "FormatError",
    "Model",
    "atomic_write",
    "load_model",
    "read_idx",
    "read_idx_images",
    "read_images_npz",
    "read_npz",
    "save_model",
]
