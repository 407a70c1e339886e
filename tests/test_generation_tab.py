"""The *Text to image* tab: orders, what is drawn and judged, what is shown on good and bad input, pictures that restore it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from conftest import CORPUS
from diffusers import StableDiffusionPipeline
from PIL import Image
from small_pipelines import sd_pipeline

import longclip
from demos.context import Context, Unavailable
from demos.generation import studio as studios
from demos.generation.drawings import Drawings
from demos.generation.order import ARMS, CHUNKS, CUT, LONG, LONGEST_PROMPT, MIX, Order
from demos.generation.sheets import arms
from demos.generation.studio import DETECTOR, MOST_SENTENCES, NOBODY, Finding, Sketch, Studio, Word, place_words
from demos.selection import Selection
from longclip.diffusion.detector import Detector
from longclip.generation.agreement import measure_agreement
from longclip.generation.pictures import read_png
from longclip.generation.prompts import embed

LONG_PROMPT = " ".join(CORPUS * 3)
HOSTILE = '<script>alert(1)</script>"${x}{{y}}'


@pytest.fixture(scope="module")
def folders(tiny_model_folder, tmp_path_factory):
    """(folder of a tiny pipeline, folder of the tiny Long-CLIP that fits it)."""
    folder = tmp_path_factory.mktemp("pipeline")
    sd_pipeline(longclip.load(tiny_model_folder(77))).save_pretrained(folder)
    (folder / DETECTOR).mkdir()  # as `train-diffusion` leaves it
    return str(folder), str(tiny_model_folder(248))


@pytest.fixture(scope="module")
def context():
    made = Context()
    torch.manual_seed(0)
    detector = Detector(8, 32).eval()
    made.detector = lambda: detector
    return made


@pytest.fixture
def drawings(context):
    return Drawings(context)


@pytest.fixture
def order(folders):
    return Order(LONG_PROMPT, pipeline=folders[0], model=folders[1], arms=tuple(ARMS), steps=2)


def drawn(drawings: Drawings, order: Order, judge: str, visitor: SimpleNamespace | None = None) -> Iterator[list]:
    """All that is shown, one after the other."""
    shown = []
    for shown in drawings.prepare(visitor, judge, *order.form()):
        yield shown[:-1]
    if shown[-1] is not None:
        yield from drawings.draw(shown[-1])


def last(drawings: Drawings, order: Order, judge: str = DETECTOR) -> dict:
    """What is shown in the end, by name."""
    names = ("status", "board", "sketches", "stop", "comparison")
    return dict(zip(names, list(drawn(drawings, order, judge))[-1], strict=True))


def test_every_arm_is_drawn_from_the_same_noise(drawings, order, context):
    shown = list(drawn(drawings, order, ""))
    sketches = shown[-1][2]
    assert [sketch.arm for sketch in sketches] == [CUT, CHUNKS, LONG, MIX] and all(sketch.finished for sketch in sketches)
    assert shown[0][3]["visible"] and not shown[-1][3]["visible"] and shown[-1][4]["visible"]
    cut, chunks, long, _ = sketches
    assert cut.unseen_start < len(LONG_PROMPT) == long.unseen_start == chunks.unseen_start
    assert cut.clip_end == cut.unseen_start == long.clip_end and cut.read == 77 < long.read == cut.total
    alone = last(drawings, replace(order, arms=(LONG,)), "")["sketches"][0]
    assert _pixels(alone.pictures[0]) == _pixels(long.pictures[0]) != _pixels(cut.pictures[0])
    # Nothing was changed by the swap: the first arm again.
    again = last(drawings, replace(order, arms=(CUT,)), "")["sketches"][0]
    assert _pixels(again.pictures[0]) == _pixels(cut.pictures[0])


def test_a_mix_of_all_is_long_clip(drawings, order):
    ends = [last(drawings, replace(order, arms=(MIX,), share=share), "")["sketches"][0] for share in (0.0, 1.0)]
    long = last(drawings, replace(order, arms=(LONG,)), "")["sketches"][0]
    assert _pixels(ends[1].pictures[0]) == _pixels(long.pictures[0]) != _pixels(ends[0].pictures[0])


def test_pictures_say_how_they_were_drawn_and_restore_the_form(drawings, order, tmp_path):
    order = replace(order, seed=2**32 - 1, count=2, arms=(LONG,), guidance=4.5, negative="a pond", clip_skip=1)
    (sketch,) = last(drawings, order, "")["sketches"]
    assert len(sketch.pictures) == 2
    details = read_png(sketch.pictures[1])
    assert details["seed"] == 0
    file = tmp_path / "picture.png"
    file.write_bytes(sketch.pictures[1])
    *form, note = drawings.restore(str(file))
    # Folders of this machine are not passed on with a picture.
    assert "pipeline" not in details and order.model not in str(details) and "but for its pipeline and model" in note
    restored = replace(Order(*form), pipeline=order.pipeline, model=order.model)
    assert restored == replace(order, seed=0, count=1, arms=[LONG]) and "press Draw" in note
    assert "That is no file" in drawings.restore(str(tmp_path))[-1]
    named = replace(order, pipeline="stable-diffusion-1.5", model="hf-hub:a/b@c").details(
        LONG, 3, {"hf-hub:a/b@c": "1", "/x": "2"}
    )
    assert (named["pipeline"], named["model"], named["revisions"]) == (
        "stable-diffusion-1.5",
        "hf-hub:a/b@c",
        {"hf-hub:a/b@c": "1"},
    )
    (again,) = last(drawings, restored, "")["sketches"]
    assert np.abs(_array(again.pictures[0]).astype(int) - _array(sketch.pictures[1])).max() <= 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"arms": ()}, "at least one way"),
        ({"prompt": "x" * (LONGEST_PROMPT + 1)}, "60,001 characters"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": None}, "seed is None"),
        ({"steps": 1000}, "number of steps is 1000"),
        ({"count": 9}, "number of pictures is 9"),
        ({"pipeline": "nowhere"}, "unknown; there are picturebook-diffusion"),
        ({"pipeline": ""}, "unknown"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_drawn(drawings, order, changes, sentence):
    values = last(drawings, replace(order, **changes))
    assert sentence in values["status"] and "Traceback" not in values["status"]
    assert not values["stop"]["visible"]


def test_an_encoder_that_does_not_fit_is_named_in_its_arm_and_the_others_are_drawn(drawings, order):
    sketches = last(drawings, replace(order, model="picturebook-longclip", arms=(CUT, LONG)), "")["sketches"]
    unknown = last(drawings, replace(order, model="nothing", arms=(CUT, LONG)), "")["sketches"]
    assert unknown[0].pictures and "not among the models" in unknown[1].problem
    assert sketches[0].pictures and "128 wide" in sketches[1].problem and not sketches[1].pictures
    assert "128 wide" in arms(sketches)


def test_prompts_of_any_kind_are_drawn(drawings, order):
    for prompt in ("", "🦊" * 40, "مرحبا بالعالم", "a red fox " * 5000, HOSTILE):
        values = last(drawings, replace(order, prompt=prompt, steps=1))
        assert all(sketch.pictures for sketch in values["sketches"]), prompt
        assert "<script" not in values["board"]


def test_on_a_public_page_only_what_is_listed_is_drawn(order):
    drawings = Drawings(Context(public=True))
    assert [name for _, name in drawings.studio.names()] == ["picturebook-diffusion"]
    assert "not among the pipelines" in last(drawings, order)["status"]
    assert "number of steps is 60" in last(drawings, replace(order, steps=60))["status"]


def test_leaving_ends_the_drawing(drawings, order, context):
    steps = drawn(drawings, replace(order, steps=100), "")
    for values in steps:
        if "step" in str(values[0]):
            break
    calls = []
    with context.pipeline(order.pipeline).unet.register_forward_pre_hook(lambda *_: calls.append(1)):
        steps.close()
        assert len(last(drawings, replace(order, steps=1))["sketches"]) == 4
    assert len(calls) <= 3 + 4


def test_stopping_ends_the_drawing_within_a_step_and_keeps_what_is_there(drawings, order):
    visitor, other = SimpleNamespace(session_hash="one"), SimpleNamespace(session_hash="two")
    steps = drawn(drawings, replace(order, steps=100), "", visitor)
    for values in steps:
        if "step" in str(values[0]):
            break
    drawings.stop(other)
    assert "step" in str(next(steps)[0]), "somebody else's"
    drawings.stop(visitor)
    ((status, board, sketches, stop, comparison),) = steps
    assert "Stopped" in status and "data:image/png" in board and not stop["visible"]
    # Nothing older is left to compare.
    assert len(sketches) == 4 and not any(sketch.finished for sketch in sketches) and not comparison["visible"]


def test_the_detector_judges_and_another_model_can(drawings, order, folders, context):
    prompt = "A red kite above a barn. " + LONG_PROMPT
    (sketch,) = last(drawings, replace(order, prompt=prompt, arms=(CUT,)))["sketches"]
    assert [finding.text for finding in sketch.findings][:2] == ["red kite", "barn"] and "detector" in sketch.judged_by
    (sketch,) = last(drawings, replace(order, prompt=prompt, arms=(CUT,)), folders[1])["sketches"]
    picture = Image.open(io.BytesIO(sketch.pictures[0]))
    encoder = context.encoder(folders[1])
    wanted, spans = measure_agreement(encoder, [picture], prompt)
    assert [finding.score for finding in sketch.findings] == pytest.approx(list(wanted[0]), abs=1e-3)
    assert [finding.text for finding in sketch.findings] == [prompt[a:b] for a, b in spans]
    one = encoder.encode_image([picture])[0] @ encoder.encode_text([sketch.findings[0].text])[0]
    assert sketch.findings[0].score == pytest.approx(one, abs=1e-3)
    with pytest.raises(ValueError, match="no sentence"):
        measure_agreement(encoder, [picture], "  ")


def test_no_model_judges_what_it_read(drawings, order):
    assert "choose another judge" in last(drawings, order, order.model)["status"]
    assert last(drawings, replace(order, arms=(CUT,)), order.model)["sketches"][0].findings
    own = replace(order, pipeline="stable-diffusion-1.5", arms=(CUT,))
    assert "choose another judge" in last(drawings, own, "openai/ViT-L-14")["status"]


def test_the_detector_judges_the_picture_book_alone(drawings, order):
    assert drawings.suit("stable-diffusion-1.5", DETECTOR)[:4] == [NOBODY, "BeichenZhang/LongCLIP-L", 30, 7.5]
    assert drawings.suit("stable-diffusion-1.5", NOBODY)[4]["info"] == "licence: CreativeML Open RAIL-M"
    assert drawings.suit("stable-diffusion-xl", "siglip")[0] == drawings.suit("picturebook-diffusion", DETECTOR)[0] == gr.skip()
    assert drawings.suit("hf-hub:a/b", DETECTOR)[:4] == [NOBODY, *[gr.skip()] * 3]
    for pipeline in ("stable-diffusion-1.5", "hf-hub:a/b"):
        assert "knows the picture book alone" in last(drawings, replace(order, pipeline=pipeline), DETECTOR)["status"]


def test_what_was_drawn_stays_where_nobody_can_judge_it(drawings, order, context, monkeypatch):
    assert "not in the cache" in last(drawings, order, "openai/ViT-B-32")["status"]

    def fail(*_):
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr("longclip.diffusion.judge.judge", fail)
    found = last(drawings, replace(order, arms=(CUT,)))
    (sketch,) = found["sketches"]
    assert sketch.pictures and sketch.words and sketch.finished and not sketch.problem
    assert "The judge could not look at it: " in found["board"] and "<img" in found["board"]


def test_a_model_judges_by_so_many_sentences(drawings, order, folders):
    (sketch,) = last(drawings, replace(order, prompt="A kite. " * 200, arms=(CUT,)), folders[1])["sketches"]
    assert len(sketch.findings) == MOST_SENTENCES


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(KeyError("x"), "KeyError"), (RuntimeError("can't allocate memory"), "memory does not suffice")],
)
def test_whatever_fails_is_a_sentence_and_the_other_arms_are_drawn(drawings, order, monkeypatch, error, sentence):
    def fail(*_):
        raise error

    monkeypatch.setattr(drawings.studio, "_swapped", fail)
    values = last(drawings, replace(order, arms=(CUT, LONG), steps=1), "")
    assert values["sketches"][0].pictures and sentence in values["sketches"][1].problem and not values["stop"]["visible"]


def test_words_carry_the_maps_of_their_tokens(tiny_model_folder):
    pipeline = sd_pipeline(longclip.load(tiny_model_folder(77)))
    prompt = embed(pipeline, "a red fox, a moon " * 10)
    maps = np.zeros((77, 4, 4), np.float32)
    maps[prompt.columns[1], 2, 3] = 1.0
    words = place_words(prompt, maps)
    assert [prompt.tokens.text[word.start : word.end] for word in words][:4] == ["a", "red", "fox,", "a"]
    assert list(words[1].places) == [0] * 11 + [255] + [0] * 4 and not any(words[0].places)
    assert words[-1].end <= prompt.tokens.unseen_start
    fine = place_words(prompt, np.random.default_rng(0).random((77, 64, 64)))
    assert len(fine[0].places) == 16 * 16


def test_what_is_shown_is_escaped_and_says_more_than_colour():
    sketch = Sketch(CUT, HOSTILE + " tail", 77, 90, len(HOSTILE), 8, 2, 2, pictures=(b"png",))
    sketch = replace(sketch, words=(Word(0, 8, b"\0" * 4),), judged_by=HOSTILE)
    findings = (Finding(HOSTILE, 0, 1.0, True, False), Finding("barn", 0, 0.0, False), Finding("kite", 9, 1.0, True, True))
    html = arms([replace(sketch, findings=findings), Sketch(LONG, "")])
    assert "<script" not in html and "2 of 3" in html and "1 of 1</b> beyond token 77" in html
    assert "not found: " in html and "in another colour" in html and "waits for its turn" in html
    assert re.search(r"<s [^>]*> tail</s>", html) and 'download="longclip-cut-1.png"' in html
    assert base64.b64encode(b"png").decode() in html and arms([]) == ""
    several = arms([replace(sketch, words=tuple(Word(start, start + 2, b"\0" * 4) for start in (0, 2, 4)))])
    assert re.findall('tabindex="(-?[0-9])"', several) == ["0", "-1", "-1"], "the Tab key stops once at all words"
    cosines = arms([replace(sketch, findings=(Finding("x" * 200, 0, 0.25),))])
    assert "0.250" in cosines and "x" * 100 not in cosines


def test_two_arms_are_compared(drawings, order):
    sketches = tuple(last(drawings, order, "")["sketches"])
    left, right, slider = drawings.choices(sketches)
    assert (left["value"], right["value"]) == (CUT, LONG) and len(left["choices"]) == 4
    pictures = slider["value"]
    assert pictures[0].width >= 500 and pictures[0].tobytes() != pictures[1].tobytes()
    assert drawings.compare(sketches, CUT, None)["value"] is None
    assert drawings.choices(())[0]["value"] is None


def test_examples_and_the_caption_of_the_other_tab(drawings, monkeypatch):
    long, short = drawings.example(long=True), drawings.example(long=False)
    assert len(long) > 300 > len(short) > 10
    cut = long[: longclip.load("picturebook-clip").tokenize(long).unseen_start]
    assert "harp" in long and "harp" not in cut, "its subject comes behind what CLIP reads"
    assert drawings.carried(Selection(caption="a kite")) == "a kite"
    told = []
    monkeypatch.setattr("gradio.Info", lambda text, **_: told.append(text))
    assert "value" not in drawings.carried(Selection()) and told


def test_a_prompt_of_the_visitors_own_gives_way_only_to_a_caption_that_was_sent_here(drawings):
    example, fresh = drawings.example(long=True), Selection()
    kite = fresh.changed(caption="a kite")
    assert drawings.arrive(kite, fresh, example) == drawings.arrive(kite, fresh, "") == ["a kite", kite]
    assert drawings.arrive(kite, kite, "") == drawings.arrive(fresh, fresh, "") == [gr.skip()] * 2, "nothing new"
    barn = kite.changed(caption="a barn")
    assert drawings.arrive(barn, kite, "a kite") == ["a barn", barn], "as it was taken over"
    assert drawings.arrive(barn, kite, "a kite of mine") == [gr.skip()] * 2
    begun = fresh.changed(caption=drawings._first_caption())
    assert len(begun.caption) > 300 and drawings.arrive(begun, fresh, example) == [gr.skip()] * 2, "nobody chose it"
    assert drawings.arrive(begun.changed(sent="draw"), fresh, example)[0] == begun.caption
    sent = kite.changed(caption="a barn", sent="draw")
    assert drawings.arrive(sent, kite, "a kite of mine") == ["a barn", sent]
    assert drawings.arrive(sent, sent, "a kite of mine") == [gr.skip()] * 2, "only once"
    assert (
        sent.changed(search="captions").sent == "" and drawings.arrive(kite.changed(sent="maps"), fresh, "mine")[0] == gr.skip()
    )


def test_a_picture_that_the_safety_checker_made_black_is_told(drawings, order, monkeypatch):
    def checked(self, image, device, dtype):
        return image, [False, True][: len(image)]

    monkeypatch.setattr(StableDiffusionPipeline, "run_safety_checker", checked)
    found = last(drawings, replace(order, prompt="A red kite.", arms=(CUT,), count=2))
    assert (
        found["sketches"][0].blanked == 1 and found["sketches"][0].findings and "made 1 of 2 pictures black" in found["board"]
    )
    monkeypatch.setattr(StableDiffusionPipeline, "run_safety_checker", lambda self, image, *_: (image, [True]))
    found = last(drawings, replace(order, prompt="A red kite.", arms=(CUT,)))
    assert not found["sketches"][0].findings and "made this picture black: try another seed" in found["board"]


def test_a_drawing_that_was_stopped_before_its_turn_is_not_begun(drawings, order, context):
    visitor, calls = SimpleNamespace(session_hash="third"), []
    *_, (*_, begun) = drawings.prepare(visitor, "", *order.form())
    drawings.stop(visitor)
    with context.pipeline(order.pipeline).unet.register_forward_pre_hook(lambda *_: calls.append(1)):
        ((status, *_),) = drawings.draw(begun)
    assert "Stopped" in status and not calls
    assert list(drawings.draw(None)) == [[gr.skip()] * 5], "what was wanted could not be prepared"


def test_swaps_are_kept_and_let_go_of(context, order, monkeypatch):
    studio, pipeline = Studio(context), context.pipeline(order.pipeline)
    first = studio._swapped(order, pipeline)
    assert studio._swapped(order, pipeline) is first
    studio._swaps[("another", "model")] = (pipeline, first)
    studio._swapped(order, pipeline)
    assert len(studio._swaps) == 1, "another pipeline is let go of"
    monkeypatch.setattr(studios, "KEEP_SWAPS", 1)
    other = replace(order, model="picturebook-longclip")
    with pytest.raises(ValueError, match="128 wide"):
        studio._swapped(other, pipeline)
    studio._swaps[(order.pipeline, "older")] = (pipeline, first)
    studio._swaps.move_to_end((order.pipeline, "older"), last=False)
    studio._swapped(order, pipeline)
    assert list(studio._swaps) == [next(iter(studio._swaps))] and "older" not in str(studio._swaps)


def test_a_pipeline_that_was_not_built_is_one_sentence(context, tmp_path, monkeypatch, order):
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    fresh = Context()
    values = last(Drawings(fresh), replace(order, pipeline="picturebook-diffusion"))
    assert "has not been built here" in values["status"]
    with pytest.raises(Unavailable, match="detector"):
        fresh.detector()


def _array(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def _pixels(data: bytes) -> bytes:
    return _array(data).tobytes()
