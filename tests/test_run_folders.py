"""The folder of a run: each step is written down once, a finished run stays as it is, and what does not belong is refused."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import fine_tuning, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from longclip.training import journal, loop, state
from longclip.training.recipe import Recipe


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def drawn(folder: Path, name: str = "long") -> list[int]:
    """Steps that TensorBoard shows."""
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    return [event.step for event in board.Scalars(name)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class Killed(BaseException):
    """What no handler of the loop answers, as none answers a kill."""


def kill_at(last: int):
    def report(step: int, values: dict) -> bool:
        if step == last:
            raise Killed
        return True

    return report


def test_no_step_stands_twice_after_a_kill(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, save_every=2, steps=6, batch=36)
    loop.train(recipe, tmp_path / "whole", workers=0)
    for last in (3, 5):  # at 3 the state is that of step 2, at 5 that of step 4
        with suppress(Killed):
            loop.train(recipe, tmp_path / "cut", workers=0, report=kill_at(last))
        assert [row["step"] for row in rows(tmp_path / "cut")] == list(range(1, last + 1))
    with (tmp_path / "cut" / "log.jsonl").open("a") as log:
        log.write('{"step": 6, "sec')  # cut off in the middle of a line
    with pytest.raises(loop.Interrupted):
        loop.train(recipe, tmp_path / "cut", workers=0, report=lambda step, values: step < 5)
    loop.train(recipe, tmp_path / "cut", workers=0)
    for folder in ("whole", "cut"):
        assert [row["step"] for row in rows(tmp_path / folder)] == drawn(tmp_path / folder) == [1, 2, 3, 4, 5, 6]
    without = [[{k: v for k, v in row.items() if k != "seconds"} for row in rows(tmp_path / name)] for name in ("whole", "cut")]
    assert without[0] == without[1]
    seconds = [row["seconds"] for row in rows(tmp_path / "cut")]
    assert seconds == sorted(seconds)
    made = json.loads((tmp_path / "cut" / "recipe.json").read_text())
    assert made["pairs" if recipe.data != "picturebook" else "scenes"] == 6 * 36
    assert made["minutes"] == round(state.load_state(tmp_path / "cut")["seconds"] / 60, 1)


def test_a_finished_run_stays_as_it_is(tmp_path, tiny_clip, capsys):
    said = []
    recipe = fine_tuning(tiny_clip, steps=2, batch=36, validate_on=12)
    loop.train(recipe, tmp_path, workers=0, command="the first")
    before = contents(tmp_path)
    assert json.loads(before["recipe.json"])["validation"]
    loop.train(replace(recipe, stored="fp16"), tmp_path, workers=0, command="the second", announce=said.append)
    assert contents(tmp_path) == before and drawn(tmp_path) == [1, 2]
    assert said[0].lines() == [
        f"{tmp_path} holds this run, finished at step 2: it stays as it is. Another folder (--out) begins anew"
    ]


def test_a_run_that_was_killed_before_its_model_was_written_measures_and_writes_it(tmp_path, tiny_clip, monkeypatch):
    recipe = fine_tuning(tiny_clip, steps=2, batch=36, validate_on=12)
    loop.train(recipe, tmp_path / "whole", workers=0, command="same")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_model", lambda *arguments: (_ for _ in ()).throw(Killed))
        with suppress(Killed):
            loop.train(recipe, tmp_path / "cut", workers=0, command="same")
    assert not (tmp_path / "cut" / "recipe.json").exists()
    loop.train(recipe, tmp_path / "cut", workers=0, command="same")
    made = [json.loads((tmp_path / name / "recipe.json").read_text()) for name in ("whole", "cut")]
    assert made[0]["validation"] == made[1]["validation"] != {}


def test_two_runs_into_one_folder_are_refused(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, steps=2, batch=36)

    def second(step, values):
        with pytest.raises(ValueError, match="another run is writing to .*choose another folder"):
            loop.train(replace(recipe, seed=5), tmp_path, workers=0)
        return True

    loop.train(recipe, tmp_path, workers=0, report=second)
    assert not (tmp_path / journal.LOCK).exists()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_a_folder_of_something_else_is_not_written_over(tmp_path, tiny_clip):
    (tmp_path / "README.md").write_text("Mine.")
    with pytest.raises(ValueError, match="holds README.md and no state of a run to go on from"):
        loop.train(fine_tuning(tiny_clip), tmp_path, workers=0)
    assert (tmp_path / "README.md").read_text() == "Mine." and not list(tmp_path.glob("state-*"))


def test_other_data_and_another_base_behind_the_same_name_are_refused(tmp_path, tiny_clip):
    for number in range(40):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")

    def write(last: str) -> None:
        captions = [f"Number {number}. It is red." for number in range(39)] + [last]
        lines = [json.dumps({"image": f"{number}.png", "caption": text}) for number, text in enumerate(captions)]
        (tmp_path / "pairs.jsonl").write_text("\n".join(lines))

    write("The last. It is red.")
    recipe = fine_tuning(
        tiny_clip, data=f"table:{tmp_path / 'pairs.jsonl'}", held_out=0, steps=2, family_share=0.0, components=8
    )
    stop = {"workers": 0, "report": lambda step, values: False}
    with pytest.raises(loop.Interrupted):
        loop.train(recipe, tmp_path / "out", **stop)
    write("Another. It is red.")
    with pytest.raises(ValueError, match=r"another recipe: its data is '40 pairs \(hash .{16}\)', now '40 pairs \(hash"):
        loop.train(recipe, tmp_path / "out", **stop)
    write("The last. It is red.")
    kept = state.load_state(tmp_path / "out")
    state.save_state(tmp_path / "out", kept | {"origin": kept["origin"] | {"base": "0" * 32}})
    with pytest.raises(ValueError, match="its base is '0000"):
        loop.train(recipe, tmp_path / "out", **stop)


def test_states_of_before_new_fields_came_are_gone_on_from(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, steps=2, batch=36)
    with pytest.raises(loop.Interrupted):
        loop.train(recipe, tmp_path, workers=0, report=lambda step, values: False)
    kept = state.load_state(tmp_path)
    old = {name: value for name, value in json.loads(kept["recipe"]).items() if name not in ("clip_norm", "decay", "last_rate")}
    del kept["origin"]
    state.save_state(tmp_path, kept | {"recipe": json.dumps(old)})
    loop.train(recipe, tmp_path, workers=0)
    assert state.load_state(tmp_path)["step"] == 2
    assert asdict(recipe)["clip_norm"] == 1.0


def test_a_gradient_that_is_not_finite_ends_the_run_and_leaves_weights_and_states(tmp_path, tiny_clip, monkeypatch):
    recipe = fine_tuning(tiny_clip, steps=3, batch=36, save_every=1)
    from longclip.training import run as running

    plain = running.add_gradient

    def spoil(run, *arguments):
        values = plain(run, *arguments)
        if run.step == 1:
            run.model.text_projection.grad[0, 0] = float("inf")
        return values

    monkeypatch.setattr(running, "add_gradient", spoil)
    for norm in (1.0, 0.0):
        folder = tmp_path / str(norm)
        with pytest.raises(FloatingPointError, match="gradient's norm is (inf|nan) at step 1 .*lower learning_rate"):
            loop.train(replace(recipe, clip_norm=norm), folder, workers=0)
        assert state.load_state(folder)["step"] == 1
        assert all(torch.isfinite(value).all() for value in weights(folder).values())


def test_weights_that_are_not_finite_make_no_model(tmp_path, tiny_clip):
    from longclip.training.card import write_model
    from longclip.training.run import start

    run = start(fine_tuning(tiny_clip), tmp_path)
    with torch.no_grad():
        run.model.text_projection[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="text_projection is not finite"):
        write_model(run, "", {}, "")
    assert not list(tmp_path.iterdir())


def test_a_log_is_cut_back_to_a_step(tmp_path):
    log = tmp_path / "log.jsonl"
    journal.forget(log, 3)
    assert not log.exists()
    log.write_text('{"step": 1}\n{"step": 4}\nnonsense\n{"step": 3}\n[1]\n{"step": 2}')
    journal.forget(log, 3)
    assert log.read_text() == '{"step": 1}\n{"step": 3}\n{"step": 2}\n'
    times = os.stat(log).st_mtime_ns
    journal.forget(log, 3)
    assert os.stat(log).st_mtime_ns == times


def test_the_card_says_what_was_said_and_what_was_measured(tmp_path, tiny_clip):
    recipe = Recipe("small", str(tiny_clip), steps=2, batch=36, validate_on=7, warmup=5)
    loop.train(recipe, tmp_path, workers=0)
    card = (tmp_path / "README.md").read_text()
    for part in ("- 2 steps of 36 pairs", "- warning: warm-up takes 5 steps of 2", "can hardly learn", "On 7 held-out pairs"):
        assert part in card
