"""Files of simpleNN, the MATLAB system for convolutional networks and Newton methods.

model       load_simplenn, save_simplenn: models
config      read_simplenn_config: configurations
data        read_simplenn_data: images and labels
equivalent  networks for other images, for conversions
"""

from .config import is_config as is_config
from .config import read_simplenn_config as read_simplenn_config
from .data import ORDERS as ORDERS
from .data import read_simplenn_data as read_simplenn_data
from .equivalent import for_pictures as for_pictures
from .equivalent import with_dense_layers as with_dense_layers
from .model import NAMES as NAMES
from .model import is_simplenn as is_simplenn
from .model import load_simplenn as load_simplenn
from .model import model_from as model_from
from .model import save_simplenn as save_simplenn

__all__ = ["load_simplenn", "read_simplenn_config", "read_simplenn_data", "save_simplenn"]
