"""The two dtypes. One fused body serves both; public C names carry a suffix instead."""

ctypedef fused real:
    double
    float
