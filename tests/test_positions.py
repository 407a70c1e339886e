"""Stretching of positional tables: the official index arithmetic and the closed form as oracles."""

from __future__ import annotations

import pytest
import torch
from rounding import EXACT, rounding

from longclip.positions import interpolate_positions, stretch_positions, stretched_length


def official(table: torch.Tensor) -> torch.Tensor:
    """77 -> 248 as the official training code has it, one row after another."""
    rows = [table[i] for i in range(20)]
    for i in range(20, 76):
        rows += [(1 - k / 4) * table[i] + k / 4 * table[i + 1] for k in range(4)]
    rows += [table[76] + k / 4 * (table[76] - table[75]) for k in range(4)]
    return torch.stack(rows)


def test_equals_the_official_rows():
    table = torch.randn(77, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = table.clone()
    stretched = stretch_positions(table)
    assert stretched.shape == (248, 64)
    assert torch.equal(stretched[:20], table[:20])
    torch.testing.assert_close(stretched, official(table), atol=EXACT, rtol=0)
    assert torch.equal(table, before)


@pytest.mark.parametrize(
    ("rows", "keep", "ratio"), [(77, 20, 4), (248, 20, 4), (77, 0, 2), (10, 8, 7), (33, 5, 1), (77, 20, 9)]
)
def test_equals_the_closed_form(rows, keep, ratio):
    table = torch.randn(rows, 8, dtype=torch.float64)
    stretched = stretch_positions(table, keep, ratio)
    assert len(stretched) == stretched_length(rows, keep, ratio) == ratio * rows - (ratio - 1) * keep
    for p, row in enumerate(stretched):
        x = p if p < keep else keep + (p - keep) / ratio
        left = min(int(x), rows - 2)
        expected = table[left] + (x - left) * (table[left + 1] - table[left])
        torch.testing.assert_close(row, expected, atol=EXACT, rtol=0)


def test_the_smallest_table_is_stretched_by_its_two_last_rows():
    table = torch.tensor([[5.0], [1.0], [3.0]], dtype=torch.float64)
    assert stretch_positions(table, keep=1, ratio=2)[:, 0].tolist() == [5, 1, 2, 3, 4]
    assert torch.equal(stretch_positions(table, keep=0, ratio=1), table)
    assert stretched_length(77) == 248, "what the authors chose"


@pytest.mark.parametrize(("rows", "length"), [(77, 248), (77, 77), (5, 2), (3, 9)])
def test_interpolating_keeps_both_ends_and_draws_straight_lines_between_rows(rows, length):
    table = torch.randn(rows, 8, generator=torch.Generator().manual_seed(1))
    resampled = interpolate_positions(table, length)
    assert resampled.shape == (length, 8) and resampled.dtype == table.dtype
    for p, row in enumerate(resampled.double()):
        x = p * (rows - 1) / (length - 1)
        left = min(int(x), rows - 2)
        expected = table[left].double() + (x - left) * (table[left + 1] - table[left]).double()
        # The place itself, up to `rows`, is rounded too.
        torch.testing.assert_close(row, expected, atol=rounding(4, size=5 * rows), rtol=0)
    assert interpolate_positions(table.half(), length).dtype == torch.float16


@pytest.mark.parametrize(("shape", "length"), [((77,), 248), ((1, 77, 8), 248), ((77, 8), 1)])
def test_refuses_what_cannot_be_interpolated(shape, length):
    with pytest.raises(ValueError, match=f"length {length}, wanted .n, width. and 2 or more"):
        interpolate_positions(torch.zeros(shape), length)


def test_straight_lines_stay_straight():
    table = torch.arange(77.0)[:, None]
    expected = torch.cat([torch.arange(20.0), 20 + torch.arange(228) / 4])
    torch.testing.assert_close(stretch_positions(table)[:, 0], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_precision(dtype):
    table = torch.randn(77, 16).to(dtype)
    stretched = stretch_positions(table)
    assert stretched.dtype == dtype
    exact = stretch_positions(table.double())
    torch.testing.assert_close(stretched.double(), exact, atol=0, rtol=torch.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("shape", "keep", "ratio", "message"),
    [
        ((77,), 20, 4, r"\[77\].*wanted \[n, width\]"),
        ((1, 77, 8), 20, 4, r"\[1, 77, 8\]"),
        ((21, 8), 20, 4, "21 rows, wanted more than keep . 1 = 21"),
        ((77, 8), 20, 0, "ratio=0"),
        ((77, 8), -1, 4, "keep=-1"),
    ],
)
def test_refuses_what_cannot_be_stretched(shape, keep, ratio, message):
    with pytest.raises(ValueError, match=message):
        stretch_positions(torch.zeros(shape), keep, ratio)
