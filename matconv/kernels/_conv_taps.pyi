"""Convolution of small images, a product for each tap: functions of compiled code only."""
