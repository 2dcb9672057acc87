"""What an evaluation found, as JSON and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellclf._cli import _write

if TYPE_CHECKING:
    from cellclf.tl import Evaluation

MODELS = {"network": "network", "linear": "linear model", "prior": "class prior"}


def judge(evaluation: Evaluation) -> tuple[dict[str, Any], str]:
    """Write an evaluation as JSON can hold it, and as the table that the terminal shows."""
    facts = {
        "n_rows": evaluation.n_rows,
        "summary": _write.records(evaluation.summary.rename_axis("model")),
        "report": _write.records(evaluation.report.rename_axis("class")),
        "confusion": {"classes": list(evaluation.confusion.index), "counts": evaluation.confusion.to_numpy()},
    }
    shown = evaluation.summary[["accuracy", "macro_f1", "log_loss"]].rename(index=MODELS).rename_axis(None)
    shown.columns = ["accuracy", "macro-F1", "log loss"]
    return facts, f"{evaluation.n_rows:,} of them:\n{shown.to_string(float_format='{:.3f}'.format)}"
