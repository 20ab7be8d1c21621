"""Convolution of images with few channels, for compiled code only."""
