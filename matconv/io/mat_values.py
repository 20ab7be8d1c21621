"""Values in MATLAB files of classes that are not read."""

__all__ = ["Unsupported"]


class Unsupported:
    """A value of a MATLAB class that is not read.

    Attributes
    ----------
    kind : str
        Name of the class.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"
