"""Convolution of small images, for compiled code only; `_conv` has the functions for Python."""
