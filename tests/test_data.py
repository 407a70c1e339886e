from __future__ import annotations

import io
import pickle
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longclip.data.captions import CaptionPolicy
from longclip.data.pairs import DataError, PackedPairs, Pair, PairData, Slice
from longclip.data.pictures import Skips, crop_box, read_pair
from longclip.images import ImageError
from longclip.preprocessing import Preprocessing


def content(seed: int = 0, size: tuple[int, int] = (40, 30), format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def write(path: Path, value: bytes) -> Path:
    path.write_bytes(value)
    return path


# Pairs


def test_packed_pairs_come_back_as_they_were():
    pairs = [
        Pair(Path("/a/b.png"), ("One. Two.", "Drei — 三"), "short", "cat", "f"),
        Pair(Slice(Path("/s.tar"), 512, 9), ("cut \ud83d emoji",)),
        Pair(Path("/odd\udcff.png"), ()),
    ]
    packed = pickle.loads(pickle.dumps(PackedPairs(iter(pairs))))
    assert len(packed) == 3 and list(packed) == pairs and packed[-1] == pairs[2] and packed[1:] == pairs[1:]
    with pytest.raises(IndexError):
        packed[3]


def test_a_slice_reads_its_bytes_only(tmp_path):
    file = write(tmp_path / "x", b"0123456789")
    assert Slice(file, 3, 4).read() == b"3456"
    with pytest.raises(DataError, match="ends before byte 12"):
        Slice(file, 8, 4).read()


def test_split():
    data = PairData("d", PackedPairs(Pair(Path(f"/{n}"), (f"{n}.",)) for n in range(100)))
    training, held_out = data.hold_out(10)
    assert [p.captions[0] for p in held_out.pairs] == [f"{n}." for n in range(10)]
    assert len(training) == 90 and training.pairs[0] == data.pairs[10] and training.pairs[-1] == data.pairs[99]
    training, held_out = data.hold_out(10, seed=3)
    assert list(held_out.pairs) == list(data.hold_out(10, seed=3)[1].pairs) != list(data.hold_out(10, seed=4)[1].pairs)
    assert sorted(p.captions for p in [*training.pairs, *held_out.pairs]) == sorted(p.captions for p in data.pairs)
    assert training.pairs[2:4] == [training.pairs[2], training.pairs[3]] and held_out.name == "d, held out"
    assert len(data.hold_out(0)[1]) == 0
    for number in (-1, 100):
        with pytest.raises(DataError, match="wanted at least 0, and at least one left"):
            data.hold_out(number)


# Captions

PAIR = Pair(Path("x"), ("Sum. One. Two. Three. Four.",), "Own.")


def draws(policy: CaptionPolicy, pair: Pair = PAIR, number: int = 4000) -> list[tuple[str, str]]:
    rng = random.Random(0)
    return [policy.draw(pair, rng) for _ in range(number)]


def test_policies_without_chance():
    caption = PAIR.captions[0]
    assert set(draws(CaptionPolicy())) == {(caption, "Sum.")}
    assert set(draws(CaptionPolicy(short="field"))) == {(caption, "Own.")}
    assert set(draws(CaptionPolicy(short="field"), Pair(Path("x"), (caption,), " "))) == {(caption, "Sum.")}
    assert set(draws(CaptionPolicy(short="none", summary_drop=1))) == {("One. Two. Three. Four.", "")}


def test_the_summary_is_dropped_as_often_as_asked():
    seen = Counter(draws(CaptionPolicy(summary_drop=0.3)))
    assert set(seen) == {(PAIR.captions[0], "Sum."), ("One. Two. Three. Four.", "Sum.")}
    assert seen["One. Two. Three. Four.", "Sum."] / 4000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(
    ("policy", "which"), [(CaptionPolicy(summary_drop=1, sentences="sample"), 0), (CaptionPolicy(short_details=1), 1)]
)
def test_sentences_are_sampled_in_order(policy, which):
    seen = Counter(pair[which] for pair in draws(policy))
    order = ["One.", "Two.", "Three.", "Four."]
    assert all(text.split() == [word for word in order if word in text.split()] for text in seen)
    # Each size from 1 to 4 is as likely, and each of the 4, 6, 4, 1 parts of that size.
    assert len(seen) == 15
    sizes = Counter()
    for text, count in seen.items():
        sizes[len(text.split())] += count / 4000
    assert [sizes[n] for n in range(1, 5)] == pytest.approx([0.25] * 4, abs=0.03)
    assert seen["Three."] / 4000 == pytest.approx(0.25 / 4, abs=0.015)


def test_the_summary_that_stays_comes_first():
    seen = draws(CaptionPolicy(summary_drop=0.5, sentences="sample"))
    kept = [long for long, _ in seen if "Sum." in long]
    assert all(long.startswith("Sum. ") for long in kept) and len(kept) / 4000 == pytest.approx(0.5, abs=0.03)


def test_captions_are_drawn_alike():
    pair = Pair(Path("x"), ("A one. More.", " ", "B one. More.", "C one. More."))
    seen = Counter(draws(CaptionPolicy(), pair))
    assert set(seen) == {(f"{name} one. More.", f"{name} one.") for name in "ABC"}
    assert all(count / 4000 == pytest.approx(1 / 3, abs=0.03) for count in seen.values())


@pytest.mark.parametrize("short", ["first-sentence", "field", "none"])
@pytest.mark.parametrize("sentences", ["all", "sample"])
def test_a_long_caption_has_words(short, sentences):
    policy = CaptionPolicy(short, summary_drop=1.0, sentences=sentences)
    for pair in (Pair(Path("x"), ("Single.",)), Pair(Path("x"), ("  ",), "Own."), Pair(Path("x"), ("no full stop",))):
        assert all(long and (short == "none" or few) for long, few in draws(policy, pair, 20))
    assert policy.draw(Pair(Path("x"), ()), random.Random(0)) == ("", "")


def test_policies_are_the_same_for_a_seed():
    policy = CaptionPolicy("field", 0.5, 0.5, "sample")
    assert draws(policy, number=50) == draws(policy, number=50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"short": "title"}, "short is 'title', wanted one of first-sentence, field"),
        ({"sentences": "some"}, "sentences is 'some', wanted one of all, sample"),
        ({"summary_drop": 1.5}, "summary_drop is 1.5, wanted a probability"),
    ],
)
def test_unknown_policies(settings, message):
    with pytest.raises(ValueError, match=message):
        CaptionPolicy(**settings)


