"""Model files and image files, each format one module.

    idx       IDX, the format of MNIST, plain or gzip
    npy, npz  arrays by name, without pickle
    model     save_model, load_model: a network, its theta, and what is needed to use them
    exported  load_predictor: a network that compiled code opens as well

Whatever a file declares is compared with the file itself before anything of that size is
allocated.
"""

from matconv.files import FormatError, atomic_write
from matconv.io.exported import load_predictor
from matconv.io.idx import read_idx, read_idx_images
from matconv.io.model import Model, load_model, save_model
from matconv.io.npz import read_images_npz, read_npz

__all__ = [
    "FormatError",
    "Model",
    "atomic_write",
    "load_model",
    "load_predictor",
    "read_idx",
    "read_idx_images",
    "read_images_npz",
    "read_npz",
    "save_model",
]
