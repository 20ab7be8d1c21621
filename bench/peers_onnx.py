"""ONNX Runtime as a peer: forward, float32, with a thread pool of its own for each session."""

import nets
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from peers import net_side

FORMS = ("nchw",)


def model(net, values):
    """An ONNX model (bytes) of a network: input "Z", output the name of the last node."""
    nodes, constants, name = [], [], "Z"

    def node(operator, inputs, **attributes):
        nodes.append(helper.make_node(operator, inputs, [f"z{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    walk = nets.walk(net, values, np.float32, first=True)
    for step, arrays in walk:
        if step.kind == "dense" and len(step.before) == 3:
            name = node("Flatten", [name])
        inputs = [name]
        for array in arrays:
            inputs.append(f"c{len(constants)}")
            constants.append(numpy_helper.from_array(array, inputs[-1]))
        operator, attributes = _KINDS[step.kind](step)
        name = node(operator, inputs, **attributes)
        if step.relu:
            name = node("Relu", [name])
    ends = []
    for end, shape in (("Z", net.input_shape), (name, walk[-1][0].after)):
        first = (shape[2], *shape[:2]) if len(shape) == 3 else shape
        ends.append([helper.make_tensor_value_info(end, TensorProto.FLOAT, ["l", *first])])
    graph = helper.make_graph(nodes, "net", *ends, constants)
    # a format old enough for any ONNX Runtime
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


def _window(step):
    return {"kernel_shape": list(step.kernel), "strides": [step.stride] * 2}


def _conv(step):
    more = {"group": step.groups, "dilations": [step.dilation] * 2}
    return "Conv", {**_window(step), "pads": [step.pad] * 4, **more}


_KINDS = {
    "conv": _conv,
    "pool": lambda step: ("MaxPool", _window(step)),
    "dense": lambda step: ("Gemm", {"transB": 1}),
}


def net(case, dtype, threads, form):
    """A session whose operators use this many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        model(case.net, case.values), options, providers=["CPUExecutionProvider"]
    )
    Z = np.ascontiguousarray(case.data[0].transpose(0, 3, 1, 2), np.float32)

    def forward():
        return session.run(None, {"Z": Z})[0]

    passes = {"forward": forward, "predict": forward}
    return net_side("onnxruntime", np.float32, passes, nets.channels_last, form=form)
