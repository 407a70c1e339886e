"""Batches of scenes and of pairs: what stands in them depends on seed and number alone, and processes share them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from PIL import Image
from small_runs import CLIP, fine_tuning

from longclip.data.pairs import DataError, Pair, PairData
from longclip.picturebook.captions import realise
from longclip.picturebook.pages import draw_page
from longclip.preprocessing import Preprocessing
from longclip.training.batches import Share
from longclip.training.pairs import Order, PairBatches
from longclip.training.scenes import SceneBatches, change_fact, long_plan, web_plan


def test_batches_depend_on_their_number_alone():
    recipe = fine_tuning("base")
    a, b = SceneBatches(recipe, 32), SceneBatches(recipe, 32)
    a[0]
    assert torch.equal(a[3].images, b[3].images) and a[3].long == b[3].long and a[3].short == b[3].short
    assert a[3].long != a[2].long
    assert a[3].images.shape == (40, 3, 32, 32) and a[3].images.dtype == torch.uint8
    assert len(set(a[3].short)) < len(a[3].short), "families share their summary"


def test_processes_share_a_batch():
    recipe = fine_tuning("base", hard_negatives=1.0, short_details=0.5)
    whole = SceneBatches(recipe, 32)[1]
    parts = [SceneBatches(recipe, 32, Share(rank, 4))[1] for rank in range(4)]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    for name in ("long", "short", "negative", "names"):
        assert sum((getattr(part, name) for part in parts), []) == getattr(whole, name)
    with pytest.raises(ValueError, match="batch is 40, which 3 processes cannot share"):
        SceneBatches(recipe, 32, Share(0, 3))


def test_a_batch_is_split_in_order():
    batch = SceneBatches(fine_tuning("base"), 32)[0]
    parts = list(batch.split(16))
    assert [len(part) for part in parts] == [16, 16, 8]
    assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
    assert len(list(batch.split(0))) == 1


def test_pre_training_begins_with_one_thing_before_one_background():
    batches = SceneBatches(replace(CLIP, first_steps=1), 32)
    first, later = ([page.scene for page in batches._web_pages(step, Random(0))] for step in (0, 1))
    assert {len(scene.things) for scene in first} == {1} and len({scene.subject.kind for scene in first}) > 8
    assert len({(scene.setting, scene.time, scene.weather) for scene in first}) == 1
    assert max(len(scene.things) for scene in later) > 3 and len({scene.setting for scene in later}) > 4
    assert all(text.count(".") == 1 for text in batches[0].long)


def test_captions_for_training_follow_their_policy():
    pages = [draw_page("train", 0, index) for index in range(400)]

    def tell(plan, page):
        return realise(plan, page.scene).text

    web = [tell(web_plan(page, Random(index), 0.4), page) for index, page in enumerate(pages)]
    words = sorted(len(text.split()) for text in web)
    assert words[200] < 15, "half of the web's captions are short"
    assert 0.2 < sum(text == page.short.text for text, page in zip(web, pages, strict=True)) / 400 < 0.4
    long = [tell(long_plan(page, Random(index), 0.7), page) for index, page in enumerate(pages)]
    kept = sum(text.startswith(page.short.text) for text, page in zip(long, pages, strict=True)) / 400
    assert 0.2 < kept < 0.4
    assert all(long_plan(page, Random(0), 0.0, sample=False) == page.plan for page in pages[:50])


def test_short_captions_can_tell_details():
    recipe = fine_tuning("base", short_details=0.5, family_share=0.0)
    batch, pages = SceneBatches(recipe, 32)[2], [draw_page("train", 0, 80 + number) for number in range(40)]
    own = [text == page.short.text for text, page in zip(batch.short, pages, strict=True)]
    assert 10 < sum(own) < 30
    for text, page in zip(batch.short, pages, strict=True):
        assert text in page.short.text or all(part in page.long.text for part in text.split(". ")[:1])


def test_a_hard_negative_differs_in_one_fact():
    pages = [draw_page("train", 0, index) for index in range(50)]
    negatives = [change_fact(page, 0) for page in pages]
    assert sum(map(bool, negatives)) > 45
    for page, negative in zip(pages, negatives, strict=True):
        if negative:
            mine, other = page.long.text.split(), negative.split()
            assert mine != other and len(set(mine) ^ set(other)) < 16


def pair_data(folder, count=12, broken=()):
    """Pictures of one colour each, with captions of three sentences."""
    pairs = []
    for number in range(count):
        path = folder / f"{number}.png"
        if number in broken:
            path.write_bytes(b"no picture")
        else:
            Image.new("RGB", (40, 30), (number * 20, 0, 0)).save(path)
        pairs.append(Pair(path, (f"Picture {number}. It is red. It is flat.",)))
    return PairData("colours", pairs)


def pair_batches(data, share=None, **changes):
    recipe = replace(fine_tuning("base"), data="table:x", batch=8, components=4, steps=9, **changes)
    return PairBatches(recipe, data, Preprocessing((16, 16)), share or Share())


def test_pairs_come_shuffled_each_once_an_epoch(tmp_path):
    data = pair_data(tmp_path)
    batches = pair_batches(data)
    names = [name for step in range(3) for name in batches[step].names]
    assert sorted(names[:12]) == sorted(names[12:]) == sorted(f"{n}.png" for n in range(12))
    assert names[:12] != names[12:]
    again = pair_batches(data)[2]
    assert again.names == names[16:] and torch.equal(again.images, batches[2].images) and again.long == batches[2].long
    assert again.images.shape == (8, 3, 16, 16)
    halves = [pair_batches(data, Share(rank, 2))[2] for rank in range(2)]
    assert halves[0].long + halves[1].long == again.long
    assert torch.equal(torch.cat([half.images for half in halves]), again.images)


def test_broken_pictures_are_named_and_replaced(tmp_path):
    batches = pair_batches(pair_data(tmp_path, broken=(3, 7)))
    read = [batches[step] for step in range(3)]
    assert all(len(batch) == 8 for batch in read)
    skipped = [sentence for batch in read for sentence in batch.skipped.values()]
    assert any("3.png" in sentence for sentence in skipped) and any("7.png" in sentence for sentence in skipped)
    with pytest.raises(DataError, match="20 pictures one after the other cannot be read"):
        pair_batches(pair_data(tmp_path, broken=range(12)))[0]


@pytest.mark.parametrize(("count", "batch"), [(50, 50), (51, 50), (100, 45), (7, 5), (12, 8), (90, 60)])
def test_no_batch_holds_a_pair_twice_and_no_epoch_leaves_one_out(count, batch):
    order = Order(3, count, batch)
    places = [order[place] for place in range(batch * count)]
    for first in range(0, len(places), batch):
        assert len(set(places[first : first + batch])) == batch
    epochs = [places[first : first + count] for first in range(0, len(places), count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs) and epochs[0] != epochs[1]
    # The same whichever places were asked for before, as after a stop.
    again = Order(3, count, batch)
    assert [again[place] for place in reversed(range(len(places)))] == places[::-1]


def test_details_take_the_short_captions_place(tmp_path):
    data = pair_data(tmp_path)
    for changes, wanted in (({"short": "detail"}, {"It is red.", "It is flat.", "It is red. It is flat."}), ({}, None)):
        told = pair_batches(data, sentences="all", summary_drop=0.0, **changes).told(0)
        assert {short for _, _, short in told} <= (wanted or {f"Picture {number}." for number in range(12)})
        assert pair_batches(data, sentences="all", summary_drop=0.0, **changes)[0].short == [short for _, _, short in told]


def test_what_stands_in_for_a_broken_picture_is_no_twin_in_its_batch(tmp_path):
    for seed in range(20):
        batch = pair_batches(pair_data(tmp_path, broken=(3,)), seed=seed)[0]
        if batch.skipped:
            assert len(set(batch.names)) == 8
            return
    raise AssertionError("no batch had the broken picture")
