"""Both passes of a network's program for a given gradient of the outputs, in memory of one's own."""

import numpy as np

LINE = 64


def block(nbytes, fill=0xA5):
    """Bytes from the start of a cache line, all of them ``fill``; 0xFF makes NaN of any dtype."""
    whole = np.full(nbytes + LINE, fill, np.uint8)
    start = -whole.ctypes.data % LINE
    return whole[start : start + nbytes]


def passes(net, theta, Z, dz, output=None, fill=0xA5):
    """Outputs of one output layer, and the gradient of sum(dz * outputs) for theta.

    Parameters
    ----------
    net : Network
    theta, Z : ndarray
        Of the network's dtype; at most net.shard_size images.
    dz : ndarray, shape (l, ...)
    output : str, optional
        As of `Objective`.
    fill : int
        Byte that memory holds before it is written.

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
