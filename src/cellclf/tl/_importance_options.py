"""Which options of `tl.importance` belong to which method, and what they may be."""

from __future__ import annotations

from typing import Any, Literal

from cellclf import _slots
from cellclf.tl._gene_groups import check_groups
from cellclf.tl._inputs import check_known, check_number
from cellclf.tl._references import check_baseline

Method = Literal["permutation", "ablation", "weights", "integrated_gradients", "deep_lift", "gradient_shap"]
CELLS = {"label", "layer", "rows", "rng", "split"}
# what each method reads beyond the genes
OPTIONS: dict[str, set[str]] = {
    "permutation": CELLS | {"groups", "measure", "n_repeats", "null", "within"},
    "ablation": CELLS | {"groups", "measure", "n_repeats"},
    "weights": {"label", "layer", "norm", "null", "rng", "split"},
    "integrated_gradients": CELLS - {"rng"} | {"baseline", "n_steps"},
    "deep_lift": CELLS - {"rng"} | {"baseline"},
    "gradient_shap": CELLS | {"baseline", "n_steps"},
}
DEFAULTS = {
    "baseline": "mean",
    "groups": None,
    "label": None,
    "layer": None,
    "measure": "loss",
    "n_repeats": 5,
    "n_steps": None,
    "norm": "sum",
    "null": "auto",
    "rng": 0,
    "rows": None,
    "split": "split",
    "within": None,
}


def check_options(method: str, options: dict[str, Any]) -> None:
    """Refuse what has no meaning, before any work."""
    check_known("method", method, tuple(OPTIONS))
    check_known("measure", options["measure"], ("loss", "accuracy", "macro_f1"))
    check_known("norm", options["norm"], ("sum", "l2", "path"))
    check_known("null", options["null"], ("auto", "shadow", None))
    check_baseline(options["baseline"])
    check_number("n_repeats", options["n_repeats"], "permutations")
    if options["n_steps"] is not None:
        check_number("n_steps", options["n_steps"], "steps")
    if method == "ablation" and options["groups"] is None:
        msg = (
            "method='ablation' trains again for each group of genes, but groups=None. Give the groups (a mapping of names to "
            "genes, say), or use cc.tl.ablation, which follows a ranking."
        )
        raise ValueError(msg)
    if options["groups"] is not None:
        check_groups(options["groups"])
        if options["null"] == "shadow":
            msg = "Shadow genes are measured one by one, not in groups. Leave groups= or null='shadow' out."
            raise ValueError(msg)
    given = [name for name, value in options.items() if not _equal(value, DEFAULTS[name])]
    idle = [name for name in given if name not in OPTIONS[method]]
    if method == "weights" and options["null"] is None:
        idle = [name for name in given if name not in {"norm", "null"}]
    if idle:
        msg = f"method={method!r} makes no use of {_slots.listing(sorted(idle))}. Leave out what is not needed."
        raise ValueError(msg)


def _equal(value: Any, default: Any) -> bool:
    """Tell whether an argument, which may be an array or a mapping, is at its default."""
    return value is default or (isinstance(value, str | int) and value == default)
