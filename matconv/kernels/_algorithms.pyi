DESCRIPTIONS: dict[str, str]
NAMES: tuple[str, ...]

def as_algorithm(function: str, name: object) -> int: ...
