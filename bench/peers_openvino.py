"""OpenVINO as a peer: forward, float32, of the ONNX model that ONNX Runtime reads."""

import nets
import numpy as np
import onnx_model
import openvino
from peers import net_side

FORMS = ("nchw",)


def net(case, dtype, threads, form):
    """A request whose operators use this many threads, and compute in float32 throughout.

    Inputs and outputs are not copied.
    """
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_HYPER_THREADING": True,  # else processors that share a core are not all used
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(onnx_model.model(case)), "CPU", options)
    request, Z = compiled.create_infer_request(), onnx_model.images(case)

    def forward():
        return request.infer([Z], share_inputs=True, share_outputs=True)[0]

    passes = {"forward": forward, "predict": forward}
    return net_side("openvino", np.float32, passes, nets.channels_last, form=form)
