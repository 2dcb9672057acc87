from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes

import cellclf as cc
from cellclf import _slots

BINS = pd.DataFrame(
    {
        "n_rows": [10, 10, 11],
        "confidence": [0.4, 0.7, 0.95],
        "accuracy": [0.3, 0.8, 1.0],
        "low": [0.07, 0.44, 0.7],
        "high": [0.65, 0.97, 1.0],
    }
)
CALIBRATION = pd.DataFrame(
    {"log_loss": [0.9, 0.5], "calibration_error": [0.2, 0.05]}, index=pd.Index(["before", "after"], name="temperature")
)
COUNTS = np.arange(20)


class Evaluation:
    reliability, calibration, confidences = BINS, CALIBRATION, COUNTS


@pytest.fixture
def judged() -> AnnData:
    """Give an AnnData with the record of an evaluation."""
    adata = AnnData(np.ones((2, 2), dtype=np.float32))
    tables = {
        "reliability": {name: BINS[name].to_numpy() for name in BINS},
        "calibration": {"temperature": np.array(["before", "after"], dtype=object)}
        | {name: CALIBRATION[name].to_numpy() for name in CALIBRATION},
    }
    adata.uns["cellclf_evaluation"] = _slots.record(
        "tl.evaluate", {}, classes=["B"], confusion=np.ones((1, 1)), confidences=COUNTS, **tables
    )
    return adata


def _drawn(axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    diagram, histogram = axes
    points = next(line for line in diagram.lines if line.get_marker() == "o")
    return np.array(points.get_data(), dtype=np.float64), histogram.patches[0].get_data().values


def test_points_bars_and_counts(judged: AnnData) -> None:
    for given in (judged, Evaluation()):
        axes = cc.pl.reliability(given)  # type: ignore[arg-type]
        points, counts = _drawn(axes)
        np.testing.assert_allclose(points, BINS[["confidence", "accuracy"]].to_numpy().T)
        np.testing.assert_array_equal(counts, COUNTS)
        ends = [segment[:, 1] for bars in axes[0].collections for segment in bars.get_segments()]
        np.testing.assert_allclose(np.array(ends, dtype=np.float64), BINS[["low", "high"]])
        assert axes[0].get_title(loc="left") == "calibration error 0.050 (uncalibrated 0.200)"
        assert "10 to 11 cells a point" in axes[0].get_legend().get_texts()[1].get_text()


def test_draws_on_given_axes(judged: AnnData) -> None:
    given = plt.subplots(2)[1]
    assert list(cc.pl.reliability(judged, ax=given)) == list(given)
    with pytest.raises(ValueError, match="the picture has 2 panels"):
        cc.pl.reliability(judged, ax=[given[0]])
    assert all(isinstance(ax, Axes) for ax in given)


def test_what_is_none_is_refused(judged: AnnData) -> None:
    with pytest.raises(ValueError, match="Leave key out"):
        cc.pl.reliability(Evaluation(), key="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="adata is a str"):
        cc.pl.reliability("x")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="'absent'"):
        cc.pl.reliability(judged, key="absent")
