from __future__ import annotations

import numpy as np
import pytest

from cellclf import _tensors

TENSORS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([1, 2], dtype=np.int64), "s": np.array(3.0)}
HEADER = {"classes": ["T/CD4", "β cell"], "temperature": 1.25}


def test_round_trip_keeps_every_bit():
    tensors, header = _tensors.unpack(_tensors.pack(TENSORS, HEADER))
    assert header == HEADER
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in tensors.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in TENSORS.items()
    }


def test_equal_input_gives_equal_bytes_whatever_the_order():
    backwards = dict(reversed(TENSORS.items()))
    assert _tensors.pack(TENSORS, HEADER) == _tensors.pack(backwards, dict(reversed(HEADER.items())))


def test_views_that_are_not_contiguous_are_kept():
    array = np.arange(12.0).reshape(3, 4).T
    tensors, _ = _tensors.unpack(_tensors.pack({"x": array}, {}))
    np.testing.assert_array_equal(tensors["x"], array)


def test_file_is_replaced_whole_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "model.safetensors"
    _tensors.write(path, b"old")
    _tensors.write(path, _tensors.pack(TENSORS, HEADER))
    assert _tensors.read(path)[1] == HEADER
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    _tensors.write(path, b"old")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        _tensors.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_missing_folder_and_missing_file_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        _tensors.write(tmp_path / "nowhere" / "m.safetensors", b"")
    with pytest.raises(FileNotFoundError, match=r"m\.safetensors"):
        _tensors.read(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a model at all", id="text"),
        pytest.param(_tensors.pack(TENSORS, HEADER)[:-4], id="truncated"),
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(ValueError, match=r"Classifier\.save"):
        _tensors.unpack(data)


def test_tensors_of_another_program_are_refused():
    import safetensors.numpy

    with pytest.raises(ValueError, match="no cellclf header"):
        _tensors.unpack(safetensors.numpy.save({"x": np.zeros(2, np.float32)}))
