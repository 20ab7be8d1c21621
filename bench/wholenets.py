"""Measure whole networks: the same function in matconv and in other libraries.

Passes: "forward" gives the outputs of a batch; "gradient" gives f, the softmax cross-entropy of the
batch, and its gradient; "step" is that and a plain SGD update of the parameters.  Before anything
is timed, outputs, f and the gradient's norm of each side are compared with matconv's.
"""

import contextlib
import itertools
import math

import layers
import nets
import numpy as np
import peers
import peers_jax
import peers_onnx
import shapes

PASSES = ("forward", "gradient", "step")
PEERS = ("torch", "torch-f32", "jax", "onnxruntime")

#: Outputs, f and norm of two sides agree to this share of the larger arrays' own size.
AGREEMENT = {"float64": 1e-10, "float32": 1e-3}

#: The rate of the SGD update: so small that the function stays what was checked.
RATE = 1e-6


class Side:
    """A library with a network, a batch and labels: passes by name."""

    form = None

    def __init__(self, name, dtype, threads):
        self.name, self.dtype, self.threads = name, np.dtype(dtype), threads

    def run(self, which):
        """Return the function of a pass."""
        return getattr(self, which)

    def context(self):
        """Return a context manager that sets nothing; sides may override it."""
        return contextlib.nullcontext()


class Matconv(Side):
    """matconv: a Network and an Objective, theta one vector."""

    def __init__(self, net, values, data, dtype, threads, algorithm="auto"):
        import matconv

        super().__init__("matconv", dtype, threads)
        self.network = nets.for_matconv(net, dtype, algorithm=algorithm)
        self.Z, y = data[0].astype(dtype), data[1]
        self.theta = self.network.pack([(W.astype(dtype), b.astype(dtype)) for W, b in values])
        self.objective = matconv.Objective(
            self.network, self.Z, y, loss=net.get("loss", "softmax"), n_threads=threads
        )

    def forward(self):
        """The outputs."""
        return self.network.forward(self.theta, self.Z, n_threads=self.threads)

    def gradient(self):
        """f and its gradient."""
        return self.objective.value_and_gradient(self.theta)

    def step(self):
        """f, and theta a little further down."""
        f, gradient = self.gradient()
        gradient *= RATE
        self.theta -= gradient
        return f

    def results(self):
        f, gradient = self.gradient()
        return {"outputs": self.forward(), "f": f, "norm": np.linalg.norm(gradient)}


class Torch(Side):
    """PyTorch as usual: zero_grad, forward, loss, backward, optimizer step."""

    def __init__(self, net, values, data, dtype, threads, form):
        torch = peers.require_torch()
        super().__init__(f"torch {np.dtype(dtype).name}", dtype, threads)
        self.form, memory_format = form, peers.torch_format(form)
        self.model = nets.for_torch(net, values, dtype).to(memory_format=memory_format)
        Z = torch.from_numpy(data[0].astype(dtype)).permute(0, 3, 1, 2)
        self.Z, self.y = Z.clone().contiguous(memory_format=memory_format), torch.tensor(data[1])
        self.loss = torch.nn.functional.cross_entropy
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)
        self.no_grad = torch.no_grad

    def context(self):
        """PyTorch at this side's number of threads."""
        return peers.torch_threads(self.threads)

    def forward(self):
        """The outputs, without what a gradient would need."""
        with self.no_grad():
            return self.model(self.Z)

    def gradient(self):
        """f; the gradient stays in the parameters."""
        self.optimizer.zero_grad()
        f = self.loss(self.model(self.Z), self.y)
        f.backward()
        return f

    def step(self):
        """f, and the parameters a little further down."""
        f = self.gradient()
        self.optimizer.step()
        return f

    def results(self):
        f = self.gradient().item()
        squares = sum(float((p.grad.double() ** 2).sum()) for p in self.model.parameters())
        return {"outputs": self.forward().numpy(), "f": f, "norm": squares**0.5}


class Jax(Side):
    """JAX: a compiled function for each pass; a step donates its old parameters."""

    def __init__(self, net, values, data, dtype, threads, form):
        jax = peers_jax.client(threads)
        super().__init__(f"jax {np.dtype(dtype).name}", dtype, threads)
        self.form, self.wait = form, jax.block_until_ready
        Z = data[0].transpose(peers_jax.AXES[form])
        self.Z = jax.device_put(np.ascontiguousarray(Z, dtype))
        self.y = jax.device_put(data[1])
        self.values, outputs = nets.for_jax(net, values, dtype, form)

        def loss(values, Z, y):
            z = outputs(values, Z)
            chosen = jax.numpy.take_along_axis(z, y[:, None], axis=1)[:, 0]
            return (jax.nn.logsumexp(z, axis=1) - chosen).mean()

        def step(values, Z, y):
            f, gradient = jax.value_and_grad(loss)(values, Z, y)
            return f, jax.tree.map(lambda p, g: p - RATE * g, values, gradient)

        self.outputs = jax.jit(outputs)
        self.loss_and_gradient = jax.jit(jax.value_and_grad(loss))
        self.updated = jax.jit(step, donate_argnums=0)
        self.leaves = jax.tree.leaves

    def forward(self):
        """The outputs."""
        return self.wait(self.outputs(self.values, self.Z))

    def gradient(self):
        """f and its gradient."""
        return self.wait(self.loss_and_gradient(self.values, self.Z, self.y))

    def step(self):
        """f, and the parameters a little further down."""
        f, self.values = self.wait(self.updated(self.values, self.Z, self.y))
        return f

    def results(self):
        f, gradient = self.gradient()
        squares = sum(float((np.asarray(g, np.float64) ** 2).sum()) for g in self.leaves(gradient))
        return {"outputs": np.asarray(self.forward()), "f": float(f), "norm": squares**0.5}


