"""Files of MatConvNet, the MATLAB toolbox for convolutional networks.

reading    load_matconvnet
simplenn   the layers of a SimpleNN
dagnn      the layers of a DagNN
fields     fields of structs, checked
kinds      the layers of MatConvNet as layers of matconv
building   a Network and theta from layers
meta       size of images, classes, normalisation
writing    save_matconvnet
layers_to  layers of matconv as layers of MatConvNet
"""

from .reading import NAMES as NAMES
from .reading import load_matconvnet as load_matconvnet
from .reading import model_from as model_from
from .writing import save_matconvnet as save_matconvnet

__all__ = ["load_matconvnet", "save_matconvnet"]
