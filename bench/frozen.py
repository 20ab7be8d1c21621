"""Frozen networks: LeNet's outputs for few and many images, one thread, against ONNX Runtime."""

import contextlib

import layers
import nets
import numpy as np
import peers
import peers_onnx
import shapes
import timing
from table import aligned, digits

IMAGES = (1, 8, 64, 512)

#: Outputs differ by at most this part of the largest one.
AGREEMENT = 1e-4


def sides(images, dtype):
    """Return functions for the outputs of images: of matconv, and of ONNX Runtime in float32.

    Both are called in their usual way; matconv writes into existing arrays.
    """
    net = shapes.NETS["lenet"]
    values = nets.parameters(net)
    Z, _ = nets.data(net, images, np.float32)
    network = nets.for_matconv(net, dtype)
    theta = network.pack([(W.astype(dtype), b.astype(dtype)) for W, b in values])
    predictor = network.freeze(theta, images)
    own = Z.astype(dtype)
    out = np.empty((images, network.n_outputs), dtype)
    scratch = np.empty(predictor.workspace_size(images), dtype)
    session = peers_onnx.session(nets.for_onnx(net, values), threads=1)
    (given,) = session.get_inputs()
    channels_first = np.ascontiguousarray(Z.transpose(0, 3, 1, 2))

    def ours():
        return predictor.into(own, out, scratch)

    def other():
        return session.run(None, {given.name: channels_first})[0]

    difference = np.abs(ours() - other()).max() / np.abs(other()).max()
    if not difference <= AGREEMENT:
        raise ArithmeticError(f"{images} images, {dtype}: outputs differ by {difference:.1e}")
    return (ours, contextlib.nullcontext), (other, contextlib.nullcontext)


def measure(how, dtypes=("float32", "float64"), say=lambda text: None):
    """Return a record for each dtype and number of images: seconds, ratio to matconv."""
    peers_onnx.require()
    records = []
    for dtype in dtypes:
        for images in IMAGES:
            found = timing.pair(*sides(images, dtype), **how)
            about = {"net": "lenet", "images": images, "dtype": dtype, "peer": "onnxruntime"}
            spreads = {"seconds": vars(found.a), "peer_seconds": vars(found.b)}
            records.append({**about, **spreads, "ratio": vars(found.ratio)})
            say(f"frozen lenet, {images} images, {dtype}: {found.ratio.median:.2f}")
    return records


def lines(records):
    """Return the lines of a table of the records."""
    head = ("frozen lenet", "images", "us", "onnxruntime f32", "ratio", "quartiles")
    rows = [head]
    for one in records:
        ratio = one["ratio"]
        times = (1e6 * one[key]["median"] for key in ("seconds", "peer_seconds"))
        spread = f"{digits(ratio['lower'])}-{digits(ratio['upper'])}"
        cells = (one["dtype"], str(one["images"]), *map(digits, times))
        rows.append((*cells, digits(ratio["median"]), spread))
    return ["", *aligned(rows)]


def run(given, say):
    """Return all records, and the lines of a report; without ONNX Runtime only its name."""
    try:
        records = measure(layers.effort(given.quick, given.repeats), given.dtypes, say)
    except peers.Missing as missing:
        return {"frozen": [], "skipped": {"onnxruntime": str(missing)}}, []
    return {"frozen": records}, lines(records)
