"""What the verbs wrote, as tidy tables."""

from cellclf.get._ablation import ablation
from cellclf.get._baselines import baselines
from cellclf.get._confusion import confusion
from cellclf.get._cross_validation import cross_validation
from cellclf.get._gene_scores import gene_scores
from cellclf.get._gene_similarity import gene_similarity
from cellclf.get._genes import genes
from cellclf.get._history import history
from cellclf.get._importance import importance
from cellclf.get._importance_check import importance_check
from cellclf.get._intervals import intervals
from cellclf.get._l1_path import l1_path
from cellclf.get._label_audit import label_audit
from cellclf.get._overview import overview
from cellclf.get._panel_curve import panel_curve
from cellclf.get._predictions import predictions
from cellclf.get._reliability import reliability
from cellclf.get._report import report
from cellclf.get._stability import stability
from cellclf.get._summary import summary
from cellclf.get._tune import tune
from cellclf.get._unseen import unseen

__all__ = [
    "ablation",
    "baselines",
    "confusion",
    "cross_validation",
    "gene_scores",
    "gene_similarity",
    "genes",
    "history",
    "importance",
    "importance_check",
    "intervals",
    "l1_path",
    "label_audit",
    "overview",
    "panel_curve",
    "predictions",
    "reliability",
    "report",
    "stability",
    "summary",
    "tune",
    "unseen",
]
