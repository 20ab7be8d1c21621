"""Convolution as matrix products, a tile of phi at a time: functions of compiled code only."""
