from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellclf._preprocessing import Preprocessing, normalise
from cellclf.fit import Cells, Fit, Rows, digest, read_store, train, write_store
from cellclf.fit import _cells as cells_module
from cellclf.fit import _hardware as hardware_module
from cellclf.fit import _store as store_module
from cellclf.nn import MLP
from cellclf.stats._dense import DenseBlock


def blocks(values: np.ndarray, *sizes: int):
    """Cut rows into blocks, with totals that tell the rows apart."""
    start = 0
    for size in sizes:
        rows = np.arange(start, start + size)
        yield DenseBlock(rows, values[rows], rows + 0.5)
        start += size


def stored(values, folder, *sizes, half=False):
    """Write values into a file, as rows 1, 3, 5, … and columns 2, 4, 6, … of a matrix."""
    numbers = {"rows": 2 * np.arange(values.shape[0]) + 1, "columns": 2 * np.arange(values.shape[1]) + 2}
    return write_store(folder, blocks(values, *(sizes or (len(values),))), **numbers, half=half, header={"of": "mine"})


def scaling(values: np.ndarray, *, counts: bool) -> Preprocessing:
    learnt = Preprocessing.learn(values, counts=counts, scale="zscore")
    return learnt.weighted(np.linspace(0.1, 1, values.shape[1]), 1.0)


class TestCells:
    @pytest.fixture
    def raw(self) -> np.ndarray:
        return np.random.default_rng(0).poisson(2.0, (60, 7)).astype(np.uint8)

    @pytest.fixture
    def totals(self) -> np.ndarray:
        return np.random.default_rng(1).uniform(5, 50, 60)

    def eager(self, raw, totals, rows, columns):
        """Make all values at once."""
        values = normalise(raw[rows][:, columns].astype(np.float32), totals[rows])
        learnt = scaling(values, counts=True)
        return learnt, learnt.apply(values)

    @pytest.mark.parametrize(
        "index",
        [
            slice(None),
            slice(3, 9),
            slice(50, 99),
            slice(4, 4),
            slice(0, 20, 3),
            np.array([5, 5, 0, 20]),
            np.array([], int),
        ],
        ids=lambda index: str(index).replace(" ", ""),
    )
    @pytest.mark.parametrize("columns", [[0, 1, 2, 3, 4, 5, 6], [6, 2, 3]], ids=["all", "some"])
    @pytest.mark.parametrize("rows", [np.arange(60), np.arange(0, 60, 2)], ids=["all", "some"])
    def test_values_are_those_made_at_once(self, raw, totals, rows, columns, index):
        columns = np.array(columns)
        learnt, expected = self.eager(raw, totals, rows, columns)
        cells = Cells(raw, totals, rows, columns).scaled(learnt)
        found = cells[index]
        assert found.dtype == np.float32
        assert found.tobytes() == expected[index].tobytes()
        assert cells.part(index)[:].tobytes() == expected[index].tobytes()

    def test_columns_may_be_all_but_in_another_order(self, raw, totals):
        cells = Cells(raw, totals, np.arange(60), np.array([6, 5, 4, 3, 2, 1, 0]))
        np.testing.assert_array_equal(cells[:], raw[:, ::-1])

    def test_what_is_returned_is_the_callers_own(self, raw, totals):
        values = raw.astype(np.float32)
        before = values.copy()
        found = Cells.of(values, totals)[:]
        found += 1
        np.testing.assert_array_equal(values, before)

    def test_all_at_once_and_in_blocks(self, raw, totals, monkeypatch):
        learnt, expected = self.eager(raw, totals, np.arange(60), np.arange(7))
        cells = Cells.of(raw, totals).scaled(learnt)
        monkeypatch.setattr(cells_module, "BLOCK", 25)
        assert [len(block) for block in cells.blocks()] == [25, 25, 10]
        assert cells.in_memory().tobytes() == expected.tobytes()
        assert cells.shape == (60, 7)
        assert len(cells) == 60
        assert cells.nbytes == expected.nbytes
        assert digest(cells, totals) == digest(expected, totals)
        assert digest(cells.part(slice(1, None))) != digest(expected)

    def test_another_process_reads_the_same(self, raw, totals, tmp_path):
        np.save(tmp_path / "values.npy", raw)
        rows, columns = np.arange(0, 60, 3), np.array([4, 0, 2])
        learnt, expected = self.eager(raw, totals, rows, columns)
        raw_cells = Cells(np.load(tmp_path / "values.npy", mmap_mode="r"), totals, rows, columns)
        for cells, values in ((raw_cells, raw[rows][:, columns]), (raw_cells.scaled(learnt), expected)):
            (tmp_path / "reference").write_bytes(cells.reference())
            np.testing.assert_array_equal(Cells.open(tmp_path / "reference")[:], values)


