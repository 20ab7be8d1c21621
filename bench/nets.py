"""The networks of `shapes.NETS` in matconv, PyTorch, JAX and ONNX, with the same parameters.

PyTorch and ONNX have images (l, d, b, a) and flatten them in this order; the notes flatten with the
channel fastest.  For a dense layer after images the rows of the weights are reordered
(`channels_first`), so that all networks are the same function.
"""

import math

import numpy as np


def shapes_of(net):
    """[(kind, options, input shape, output shape)] of each layer; sides floor as in the kernels."""
    shape, found = net["input_shape"], []
    for kind, options in net["layers"]:
        before = shape
        if kind == "dense":
            shape = (options["units"],)
        else:
            reach = options["kernel"] if kind == "conv" else options["window"]
            step, pad = stride(kind, options), options.get("pad", 0)
            b, a = ((n + 2 * pad - reach) // step + 1 for n in shape[:2])
            shape = (b, a, options["channels"] if kind == "conv" else before[2])
        found.append((kind, options, before, shape))
    return found


def stride(kind, options):
    """Return the stride: of a pool by default its window, else 1."""
    return options.get("stride", options["window"] if kind == "pool" else 1)


def weight_shapes(net):
    """Return the shape of each layer's W in the layout of the notes, None for pools.

    Convolution: (d / groups, h, h, d_out).  Dense: (m, units).
    """
    found = []
    for kind, options, before, after in shapes_of(net):
        if kind == "conv":
            inputs, side = before[2] // options.get("groups", 1), options["kernel"]
            found.append((inputs, side, side, after[2]))
        else:
            found.append((math.prod(before), after[0]) if kind == "dense" else None)
    return found


def parameters(net, seed=0):
    """Return [(W, b)] of the layers, float64 in the layout of the notes, with He's scale."""
    rng = np.random.default_rng(seed)
    found = []
    for shape in weight_shapes(net):
        if shape is not None:
            scale = math.sqrt(2 / math.prod(shape[:-1]))
            W = scale * rng.standard_normal(shape)
            found.append((W, 0.1 * rng.standard_normal(shape[-1])))
    return found


def channels_first(net, values):
    """Return [(W, b)] for libraries with images (l, d, b, a), C-contiguous.

    Convolution: W (d_out, d / groups, h, h).  Dense: W (units, m) with m counted as (d, b, a).
    """
    values, found = iter(values), []
    for kind, _, before, after in shapes_of(net):
        if kind == "pool":
            continue
        W, b = next(values)
        if kind == "conv":
            W = W.transpose(3, 0, 1, 2)
        else:
            # Rows of W count (b, a, d) with d fastest; columns are to count (d, b, a).
            axes = (len(before), len(before) - 1, *range(len(before) - 1))
            W = W.reshape(*before, after[0]).transpose(axes).reshape(after[0], -1)
        found.append((np.ascontiguousarray(W), b))
    return found


def data(net, images, dtype, seed=1):
    """Return Z (images, b, a, d), uniform in [0, 1), and labels; without temporary arrays."""
    rng = np.random.default_rng(seed)
    Z = np.empty((images, *net["input_shape"]), dtype)
    rng.random(out=Z, dtype=Z.dtype)
    return Z, rng.integers(0, net["layers"][-1][1]["units"], images)


def for_matconv(net, dtype, **options):
    """Return a `matconv.Network` of `shapes.NETS`; ``options`` are those of Network."""
    import matconv

    layers = []
    for k, (kind, given) in enumerate(net["layers"], start=1):
        if kind == "conv":
            layers.append(matconv.Conv(**given, activation="relu"))
        elif kind == "pool":
            layers.append(matconv.MaxPool(**given))
        else:
            last = k == len(net["layers"])
            layers.append(matconv.Dense(given["units"], activation=None if last else "relu"))
    return matconv.Network(net["input_shape"], layers, dtype=dtype, **options)


def for_torch(net, values, dtype):
    """Return a `torch.nn.Sequential` of the same network with the parameters `values`."""
    import torch

    values, modules, image = iter(channels_first(net, values)), [], True
    found = shapes_of(net)
    for k, (kind, options, before, after) in enumerate(found, start=1):
        if kind == "pool":
            modules.append(torch.nn.MaxPool2d(options["window"], stride(kind, options)))
            continue
        if kind == "conv":
            more = {key: options[key] for key in ("stride", "groups") if key in options}
            module = torch.nn.Conv2d(
                before[2], after[2], options["kernel"], padding=options.get("pad", 0), **more
            )
        else:
            if image:
                modules.append(torch.nn.Flatten())
            image = False
            module = torch.nn.Linear(math.prod(before), after[0])
        W, b = next(values)
        with torch.no_grad():
            module.to(torch.from_numpy(np.empty(0, dtype)).dtype)
            module.weight.copy_(torch.from_numpy(W))
            module.bias.copy_(torch.from_numpy(b))
        modules.append(module)
        if k < len(found):
            modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules)


