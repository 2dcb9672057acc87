"""Tables of models judged on folds."""

from __future__ import annotations

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
NUMBERS: dict[str, type] = dict.fromkeys(METRICS, float)
SUMMARY: dict[str, type] = {
    "scheme": str,
    "model": str,
    **NUMBERS,
    **{f"{name}_sd": float for name in METRICS},
    "seconds": float,
}
FOLDS: dict[str, type] = {
    "scheme": str,
    "repeat": int,
    "fold": str,
    "model": str,
    "n_train": int,
    "n_test": int,
    **NUMBERS,
    "seconds": float,
}
