"""The training loop on tiny models: it learns, stops and resumes to the bit, freezes what it must, refuses what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from small_runs import CLIP, fine_tuning, weights

from longclip.encoder import load
from longclip.positions import stretch_positions
from longclip.training import estimate, loop, run, state
from longclip.training.recipe import Recipe
from longclip.training.scenes import SceneBatches
from longclip.training.schedule import schedule

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def few_texts(few_words):
    """The vocabulary of a few pages: what it holds does not matter here."""


def test_a_batch_can_be_learned_by_heart(tmp_path):
    training = run.start(replace(CLIP, steps=1000, learning_rate=3e-3), tmp_path)
    batch = SceneBatches(CLIP, 32)[0]
    losses = [training.update([batch])["contrastive"] for _ in range(80)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_model_folder_is_open_clips_own(tiny_clip):
    made = json.loads((tiny_clip / "recipe.json").read_text())
    assert made["recipe"]["seed"] == 0 and made["scenes"] == 6 * 16 and made["command"] == "test"
    encoder = load(tiny_clip)
    model = open_clip.create_model(f"local-dir:{tiny_clip}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tiny_clip}")
    texts = ["A red dog on the beach.", "Two striped kites."]
    with torch.no_grad():
        theirs = model.encode_text(tokenizer(texts), normalize=True).numpy()
    assert abs(encoder.encode_text(texts) - theirs).max() < 1e-5


def test_the_card_tells_data_recipe_and_figures(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, validate_on=20, validate_every=2, positive_pairs=0.1)
    loop.train(recipe, tmp_path, workers=0, command="python -m longclip train small")
    card = (tmp_path / "README.md").read_text()
    for part in ("# tiny-longclip", "248 tokens", "scenes of the picture book", "R@1 |", "positive_pairs = 0.1", "train small"):
        assert part in card
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert {"long", "short", "positive pairs", "temperature", "negative cosine", "long text to image R@1"} <= rows[1].keys()
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("changes", [{}, {"word_naming": 0.1}], ids=str)
def test_a_resumed_run_ends_with_the_same_weights_to_the_bit(tmp_path, tiny_clip, changes):
    recipe = fine_tuning(tiny_clip, save_every=2, **changes)
    loop.train(recipe, tmp_path / "whole", workers=0)
    with pytest.raises(loop.Interrupted, match="step 3 of 4"):
        loop.train(recipe, tmp_path / "cut", workers=0, report=lambda step, values: step < 3)
    assert state.load_state(tmp_path / "cut")["step"] == 3
    loop.train(recipe, tmp_path / "cut", workers=0)
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.fixture
def started(tmp_path, tiny_clip):
    """A run by the command line in a process of its own that has done some steps; its folder."""
    command = [sys.executable, "-m", "longclip", "train", "--base", tiny_clip, "--out", tmp_path / "killed", "--steps", "4000"]
    command += ["--batch", "40", "--save-every", "1", "--validate-on", "0", "--workers", "1", "--learning-rate", "1e-3"]
    process = subprocess.Popen([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    folder = tmp_path / "killed"
    while not any(path.name > "state-00000002" for path in state.find_states(folder)):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    yield process, folder
    process.kill()
    process.wait()


def children(pid: int) -> list[int]:
    """The processes whose parent this is: the second field behind the command's name in parentheses."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def gone(pids: list[int]) -> bool:
    """Whether none of these processes runs within two minutes."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}/cmdline").is_file() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_run_goes_on_to_the_same_weights(started, tmp_path, tiny_clip):
    process, folder = started
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers and gone(workers), "workers end with the run"
    step = state.load_state(folder)["step"]
    recipe = Recipe(**json.loads(state.load_state(folder)["recipe"]))
    report = lambda at, values: at < step + 2  # noqa: E731
    for target in (folder, tmp_path / "whole"):
        with pytest.raises(loop.Interrupted):
            loop.train(recipe, target, workers=0, report=report)
    killed, whole = weights(folder), weights(tmp_path / "whole")
    assert all(torch.equal(killed[name], whole[name]) for name in whole)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_signal_saves_and_ends_cleanly(started, number, to_all):
    process, folder = started
    # The workers first, so that the main process would meet their death before its own signal.
    for pid in [*(children(process.pid) if to_all else []), process.pid]:
        os.kill(pid, number)
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 130 and "the same command goes on from there" in output and "Traceback" not in output
    assert f"stopped at step {state.load_state(folder)['step']} of 4000" in output


def test_fine_tuning_stretches_and_leaves_the_first_rows_alone(tmp_path, tiny_clip):
    loop.train(fine_tuning(tiny_clip), tmp_path, workers=0)
    before, after = weights(tiny_clip)["positional_embedding"], weights(tmp_path)["positional_embedding"]
    assert before.shape == (77, 64) and after.shape == (248, 64)
    assert torch.equal(after[:20], before[:20])
    assert not torch.allclose(after[20:60], before[20:60].repeat_interleave(4, 0)[:40], atol=1e-4)
    assert load(tmp_path).context_length == 248


def test_frozen_parts_stay_as_they_were(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, freeze_vision=-1, freeze_text=1, steps=2)
    loop.train(recipe, tmp_path, workers=0)
    before, after = weights(tiny_clip), weights(tmp_path)
    same = {name for name in after if name != "positional_embedding" and torch.equal(before[name], after[name])}
    assert all(name in same for name in after if name.startswith(("visual.", "transformer.resblocks.0", "token_embedding")))
    assert "text_projection" not in same and "logit_scale" not in same
    with pytest.raises(ValueError, match="freeze_text is 2, and the text tower has 1 blocks"):
        run.start(replace(recipe, freeze_text=2), tmp_path)


def test_positions_can_stay_as_stretching_made_them(tmp_path, tiny_clip):
    loop.train(fine_tuning(tiny_clip, positions="stretched"), tmp_path, workers=0)
    table = stretch_positions(weights(tiny_clip)["positional_embedding"])
    assert torch.equal(weights(tmp_path)["positional_embedding"], table)


def test_a_folder_of_another_run_is_refused(tiny_clip):
    with pytest.raises(ValueError, match="run of another recipe: its seed is 0, now 1"):
        loop.train(replace(CLIP, seed=1), tiny_clip, workers=0)


def test_the_picture_book_needs_a_number_of_steps(tmp_path):
    with pytest.raises(ValueError, match="the picture book has no end"):
        loop.train(replace(CLIP, steps=0), tmp_path)


def test_a_loss_that_is_not_finite_names_step_and_batch(tmp_path):
    training = run.start(replace(CLIP, steps=3), tmp_path)
    with torch.no_grad():
        training.model.logit_scale.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="at step 0 .*the batch begins with train/0/0"):
        training.update([SceneBatches(CLIP, 32)[0]])


def test_the_logit_scale_stays_below_100(tmp_path):
    training = run.start(CLIP, tmp_path)
    with torch.no_grad():
        training.model.logit_scale.fill_(5.0)
    training.update([SceneBatches(CLIP, 32)[0]])
    assert training.model.logit_scale.exp().item() <= 100.001


def test_the_schedule_warms_up_and_falls_to_a_hundredth():
    rates = [schedule(step, 10, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0
    assert rates[-1] == pytest.approx(0.01) and rates[55] == pytest.approx(0.505)


def test_the_last_states_are_kept(tmp_path):
    for step in range(5):
        state.save_state(tmp_path, {"step": step}, keep=3)
    assert [path.name for path in state.find_states(tmp_path)] == [f"state-0000000{step}.pt" for step in (2, 3, 4)]
    assert state.load_state(tmp_path)["step"] == 4
    assert state.load_state(tmp_path / "nothing") is None


def test_a_damaged_state_is_one_clear_error_and_nothing_is_lost(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, save_every=2)
    loop.train(recipe, tmp_path, workers=0)
    newest = state.find_states(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:700])
    with pytest.raises(ValueError, match="state-00000004.pt cannot be read .*; remove it to go on from state-00000002.pt"):
        loop.train(recipe, tmp_path, workers=0)
    assert len(state.find_states(tmp_path)) == 2
    newest.unlink()
    loop.train(recipe, tmp_path, workers=0)
    assert state.load_state(tmp_path)["step"] == 4


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="mounting a small file system needs root on Linux")
def test_a_full_disk_keeps_the_states_that_are_there(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a file system")
    try:
        state.save_state(disk, {"step": 1, "weights": torch.zeros(100_000)})
        with pytest.raises(OSError, match="state of step 2 cannot be written .*; the last state there is state-00000001.pt"):
            state.save_state(disk, {"step": 2, "weights": torch.zeros(200_000)})
        assert state.load_state(disk)["step"] == 1
        assert [path.name for path in disk.iterdir()] == ["state-00000001.pt"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_steps_are_estimated_from_a_few(tmp_path, tiny_clip, monkeypatch):
    clock = iter(range(0, 1000, 3))  # every look at the clock is three seconds later
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(clock))
    assert estimate.estimate_steps(fine_tuning(tiny_clip), 60) == 20
    assert not list(tmp_path.iterdir())
