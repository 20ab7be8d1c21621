"""The network of a case as an ONNX model, for the peers that read this format."""

import functools

import graphs
import numpy as np
from onnx import TensorProto, helper, numpy_helper


class Writer:
    """Nodes and constants of a graph; the functions of layers take and return names of tensors."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, array):
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, operator, inputs, **attributes):
        output = f"z{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def filtered(self, operator, arrays, z, **attributes):
        """An operator with W and perhaps b."""
        return self.node(operator, [z, *map(self.constant, arrays)], **attributes)

    def conv(self, node, arrays, z):
        window = node.window
        more = {"group": window.groups, "dilations": window.dilation}
        return self.filtered("Conv", arrays, z, **_sizes(window), **more)

    def dense(self, node, arrays, z):
        z = self.node("Flatten", [z]) if len(node.shape) == 3 else z
        return self.filtered("Gemm", arrays, z, transB=1)

    def max_pool(self, node, arrays, z):
        return self.node("MaxPool", [z], **_sizes(node.window))

    def avg_pool(self, node, arrays, z):
        if node.whole:
            return self.node("GlobalAveragePool", [z])
        counted = int(node.layer.count_pad)
        return self.node("AveragePool", [z], count_include_pad=counted, **_sizes(node.window))

    def add(self, node, arrays, first, *others):
        factor, *factors = node.factors
        z = self.scaled(first, factor)
        for other, factor in zip(others, factors, strict=True):
            if factor == -1:
                z = self.node("Sub", [z, other])
            else:
                z = self.node("Add", [z, self.scaled(other, factor)])
        return z

    def scaled(self, z, factor):
        return z if factor == 1 else self.node("Mul", [z, self.constant(np.float32(factor))])

    def lrn(self, node, arrays, z):
        layer = node.layer  # ONNX divides alpha by the size
        about = {"size": layer.size, "bias": layer.k, "beta": layer.beta}
        return self.node("LRN", [z], alpha=layer.alpha * layer.size, **about)

    def scale(self, node, arrays, z):
        """Batch normalisation with the mean 0 and the variance 1, as exporters write it."""
        gain, bias = arrays if len(arrays) > 1 else (*arrays, np.zeros_like(arrays[0]))
        constants = (gain, bias, np.zeros_like(gain), np.ones_like(gain))
        return self.node("BatchNormalization", [z, *map(self.constant, constants)], epsilon=0.0)

    def activated(self, z, activation):
        if activation == "relu":
            return self.node("Relu", [z])
        bounds = (np.float32(x) for x in (activation.lo, activation.hi))
        return self.node("Clip", [z, *map(self.constant, bounds)])

    def functions(self):
        return {
            "Activation": lambda node, arrays, z: z,
            "Add": self.add,
            "AvgPool": self.avg_pool,
            "Concat": lambda node, arrays, *z: self.node("Concat", z, axis=1),
            "Conv": self.conv,
            "Dense": self.dense,
            "LRN": self.lrn,
            "MaxPool": self.max_pool,
            "Scale": self.scale,
        }


def _sizes(window):
    """The attributes of a window; pads are top, left, bottom, right."""
    pads = [side[k] for k in (0, 1) for side in window.pad]
    return {"kernel_shape": window.kernel, "strides": window.stride, "pads": pads}


# the sessions of one case follow one another
@functools.lru_cache(maxsize=1)
def model(case):
    """An ONNX model (bytes) in float32 of a case's network and number of images: input "Z"."""
    network, writer = case.net.network, Writer()
    walk = graphs.walk(network, case.theta.astype(np.float32), first=True)
    last = graphs.evaluate(walk, writer.functions(), writer.activated, "Z")
    ends = []
    for name, shape in (("Z", network.input_shape), (last, network.output_shape)):
        shape = [case.images, *shape[2:], *shape[:2]]
        ends.append([helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)])
    graph = helper.make_graph(writer.nodes, "net", *ends, writer.constants)
    # a format old enough for any ONNX Runtime
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


def images(case):
    """Z as the model takes it."""
    return np.ascontiguousarray(case.data[0].transpose(0, 3, 1, 2), np.float32)
