"""Winograd's convolution, for compiled code only; `_conv` has the functions for Python."""
