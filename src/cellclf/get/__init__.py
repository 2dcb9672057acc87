"""What the verbs wrote, as tidy tables."""

from cellclf.get._confusion import confusion
from cellclf.get._gene_scores import gene_scores
from cellclf.get._history import history
from cellclf.get._importance import importance
from cellclf.get._overview import overview
from cellclf.get._predictions import predictions
from cellclf.get._report import report
from cellclf.get._summary import summary

__all__ = ["confusion", "gene_scores", "history", "importance", "overview", "predictions", "report", "summary"]
