class ProgramError(ValueError):
    status: int
    step: int
    def __init__(self, status: int, step: int) -> None: ...

def output_shape(
    name: str, shapes: list[tuple[int, ...]], words: list[int], numbers: list[float]
) -> tuple[tuple[int, ...], list[int]]: ...
