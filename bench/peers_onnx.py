"""ONNX Runtime as a peer: forward only, float32 only, with a pool of its own for each session."""

import contextlib

import nets
import numpy as np
import peers


def require():
    """Return the module onnxruntime; raise `peers.Missing` without it or without onnx."""
    try:
        import onnx  # noqa: F401 - builds the models
        import onnxruntime
    except ImportError as missing:
        raise peers.Missing(f"{missing.name} is not installed") from None
    return onnxruntime


def session(model, threads):
    """Return a session of a model (bytes) with this many threads."""
    onnxruntime = require()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def model_of(layer, data):
    """Return the ONNX model (bytes) of a convolution with its filters and bias."""
    from onnx import TensorProto, helper, numpy_helper

    W = np.ascontiguousarray(data["W"].transpose(3, 0, 1, 2), np.float32)
    node = helper.make_node(
        *("Conv", ["Z", "W", "b"], ["S"]),
        group=layer.groups,
        pads=[layer.pad] * 4,
        strides=[layer.stride] * 2,
        dilations=[layer.dilation] * 2,
        kernel_shape=list(layer.kernel),
    )
    l, b, a, d = layer.image_shape
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("Z", (l, d, b, a)), ("S", (l, layer.filters, *layer.out_size)))
    ]
    constants = [numpy_helper.from_array(W, "W")]
    constants += [numpy_helper.from_array(data["b"].astype(np.float32), "b")]
    return nets.onnx_bytes(helper.make_graph([node], "layer", *ends, constants))


class Onnx(peers.Side):
    """One Conv node."""

    def __init__(self, layer, data, threads):
        super().__init__("onnxruntime", layer, "float32", threads)
        self.Z = np.ascontiguousarray(data["Z"].transpose(0, 3, 1, 2), np.float32)
        self.session = session(model_of(layer, data), threads)

    def context(self):
        """Nothing to set: the session has had its threads since it was made."""
        return contextlib.nullcontext()

    def forward(self):
        """S."""
        return self.session.run(None, {"Z": self.Z})[0]

    def results(self):
        return {"S": self.forward().transpose(0, 2, 3, 1).astype(np.float64)}
