NAMES: tuple[str, ...]
kernel: str
name: str

def blas_kernel() -> str: ...
