"""Winograd's convolution: functions of compiled code only."""
