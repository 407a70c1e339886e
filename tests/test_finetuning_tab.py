"""The tab *Fine-tune*: from the form to a model that only its visitor has."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import PIL.Image
import pytest
from forms import PAIR, form, found

import app
import longclip
from demos import trained
from demos.context import Context, Unavailable
from demos.finetuning import tab as finetuning
from demos.finetuning import trainings
from demos.finetuning.plan import CONTRASTIVE, Plan, command_line
from demos.finetuning.tab import FineTuning
from demos.retrieval.searches import Searches
from longclip.training import estimate, finish
from longclip.training.recipe import Recipe

VISITOR, OTHER = SimpleNamespace(session_hash="a"), SimpleNamespace(session_hash="b")
NAMES = ("status", "plot", "start", "stop", "outcome", "download", "mine")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Three steps, and few held-out scenes."""
    monkeypatch.setattr(estimate, "estimate_steps", lambda recipe, seconds: 3)
    monkeypatch.setattr(finetuning, "LOOK", 0.05)
    monkeypatch.setattr("demos.finetuning.plan.HELD_OUT", 12)


@pytest.fixture
def handlers() -> FineTuning:
    return FineTuning(Context())


def plan(start: Path | str, **changes) -> tuple:
    """A form's values."""
    values = {"name": "mine", "base": str(start), "batch": 16, "components": 8, "objective": CONTRASTIVE}
    fields = replace(Plan(), **values | changes)
    return tuple(getattr(fields, name) for name in Plan.__dataclass_fields__)


def shown(handlers: FineTuning, *values, visitor=VISITOR) -> list[dict]:
    return [dict(zip(NAMES, update, strict=True)) for update in handlers.train(visitor, (), *values)]


def test_a_model_is_trained_and_searched_with_by_its_visitor_only(handlers, tiny_clip, book, tmp_path):
    *_, last = shown(handlers, *plan(tiny_clip))
    assert "3 steps" in last["outcome"] and "picture → summary" in last["outcome"]
    assert last["plot"]["value"].data and last["start"]["interactive"] and not last["stop"]["visible"]
    (name,) = last["mine"]
    zipfile.ZipFile(last["download"]["value"]).extractall(tmp_path)
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"open_clip_model.safetensors", "tokenizer.json", "README.md"} <= files and not any(
        "state" in file for file in files
    )
    assert longclip.load(tmp_path / "mine").context_length == 248

    choices = handlers.offer(last["mine"], 2)[1]["choices"]
    assert choices[0] == ("yours: mine · 248 tokens", name) and len(choices) == len(handlers.context.models) + 1
    answer = found(Searches(handlers.context), *form(book.captions[2], models=(name, PAIR[1])))
    assert "Right picture at rank" in answer["left"] and "yours" not in answer["answer"]
    assert handlers.context.encoder(name).spec.title == "yours: mine"
    assert (
        name not in handlers.context.models and Context().spec(name) is None and handlers.context.spec("yours:mine/x") is None
    )


def test_what_was_learned_is_kept_when_stopped(handlers, tiny_clip, monkeypatch):
    monkeypatch.setattr(estimate, "estimate_steps", lambda recipe, seconds: 10_000)
    last = {}
    for update in handlers.train(VISITOR, (), *plan(tiny_clip)):
        last = dict(zip(NAMES, update, strict=True))
        handlers.stop(OTHER)
        if " left" in last["status"]:
            handlers.stop(VISITOR)
    assert "early" in last["outcome"] and len(last["mine"]) == 1
    assert handlers.context.encoder(last["mine"][0]).context_length == 248


def test_one_trains_at_a_time_and_leaving_ends_it(handlers, tiny_clip, monkeypatch):
    monkeypatch.setattr(estimate, "estimate_steps", lambda recipe, seconds: 10_000)
    watching = handlers.train(VISITOR, (), *plan(tiny_clip))
    next(update for update in watching if " left" in str(update[0]))
    refused = shown(handlers, *plan(tiny_clip), visitor=OTHER)[-1]
    assert "being trained on this machine already" in refused["status"] and refused["start"]["interactive"]
    training = handlers.trainings._now
    watching.close()
    assert training.over.wait(200) and "page was closed" in training.problem and not training.folder.exists()


def test_a_training_that_nobody_watches_ends(tiny_clip, monkeypatch):
    monkeypatch.setattr(estimate, "estimate_steps", lambda recipe, seconds: 10_000)
    monkeypatch.setattr(trainings, "PATIENCE", 0.0)
    training = trainings.Trainings().start(Plan(base=str(tiny_clip)).recipe(Context()), 60)
    assert training.over.wait(200) and "page was closed" in training.problem


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base": "no such model"}, "no such model is not among the models of this page"),
        ({"base": None}, "A base without a name is not"),
        ({"objective": "primary-component", "components": 16}, "at most 15 principal components"),
        ({"data": "folder:/nowhere"}, "There is no file or folder"),
        ({"data": "nonsense:file"}, "nonsense"),
        ({"data": "table:x.jsonl", "hard_negatives": 1.0}, "only the picture book writes"),
        ({"name": "../up"}, "name is"),
        ({"name": "<b>"}, "&lt;b&gt;"),
        ({"minutes": 600}, "wanted 1 to 30"),
        ({"batch": 10_000}, "wanted 8 to 128"),
        ({"rate": None}, "learning rate"),
        ({"summary_drop": 7.0}, "wanted a share"),
    ],
)
def test_bad_input_is_one_sentence(handlers, tiny_clip, changes, sentence):
    last = shown(handlers, *plan(tiny_clip, **changes))[-1]
    assert sentence in last["status"] and "notice" in last["status"] and last["start"]["interactive"]
    assert not handlers.describe(*plan(tiny_clip, **changes)).startswith("Traceback")


