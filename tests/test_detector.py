"""The detector of the picture book's things, and what is counted by it."""

from __future__ import annotations

import pytest
import torch
from small_pipelines import SMALL

from longclip.diffusion import detector as detectors
from longclip.diffusion.autoencoder import build_autoencoder
from longclip.diffusion.detector import Found, build_detector, detector_losses, load_detector
from longclip.diffusion.judge import find_mentions, judge
from longclip.diffusion.scenes import COLOUR_NAMES, KIND_NAMES, NO_KIND, Pictures, pixels
from longclip.picturebook.pages import draw_page


def test_a_detector_tells_what_it_sees_where(tmp_path, monkeypatch):
    detector = build_detector(SMALL).eval()
    planted = torch.full((1, len(KIND_NAMES) + 1, 8, 8), -5.0)
    planted[:, NO_KIND] = 0.0
    planted[0, KIND_NAMES.index("kite"), 2, 5] = 4.0
    colours = torch.zeros(1, len(COLOUR_NAMES) + 1, 8, 8)
    colours[0, COLOUR_NAMES.index("red"), 2, 5] = 3.0
    with monkeypatch.context() as patch:
        patch.setattr(detector, "forward", lambda _: (planted, colours))
        (found,) = detector.find([draw_page("train", 0, 1).scene.draw(64)])
    kite = found.pop("kite")
    assert (kite.colour, kite.x, kite.y) == ("red", 5.5 / 8, 2.5 / 8)
    assert kite.belief == pytest.approx(torch.softmax(planted[0, :, 2, 5], 0).max().item())
    assert max(other.belief for other in found.values()) < 0.01
    detector.save(tmp_path)
    loaded = load_detector(tmp_path)
    with torch.inference_mode():
        images = pixels([draw_page("train", 0, 1).scene], 32).float() / 127.5 - 1
        for ours, theirs in zip(detector(images), loaded(images), strict=True):
            assert torch.allclose(ours, theirs, atol=0.02)


def test_a_detector_learns_from_what_the_autoencoder_makes(monkeypatch):
    detector, autoencoder = build_detector(SMALL), build_autoencoder(SMALL).eval()
    batch = Pictures(SMALL, 4, mapped=True)[0]
    seen = []
    forward = detectors.Detector.forward
    monkeypatch.setattr(detectors.Detector, "forward", lambda self, x: seen.append(x) or forward(self, x))
    detector_losses(detector, autoencoder, batch, torch.Generator().manual_seed(0))
    plain = batch[0].float() / 127.5 - 1
    difference = (seen[0] - plain).abs().mean((1, 2, 3))
    assert (difference[:2] > 0.2).all() and (difference[2:] < 0.1).all()


def test_mentions_are_the_things_of_a_caption_in_order():
    seen = 0
    for index in range(60):
        page = draw_page("held-out", 3, index)
        things = {thing.kind: thing for thing in page.scene.things}
        mentions = find_mentions(page.long.text)
        assert {mention.kind for mention in mentions} == things.keys()
        assert [mention.start for mention in mentions] == sorted(mention.start for mention in mentions)
        for mention in mentions:
            assert mention.colour in (things[mention.kind].colour, None)
            seen += mention.colour is not None
    assert seen > 200
    assert len(find_mentions("red kite " * 7000)) == 1  # and that in no time
    assert find_mentions("nothing of it") == []


def test_a_verdict_is_what_the_detector_believes(monkeypatch):
    text = "Two red kites above a blue barn. There is a boat."
    found = {"kite": Found(0.9, "red", 0, 0), "barn": Found(0.9, "red", 0, 0), "boat": Found(0.1, "blue", 0, 0)}
    detector = build_detector(SMALL)
    monkeypatch.setattr(detector, "find", lambda pictures: [found for _ in pictures])
    (verdicts,) = judge(detector, [None], text)
    seen = [(v.mention.kind, v.found, v.coloured) for v in verdicts]
    assert seen == [("kite", True, True), ("barn", True, False), ("boat", False, None)]
