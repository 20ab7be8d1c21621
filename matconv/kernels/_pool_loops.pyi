"""The loops of pooling: functions of compiled code only. `pool` has those for Python."""
