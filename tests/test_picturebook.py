"""The drawn world: the same numbers give the same page, captions tell the truth, families and changes are exact."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from longclip.picturebook.captions import count_units
from longclip.picturebook.files import contact_sheet, write_pages
from longclip.picturebook.kinds import FAMILIES, KINDS
from longclip.picturebook.pages import CHANGES, changed_spans, counterfactual, draw_family, draw_page, draw_pages
from longclip.picturebook.palette import COLOURS, thing_tones
from longclip.picturebook.scene import PATTERNS, UNSEEN_SETTINGS, Scene, Thing, draw_scene, unseen_colour
from longclip.picturebook.settings import SETTINGS, TIMES, WEATHERS
from longclip.tokens import Tokenizer
from longclip.vocabulary import full_vocabulary


@pytest.fixture(scope="module")
def pages():
    return [draw_page("held-out", 0, index) for index in range(120)]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(*full_vocabulary(), 248)


def test_the_world_is_as_rich_as_promised():
    assert len(KINDS) >= 60 and len(FAMILIES) >= 8
    assert len(KINDS) == sum(len(family) for family in FAMILIES.values()), "two kinds share a name"
    assert len(COLOURS) == 10 and len(PATTERNS) == 3
    assert len(SETTINGS) - len(UNSEEN_SETTINGS) >= 12 and set(UNSEEN_SETTINGS) < {setting.name for setting in SETTINGS}
    assert len(TIMES) == 4 and len(WEATHERS) == 5


def test_the_same_numbers_give_the_same_page():
    a, b = draw_page("train", 3, 7), draw_page("train", 3, 7)
    assert a == b and a.long == b.long
    assert np.array_equal(np.asarray(a.scene.draw(96)), np.asarray(b.scene.draw(96)))
    others = [draw_page("train", 3, 8), draw_page("train", 4, 7), draw_page("held-out", 3, 7)]
    assert all(other.long.text != a.long.text for other in others)
    # What a published seed means must never drift.
    assert draw_page("held-out", 0, 0).long.text.startswith(draw_page("held-out", 0, 0).short.text)


def test_training_never_sees_what_is_kept_for_shifted_scenes():
    scenes = [page.scene for page in draw_pages("train", 0, 300)]
    scenes += [page.scene for page in draw_pages("train", 0, 160, 8)] + [
        page.scene for page in draw_pages("train", 0, 160, 8, True)
    ]
    for scene in scenes:
        assert scene.setting not in UNSEEN_SETTINGS
        assert all(thing.colour != unseen_colour(thing.kind) for thing in scene.things)
    shifted = [draw_scene("shifted", 0, index) for index in range(100)]
    assert all(scene.subject.colour == unseen_colour(scene.subject.kind) for scene in shifted)
    assert 20 < sum(scene.setting in UNSEEN_SETTINGS for scene in shifted) < 80


def test_an_unknown_split_is_refused_by_name():
    with pytest.raises(ValueError, match="'test' is unknown; there are train, held-out, shifted"):
        draw_scene("test", 0, 0)


def test_captions_have_the_promised_length(pages, tokenizer):
    lengths = [len(ids) for ids in tokenizer.ids([page.long.text for page in pages])]
    assert min(lengths) >= 80 and max(lengths) < 248, "nothing of a caption may be cut at 248"
    assert max(len(ids) for ids in tokenizer.ids([page.short.text for page in pages])) < 20
    assert all(
        count_units(page.long.text) <= len(ids) - 2
        for page, ids in zip(pages, tokenizer.ids([p.long.text for p in pages]), strict=True)
    )


def test_captions_name_every_thing_and_only_what_is_there(pages):
    for page in pages:
        text, scene = page.long.text, page.scene
        for number, thing in enumerate(scene.things):
            spoken = " ".join(text[p.start : p.end] for p in page.long.phrases if number in p.things)
            noun = thing.spec.name if thing.count == 1 else thing.spec.plural
            assert noun in spoken.lower() and thing.colour in spoken.lower(), (thing, spoken)
        for kind in KINDS.values():
            if kind.name not in {thing.kind for thing in scene.things}:
                assert not re.search(rf"\b({kind.name}|{kind.plural})\b", text), f"{kind.name} is not in this scene: {text}"


def test_sentences_cover_the_caption_and_begin_with_the_summary(pages):
    for page in pages:
        long = page.long
        assert " ".join(long.text[a:b] for a, b in long.sentences) == long.text
        assert long.text[slice(*long.sentences[0])] == page.short.text
        assert all(long.text[a].isupper() for a, _ in long.sentences)


def test_sentences_are_shuffled_and_those_of_the_subject_told_last(pages):
    for number, page in enumerate(pages[:50]):
        whole, last = (page.shuffled(Random(number), subject_last) for subject_last in (False, True))
        texts = [sorted(caption.text[a:b] for a, b in caption.sentences) for caption in (page.long, whole, last)]
        assert texts[0] == texts[1] == texts[2] and page.shuffled(Random(number)) == whole
        of_subject = [any(0 in p.things for p in last.phrases if a <= p.start < b) for a, b in last.sentences]
        assert of_subject == sorted(of_subject) and of_subject[-1]


def test_places_in_captions_are_where_things_are_drawn(pages):
    for page in pages[:40]:
        masks = page.scene.masks(64)
        assert masks.shape == (len(page.scene.things), 64, 64)
        for thing, mask in zip(page.scene.things, masks, strict=True):
            assert mask.any(), f"{thing} cannot be seen"
            rows, columns = np.nonzero(mask)
            left, top, right, bottom = (64 * value for value in thing.box)
            assert left - 2 <= columns.min() and columns.max() <= right + 2
            assert top - 2 <= rows.min() and rows.max() <= bottom + 2
        assert (masks.sum(0) <= 1).all(), "a pixel shows one thing"


def test_masks_are_the_pixels_that_go_when_a_thing_goes():
    page = draw_page("held-out", 0, 5)
    last = len(page.scene.things) - 1
    without = replace(page.scene, things=page.scene.things[:last])
    changed = (np.asarray(page.scene.draw(128)) != np.asarray(without.draw(128))).any(-1)
    mask = page.scene.masks(128)[last]
    # An edge pixel may change with less than half of it covered; within the mask nearly all must change.
    assert changed[mask].mean() > 0.97
    assert (changed & ~mask).sum() < 0.5 * mask.sum()


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_is_seen_in_the_picture(colour):
    thing = Thing("ball", colour, "plain", "subject", 1, 0.5, 0.82)
    scene = Scene("meadow", "noon", "sunny", (thing,), "test")
    pixels = np.asarray(scene.draw(96))[scene.masks(96)[0]]
    main = np.array(thing_tones(colour, "noon")[0])
    assert (np.abs(pixels.astype(int) - main).max(-1) < 12).mean() > 0.4


def test_every_kind_shows_its_colour_and_pattern_apart():
    for name, kind in KINDS.items():
        looks = {}
        for colour, pattern in (("red", "plain"), ("blue", "plain"), ("red", "striped"), ("red", "spotted")):
            y = 0.3 if kind.floats else 0.9
            thing = Thing(name, colour, pattern, "small", 1, 0.2, y)
            looks[colour, pattern] = np.asarray(Scene("beach", "noon", "sunny", (thing,), "test").draw(128)).astype(int)
        plain = looks.pop(("red", "plain"))
        for look, picture in looks.items():
            assert (np.abs(picture - plain).max(-1) > 40).sum() >= 12, f"a small {name}: {look} looks like plain red"


def test_hard_families_share_the_summary_and_differ_in_details():
    family = draw_family("held-out", 0, 2, 8)
    assert len({page.short.text for page in family}) == 1
    assert len({page.long.text for page in family}) == 8
    for key in ("setting", "time", "weather", "subject"):
        assert len({getattr(page.scene, key) for page in family}) == 1
    for i, a in enumerate(family):
        for b in family[:i]:
            assert len(set(a.scene.things) - set(b.scene.things)) >= 1
    assert len({page.family for page in family}) == 1


def test_late_families_differ_only_beyond_the_77th_token(tokenizer):
    short = Tokenizer(*full_vocabulary(), 77)
    for index in range(12):
        family = draw_family("held-out", 0, index, 8, late=True)
        texts = [page.long.text for page in family]
        assert len(set(texts)) == 8
        assert len({tuple(ids) for ids in short.ids(texts)}) == 1, "77 tokens must not tell them apart"
        assert len({tuple(ids) for ids in tokenizer.ids(texts)}) == 8
        assert len({page.scene.draw(64).tobytes() for page in family}) == 8


@pytest.mark.parametrize("change", CHANGES)
def test_counterfactuals_change_one_fact_of_one_thing(pages, change):
    made = 0
    for page in pages[:40]:
        found = counterfactual(page, 0, change)
        if found is None:
            continue
        made += 1
        before, after = page.scene.things, found.page.scene.things
        assert [i for i in range(len(before)) if before[i] != after[i]] == [found.thing]
        fields = {f for f in vars(before[found.thing]) if getattr(before[found.thing], f) != getattr(after[found.thing], f)}
        assert fields <= ({"x", "y"} if change == "place" else {change}) and fields
        a, b = page.long, found.page.long
        assert len(a.sentences) == len(b.sentences)
        for start, end in found.added:
            speaking = [p for p in b.phrases if p.start < end and start < p.end]
            # Beside the thing's own phrases only its verb may follow its number.
            assert b.text[start:end] in ("is", "are") or any(found.thing in p.things for p in speaking)
    assert made >= 25, f"only {made} of 40 scenes leave room for another {change}"


def test_an_unknown_change_is_refused_by_name(pages):
    with pytest.raises(ValueError, match="'size' is unknown; there are colour, pattern, kind, count, place"):
        counterfactual(pages[0], 0, "size")


def test_changed_spans_are_whole_words():
    a, b = "There is a red ball, and a cat.", "There are two red balls, and a cat."
    removed, added = changed_spans(a, b)
    assert [a[s:e] for s, e in removed] == ["is", "a", "ball"]
    assert [b[s:e] for s, e in added] == ["are", "two", "balls"]


def test_pages_are_written_as_an_image_folder(tmp_path):
    pages = list(draw_pages("held-out", 1, 6, family_size=4, late=True))
    assert [Counter(page.family for page in pages)[page.family] for page in pages] == [4, 4, 4, 4, 2, 2]
    rows = write_pages(pages, tmp_path, size=48)
    read = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert read == json.loads(json.dumps(rows))
    assert {"file_name", "short_caption", "long_caption", "subject", "setting", "family", "scene"} <= set(read[0])
    assert all((tmp_path / row["file_name"]).is_file() for row in read)
    for start, end, things in read[0]["phrases"]:
        assert read[0]["long_caption"][start:end] and all(0 <= i < len(read[0]["scene"]["things"]) for i in things)
    with pytest.raises(ValueError, match="'jpg' is unknown; there are png, webp"):
        write_pages(pages, tmp_path, format="jpg")


def test_a_contact_sheet_holds_every_picture():
    pages = list(draw_pages("held-out", 0, 5))
    sheet = contact_sheet(pages, columns=3, size=40, gap=4)
    assert sheet.size == (3 * 44 - 4, 2 * 44 - 4)
    last = sheet.crop((44, 44, 84, 84)).convert("RGB")
    assert np.array_equal(np.asarray(last), np.asarray(pages[4].scene.draw(40)))


def test_the_command_writes_families_and_refuses_what_it_cannot_draw(tmp_path, capsys):
    from longclip.__main__ import main

    command = ["picturebook", "--out", str(tmp_path / "a"), "--count", "16", "--size", "32", "--family-size", "8", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path / "a"), "scenes": 16, "families": 2}
    for wrong, words in (
        (["--count", "0"], "at least 1 scene"),
        (["--late", "--count", "8"], "give it --family-size 2 or more"),
        (["--split", "test"], "split 'test' is unknown"),
        (["--format", "jpg"], "picture format 'jpg' is unknown"),
    ):
        assert main(["picturebook", "--out", str(tmp_path / "b"), *wrong]) == 2
        assert words in capsys.readouterr().err
