"""Which device is taken, and where the rows lie; torch's "meta" device stands for one that is not the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellclf.fit import Cells
from cellclf.fit import _hardware as hardware
from cellclf.fit._hardware import Hardware, device_of


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_cuda_else_mps_else_the_cpu(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device_of("auto") == torch.device(expected)


@pytest.mark.parametrize(("free", "lies"), [(801, "meta"), (800, "cpu"), (0, "cpu")])
def test_rows_lie_on_the_device_where_they_take_less_than_half_of_what_is_free(monkeypatch, free, lies):
    x = np.ones((10, 10), dtype=np.float32)  # 400 bytes
    elsewhere = Hardware(torch.device("meta"))
    monkeypatch.setattr(hardware, "free_memory", lambda _: free)
    placed = elsewhere.place(x)
    assert placed.device.type == lies
    if lies == "cpu":  # batches are moved one by one
        batch = elsewhere.cut(placed, np.array([3, 1]))
        assert (batch.device.type, batch.shape) == ("meta", (2, 10))


@pytest.mark.parametrize(("free", "there"), [(801, True), (800, False)])
def test_cells_of_a_file_do_so_too(monkeypatch, free, there):
    cells, elsewhere = Cells.of(np.ones((10, 10), np.float32), np.ones(10)), Hardware(torch.device("meta"))
    monkeypatch.setattr(hardware, "free_memory", lambda _: free)
    placed = elsewhere.place(cells)
    assert isinstance(placed, torch.Tensor) == there
    assert elsewhere.cut(placed, np.array([3, 1])).device.type == "meta"
    assert Hardware(torch.device("cpu")).place(cells) is cells  # memory is where they would lie anyway


def test_a_batch_is_new_and_in_the_order_that_is_asked_for():
    here, x = Hardware(torch.device("cpu")), np.arange(12, dtype=np.float32).reshape(4, 3)
    batch = here.cut(here.place(x), np.array([2, 0, 2]))
    np.testing.assert_array_equal(batch, x[[2, 0, 2]])
    batch.zero_()
    assert x[2].any()
