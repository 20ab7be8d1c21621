"""matconv: convolutional networks as matrix operations, on CPUs.

A network is a function of one vector theta, which has the parameters of all layers, and of images.
matconv computes its outputs, the objective

    f(theta) = theta'theta / (2C) + (1/l) sum_i xi(z^{L+1,i}(theta); y^i)

over l images, and the gradient of f, in double or single precision. Results have the same bits for
any number of threads.

Objects
-------
Conv, Dense, MaxPool, Add, ...
    Descriptions of layers.
Network
    Layers, connected: ``init`` returns a theta, ``forward`` the outputs, ``predict`` classes.
    ``pack`` and ``unpack`` convert between theta and the parameters of each layer.
Objective
    f(theta) and its gradient for a network, images and labels; for any optimiser.
Linearization
    f at one theta, with products with the Jacobian, the Gauss-Newton matrix and the Hessian.
minimize
    Minimises an Objective: L-BFGS, stochastic gradient descent, Newton's method, methods of SciPy.
Predictor
    A network with fixed theta for fast inference, from ``Network.freeze`` or `load_predictor`.
save_model, load_model
    Model files: a network, theta, labels and preprocessing.
conv2d, max_pool2d, bias_relu, im2col, ...
    The operations of a network and their gradients as functions of arrays.
mat, vec, P_phi, phi_operator
    The matrices of the lecture notes whose notation matconv follows.

Images are arrays of shape (l, height, width, channels): the last axis is the channels.

Where to go next
----------------
``help(matconv.Network)`` and ``help(matconv.Objective)`` have examples. ``matconv --help`` describes
the command line. README.md of the repository has installation and examples, matconv/README.md
the structure of the code and how to extend it.

Submodules
----------
The order is that of imports: a submodule imports only from those above it. ``import matconv`` gives
access to all of them; some are loaded when they are first used.

    kernels       compiled code: operations, programs, predictors
    engines       evaluation of items on threads; the default number of threads
    arguments     checks of arguments
    factors       factors of parameters by layer and kind
    immutable     Immutable: base class of descriptions
    options       options of solvers and commands, one record each
    encoding      the description of a network as bytes for compiled code
    activations   LeakyReLU, Clip, ...: functions that layers apply to each element
    layers        Conv, Dense, MaxPool, Add, ...: descriptions of layers
    graph         inputs, outputs and shapes of the layers of a network
    layout        places of each layer's parameters in theta
    descriptions  layers as text, and as JSON-able data
    losses        losses of an image: value, gradient and Hessian
    metrics       error, top-k error, error by class
    sharding      the rule of shards and leaves, and the order of sums
    buffers       workspace memory that calls reuse, with limits for the process
    evaluation    evaluation of a program over shards, with memory and threads
    files         opening of untrusted files, atomic writing of files
    moments       Scale layers that normalise images
    structure     Structure: the part of a network that does not need theta
    network       Network: outputs as a function of theta and images
    terms         sums over the images of an objective, and its regularisation
    operators     linear operators of SciPy from functions
    states        states of forward passes, kept for later passes
    products      products with second derivatives for one shard
    curvature     Linearization: products with the Jacobian, the Gauss-Newton matrix, the Hessian
    per_image     gradients of single images
    second_order  products with second derivatives of an objective, gradients of its images
    objective     Objective: f(theta) and its gradient over all images
    differences   comparison of a derivative with central differences, and its rounding errors
    checking      checks of derivatives: check_gradient, check_products, check_loss
    notes         matrices and equations of the notes in NumPy: vec, mat, ...
    phi           the matrix P_phi, and phi as a linear operator
    solvers       minimize: L-BFGS, stochastic gradient, Newton
    io            model and data files
    presets       networks by name or from a TOML file
    data          handwritten digits
    commands      the commands of the command line
    cli           the command line
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

try:
    from .kernels import _conv  # noqa: F401
except ModuleNotFoundError as error:
    if not (error.name or "").startswith(f"{__name__}."):
        raise  # a dependency is missing
    from ._import_error import import_error as _import_error

    raise _import_error(error, __path__[0]) from None

from .activations import ELU, Clip, HardSigmoid, LeakyReLU
from .curvature import Linearization
from .kernels import (
    avg_pool2d,
    avg_pool2d_backward,
    bias_relu,
    bias_relu_backward,
    col2im,
    conv2d,
    conv2d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    dense,
    dense_backward,
    im2col,
    lrn,
    lrn_backward,
    max_pool2d,
    max_pool2d_backward,
    upsample2d,
    upsample2d_backward,
)
from .layers import (
    LRN,
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Crop,
    Dense,
    Dropout,
    LogSoftmax,
    MaxPool,
    Multiply,
    Normalize,
    Pad,
    PReLU,
    Scale,
    Slice,
    Softmax,
    Upsample,
)
from .network import Network
from .objective import Objective

if TYPE_CHECKING:
    from . import (  # noqa: F401
        activations,
        arguments,
        buffers,
        checking,
        cli,
        commands,
        curvature,
        data,
        descriptions,
        differences,
        encoding,
        engines,
        evaluation,
        factors,
        files,
        graph,
        io,
        kernels,
        layers,
        layout,
        losses,
        metrics,
        moments,
        network,
        notes,
        objective,
        operators,
        options,
        per_image,
        phi,
        presets,
        products,
        second_order,
        sharding,
        solvers,
        states,
        structure,
        terms,
    )
    from .files import FormatError
    from .io import (
        load_matconvnet,
        load_model,
        load_predictor,
        load_simplenn,
        read_idx,
        read_idx_images,
        read_images_npz,
        read_simplenn_config,
        read_simplenn_data,
        save_matconvnet,
        save_model,
        save_simplenn,
    )
    from .kernels.predictor import Predictor
    from .notes import mat, vec
    from .phi import P_phi, phi_operator
    from .solvers import minimize

__version__ = "0.1.0"

# public submodules; those that import more than NumPy and scipy.linalg are loaded at first use
_SUBMODULES = (
    "activations",
    "arguments",
    "buffers",
    "checking",
    "cli",
    "commands",
    "curvature",
    "data",
    "descriptions",
    "differences",
    "encoding",
    "engines",
    "evaluation",
    "factors",
    "files",
    "graph",
    "io",
    "kernels",
    "layers",
    "layout",
    "losses",
    "metrics",
    "moments",
    "network",
    "notes",
    "objective",
    "operators",
    "options",
    "per_image",
    "phi",
    "presets",
    "products",
    "second_order",
    "sharding",
    "solvers",
    "states",
    "structure",
    "terms",
)
# public names that are loaded at first use, and the submodules that define them
_LATER = {
    "FormatError": "files",
    "P_phi": "phi",
    "Predictor": "kernels.predictor",
    "load_matconvnet": "io",
    "load_model": "io",
    "load_predictor": "io",
    "load_simplenn": "io",
    "mat": "notes",
    "minimize": "solvers",
    "phi_operator": "phi",
    "read_idx": "io",
    "read_idx_images": "io",
    "read_images_npz": "io",
    "read_simplenn_config": "io",
    "read_simplenn_data": "io",
    "save_matconvnet": "io",
    "save_model": "io",
    "save_simplenn": "io",
    "vec": "notes",
}

__all__ = [
    "ELU",
    "LRN",
    "Activation",
    "Add",
    "AvgPool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Crop",
    "Dense",
    "Dropout",
    "FormatError",
    "HardSigmoid",
    "LeakyReLU",
    "Linearization",
    "LogSoftmax",
    "MaxPool",
    "Multiply",
    "Network",
    "Normalize",
    "Objective",
    "PReLU",
    "P_phi",
    "Pad",
    "Predictor",
    "Scale",
    "Slice",
    "Softmax",
    "Upsample",
    "avg_pool2d",
    "avg_pool2d_backward",
    "bias_relu",
    "bias_relu_backward",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "dense",
    "dense_backward",
    "get_include",
    "im2col",
    "load_matconvnet",
    "load_model",
    "load_predictor",
    "load_simplenn",
    "lrn",
    "lrn_backward",
    "mat",
    "max_pool2d",
    "max_pool2d_backward",
    "minimize",
    "phi_operator",
    "read_idx",
    "read_idx_images",
    "read_images_npz",
    "read_simplenn_config",
    "read_simplenn_data",
    "save_matconvnet",
    "save_model",
    "save_simplenn",
    "upsample2d",
    "upsample2d_backward",
    "vec",
]


def get_include() -> str:
    """Return the include folder (``-I``) for code that has ``#include <matconv/matconv.h>``.

    Examples
    --------
    >>> import os, matconv
    >>> sorted(os.listdir(os.path.join(matconv.get_include(), "matconv")))
    ['matconv.h', 'table.h', 'types.h']
    """
    from os.path import dirname, isdir, join

    package = dirname(__file__)
    installed = join(package, "include")
    return installed if isdir(installed) else join(dirname(package), "include")


if not TYPE_CHECKING:  # type checkers see the imports above, and report names that do not exist

    def __getattr__(name: str) -> object:
        if name in _SUBMODULES:
            return _import_module(f".{name}", __name__)
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(_import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_SUBMODULES})
