"""Fields of a row that are not what they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from longclip.data.pairs import DataError
from longclip.data.readers.fields import pair_of_row, text_fields


@pytest.mark.parametrize("key", ["label", "subject", "family", "split"])
def test_a_field_that_is_no_text_is_named_with_its_row(key):
    with pytest.raises(DataError, match=rf"^row 3 has \[1\] as {key}, wanted text or a number$"):
        text_fields({"caption": "A dog.", key: [1]}, "row 3")


@pytest.mark.parametrize(
    ("key", "lost"),
    [("label", "label"), ("family", "family"), ("split", "split"), ("captions", ""), ("short_caption", "short")],
)
def test_a_bad_field_spoils_that_field_alone_where_somebody_hears_of_it(tmp_path, key, lost):
    row = {"image": "a.png", "caption": "A dog.", "family": "dogs", "label": "dog", "split": "test", "short_caption": "Dog."}
    heard, plain = [], pair_of_row(row, tmp_path, "row 3")
    assert (plain.captions, plain.family, plain.label, plain.split, plain.short) == (("A dog.",), "dogs", "dog", "test", "Dog.")
    pair = pair_of_row(row | {key: {"x": 1}}, tmp_path, "row 3", heard.append)
    assert [str(error).partition(", wanted")[0] for error in heard] == [f"row 3 has {{'x': 1}} as {key}"]
    assert pair == (replace(plain, **{lost: ""}) if lost else plain)
