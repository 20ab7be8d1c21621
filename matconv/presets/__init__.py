"""Networks that are known by a name, and networks from TOML files.

Each function returns a `matconv.Network`. These have arguments in common:

classes : int
    Number of outputs.
input_shape : (height, width, channels)
    Shape of the images.
dtype : float64 or float32
width : float
    Factor of all numbers of channels and of units, except of images and classes; 0.125 makes a
    network for small experiments.

Initial values, which `matconv.Network.init` draws, follow the paper or the implementation that the
function names. `PRESETS` lists all networks, with their names on the command line.

_lenet       digits, lenet, lenet_matconvnet
_simplenn    simplenn
_cifar       cifar_quick, nin_cifar
_alexnet     alexnet
_vgg         vgg
_squeezenet  squeezenet
_googlenet   googlenet
_resnet      resnet
_mobilenet   mobilenet_v2
_dncnn       dncnn
chain        helper functions: layers that follow one another
enlarging    networks that enlarge their images first
toml         networks from TOML files

Examples
--------
>>> from matconv import presets
>>> presets.resnet(18).n, presets.resnet(18, classes=10, input_shape=(64, 64, 3), width=0.25).n
(11689512, 703386)
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..network import Network
from ._alexnet import alexnet as alexnet
from ._cifar import cifar_quick as cifar_quick
from ._cifar import nin_cifar as nin_cifar
from ._dncnn import dncnn as dncnn
from ._googlenet import googlenet as googlenet
from ._lenet import digits as digits
from ._lenet import lenet as lenet
from ._lenet import lenet_matconvnet as lenet_matconvnet
from ._mobilenet import mobilenet_v2 as mobilenet_v2
from ._resnet import resnet as resnet
from ._simplenn import simplenn as simplenn
from ._squeezenet import squeezenet as squeezenet
from ._vgg import vgg as vgg
from .enlarging import for_smaller_images as for_smaller_images
from .toml import NETWORK_KEYS as NETWORK_KEYS
from .toml import network_from_toml as network_from_toml


class Preset(NamedTuple):
    """A network of `PRESETS`.

    Attributes
    ----------
    function : callable
        One of the functions of this module.
    input_shape : (height, width, channels)
        Usual shape of the images.
    arguments : tuple
        First arguments of the function: the variant.
    """

    function: Callable[..., Network]
    input_shape: tuple[int, int, int]
    arguments: tuple[Any, ...] = ()

    def accepts(self, name: str) -> bool:
        """Return whether the function has an argument of this name."""
        return name in inspect.signature(self.function).parameters


LARGE_IMAGES = (224, 224, 3)

PRESETS: dict[str, Preset] = {
    "digits": Preset(digits, (8, 8, 1)),
    "lenet": Preset(lenet, (28, 28, 1)),
    "lenet-matconvnet": Preset(lenet_matconvnet, (28, 28, 1)),
    "simplenn-3": Preset(simplenn, (32, 32, 3), (3,)),
    "simplenn-4": Preset(simplenn, (32, 32, 3), (4,)),
    "simplenn-7": Preset(simplenn, (32, 32, 3), (7,)),
    "cifar-quick": Preset(cifar_quick, (32, 32, 3)),
    "nin-cifar": Preset(nin_cifar, (32, 32, 3)),
    "alexnet-paper": Preset(alexnet, (227, 227, 3), ("paper",)),
    "alexnet-caffe": Preset(alexnet, (227, 227, 3), ("caffe",)),
    "alexnet-caffenet": Preset(alexnet, (227, 227, 3), ("caffenet",)),
    "alexnet-torchvision": Preset(alexnet, LARGE_IMAGES, ("torchvision",)),
    "vgg11": Preset(vgg, LARGE_IMAGES, (11,)),
    "vgg13": Preset(vgg, LARGE_IMAGES, (13,)),
    "vgg16": Preset(vgg, LARGE_IMAGES, (16,)),
    "vgg19": Preset(vgg, LARGE_IMAGES, (19,)),
    "squeezenet-1.0": Preset(squeezenet, LARGE_IMAGES, ("1.0",)),
    "squeezenet-1.1": Preset(squeezenet, LARGE_IMAGES, ("1.1",)),
    "googlenet": Preset(googlenet, LARGE_IMAGES),
    "resnet18": Preset(resnet, LARGE_IMAGES, (18,)),
    "resnet34": Preset(resnet, LARGE_IMAGES, (34,)),
    "resnet50": Preset(resnet, LARGE_IMAGES, (50,)),
    "mobilenet-v2": Preset(mobilenet_v2, LARGE_IMAGES),
    "dncnn17": Preset(dncnn, (40, 40, 1), (17,)),
}

# minimum height and width of images for which `preset_for` returns the larger of its two presets
LARGE = 16


def preset_for(input_shape: Sequence[int]) -> str:
    """Return the name of the default preset for images of a shape.

    >>> preset_for((28, 28, 1)), preset_for((8, 8, 1))
    ('lenet', 'digits')
    """
    return "lenet" if min(input_shape[:2]) >= LARGE else "digits"


def make_network(
    name: str,
    input_shape: Sequence[int] | None,
    classes: int,
    dtype: str | None = None,
    width: float | None = None,
) -> Network:
    """Return the network of a preset or of a TOML file.

    Parameters
    ----------
    name : str
        A key of `PRESETS`, or a path.
    input_shape : (height, width, channels), optional
        Shape of the images. By default that of the preset or of the file.
    classes : int
        Number of outputs of a preset. Not used for a file, nor for a preset without classes.
    dtype : "float64" or "float32", optional
        By default that of the file, else float64.
    width : float, optional
        Factor of the channels of a preset that has this argument.

    Returns
    -------
    net : Network

    Raises
    ------
    FormatError
        If the content of the file is invalid; the message names the file.
    OSError
        If the file cannot be read.
    TypeError, ValueError
        If there is no such preset, or an argument is invalid.

    Examples
    --------
    >>> make_network("lenet", (28, 28, 1), 10).n
    431080
    """
    preset = PRESETS.get(name)
    if width is not None and (preset is None or not preset.accepts("width")):
        names = ", ".join(one for one, known in PRESETS.items() if known.accepts("width"))
        raise ValueError(f"--width goes with --network {names}, got {name!r}")
    if preset is not None:
        options: dict[str, Any] = {} if width is None else {"width": width}
        if preset.accepts("classes"):
            options["classes"] = classes
        shape = preset.input_shape if input_shape is None else tuple(input_shape)
        return preset.function(
            *preset.arguments, input_shape=shape, dtype=dtype or "float64", **options
        )
    if not os.path.exists(name) and not name.lower().endswith(".toml"):
        raise ValueError(f"--network: {name!r} is neither a file nor one of {', '.join(PRESETS)}")
    return network_from_toml(name, input_shape, dtype)
