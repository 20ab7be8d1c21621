"""The fused type of both dtypes. Public C functions have a suffix, _f64 or _f32, instead."""

ctypedef fused real:
    double
    float
