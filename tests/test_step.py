"""The gradient of a batch: the same whole, in chunks, accumulated, and over two processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import fine_tuning, gradients

from longclip.encoder import load
from longclip.objectives.word_naming import NAMED
from longclip.training.batches import Share
from longclip.training.run import Run, start
from longclip.training.scenes import SceneBatches
from longclip.training.step import add_gradient, encode, read_evenly

ROOT = Path(__file__).resolve().parents[1]
# Of sums in single precision taken in another order: a row that weighs too much or too little is a thousand times that.
ROUNDING = 3e-5
EVERYTHING = {"hard_negatives": 0.5, "positive_pairs": 0.1, "distillation": 0.5, "token_states": 2.0, "components": 8}
NAMING = {"word_naming": 0.3, "objective": "contrastive"}


def first_gradient(recipe, folder) -> tuple[dict, dict]:
    run = start(recipe, folder)
    values = add_gradient(run, SceneBatches(recipe, 32)[0])
    return gradients(run), values


def differ(a: dict, b: dict) -> float:
    """The largest distance of a weight's two gradients, as a share of their length."""
    assert a.keys() == b.keys()
    return max(((a[name] - b[name]).norm() / a[name].norm().clamp(min=1e-6)).item() for name in a)


@pytest.mark.parametrize("changes", [{}, EVERYTHING, NAMING, {"objective": "contrastive"}, {"objective": "square"}], ids=str)
def test_chunks_give_the_whole_batchs_gradient(changes, tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, **changes)
    whole, losses = first_gradient(recipe, tmp_path)
    parts, same = first_gradient(replace(recipe, chunk=12), tmp_path)
    assert differ(whole, parts) < ROUNDING
    assert losses == pytest.approx(same, abs=1e-5)


def test_what_a_text_weighs_does_not_depend_on_those_beside_it(tmp_path, tiny_clip):
    """Chunks are as wide as their own longest text."""
    recipe = fine_tuning(tiny_clip, token_states=2.0, word_naming=0.3)
    run, batch = start(recipe, tmp_path), SceneBatches(recipe, 32)[0]
    with torch.no_grad():
        run.model.positional_embedding += 0.1 * torch.randn(248, 64, generator=torch.Generator().manual_seed(0))
    batch = replace(batch, long=[text[: 40 + 30 * i] for i, text in enumerate(batch.long)])
    whole = encode(run, batch)[1]
    parts = [(encode(run, part)[1], len(part) / len(batch)) for part in batch.split(12)]
    for name, loss in whole.items():
        assert sum(share * losses[name].item() for losses, share in parts) == pytest.approx(loss.item(), rel=1e-5)


def test_the_gradient_is_that_of_plain_autograd(tmp_path, tiny_clip):
    from longclip.objectives.primary_component import primary_component_losses

    recipe = fine_tuning(tiny_clip)
    mine, values = first_gradient(recipe, tmp_path)
    run = start(recipe, tmp_path)
    batch = SceneBatches(recipe, 32)[0]
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (run.look.mean, run.look.std))
    image = run.model.encode_image((batch.images / 255 - mean) / std, normalize=True)
    long, short = (run.model.encode_text(run.tokenizer.batch(texts), normalize=True) for texts in (batch.long, batch.short))
    losses = primary_component_losses(image, long, short, run.model.logit_scale.exp(), 32, recipe.smoothing)
    (losses["long"] + losses["short"]).backward()
    assert differ(gradients(run), mine) < 1e-5
    assert values["long"] == pytest.approx(losses["long"].item(), abs=1e-5)


def test_accumulated_batches_are_averaged(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, accumulate=2)
    run = start(recipe, tmp_path)
    batches = [SceneBatches(recipe, 32)[number] for number in range(2)]
    apart = []
    for batch in batches:
        add_gradient(run, batch)
        apart.append(gradients(run))
        run.optimizer.zero_grad()
    seen = {}

    def look(self, *_):
        seen.update(gradients(self))
        return torch.tensor(0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.accelerator, "clip_grad_norm_", lambda *_: look(run))
        run.update(batches)
    assert differ({name: (apart[0][name] + apart[1][name]) / 2 for name in seen}, seen) < 1e-5


def test_a_batch_too_small_for_its_components_is_refused(tiny_clip):
    with pytest.raises(ValueError, match="batch is 24; 24 pairs have at most 23 principal components"):
        fine_tuning(tiny_clip, batch=24, family_share=0.0)


def test_half_precision_is_close(tmp_path, tiny_clip):
    whole, losses = first_gradient(fine_tuning(tiny_clip), tmp_path)
    half, close = first_gradient(fine_tuning(tiny_clip, precision="bf16"), tmp_path)
    assert losses["long"] == pytest.approx(close["long"], abs=0.05) and all(g.dtype == torch.float32 for g in half.values())


