"""What verbs write, and the record of each call."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import ImplicitModificationWarning

if TYPE_CHECKING:
    from anndata import AnnData


def write(adata: AnnData, slots: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `{"var": {"mi": …}, "obsm": {…}}`; a view becomes an AnnData of its own first, as in scanpy."""
    for values in slots.values():
        for key in values:
            check_key(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        for slot, values in slots.items():
            for key, value in values.items():
                getattr(adata, slot)[key] = value


def check_key(key: str) -> None:
    """Refuse a key that a file would take for a folder and what is in it, so that the AnnData could not be read back."""
    if "/" in key:
        msg = f"{key!r} holds '/', so a file with it could not be read back. Give a key_added without."
        raise ValueError(msg)


def merge(one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put what two verbs write together."""
    return {slot: {**one.get(slot, {}), **other.get(slot, {})} for slot in {**one, **other}}


def record(
    function: str,
    call: Mapping[str, Any],
    *,
    classes: Iterable[str] | None = None,
    written_obs: Iterable[str] = (),
    **extra: Any,
) -> dict[str, Any]:
    """Make the record of a call: strings, numbers and arrays of these, so that h5ad and zarr keep it."""
    entry: dict[str, Any] = {
        "function": f"cellclf.{function}",
        "version": version("cellclf"),
        "call": json.dumps({name: _plain(value) for name, value in call.items()}, sort_keys=True),
    }
    if classes is not None:
        entry["classes"] = np.array([str(name) for name in classes], dtype=object)
    if columns := [str(name) for name in written_obs]:
        entry["written_obs"] = np.array(columns, dtype=object)
    return entry | extra


def _plain(value: Any) -> Any:
    """Turn an argument into what JSON can hold; objects are named by their type, never by a path or an address."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__} | fields
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | pd.Index | pd.Series):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    return type(value).__name__


def fetch_record(adata: AnnData, key: str, verb: str) -> Mapping[str, Any]:
    """Return the record that `verb` wrote under `uns[key]`."""
    record = adata.uns.get(key)
    if not isinstance(record, Mapping) or "function" not in record:
        msg = f"adata.uns[{key!r}] holds no record of `cc.{verb}`. Run `cc.{verb}` first, or name its `key_added`."
        raise KeyError(msg)
    return record


def written_columns(adata: AnnData) -> set[str]:
    """Collect the `obs` columns that cellclf itself wrote, from the records in `uns`."""
    columns: set[str] = set()
    for value in adata.uns.values():
        if isinstance(value, Mapping) and str(value.get("function", "")).startswith("cellclf."):
            columns.update(strings(value.get("written_obs", [])))
    return columns


def strings(values: Any) -> list[str]:
    """Read strings back from `uns`, whatever array type the file format gave them."""
    return [str(value) for value in np.atleast_1d(np.asarray(values, dtype=object))]
