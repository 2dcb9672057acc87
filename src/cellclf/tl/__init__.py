"""Tools: train a classifier, predict, evaluate, and measure which genes it listens to."""

from cellclf.tl._ablation import Ablation, ablation
from cellclf.tl._audit_labels import audit_labels
from cellclf.tl._baselines import Baselines, baselines
from cellclf.tl._cross_validate import CrossValidation, cross_validate
from cellclf.tl._evaluate import Evaluation, evaluate
from cellclf.tl._explain import explain
from cellclf.tl._importance import importance
from cellclf.tl._importance_check import ImportanceCheck, importance_check
from cellclf.tl._l1_path import L1Path, l1_path
from cellclf.tl._panel_curve import PanelCurve, panel_curve
from cellclf.tl._predict import predict
from cellclf.tl._space import Choice, Integers, LogUniform, Space, Uniform
from cellclf.tl._stability import Stability, stability
from cellclf.tl._train import train
from cellclf.tl._tune import Tuning, tune
from cellclf.tl._vote import vote

__all__ = [
    "Ablation",
    "Baselines",
    "Choice",
    "CrossValidation",
    "Evaluation",
    "ImportanceCheck",
    "Integers",
    "L1Path",
    "LogUniform",
    "PanelCurve",
    "Space",
    "Stability",
    "Tuning",
    "Uniform",
    "ablation",
    "audit_labels",
    "baselines",
    "cross_validate",
    "evaluate",
    "explain",
    "importance",
    "importance_check",
    "l1_path",
    "panel_curve",
    "predict",
    "stability",
    "train",
    "tune",
    "vote",
]
