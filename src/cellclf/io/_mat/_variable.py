"""A variable of a MATLAB file, whatever the version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Variable:
    """A variable: its MATLAB class (`matrix`, `cell` or what else it is), its shape in MATLAB, and how to load it.

    `load(transposed)` gives a float32 array or CSR of `matrix`, `cells()` the strings of `cell`, `vector()` the values
    of `matrix` as they are, in one row.
    """

    kind: str
    shape: tuple[int, ...]
    load: Callable[[bool], Any]
    cells: Callable[[], list[str]]
    vector: Callable[[], Any]

    @property
    def described(self) -> str:
        """Say what the variable is."""
        words = {"matrix": "a matrix", "cell": "a cell array", "char": "text", "struct": "a struct"}
        return f"{words.get(self.kind, self.kind)} of {' × '.join(map(str, self.shape))}"
