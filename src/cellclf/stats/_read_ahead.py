"""Work on one thing while the next is fetched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


def read_ahead(readers: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Call the readers in order, each while its predecessor's result is in use: two results exist at a time.

    One background thread calls them, so readers need not be safe to call together; none is called after the last result
    that was asked for but one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read_ahead") as pool:
        waiting = None
        for reader in readers:
            coming = pool.submit(copy_context().run, reader)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
