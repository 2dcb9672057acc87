"""Pictures of what the verbs wrote; cells are drawn by scanpy."""

from cellclf.pl._ablation import ablation
from cellclf.pl._baselines import baselines
from cellclf.pl._confusion import confusion
from cellclf.pl._cross_validation import cross_validation
from cellclf.pl._gene_scores import gene_scores
from cellclf.pl._gene_similarity import gene_similarity
from cellclf.pl._genes import genes
from cellclf.pl._history import history
from cellclf.pl._importance import importance
from cellclf.pl._importance_check import importance_check
from cellclf.pl._l1_path import l1_path
from cellclf.pl._panel_curve import panel_curve
from cellclf.pl._reliability import reliability
from cellclf.pl._stability import stability
from cellclf.pl._summary import summary
from cellclf.pl._tune import tune
from cellclf.pl._weights import weights

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
    "l1_path",
    "panel_curve",
    "reliability",
    "stability",
    "summary",
    "tune",
    "weights",
]
