"""Tools: train a classifier, predict, evaluate, and measure which genes it listens to."""

from cellclf.tl._evaluate import Evaluation, evaluate
from cellclf.tl._importance import importance
from cellclf.tl._predict import predict
from cellclf.tl._train import train

__all__ = ["Evaluation", "evaluate", "importance", "predict", "train"]
