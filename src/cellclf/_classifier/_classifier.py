"""The trained classifier: what it predicts of plain arrays, and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from cellclf import _tensors, stats
from cellclf._classifier import _bytes
from cellclf._classifier._impression import Block, impression
from cellclf._preprocessing import normalise
from cellclf.fit._hardware import device_of
from cellclf.fit._history import COLUMNS
from cellclf.fit._threads import torch_alone

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from cellclf._preprocessing import Preprocessing
    from cellclf._types import Matrix
    from cellclf.fit import Fit
    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description

BLOCK = 4096
N_NAMED = 5  # classes that are named where a classifier is shown


@dataclass(frozen=True, eq=False, repr=False)
class Classifier:
    """A trained classifier.

    :func:`cellclf.tl.train` makes one; it works on plain arrays, and :func:`cellclf.tl.predict` applies it to AnnData.

    Parameters
    ----------
    description
        The network's description, such as :class:`cellclf.nn.MLP`.
    network
        The trained module.
    linear
        The linear network trained on the same genes and rows, the bar to pass. `None` without classes.
    genes
        Names of the genes, in the order of the columns that the network reads.
    classes
        Names of the classes, in the order of the columns of `cellclf_proba`; none where the training had no label.
    preprocessing
        What happens to the values first; learnt on the training rows.
    novelty
        What the training cells of each class look like. `None` without classes.
    temperature
        The logits are divided by this number, chosen on the validation rows.
    linear_temperature
        The same for the linear network.
    prior
        Share of each class among the training rows.
    gene_norms
        Length of each gene's weight vector in the first layer, or the weight of the gene where there is no such layer:
        what the network would miss without the gene.
    options
        How it was trained.
    epochs
        History of the training, one array per column.
    facts
        What else is known of the training: label, layer, number of rows, skill and calibration on the validation rows.
    conformal
        How badly training cells fit their own class by networks that never saw them. `None` unless asked for, by
        ``cc.Fit(conformal_folds=5)``.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> len(clf.genes), len(clf.classes)
    (765, 10)
    >>> clf.history["epoch"].tolist()
    [1, 2, 3, 4, 5]
    >>> list(clf.skill.index)
    ['network', 'linear', 'prior']
    """

    description: Description
    network: Network
    linear: Network | None
    genes: np.ndarray
    classes: np.ndarray
    preprocessing: Preprocessing
    novelty: stats.Novelty | None
    temperature: float
    linear_temperature: float
    prior: np.ndarray
    gene_norms: np.ndarray
    options: Fit
    epochs: dict[str, np.ndarray]
    facts: dict[str, Any]
    conformal: stats.Conformal | None = None

    def __repr__(self) -> str:
        """Say what tells what apart, in a line."""
        names = ", ".join(self.classes[:N_NAMED]) + (", …" if len(self.classes) > N_NAMED else "")
        what = f"{len(self.classes)} classes ({names})" if len(self.classes) else "no classes"
        return f"Classifier of {what} by {len(self.genes)} genes, {self.description}"

    @property
    def history(self) -> pd.DataFrame:
        """Loss, accuracy and macro-F1 on training and validation rows, learning rate and time; one row per epoch."""
        known = [name for name in COLUMNS if name in self.epochs]
        names = [*known, *sorted(set(self.epochs) - set(known))]
        table = pd.DataFrame({name: self.epochs[name] for name in names}).astype({"epoch": int})
        table.attrs["best_epoch"] = self.facts["best_epoch"]
        return table

    @property
    def skill(self) -> pd.DataFrame:
        """Log loss, accuracy and macro-F1 of network, linear network and class prior on the validation rows."""
        table = pd.DataFrame(self.facts["skill"]).T
        return table if table.empty else table.loc[["network", "linear", "prior"], ["log_loss", "accuracy", "macro_f1"]]

    def predict_proba(self, X: Matrix, *, totals: np.ndarray | None = None) -> np.ndarray:
        """Return the probability of each class for each cell.

        Parameters
        ----------
        X
            Values (n_cells × n_genes) of the model's own `genes`, in their order, as they stood in the training matrix.
        totals
            Sum of each cell over **all** genes of its matrix (n_cells); needed where the model was trained on counts.

        Returns
        -------
        Probabilities (n_cells × n_classes), float32; rows sum to 1.

        Raises
        ------
        ValueError
            The number of columns is not that of the model's genes, `totals` is missing, a value is not finite, or the
            network was trained without a label.

        Examples
        --------
        >>> import cellclf as cc
        >>> adata = cc.datasets.pbmc68k()
        >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
        >>> clf.predict_proba(adata[:, clf.genes].X).shape
        (700, 10)
        """
        self.check_classes()
        return np.concatenate([block.proba for block in self.blocks(self._values(X, totals))])

    def embed(self, X: Matrix, *, totals: np.ndarray | None = None) -> np.ndarray:
        """Return what the network's last layer sees of each cell.

        Parameters
        ----------
        X
            As for :meth:`predict_proba`.
        totals
            As for :meth:`predict_proba`.

        Returns
        -------
        Embedding (n_cells × n_embedding), float32.

        Raises
        ------
        ValueError
            As for :meth:`predict_proba`.

        Examples
        --------
        >>> import cellclf as cc
        >>> adata = cc.datasets.pbmc68k()
        >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
        >>> len(clf.embed(adata[:, clf.genes].X))
        700
        """
        return np.concatenate([block.embedding for block in self.blocks(self._values(X, totals))])

    def check_classes(self) -> None:
        """Refuse to say anything of classes where the training had no label."""
        if not len(self.classes):
            msg = (
                "The network was trained without a label, so it knows no classes; it gives an embedding only. Train a "
                "classifier on that: cc.tl.predict(adata), then cc.tl.train(adata, label, use_rep='X_cellclf')."
            )
            raise ValueError(msg)

    def _values(self, x: Matrix, totals: np.ndarray | None) -> np.ndarray:
        """Check a plain matrix and normalise it."""
        if np.ndim(x) != 2 or x.shape[1] != len(self.genes):
            msg = (
                f"X has shape {np.shape(x)}; the model reads {len(self.genes)} genes. Give X[:, genes] in their order."
            )
            raise ValueError(msg)
        every = np.ones(x.shape[0], dtype=bool)
        values, _ = stats.dense(x, every, np.arange(x.shape[1]))
        if np.isnan(values).any():
            msg = f"X holds {int(np.isnan(values).sum())} missing values (NaN). Remove or replace them first."
            raise ValueError(msg)
        return self.normalised(values, totals)

    def normalised(self, values: np.ndarray, totals: np.ndarray | None) -> np.ndarray:
        """Bring raw float32 values (n_cells, n_genes; NaN = missing gene) to what the scaling was learnt on, in place."""
        if not self.preprocessing.counts:
            return values
        if totals is None:
            msg = "The model was trained on counts. Give `totals`, the sum of each cell over all genes of its matrix."
            raise ValueError(msg)
        return normalise(values, np.asarray(totals, dtype=np.float64))

    def inputs(self, values: np.ndarray) -> np.ndarray:
        """Scale normalised values into what the network reads."""
        if np.isinf(values).any():
            msg = "The matrix holds infinite values (or numbers beyond float32). Remove or replace them first."
            raise ValueError(msg)
        return self.preprocessing.apply(values)

    @torch.no_grad()
    def blocks(self, values: np.ndarray) -> Iterator[Block]:
        """Run both networks over normalised values, a block of rows at a time."""
        device = device_of(self.options.device)
        network, linear = self.network.to(device).eval(), self.linear and self.linear.to(device).eval()
        for start in range(0, max(len(values), 1), BLOCK):
            x = self.inputs(values[start : start + BLOCK])
            with torch_alone():
                seen_as = impression(network, self.novelty, self.temperature, x, device)
            scores = linear(torch.from_numpy(x).to(device)) / self.linear_temperature if linear else None
            yield Block(seen_as, seen_as.proba if scores is None else torch.softmax(scores, dim=1).cpu().numpy())

    # --- bytes and files --------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Serialise as safetensors with a JSON header; equal models give equal bytes.

        Returns
        -------
        The bytes.

        Examples
        --------
        >>> import cellclf as cc
        >>> adata = cc.datasets.pbmc68k()
        >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
        >>> cc.Classifier.from_bytes(clf.to_bytes()).to_bytes() == clf.to_bytes()
        True
        """
        return _tensors.pack(_bytes.arrays(self), _bytes.header(self))

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str = "these bytes") -> Classifier:
        """Rebuild a classifier from what :meth:`to_bytes` gave.

        Parameters
        ----------
        data
            The bytes.
        source
            Where they come from, for the error message.

        Returns
        -------
        The classifier.

        Raises
        ------
        ValueError
            The bytes hold no classifier, one of a later format, or one whose network is not registered.

        Examples
        --------
        >>> import cellclf as cc
        >>> adata = cc.datasets.pbmc68k()
        >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
        >>> len(cc.Classifier.from_bytes(clf.to_bytes()).genes)
        765
        """
        return cls(**_bytes.fields(*_tensors.unpack(data, source=source), source=source))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier to a file; an existing one is replaced at once, never half.

        Parameters
        ----------
        path
            Where to write, such as ``"model.safetensors"``.

        Returns
        -------
        None

        Raises
        ------
        FileNotFoundError
            The folder does not exist.

        Examples
        --------
        >>> import cellclf as cc
        >>> adata = cc.datasets.pbmc68k()
        >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
        >>> clf.save("model.safetensors")
        """
        _tensors.write(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """Read a classifier from a file.

        Parameters
        ----------
        path
            A file written by :meth:`save`.

        Returns
        -------
        The classifier; it predicts exactly as the saved one did.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file holds no classifier, one of a later format, or one whose network is not registered.

        Examples
        --------
        >>> import cellclf as cc
        >>> adata = cc.datasets.pbmc68k()
        >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
        >>> clf.save("model.safetensors")
        >>> loaded = cc.Classifier.load("model.safetensors")
        >>> list(loaded.classes) == list(clf.classes)
        True
        """
        return cls(**_bytes.fields(*_tensors.read(path), source=repr(str(path))))
