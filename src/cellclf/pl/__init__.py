"""Pictures of what the verbs wrote; cells are drawn by scanpy."""

from cellclf.pl._confusion import confusion
from cellclf.pl._gene_scores import gene_scores
from cellclf.pl._history import history
from cellclf.pl._importance import importance
from cellclf.pl._summary import summary

__all__ = ["confusion", "gene_scores", "history", "importance", "summary"]