def for_jax(net, values, dtype, form):
    """Return (parameters, function of parameters and images) in JAX, "nhwc" or "nchw"."""
    import jax.numpy as jnp
    from jax import lax

    found = shapes_of(net)
    if form == "nhwc":
        filters = "IHWO"  # the notes' own layout
    else:
        filters, values = "OIHW", channels_first(net, values)
    values = [(jnp.asarray(W, dtype), jnp.asarray(b, dtype)) for W, b in values]

    def around(n):  # a pair of sizes on the two axes of the image
        return (1, n, n, 1) if form == "nhwc" else (1, 1, n, n)

    def outputs(values, Z):
        values = iter(values)
        for k, (kind, options, _, _) in enumerate(found, start=1):
            step = stride(kind, options)
            if kind == "pool":
                window = around(options["window"])
                Z = lax.reduce_window(Z, -jnp.inf, lax.max, window, around(step), "VALID")
                continue
            W, b = next(values)
            if kind == "conv":
                pad = (options.get("pad", 0),) * 2
                Z = lax.conv_general_dilated(
                    *(Z, W, (step, step), (pad, pad)),
                    dimension_numbers=(form.upper(), filters, form.upper()),
                    feature_group_count=options.get("groups", 1),
                )
                Z = Z + (b if form == "nhwc" else b[:, None, None])
            else:
                Z = Z.reshape(len(Z), -1) @ (W if form == "nhwc" else W.T) + b
            if k < len(found):
                Z = jnp.maximum(Z, 0)
        return Z

    return values, outputs


def for_onnx(net, values):
    """Return an ONNX model (bytes) of the same network in float32: input "Z", output "z"."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, name = [], [], "Z"
    values = iter(channels_first(net, values))
    found = shapes_of(net)
    for k, (kind, options, before, _) in enumerate(found, start=1):
        sides, step = {}, stride(kind, options)
        if kind == "dense" and len(before) == 3:
            nodes.append(helper.make_node("Flatten", [name], [f"flat{k}"]))
            name = f"flat{k}"
        if kind != "pool":
            for letter, value in zip("Wb", next(values), strict=True):
                constants.append(numpy_helper.from_array(value.astype(np.float32), f"{letter}{k}"))
        if kind == "conv":
            sides = {"group": options.get("groups", 1), "pads": [options.get("pad", 0)] * 4}
        if kind != "dense":
            reach = options["kernel" if kind == "conv" else "window"]
            sides |= {"kernel_shape": [reach] * 2, "strides": [step] * 2}
        else:
            sides = {"transB": 1}
        inputs = [name] if kind == "pool" else [name, f"W{k}", f"b{k}"]
        name = f"S{k}" if k < len(found) else "z"
        operator = {"conv": "Conv", "pool": "MaxPool", "dense": "Gemm"}[kind]
        nodes.append(helper.make_node(operator, inputs, [name], **sides))
        if kind != "pool" and k < len(found):
            nodes.append(helper.make_node("Relu", [name], [f"Z{k}"]))
            name = f"Z{k}"
    b, a, d = net["input_shape"]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("Z", floats, ["l", d, b, a])],
        [helper.make_tensor_value_info("z", floats, ["l", found[-1][3][0]])],
        constants,
    )
    return onnx_bytes(graph)


def onnx_bytes(graph):
    """Return a graph as a model in a format that any ONNX Runtime reads."""
    from onnx import helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