# Pictures


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [24, (16, 24)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_evaluation_geometry_is_the_models(tmp_path, mode, size, interpolation):
    file = write(tmp_path / "a.png", content(3, (50, 31)))
    preprocessing = Preprocessing.from_config(size, {"resize_mode": mode, "interpolation": interpolation, "fill_color": 9})
    pixels = read_pair(Pair(file, ()), preprocessing)
    mean, std = (np.float32(values).reshape(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    assert pixels.dtype == np.uint8 and pixels.shape == (3, *preprocessing.size)
    assert np.allclose((pixels / 255 - mean) / std, preprocessing.batch([file])[0].numpy(), atol=1e-5)


def test_the_training_crop_is_torchvisions(tmp_path):
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import resized_crop

    file = write(tmp_path / "a.png", content(3, (50, 41)))
    pixels = read_pair(Pair(file, ()), Preprocessing((16, 24)), rng=random.Random(5))
    left, top, right, bottom = crop_box(50, 41, random.Random(5), (0.9, 1.0))
    whole = Image.open(file)
    cut = resized_crop(whole, top, left, bottom - top, right - left, [16, 24], InterpolationMode.BICUBIC)
    assert np.array_equal(pixels, np.asarray(cut).transpose(2, 0, 1)) and pixels.flags["C_CONTIGUOUS"]
    assert np.array_equal(pixels, read_pair(Pair(file, ()), Preprocessing((16, 24)), rng=random.Random(5)))
    assert not np.array_equal(pixels, read_pair(Pair(file, ()), Preprocessing((16, 24)), rng=random.Random(6)))


def test_crop_boxes_are_distributed_as_torchvisions():
    import torch
    from torchvision.transforms import RandomResizedCrop

    rng, scale = random.Random(0), (0.3, 1.0)
    torch.manual_seed(0)
    ours = np.array([crop_box(200, 150, rng, scale) for _ in range(3000)])
    theirs = [RandomResizedCrop.get_params(torch.empty(3, 150, 200), list(scale), [3 / 4, 4 / 3]) for _ in range(3000)]
    top, left, height, width = np.array(theirs).T
    for mine, other in zip(ours.T, (left, top, left + width, top + height), strict=True):
        assert mine.mean() == pytest.approx(other.mean(), abs=3) and mine.std() == pytest.approx(other.std(), abs=3)
    assert (ours >= 0).all() and (ours[:, 2] <= 200).all() and (ours[:, 3] <= 150).all()


@pytest.mark.parametrize(
    ("size", "box"), [((1000, 10), (493, 0, 506, 10)), ((10, 1000), (0, 493, 10, 506)), ((1, 1), (0, 0, 1, 1))]
)
def test_crops_of_odd_pictures(size, box):
    assert crop_box(*size, random.Random(0), (0.9, 1.0)) == box


def test_broken_pictures_are_named(tmp_path):
    cut = write(tmp_path / "cut.png", content()[:200])
    shard = write(tmp_path / "s.tar", b"x" * 600)
    cases = [
        (tmp_path / "none.png", "there is no file .*none.png"),
        (tmp_path, "is no regular file"),
        (cut, "cut.png is damaged"),
        (Path("nul\0.png"), "."),
        (Slice(shard, 512, 88), "the picture at byte 512 of .*s.tar is not a JPEG"),
        (Slice(shard, 512, 512), "byte 512 of .*s.tar cannot be read .*ends before byte 1,024"),
        (Slice(shard, 512, 0), "byte 512 of .*s.tar is empty"),
        (Slice(shard, 512, 10**12), "has 1,000,000.0 MB: at most 500.0 MB"),
        (Slice(tmp_path / "none.tar", 0, 9), "byte 0 of .*none.tar cannot be read"),
    ]
    for picture, message in cases:
        for rng in (None, random.Random(0)):
            with pytest.raises(ImageError, match=message):
                read_pair(Pair(picture, ("A.",)), Preprocessing((8, 8)), rng=rng)


def test_skips_are_counted_and_named():
    skips = Skips()
    assert skips.report() == "All 0 pictures could be read."
    skips.add(range(1000))
    for number in range(1000, 1025):
        skips.add([], {number: ImageError(f"there is no file {number}.png")})
    skips.finish()
    lines = skips.report().splitlines()
    assert lines[0] == "25 of 1,025 pictures (2.4%) could not be read:" and len(lines) == 22
    assert lines[1].strip() == "there is no file 1000.png" and lines[-1].strip() == "and 5 more"


def test_a_picture_counts_once_however_often_it_is_tried():
    skips = Skips(limit=0.5)
    for _ in range(7):
        skips.add([0, 1, 2], {2: "broken", 3: "broken"})
    assert (skips.tried, skips.broken, skips.first) == (4, 2, ["broken"] * 2)
    skips.finish()


def test_too_many_skips_end_the_run():
    skips = Skips()
    skips.add(range(100), dict.fromkeys(range(50), "broken"))
    with pytest.raises(DataError, match=r"50 of 100 pictures \(50.0%\)(.|\n)*At most 5% may be broken"):
        skips.finish()
    with pytest.raises(DataError, match="50 of 200"):
        skips.add(range(100, 200))
    skips = Skips(limit=0.5)
    skips.add(range(200), dict.fromkeys(range(100), "broken"))
    with pytest.raises(DataError, match="At most 50%"):
        skips.add([], {200: "broken"})
    Skips().finish()
