"""Train a classifier on an AnnData."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cellclf import _slots
from cellclf.nn import MLP
from cellclf.nn._registry import to_header
from cellclf.pp._spread import naming_genes
from cellclf.tl import _start
from cellclf.tl._at_hand import folder
from cellclf.tl._attempt import Problem
from cellclf.tl._genes import check_order, columns_for, given_columns, select, values_and_names
from cellclf.tl._learn import learn
from cellclf.tl._rows import plan, split_digest

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng
    from cellclf.fit import Fit
    from cellclf.nn._registry import Description


def train(
    adata: AnnData,
    label: str | None = None,
    *,
    network: Description | None = None,
    fit: Fit | None = None,
    genes: str | Sequence[str] = "auto",
    layer: str | None = None,
    use_rep: str | None = None,
    split: str | None = "split",
    start: Classifier | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    half: bool = False,
    store: bool = True,
    rng: Rng = 0,
    key_added: str = "cellclf",
) -> Classifier:
    """Train a classifier of cells.

    The network learns from the rows marked train. The rows marked valid choose the best epoch and the temperature
    :math:`T` by which the logits are divided :cite:p:`Guo2017`. Where none are marked, a tenth of each class is taken
    out of the training rows for that, and the network is then trained again on all of them. Rows marked test are
    never looked at. Before the network, counts are normalised and every gene is z-scored and multiplied by a power of
    its mutual information with the label, all learnt on the training rows and stored in the model.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. X is not changed.
    label
        Column of `adata.obs` with the class of each cell; cells without one are left out. `None`: the one recorded
        on this AnnData, else the only column that can be a label. A network that needs none, such as
        ``cc.nn.Autoencoder(head=False)``, takes none, and learns from all cells that are not marked valid or test.
    network
        What to train, such as :class:`cellclf.nn.MLP` (default) or :class:`cellclf.nn.Linear`.
    fit
        How to train it; `None` for the defaults of :class:`cellclf.Fit`.
    genes
        ``"auto"``: `adata.var['selected']` if present, else the 2000 genes that tell most about the label on the
        training rows, each class in turn taking the one that tells most about it; ``"all"``; a list of names; or the name of a boolean column of `adata.var`.
    layer
        Layer to use instead of X.
    use_rep
        Embedding in `adata.obsm` to use instead of genes.
    split
        Column of `adata.obs` with train / valid / test. If ``"split"`` is not there, it is made (80 / 10 / 10 %).
        `None`: all labelled rows are training rows.
    start
        A classifier whose weights to start from. Weights of the genes and classes that both have are taken over by name,
        those of new ones are fresh; classes that the training rows lack are dropped. `genes="auto"` goes on with its
        genes. Its preprocessing of known genes is kept, since its weights were learnt for that; for new genes it is learnt
        here. With `fit=None`, `members` and the settings of the preprocessing are those of the start.
    checkpoint
        Folder for files from which to go on: the same call with the same folder takes up a training that was
        killed at the very step, and ends with the same bits. They are written after each epoch, and every minute within.
    cache
        Folder for a file of the genes and rows in use, from which batches are drawn; another training on them (or on some of
        them) uses it again, and files of other cells are refused. `None`: the values are held in memory, or, where they
        take more than an eighth of what is free, in a file of a temporary folder, which is removed afterwards. The classifier is
        the same, bit for bit. Whole numbers up to 65535 take one or two bytes each, anything else four.
    half
        Keep values that are no such numbers in half precision, with eleven significant bits, in half the room; they are
        read from a file then.
    store
        Keep the model in `adata.uns`, so that an h5ad carries its classifier.
    rng
        Seed or generator; the same seed, thread count and torch build give the same weights, bit for bit.
    key_added
        Key of `adata.uns` for record and model.

    Returns
    -------
    The :class:`cellclf.Classifier`. Sets the following fields:

    `adata.uns['cellclf']` : dict
        Record of the call, `classes`, `history` (one array per column, one entry per epoch) and, with `store=True`,
        `model`: the classifier as safetensors bytes (uint8).
    `adata.uns['cellclf_label']` : str
        The label, for later calls, where there is one.
    `adata.obs['split']`, `adata.uns['split']`
        As :func:`cellclf.pp.split` writes them, where they were missing and `split="split"`.
    `adata.var['mi']`, `adata.var['mi_corrected']`, `adata.var['mi_pvalue']`, `adata.var['mi_qvalue']`, \
    `adata.var['jsd']`, `adata.varm['mi_by_class']`, `adata.uns['gene_scores']`, `adata.var['selected']`, \
    `adata.var['selected_rank']`, `adata.uns['selected']`
        As :func:`cellclf.pp.gene_scores` and :func:`cellclf.pp.select_genes` write them, where `genes="auto"`
        found no selection.

    Raises
    ------
    KeyError
        `label`, `layer`, `use_rep`, `split` or a gene is not in `adata` (the message lists what is).
    ValueError
        Fewer than two classes among the training rows, duplicate gene names, NaN or infinite values, a device that is not
        there, a start that does not fit, or a checkpoint or cache of another training.
    OSError
        There is no room for the file of the cells.
    FloatingPointError
        The loss became NaN or infinite.

    Warns
    -----
    UserWarning
        The network is no better than guessing; no training row has a class that other cells have; a batch did not fit the
        memory of the device; a checkpoint could not be written.

    See Also
    --------
    cellclf.tl.predict : apply the classifier.
    cellclf.tl.evaluate : judge it on the test rows.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> clf
    Classifier of 10 classes (CD4+/CD25 T Reg, ...
    """
    _slots.check_key(key_added)
    fit, network = _start.settings(fit, start), network or (MLP() if start is None else start.description)
    to_header(network)  # an unknown network is refused before any work
    found = _labels(adata, label, network, fit)
    checkpoints, cells = folder("checkpoint", checkpoint), folder("cache", cache)
    x, names = values_and_names(adata, layer, use_rep)
    seed = int(np.random.default_rng(rng).integers(2**62))
    rows, slots = plan(adata, found, split, fit, seed)
    if use_rep is None and start is None:
        check_order(network, genes)
    columns = given_columns(adata, names, genes, use_rep, start)
    ours = columns is None and found is not None
    if columns is None and found is not None:
        with naming_genes(adata):
            columns, selection = select(x, rows)
        slots = _slots.merge(slots, selection)
    columns = np.arange(len(names)) if columns is None else columns
    if start is not None:
        _start.check(start, network, names[columns], fit)
    chosen = partial(columns_for, x, rows, columns, ours)
    problem = Problem(x, names, rows, chosen, network, fit, seed, start, checkpoints, cells, half)
    name, classes = rows.found.name or None, rows.found.classes
    facts = {
        "label": name,
        "layer": layer,
        "use_rep": use_rep,
        "colors": name and _slots.label_colors(adata, name, classes),
        "split": split_digest(adata, split, slots),
    }
    classifier = learn(problem, facts)
    call = {"label": label, "network": network, "fit": fit, "genes": genes, "layer": layer, "use_rep": use_rep}
    begun = None if start is None else type(start).__name__  # its weights and arrays have no place in a record
    record = _slots.record(
        "tl.train",
        call | {"split": split, "start": begun, "half": half, "store": store, "rng": rng, "key_added": key_added},
        classes=classes,
        label=name or "",
        history=dict(classifier.epochs),
        best_epoch=classifier.facts["best_epoch"],
    )
    if store:
        record["model"] = np.frombuffer(classifier.to_bytes(), dtype=np.uint8).copy()
    written = {key_added: record} | ({_slots.LABEL_KEY: name} if name else {})
    _slots.write(adata, _slots.merge(slots, {"uns": written}))
    return classifier


def _labels(adata: AnnData, label: str | None, network: Description, fit: Fit) -> _slots.Labels | None:
    """Return the class of each cell, or None where the network needs none."""
    if getattr(network, "needs_label", True):
        return _slots.labels(adata, label)
    if label is not None:
        msg = f"label={label!r} is given, but {network} learns without a label. Leave label out, or give the network a head."
        raise ValueError(msg)
    if fit.sampling == "balanced":
        msg = "Fit(sampling='balanced') draws cells by class, but the network learns without a label. Leave it out."
        raise ValueError(msg)
    return None
