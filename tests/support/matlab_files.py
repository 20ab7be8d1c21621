"""MATLAB files written by SciPy (version 5) and by h5py in MATLAB's own layout (version 7.3).

dict: struct; list: cell, 1 x n; Structs: struct array, 1 x n; str: char; ndarray: numbers;
csc_array of SciPy: sparse.
"""

import numpy as np
import scipy.io
import scipy.sparse

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970 HDF5"


class Structs(list):
    """A struct array, 1 x n, of dicts with the same keys."""


def numbers(value):
    """Return an array with at least 2 dimensions."""
    array = np.asarray(value)
    return array.reshape(1, -1) if array.ndim < 2 else array


def for_scipy(value):
    """Return a value as savemat expects it."""
    if isinstance(value, dict):
        return {key: for_scipy(one) for key, one in value.items()}
    if isinstance(value, Structs):
        result = np.empty((1, len(value)), [(key, object) for key in value[0]])
        for k, one in enumerate(value):
            for key, item in one.items():
                result[key][0, k] = for_scipy(item)
        return result
    if isinstance(value, list):
        result = np.empty((1, len(value)), object)
        for k, one in enumerate(value):
            result[0, k] = for_scipy(one)
        return result
    return value if isinstance(value, str) or scipy.sparse.issparse(value) else numbers(value)


def save5(path, variables, compress=False):
    """Write a file of version 5."""
    scipy.io.savemat(path, for_scipy(variables), do_compression=compress, long_field_names=True)


class _Writer:
    """Objects of a file of version 7.3."""

    def __init__(self, file):
        import h5py

        self.h5py, self.file, self.count = h5py, file, 0

    def empty(self, parent, name, kind, shape=(0, 0)):
        data = parent.create_dataset(name, data=np.array(shape, np.uint64))
        data.attrs["MATLAB_class"] = np.bytes_(kind)
        data.attrs["MATLAB_empty"] = np.uint8(1)

    def reference(self, value):
        """Write a value among those that are referred to, and return the reference."""
        self.count += 1
        group = self.file.require_group("#refs#")
        name = f"r{self.count}"
        self.write(group, name, value)
        return group[name].ref

    def references(self, parent, name, values):
        """Write a 1 x n cell: dimensions are reversed."""
        data = parent.create_dataset(name, (len(values), 1), self.h5py.ref_dtype)
        for k, one in enumerate(values):
            data[k, 0] = self.reference(one)
        return data

    def write(self, parent, name, value):
        if isinstance(value, dict):
            group = parent.create_group(name)
            group.attrs["MATLAB_class"] = np.bytes_("struct")
            for key, one in value.items():
                self.write(group, key, one)
        elif isinstance(value, Structs):
            group = parent.create_group(name)
            group.attrs["MATLAB_class"] = np.bytes_("struct")
            for key in value[0]:
                self.references(group, key, [one[key] for one in value])
        elif isinstance(value, list):
            if not value:
                self.empty(parent, name, "cell")
                return
            self.references(parent, name, value).attrs["MATLAB_class"] = np.bytes_("cell")
        elif isinstance(value, str):
            if not value:
                self.empty(parent, name, "char")
                return
            codes = np.array([ord(c) for c in value], np.uint16).reshape(-1, 1)
            data = parent.create_dataset(name, data=codes)
            data.attrs["MATLAB_class"] = np.bytes_("char")
            data.attrs["MATLAB_int_decode"] = np.int32(2)
        elif scipy.sparse.issparse(value):
            group = parent.create_group(name)
            group.attrs["MATLAB_class"] = np.bytes_("double")
            group.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
            group.create_dataset("jc", data=value.indptr.astype(np.uint64))
            if value.nnz:
                group.create_dataset("data", data=value.data)
                group.create_dataset("ir", data=value.indices.astype(np.uint64))
        else:
            array = numbers(value)
            kind = {"float64": "double", "float32": "single", "bool": "logical"}.get(
                array.dtype.name, array.dtype.name
            )
            array = array.astype(np.uint8) if kind == "logical" else array
            if array.size == 0:
                self.empty(parent, name, kind, array.shape)
                return
            data = parent.create_dataset(name, data=array.T)
            data.attrs["MATLAB_class"] = np.bytes_(kind)


def save73(path, variables):
    """Write a file of version 7.3, with the 512 bytes that MATLAB writes before HDF5's."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        writer = _Writer(file)
        for name, value in variables.items():
            writer.write(file, name, value)
    with open(path, "r+b") as file:
        file.write(HEADER.ljust(116) + bytes(8) + b"\0\2IM")


SAVERS = {"5": save5, "7.3": save73}
