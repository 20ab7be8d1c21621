"""ONNX Runtime as a peer: forward, float32, with a thread pool of its own for each session."""

import nets
import numpy as np
import onnx_model
import onnxruntime
from peers import net_side

FORMS = ("nchw",)


def net(case, dtype, threads, form):
    """A session whose operators use this many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        onnx_model.model(case), options, providers=["CPUExecutionProvider"]
    )
    Z = onnx_model.images(case)

    def forward():
        return session.run(None, {"Z": Z})[0]

    passes = {"forward": forward, "predict": forward}
    return net_side("onnxruntime", np.float32, passes, nets.channels_last, form=form)
