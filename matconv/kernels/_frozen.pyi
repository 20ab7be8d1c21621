"""Frozen networks: functions of compiled code only. `predictor` has the class for Python."""
