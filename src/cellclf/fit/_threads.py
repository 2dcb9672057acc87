"""Keep the threads of one library out of the way of another's."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

LIBRARIES = ("libopenblas", "libscipy_openblas")  # as built for all, and as shipped in the wheels of NumPy and SciPy


@cache
def _libraries() -> ThreadpoolController:
    """Find the libraries that are loaded, which takes milliseconds; NumPy's and SciPy's are before anything is trained."""
    return ThreadpoolController()


class _Restraint:
    """The limit on the libraries that are loaded, from the first who asks for it to the last who leaves."""

    def __init__(self) -> None:
        self.lock, self.n_within = Lock(), 0

    def enter(self) -> None:
        """Set the limit, unless another thread has."""
        with self.lock:
            if not self.n_within:
                self.limit = _libraries().limit(limits=dict.fromkeys(LIBRARIES, 1))
            self.n_within += 1

    def leave(self) -> None:
        """Lift the limit, unless another thread still needs it."""
        with self.lock:
            self.n_within -= 1
            if not self.n_within:
                self.limit.restore_original_limits()


_RESTRAINT = _Restraint()


def one_torch_thread() -> AbstractContextManager[Any]:
    """Let torch compute on one thread within, in this thread of Python: its own setting would be that of the others, too."""
    return _libraries().select(user_api="openmp").limit(limits=1)


@contextmanager
def torch_alone() -> Iterator[None]:
    """Let NumPy and SciPy compute on one thread within: their idle threads spin, and torch's would wait for them."""
    _RESTRAINT.enter()
    try:
        yield
    finally:
        _RESTRAINT.leave()