class TestFile:
    @settings(max_examples=20)
    @given(
        st.lists(st.integers(1, 5), min_size=1, max_size=4),
        st.lists(st.sampled_from([0, 1, 255, 256, 65535, 65536, 0.5, -1, 1e30]), min_size=1, max_size=3),
        st.integers(0, 2**32 - 1),
    )
    def test_values_come_back_in_the_smallest_type(self, tmp_path_factory, sizes, kinds, seed):
        values = np.random.default_rng(seed).choice(np.float32(kinds), (sum(sizes), 3))
        folder = tmp_path_factory.mktemp("store")
        store = stored(values, folder, *sizes)
        np.testing.assert_array_equal(store.cells(np.isin(np.arange(50), store.rows), store.columns)[:], values)
        exact = [np.uint8, np.uint16, np.float32]
        with np.errstate(invalid="ignore"):
            fits = [kind for kind in exact if np.array_equal(values.astype(kind).astype(np.float32), values)]
        assert store.values.dtype == (np.float32 if values.min() < 0 else fits[0])
        assert sorted(path.name for path in folder.iterdir()) == ["cells.npy", "cells.safetensors"]
        shutil.rmtree(folder)

    def test_rows_and_columns_are_those_of_the_matrix(self, tmp_path):
        values = np.arange(12, dtype=np.float32).reshape(4, 3)
        stored(values, tmp_path)
        store = read_store(tmp_path)
        cells = store.cells(np.isin(np.arange(9), [3, 5, 7]), np.array([6, 2]))
        np.testing.assert_array_equal(cells[:], values[1:][:, [2, 0]])
        np.testing.assert_array_equal(cells.totals[cells.rows], [1.5, 2.5, 3.5])
        assert store.header["of"] == "mine"

    @pytest.mark.parametrize(("row", "column"), [(2, 2), (9, 2), (3, 5), (3, 8)])
    def test_others_are_not_there(self, tmp_path, row, column):
        store = stored(np.ones((4, 3), np.float32), tmp_path)
        with pytest.raises(ValueError, match="1 of 1 rows or genes are not in the file"):
            store.cells(np.arange(10) == row, np.array([column]))

    def test_half_precision(self, tmp_path):
        values = np.random.default_rng(0).lognormal(0, 2, (50, 6)).astype(np.float32)
        store = stored(values, tmp_path, half=True)
        assert store.values.dtype == np.float16
        error = np.abs(store.cells(np.arange(100) % 2 == 1, store.columns)[:] - values)
        assert (error <= np.maximum(2.0**-11 * values, 2.0**-25)).all()
        assert error.max() > 0

    def test_half_precision_keeps_whole_numbers(self, tmp_path):
        values = np.float32([[0, 65535], [2049, 7]])
        store = stored(values, tmp_path, half=True)
        np.testing.assert_array_equal(store.values, values)

    @pytest.mark.parametrize("values", [[[70000.5, 1.0]], [[65535, 1], [0.5, 1]]], ids=["at once", "when it widens"])
    def test_numbers_beyond_half_precision(self, tmp_path, values):
        with pytest.raises(ValueError, match=r"half precision ends at 65504.*half=True"):
            stored(np.float32(values), tmp_path, *[1] * len(values), half=True)
        assert list(tmp_path.iterdir()) == []

    def test_progress_size_folder_and_free_space_are_shown(self, tmp_path, monkeypatch):
        shown = []

        class Bar:
            def __init__(self, **settings):
                shown.append((settings["desc"], settings["total"]))

            def __enter__(self):
                return self

            def __exit__(self, *_):
                shown.append("closed")

            def set_postfix_str(self, text, **_):
                shown.append(text)

            def update(self, n):
                shown.append(n)

        monkeypatch.setattr(store_module, "tqdm", Bar)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 2**30))
        stored(np.ones((9, 3), np.float32), tmp_path, 4, 5)
        text = f"0.00 GiB in {tmp_path}, 3.0 GiB free"
        assert shown == [("storing 3 genes", 9), text, 4, text, 5, "closed"]

    def test_there_may_be_none(self, tmp_path):
        assert read_store(tmp_path) is None

    def test_nothing_is_left_of_an_interrupted_file(self, tmp_path):
        def interrupted():
            yield from blocks(np.ones((6, 2), np.float32), 3)
            assert len(list(tmp_path.iterdir())) == 1
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_store(tmp_path, interrupted(), rows=np.arange(6), columns=np.arange(2), half=False, header={})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("free", [10, 3000], ids=["at once", "when it widens"])
    def test_a_full_disk(self, tmp_path, monkeypatch, free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        values = np.ones((100, 8), np.float32)
        values[70] = 300
        needed = {10: "2,528", 3000: "3,328"}[free]
        with pytest.raises(OSError, match=rf"100 cells take {needed} bytes.*has {free:,} free") as caught:
            stored(values, tmp_path, 50, 50)
        assert caught.value.errno == 28
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("harm", ["values gone", "values short", "facts short", "other version", "other shape"])
    def test_a_damaged_file(self, tmp_path, monkeypatch, harm):
        if harm == "other version":
            monkeypatch.setattr("cellclf.fit._store.FORMAT", 0)
        stored(np.ones((9, 3), np.float32), tmp_path)
        monkeypatch.undo()
        values, facts = tmp_path / "cells.npy", tmp_path / "cells.safetensors"
        if harm == "values gone":
            values.unlink()
        elif harm == "values short":
            values.write_bytes(values.read_bytes()[:-5])
        elif harm == "facts short":
            facts.write_bytes(facts.read_bytes()[:-5])
        elif harm == "other shape":
            np.save(values, np.ones((8, 3)))
        with pytest.raises(ValueError, match=r"are damaged, or of another version\. Delete them"):
            read_store(tmp_path)


class TestTraining:
    @pytest.fixture
    def kept(self, blobs, tmp_path):
        """Give the same cells in memory and in a file."""
        made = blobs(n=90)
        store = stored(made.x, tmp_path)
        learnt = scaling(made.x, counts=False)
        cells = store.cells(np.arange(180) % 2 == 1, store.columns).scaled(learnt)
        return Rows(learnt.apply(made.x), made.y), Rows(cells, made.y)

    def test_the_same_bits(self, kept, weights):
        trained = [
            train(MLP((4,)), rows, Rows(rows.x[:30], rows.y[:30]), Fit(epochs=3, batch_size=16), n_classes=3, seed=0)
            for rows in kept
        ]
        assert weights(trained[0]) == weights(trained[1])

    def test_the_held_out_rows_may_be_in_a_file_too(self, kept):
        found = [
            train(MLP((4,)), kept[0], valid, Fit(epochs=2, batch_size=16), n_classes=3, seed=0).history["valid_loss"]
            for valid in kept
        ]
        np.testing.assert_array_equal(*found)

    def test_a_training_from_memory_goes_on_from_a_file(self, kept, weights, tmp_path):
        options = {"n_classes": 3, "seed": 0, "checkpoint": tmp_path / "checkpoint"}
        first = train(MLP((4,)), kept[0], None, Fit(epochs=2, batch_size=16), **options)
        again = train(MLP((4,)), kept[1], None, Fit(epochs=2, batch_size=16), **options)
        assert weights(first) == weights(again)
        assert first.history["seconds"].tolist() == again.history["seconds"].tolist()  # it was read, not repeated

    def test_two_processes_read_the_same_file(self, kept):
        options = Fit(epochs=2, batch_size=30, input_dropout=0, optimiser="sgd", devices=2)
        pytest.importorskip("lightning_fabric")
        together = train(
            MLP((4,), dropout=0), kept[1], Rows(kept[1].x.part(slice(30)), kept[1].y[:30]), options, n_classes=3, seed=0
        )
        alone = train(
            MLP((4,), dropout=0),
            kept[0],
            Rows(kept[0].x[:30], kept[0].y[:30]),
            replace(options, devices=1),
            n_classes=3,
            seed=0,
        )
        for name, weight in alone.network.state_dict().items():
            torch.testing.assert_close(together.network.state_dict()[name], weight, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(together.history["valid_loss"], alone.history["valid_loss"], rtol=1e-4)

    def test_a_device_with_room_takes_all_cells(self, kept, monkeypatch):
        monkeypatch.setattr(cells_module, "BLOCK", 40)
        on_device = hardware_module._gathered(kept[1].x, torch.device("cpu"))
        assert on_device.numpy().tobytes() == kept[0].x.tobytes()

    @pytest.mark.gpu
    def test_batches_on_a_gpu(self, kept, monkeypatch):
        hardware, index = hardware_module.Hardware(torch.device("cuda")), np.array([5, 80, 2])
        placed = hardware.place(kept[1].x)
        assert placed.is_cuda
        monkeypatch.setattr(hardware_module, "SHARE_FOR_DATA", 0.0)
        assert hardware.place(kept[1].x) is kept[1].x
        for x in (placed, kept[1].x):
            assert hardware.cut(x, index).cpu().numpy().tobytes() == kept[0].x[index].tobytes()
