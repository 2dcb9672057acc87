"""Show a `Returns` section as it is written: a sentence, then the fields written as a definition list.

Napoleon reads the first line of the section as a type. Types stand in the signature here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sphinx.ext.napoleon import NumpyDocstring

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _parse_returns_section(self: NumpyDocstring, section: str) -> list[str]:
    """Format the section as one field, without looking into it."""
    lines = self._dedent(self._consume_to_next_section())
    lines = lines[1:] if lines[:1] == [":"] else lines  # a nameless field that was put before the section's text
    return [*self._format_block(":returns: ", lines), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace Napoleon's reading of the section."""
    NumpyDocstring._parse_returns_section = _parse_returns_section
    return {"parallel_read_safe": True}
