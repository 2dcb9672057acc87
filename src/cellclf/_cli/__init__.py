"""The command line."""

from __future__ import annotations

from cellclf._cli._main import main

__all__ = ["main"]
