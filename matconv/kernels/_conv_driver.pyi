"""A convolution by either algorithm: functions of compiled code only. `conv` has those for Python."""