class Onnx(Side):
    """ONNX Runtime: forward, float32."""

    def __init__(self, net, values, data, threads):
        super().__init__("onnxruntime", "float32", threads)
        self.Z = np.ascontiguousarray(data[0].transpose(0, 3, 1, 2), np.float32)
        self.session = peers_onnx.session(nets.for_onnx(net, values), threads)

    def forward(self):
        """The outputs."""
        return self.session.run(None, {"Z": self.Z})[0]

    def results(self):
        return {"outputs": self.forward()}


def sides(peer, net, values, data, dtype, threads):
    """Return the sides of a peer: two memory formats of PyTorch and JAX, else one."""
    if peer == "onnxruntime":
        return [Onnx(net, values, data, threads)]
    if peer == "jax":
        return [Jax(net, values, data, dtype, threads, form) for form in peers_jax.FORMS]
    dtype = "float32" if peer == "torch-f32" else dtype
    return [Torch(net, values, data, dtype, threads, form) for form in peers.TORCH_FORMS]


def agree(mine, other, share, who):
    """Raise ArithmeticError unless the results of both sides agree to `share` of their size.

    Examples
    --------
    >>> agree({"f": 1.0, "norm": 2.0}, {"f": 1.0}, 1e-10, "torch, lenet")
    """
    for key, value in other.items():
        error = np.max(np.abs(np.subtract(value, mine[key], dtype=np.float64)))
        size = np.max(np.abs(mine[key]))
        if not error <= share * size:
            raise ArithmeticError(
                f"{who}: {key} differs from matconv's by {error:.3g}, of numbers up to {size:.3g}: "
                "not the same function"
            )


def flops(net, images):
    """Return the multiplications and additions of a forward pass, done directly."""
    work = 0
    for (kind, _, _, after), W_shape in zip(
        nets.shapes_of(net), nets.weight_shapes(net), strict=True
    ):
        if W_shape is not None:
            positions = after[0] * after[1] if kind == "conv" else 1
            work += 2 * positions * math.prod(W_shape)
    return work * images


class Bench:
    """A network with parameters and a batch, to be measured several times."""

    kind = "net"

    def __init__(self, name, how, batch=None, say=lambda text: None):
        self.name, self.how, self.say = name, how, say
        self.net = shapes.NETS[name]
        self.batch = batch or self.net["batch"]
        self.sizes = str(self.batch)
        self._make(nets.data(self.net, self.batch, np.float32))

    def _make(self, data):
        # float64 whose values are float32 numbers, so both dtypes agree
        self.data = (data[0].astype(np.float64), data[1])
        self.values = nets.parameters(self.net)

    def matconv(self, dtype, threads, algorithm="auto"):
        """matconv's side."""
        return Matconv(self.net, self.values, self.data, dtype, threads, algorithm)

    def records(self, dtype, threads, algorithm, peer, passes):
        """Measure matconv against a peer in each of the passes that the peer has."""
        mine = self.matconv(dtype, threads, algorithm)
        others = sides(peer, self.net, self.values, self.data, dtype, threads)
        expected = mine.results()
        for other in others:
            with other.context():
                given = other.results()
            share = max(AGREEMENT[one.dtype.name] for one in (mine, other))
            agree(expected, given, share, f"{other.name}, {self.name}")
        key = (dtype, threads, algorithm, peer)
        return self._measured(mine, others, key, layers.passes_of(peer, passes))

    def speedup(self, dtype, threads, passes):
        """Measure several threads of matconv against one: ratios are speedups."""
        mine, other = (self.matconv(dtype, n) for n in (threads, 1))
        return self._measured(mine, [other], (dtype, threads, "auto", "1 thread"), passes)

    def _measured(self, mine, others, key, passes):
        found = []
        for which in passes:
            other, pairing = layers.measure(mine, others, which, self.how)
            values = (self.kind, self.name, self.sizes, which, *key)
            about = dict(zip(layers.KEYS, values, strict=True))
            # a gradient is worth three forward passes; what a step adds is not counted
            work = flops(self.net, self.batch) * (1 if which == "forward" else 3)
            found.append(layers.record(about, work, other, pairing))
            self.say(f"{layers.label(found[-1])}: {pairing.ratio.median:.2f}")
        return found


class LayerBench(Bench):
    """A layer with ReLU and squared loss as a network: f and its gradient."""

    kind = "layer"

    def __init__(self, layer, how, say=lambda text: None):
        self.name, self.how, self.say = layer.name, how, say
        self.batch, self.sizes = layer.batch, str(layer)
        self.net = {
            "input_shape": layer.image_shape[1:],
            "layers": (("conv", {"channels": layer.filters, "kernel": layer.kernel[0]}),),
            "loss": "squared",
        }
        self.net["layers"][0][1].update({k: v for k, v in layer.options.items() if k != "dilation"})
        Z = np.random.default_rng(0).standard_normal(layer.image_shape, dtype=np.float32)
        self._make((Z, np.zeros((layer.batch, math.prod(layer.output_shape[1:])))))


def run(given, say):
    """Return all records of the chosen networks, and the lines of a report."""
    missing = layers.absent(given.peers)
    how = layers.effort(given.quick, given.repeats)
    records = []
    for name in given.nets:
        bench = Bench(name, how, given.batch or (4 if given.quick else None), say)
        wanted = [given.dtypes, given.threads, given.algorithms]
        for key in itertools.product(*wanted, [x for x in given.peers if x not in missing]):
            records += bench.records(*key, given.passes)
    found = {"records": records, "means": layers.means(records), "skipped": missing}
    return found, layers.report(records)
