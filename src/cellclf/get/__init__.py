"""What the verbs wrote, as tidy tables."""

from cellclf.get._ablation import ablation
from cellclf.get._confusion import confusion
from cellclf.get._gene_scores import gene_scores
from cellclf.get._gene_similarity import gene_similarity
from cellclf.get._genes import genes
from cellclf.get._history import history
from cellclf.get._importance import importance
from cellclf.get._importance_check import importance_check
from cellclf.get._l1_path import l1_path
from cellclf.get._overview import overview
from cellclf.get._panel_curve import panel_curve
from cellclf.get._predictions import predictions
from cellclf.get._report import report
from cellclf.get._stability import stability
from cellclf.get._summary import summary

__all__ = [
    "ablation",
    "confusion",
    "gene_scores",
    "gene_similarity",
    "genes",
    "history",
    "importance",
    "importance_check",
    "l1_path",
    "overview",
    "panel_curve",
    "predictions",
    "report",
    "stability",
    "summary",
]
