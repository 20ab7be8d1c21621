"""ONNX Runtime as a peer: forward, float32, with a thread pool of its own for each session."""

import nets
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from peers import Side

FORMS = ("nchw",)


def model(net, values):
    """An ONNX model (bytes) of a network: input "Z", output "z"."""
    nodes, constants, name = [], [], "Z"

    def node(operator, inputs, output, **attributes):
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    steps = nets.steps(net)
    for k, (step, value) in enumerate(zip(steps, values, strict=True)):
        if step.kind == "dense" and len(step.before) == 3:
            name = node("Flatten", [name], f"flat{k}")
        inputs = [name]
        if value is not None:
            arrays = (("W", nets.channels_first(step, value[0])), ("b", value[1]))
            for letter, array in arrays:
                inputs.append(f"{letter}{k}")
                constants.append(numpy_helper.from_array(array.astype(np.float32), inputs[-1]))
        operator, attributes = _KINDS[step.kind](step)
        name = node(operator, inputs, f"S{k}", **attributes)
        if step.relu:
            name = node("Relu", [name], f"Z{k}")
    node("Identity", [name], "z")
    ends = []
    for name, shape in (("Z", net.input_shape), ("z", steps[-1].after)):
        first = (shape[2], *shape[:2]) if len(shape) == 3 else shape
        ends.append([helper.make_tensor_value_info(name, TensorProto.FLOAT, ["l", *first])])
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

    def results(which):
        return {"outputs": nets.channels_last(forward())}

    passes = {"forward": forward, "predict": forward}
    return Side("onnxruntime", np.dtype(np.float32), passes, results, form=form)
