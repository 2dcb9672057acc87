"""The functions of `cc.nn` are documented, and their examples run."""

from __future__ import annotations

import inspect
from doctest import ELLIPSIS, DocTestParser, DocTestRunner

import pytest

import cellclf as cc

pytestmark = pytest.mark.usefixtures("empty_registry")


@pytest.mark.parametrize("name", cc.nn.__all__)
def test_examples_run(name):
    text = inspect.getdoc(getattr(cc.nn, name))
    test = DocTestParser().get_doctest(text, {"__name__": "examples"}, name, None, None)
    assert test.examples
    problems = []
    DocTestRunner(optionflags=ELLIPSIS).run(test, out=problems.append)
    assert "".join(problems) == ""


@pytest.mark.parametrize("name", ["named", "n_parameters", "register"])
def test_functions_are_documented(name):
    function = getattr(cc.nn, name)
    text = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters:
        assert f"\n{parameter}\n    " in text
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"\n{section}\n---" in text
