"""Keep the threads of one library out of the way of another's."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

LIBRARIES = ("libopenblas", "libscipy_openblas")  # as built for all, and as shipped in the wheels of NumPy and SciPy


@cache
def _libraries() -> ThreadpoolController:
    """Find the libraries that are loaded; NumPy's and SciPy's are before anything is trained."""
    return ThreadpoolController()


def torch_alone() -> AbstractContextManager[object]:
    """Let NumPy and SciPy compute on one thread within: their idle threads spin, and torch's would wait for them."""
    return _libraries().limit(limits=dict.fromkeys(LIBRARIES, 1))
