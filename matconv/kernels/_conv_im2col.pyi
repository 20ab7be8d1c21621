"""Convolution by im2col, for compiled code only; `_conv` has the functions for Python."""
