"""Both passes of a network's program for a given gradient of the outputs."""

import numpy as np

LINE = 64


def block(nbytes, fill=0xA5):
    """Return a buffer aligned to a cache line, full of ``fill``; 0xFF gives NaN in any dtype."""
    whole = np.full(nbytes + LINE, fill, np.uint8)
    start = -whole.ctypes.data % LINE
    return whole[start : start + nbytes]


def passes(net, theta, Z, dz, output=None, fill=0xA5):
    """Return the outputs of an output layer, and the gradient of sum(dz * outputs) for theta.

    All buffers are filled with a byte first.

    Parameters
    ----------
    net : Network
    theta, Z : ndarray
        Of the network's dtype; at most net.shard_size images.
    dz : ndarray, shape (l, ...)
    output : str, optional
        As of `Objective`.
    fill : int
        Initial value of each byte of the buffers.

    Returns
    -------
    z : ndarray, shape (l, elements of the output)
    dtheta : ndarray, shape (n,)
    """
    assert len(Z) <= net.shard_size
    program = net.program(output)
    prepared, memory = block(program.prepared_bytes, fill), block(program.training_bytes, fill)
    dtheta = block(net.n * net.dtype.itemsize, fill).view(net.dtype)
    program.prepare(theta, prepared, True)
    z = program.forward(theta, prepared, Z, memory).copy()
    dz = np.ascontiguousarray(dz.reshape(z.shape), net.dtype)
    program.backward(theta, prepared, Z, dz, memory, dtheta)
    return z, dtheta.copy()
