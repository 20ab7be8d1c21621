"""Loops of convolutions with few channels per group, for compiled code only."""
