"""Frozen networks, for compiled code only; `predictor` has the class for Python."""
