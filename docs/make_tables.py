"""Write the table of slots from the docstrings: `python docs/make_tables.py`. A test compares the page with this."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import cellclf as cc

PAGE = Path(__file__).with_name("slots.md")
BEGIN, END = "<!-- begin: python docs/make_tables.py -->\n", "<!-- end -->"
ENTRY = re.compile(r"^(`adata\..*?)(?: : (.*))?$")


def slots() -> str:
    """Return the table: every field that a verb says it writes, with type and first sentence."""
    lines = ["| verb | field | type | what it holds |", "|---|---|---|---|"]
    for room in ("pp", "tl"):
        module = getattr(cc, room)
        for name in module.__all__:
            verb = getattr(module, name)
            if not inspect.isfunction(verb):
                continue
            shown = f"{{func}}`cellclf.{room}.{name}`"
            for fields, kind, text in _entries(inspect.getdoc(verb) or ""):
                lines.append(f"| {shown} | {fields} | {kind} | {text} |")
                shown = ""
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """Put the table into the page."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + slots() + END + rest.split(END, 1)[1]


def _entries(docstring: str) -> list[tuple[str, str, str]]:
    """Read the fields of the section Returns: names, type and first sentence of each."""
    section = re.search(r"^Returns\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", docstring, re.S | re.M)
    found: list[tuple[str, str, list[str]]] = []
    for line in (section[1] if section else "").splitlines():
        if entry := ENTRY.match(line):
            found.append((entry[1], entry[2] or "", []))
        elif found and line.startswith("    "):
            found[-1][2].append(line.strip())
    return [(_names(names), _kind(kind), _first_sentence(" ".join(text))) for names, kind, text in found]


def _names(text: str) -> str:
    """Write `adata.obs['x']` as `obs["x"]`."""
    return re.sub(r"`adata\.(\w+)\['([^']*)'\]`", r'`\1["\2"]`', " ".join(text.split()))


def _kind(text: str) -> str:
    """Write a type by its own name, with shape and type of its values."""
    return re.sub(r":class:`~?(?:\w+\.)*(\w+)`", r"\1", text)


def _first_sentence(text: str) -> str:
    """Keep the first sentence, without a mark at its end."""
    text = re.sub(r"\s*:cite:p:`[^`]*`", "", text)
    return _markdown(re.split(r"(?<=[^.\d])[.](?:\s|$)", text, maxsplit=1)[0])


def _markdown(text: str) -> str:
    """Write what reStructuredText means as Markdown does."""
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r":(class|func|meth):`", r"{\1}`", text)
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