def test_a_loss_that_is_not_finite_is_one_sentence(handlers, tiny_clip, monkeypatch):
    def diverge(*args, **options):
        raise FloatingPointError("the loss is nan")

    monkeypatch.setattr("longclip.training.run.add_gradient", diverge)
    assert "choose a lower learning rate" in shown(handlers, *plan(tiny_clip))[-1]["status"]


def test_a_plan_is_told_in_words(handlers):
    words = handlers.describe(*plan(PAIR[0], objective="primary-component", hard_negatives=0.5))
    assert "3 minutes" in words and "stretched to 248" in words and "8 principal components" in words and "one fact" in words
    assert "stretched" not in handlers.describe(*plan(PAIR[1]))
    assert handlers.suit_rate(PAIR[0]) > handlers.suit_rate("openai/ViT-B-16")
    assert "--base picturebook-clip" in command_line(Recipe("a", PAIR[0]))


def test_trained_models_go_after_an_hour(tiny_clip, monkeypatch):
    from tempfile import TemporaryDirectory

    context, place = Context(), TemporaryDirectory()
    name = context.trained.keep(place, tiny_clip, context.models[PAIR[0]])
    assert context.spec(name) and context.encoder(name)
    later = time.monotonic() + 4000
    monkeypatch.setattr(trained.time, "monotonic", lambda: later)
    context.drop_trained()
    assert context.spec(name) is None and not context.ready(name) and not Path(place.name).exists()
    with pytest.raises(Unavailable, match="no longer here"):
        context.encoder(name)


def test_a_public_page_trains_only_where_it_is_told_to():
    page, allowed = app.build(Context(public=True)), Context(public=True, fine_tune=True)
    texts = " ".join(str(block.value) for block in page.blocks.values() if isinstance(block, gr.HTML))
    assert "switched off on this page" in texts
    assert not any(getattr(block, "elem_id", "") == "start-training" for block in page.blocks.values())
    page = app.build(allowed)
    assert any(getattr(block, "elem_id", "") == "start-training" for block in page.blocks.values())
    assert finetuning.find_pickers(page, allowed)
    for base, sentence in (("openai/ViT-B-16", "too large"), ("/etc/passwd", "not among the models")):
        assert sentence in shown(FineTuning(allowed), *plan(base))[-1]["status"]
    assert Plan(data="folder:/etc").recipe(allowed).data == "picturebook"


def test_a_run_that_has_no_state_cannot_be_finished(tiny_clip, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no state"):
        finish.finish(Recipe("a", str(tiny_clip), steps=1), tmp_path)


@pytest.fixture
def table(tmp_path):
    """A table of so many pictures and captions, by name; every second picture is the one before it."""

    def write(count: int) -> str:
        lines = []
        for number in range(count):
            PIL.Image.new("RGB", (8, 8), (number // 2, 0, 0)).save(tmp_path / f"{number}.png")
            lines.append(json.dumps({"image": f"{number}.png", "caption": f"Number {number}. It is <b>red</b>."}))
        (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
        return f"table:{tmp_path / 'pairs.jsonl'}"

    return write


def test_the_plan_says_what_is_in_the_data_and_what_is_wrong_with_it(handlers, tiny_clip, table, monkeypatch):
    words = handlers.describe(*plan(tiny_clip, data=table(60), batch=64))
    assert "It learns from 54 pairs of pairs; of the 54 rows of a batch, " in words
    assert "A batch of 64 is more than there are pairs: it is made 54." in words
    assert "have the same picture and" in words and "other&#x27;s wrong answer" in words
    assert "hardly learn" not in words and "picture book alone" not in words
    words = handlers.describe(*plan(tiny_clip, data=table(30), batch=64, objective="primary-component", components=16))
    assert "Batch is 64, and there are 27 pairs to train on" not in words and "made 27" in words
    words = handlers.describe(*plan(tiny_clip, data=table(10), batch=64, objective="primary-component", components=16))
    assert "Batch is 64, and there are 9 pairs to train on; 9 pairs have at most 8 principal components" in words
    assert "There is no file" in handlers.describe(*plan(tiny_clip, data="table:/nowhere.jsonl"))
    monkeypatch.setattr("demos.finetuning.plan.READ_AT_ONCE", 10)
    assert "it is read when the training starts" in handlers.describe(*plan(tiny_clip, data=table(60)))


def test_a_training_that_can_hardly_learn_says_so_while_it_runs_and_after(handlers, tiny_clip):
    updates = shown(handlers, *plan(tiny_clip, rate=1e-6))
    assert any("This run can hardly learn: its 3 steps at up to 1e-06" in str(update["status"]) for update in updates)
    assert (
        "can hardly learn" in updates[-1]["outcome"]
        and "Better: a learning rate of 1e-05, more minutes." in updates[-1]["outcome"]
    )
    made = handlers.trainings._now.recipe
    assert 0 < made.warmup_steps <= made.steps / 2 + 1


def test_an_interpreter_that_ends_waits_for_the_step_under_way(tiny_clip, monkeypatch):
    monkeypatch.setattr(estimate, "estimate_steps", lambda recipe, seconds: 10_000)
    training = trainings.Trainings().start(Plan(base=str(tiny_clip)).recipe(Context()), 60)
    while not training.step:
        training.watch()
        assert not training.over.wait(0.01), training.problem
    trainings.end_all()
    assert training.over.is_set() and "page was closed" in training.problem and training.step < 10_000
    assert not Path(training.place.name).exists()
