"""The two functions by the algorithm that is exact on integers and keeps a NaN in its place."""

from functools import partial

import matconv

conv2d = partial(matconv.conv2d, algorithm="im2col")
conv2d_backward = partial(matconv.conv2d_backward, algorithm="im2col")