def share_gradient(recipe, folder: Path, target: Path) -> None:
    """What each of several processes does: the first writes the gradients and losses."""
    run: Run = start(recipe, folder)
    share: Share = run.share
    assert share.processes == 2
    values = add_gradient(run, SceneBatches(recipe, 32, share)[0])
    if run.main:
        torch.save({"gradients": gradients(run), "values": values}, target)
    run.accelerator.end_training()


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [0, 8])
def test_two_processes_give_the_gradient_of_one(chunk, tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, chunk=chunk, **EVERYTHING)
    whole, losses = first_gradient(replace(recipe, chunk=0), tmp_path)
    script = tmp_path / "share.py"
    script.write_text(
        "import sys; sys.path[:0] = ['tests', '.']\n"
        "from pathlib import Path\n"
        "from small_runs import fine_tuning\n"
        "from test_step import EVERYTHING, share_gradient\n"
        f"recipe = fine_tuning(Path({str(tiny_clip)!r}), chunk={chunk}, **EVERYTHING)\n"
        f"share_gradient(recipe, Path({str(tmp_path)!r}), Path({str(tmp_path / 'shared.pt')!r}))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=_on_cpu())
    assert done.returncode == 0, done.stderr[-3000:]
    shared = torch.load(tmp_path / "shared.pt", weights_only=True)
    assert differ(whole, shared["gradients"]) < ROUNDING
    for name in losses.keys() - {"token states"}:  # each process knows that one of its own rows
        assert shared["values"][name] == pytest.approx(losses[name], abs=1e-5)


def _on_cpu() -> dict[str, str]:
    import os

    return os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def test_token_states_are_kept_near_those_of_the_base_where_it_has_positions(tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, token_states=2.0)
    run, batch = start(recipe, tmp_path), SceneBatches(recipe, 32)[0]
    reference = load(tiny_clip).model
    rows = run.tokenizer.ids([*batch.long, *batch.short])
    ids = torch.tensor([(row + [run.tokenizer.end_id] * 77)[:77] for row in rows])
    assert max(map(len, rows)) > 77 > min(map(len, rows))

    def distance(reading):
        with torch.no_grad():
            return ((run.model.text_states(ids) - reference.text_states(ids)) @ reading).square().mean().item()

    assert add_gradient(run, batch)["token states"] == pytest.approx(2 * distance(torch.eye(64)), rel=1e-4)
    with torch.no_grad():
        run.model.positional_embedding[:77] = reference.positional_embedding
        run.model.positional_embedding[77:] += 0.1
    beyond = add_gradient(run, batch)["token states"]
    assert beyond == pytest.approx(0, abs=1e-9), "where the base has no position, nothing is compared"
    with torch.no_grad():
        run.model.positional_embedding[40:] += 0.1
    # As a pipeline reads them: what varies little counts as much.
    read_evenly(run, batch)
    with torch.no_grad():
        spread = torch.cov((reference.text_states(ids[: len(batch)]).flatten(0, 1) @ run.reading).T)
    assert torch.linalg.eigvalsh(spread).max() < 1.01
    assert add_gradient(run, batch)["token states"] == pytest.approx(2 * distance(run.reading), rel=1e-4)


@pytest.mark.parametrize("changes", [{"captions": "web"}, {"token_states": 1.0}], ids=str)
def test_words_are_named_at_all_positions_that_a_pipeline_reads(changes, tmp_path, tiny_clip):
    recipe = fine_tuning(tiny_clip, word_naming=0.5, **changes)
    run, batch = start(recipe, tmp_path), SceneBatches(recipe, 32)[0]
    values, costs = add_gradient(run, batch), []
    if recipe.token_states:
        texts = batch.long + batch.short
    else:
        texts = [" ".join([text] * -(-77 // (len(run.tokenizer(text).ids) - 2))) for text in batch.long]
        assert all(len(run.tokenizer(text).ids) > 77 for text in texts)
    for text in texts:
        ids = torch.tensor(run.tokenizer(text).ids)
        with torch.no_grad():
            states = run.model.text_states(ids[None])[0, 1:-1]
        before = [ids[(torch.arange(1, len(ids) - 1) - back).clamp(min=0)] for back in range(NAMED)]
        wanted = torch.stack([code[words] for code, words in zip(run.codes, before, strict=True)]).sum(0)
        costs.append((states - wanted).square().mean().item())
    assert values["naming"] == pytest.approx(0.5 * sum(costs) / len(costs), rel=1e-4)
    assert run.model.token_embedding.weight.grad.abs().max() > 0


def test_states_of_a_model_with_other_tokens_are_refused(tmp_path, tiny_clip):
    with pytest.raises(ValueError, match=r"states_of picturebook-clip has \[1310, 128\] as token embeddings"):
        start(fine_tuning(tiny_clip, token_states=2.0, states_of="picturebook-clip"), tmp_path)
