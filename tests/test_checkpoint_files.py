"""Files of tensors: permissions, and what is left after a failure."""

from __future__ import annotations

import pytest
import torch

from longclip.checkpoints.files import part_of, write_tensors


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_written_file_has_the_permissions_of_any_other(tmp_path, name):
    (tmp_path / "plain").touch()
    write_tensors({"a": torch.ones(2)}, tmp_path / name)
    assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert {path.name for path in tmp_path.iterdir()} == {"plain", name}


def test_a_failure_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), part_of(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_each_have_their_own(tmp_path):
    path = tmp_path / "weights.pt"
    with part_of(path) as first:
        first.write_text("first")
        with part_of(path) as second:
            second.write_text("second")
        assert first != second and first.read_text() == "first" and path.read_text() == "second"
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]
