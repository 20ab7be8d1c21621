"""Model files and image files, each format one module.

    idx         IDX, the format of MNIST, plain or gzip
    npy, npz    arrays by name, without pickle
    loading     load_model: a model from a file of any known format
    model       save_model: a network, theta, labels and preprocessing in one file
    header      the JSON part of a model file
    record      the training record in it, reduced to a maximum size
    plain       conversion of values to types that JSON has
    kinds       the format of a file, recognised by its content
    extras      packages that may be missing
    pixels      scaling of pixels, and comparison with the training images
    preparing   preprocessing of images as data
    exported    load_predictor: files that `Network.export` wrote
    mat         variables of MATLAB files; mat5, mat5_bytes, mat73: of their versions; mat_values
    pictures    PNG and JPEG; cifar: CIFAR's binary files; arrays: .npy, and images in MATLAB files
    matconvnet  load_matconvnet, save_matconvnet: networks of MatConvNet
    simplenn    load_simplenn, save_simplenn, read_simplenn_config, read_simplenn_data

Every size that a file declares is compared with the file before memory is allocated.
"""

from matconv.files import FormatError, atomic_write
from matconv.io import extras as extras
from matconv.io import kinds as kinds
from matconv.io.arrays import read_images_mat, read_npy
from matconv.io.cifar import read_cifar
from matconv.io.exported import load_predictor
from matconv.io.idx import read_idx, read_idx_images
from matconv.io.loading import load_model
from matconv.io.matconvnet import load_matconvnet, save_matconvnet
from matconv.io.model import Model, save_model
from matconv.io.npz import read_images_npz, read_npz
from matconv.io.pictures import read_picture, read_pictures
from matconv.io.pixels import describe_pixels
from matconv.io.simplenn import (
    load_simplenn,
    read_simplenn_config,
    read_simplenn_data,
    save_simplenn,
)

__all__ = [
    "FormatError",
    "Model",
    "atomic_write",
    "describe_pixels",
    "load_matconvnet",
    "load_model",
    "load_predictor",
    "load_simplenn",
    "read_cifar",
    "read_idx",
    "read_idx_images",
    "read_images_mat",
    "read_images_npz",
    "read_npy",
    "read_npz",
    "read_picture",
    "read_pictures",
    "read_simplenn_config",
    "read_simplenn_data",
    "save_matconvnet",
    "save_model",
    "save_simplenn",
]
