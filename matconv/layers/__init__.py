"""Layers: the descriptions that a network is made of.

A layer such as ``Conv(20, 5)`` is a description without image sizes. Its class names the compiled
operation that computes it, describes it to this operation by integers and floats, and names and
initialises its parameters.

base         Layer, the base class: name, inputs, representation
initial      Normal, the initial values of parameters
windows      shapes of images, sizes and padding of windows
filters      Conv, ConvTranspose, Dense
pooling      MaxPool, AvgPool
elementwise  Activation, Add, Dropout, Multiply, PReLU, Scale
normalizing  LRN, LogSoftmax, Normalize, Softmax
shaping      Concat, Crop, Pad, Slice, Upsample
"""

from .base import Layer as Layer
from .base import Parameter as Parameter
from .elementwise import Activation as Activation
from .elementwise import Add as Add
from .elementwise import Dropout as Dropout
from .elementwise import Multiply as Multiply
from .elementwise import PReLU as PReLU
from .elementwise import Scale as Scale
from .filters import Conv as Conv
from .filters import ConvTranspose as ConvTranspose
from .filters import Dense as Dense
from .initial import Normal as Normal
from .normalizing import LRN as LRN
from .normalizing import LogSoftmax as LogSoftmax
from .normalizing import Normalize as Normalize
from .normalizing import Softmax as Softmax
from .pooling import AvgPool as AvgPool
from .pooling import MaxPool as MaxPool
from .shaping import Concat as Concat
from .shaping import Crop as Crop
from .shaping import Pad as Pad
from .shaping import Slice as Slice
from .shaping import Upsample as Upsample
from .windows import Shape as Shape

# every class of layers; descriptions and files name a class by its kind
LAYERS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (
        Activation,
        Add,
        AvgPool,
        Concat,
        Conv,
        ConvTranspose,
        Crop,
        Dense,
        Dropout,
        LRN,
        LogSoftmax,
        MaxPool,
        Multiply,
        Normalize,
        PReLU,
        Pad,
        Scale,
        Slice,
        Softmax,
        Upsample,
    )
}

# pickles and messages contain the public names of the classes, not the files that define them
for _class in (Layer, Normal, Parameter, *LAYERS.values()):
    _class.__module__ = __name__
