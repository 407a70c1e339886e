"""The training of the embedded pipeline, with parts so small that a step takes milliseconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from small_pipelines import SMALL
from torch import nn

from longclip.diffusion.autoencoder import autoencoder_losses, build_autoencoder, scale_latents
from longclip.diffusion.denoiser import build_scheduler, build_unet, denoiser_losses, read_evenly
from longclip.diffusion.fitting import Fit, fit
from longclip.diffusion.grounding import Grounding
from longclip.diffusion.preview import preview
from longclip.diffusion.recipe import read_recipe
from longclip.diffusion.scenes import COLOUR_NAMES, KIND_NAMES, NO_KIND, Captions, Pictures, draw_numbered, map_cells
from longclip.diffusion.stages import STAGES, _word_states, train
from longclip.encoder import load
from longclip.generation.drawing import Settings, draw
from longclip.generation.pipelines import load_pipeline
from longclip.generation.prompts import embed
from longclip.generation.word_maps import record_attention
from longclip.picturebook.pages import draw_page
from longclip.training.journal import claim
from longclip.training.state import load_state
from longclip.training.stopping import Interrupted


@pytest.fixture(scope="module")
def recipe(tiny_clip):
    return replace(SMALL, encoder=str(tiny_clip))


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    """(folder of the pipeline, folder of the runs); read them, never write to them."""
    folder = tmp_path_factory.mktemp("pipeline")
    return train(recipe, folder / "work", folder / "out", workers=0), folder / "work"


def test_the_folder_is_one_of_diffusers_and_draws(made, recipe):
    folder, _ = made
    plain = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    assert plain("a red kite", num_inference_steps=2).images[0].size == (32, 32)
    pipeline = load_pipeline(str(folder))
    states = embed(pipeline, "a red kite").states
    encoder = load(recipe.encoder)
    ids = list(encoder.tokenizer("a red kite").ids)
    ids += [encoder.tokenizer.end_id] * (77 - len(ids))
    assert torch.allclose(states, encoder.model.text_states(torch.tensor([ids])), atol=1e-5)
    *_, last = draw(pipeline, embed(pipeline, "a red kite"), Settings(steps=2))
    assert last.pictures[0].size == (32, 32)
    assert json.loads((folder / "recipe.json").read_text())["recipe"]["name"] == "small"
    assert max(path.stat().st_size for path in folder.rglob("*")) < 10e6


def test_a_finished_run_is_not_made_again_and_a_stopped_one_goes_on_to_the_same_weights(made, recipe, tmp_path):
    folder, work = made
    assert train(recipe, work, tmp_path / "again", workers=0)
    for name in ("unet", "vae"):
        stored = f"{name}/diffusion_pytorch_model.safetensors"
        assert (tmp_path / "again" / stored).read_bytes() == (folder / stored).read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        calls = iter(range(100))

        def loss(*arguments):
            if next(calls) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return denoiser_losses(*arguments)

        patch.setattr("longclip.diffusion.stages.denoiser_losses", loss)
        with pytest.raises(Interrupted, match="unet stopped at step 2 of 4"):
            train(recipe, tmp_path / "work", tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
    # What had been made of the latents is not made again.
    times = [path.stat().st_mtime_ns for path in (tmp_path / "work" / "latents").iterdir()]
    train(recipe, tmp_path / "work", tmp_path / "out", workers=0)
    assert times == [path.stat().st_mtime_ns for path in (tmp_path / "work" / "latents").iterdir()]
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "detector/model"):
        assert (tmp_path / "out" / f"{name}.safetensors").read_bytes() == (folder / f"{name}.safetensors").read_bytes()


def test_another_recipe_is_refused_where_a_run_lies(made, recipe, tmp_path):
    _, work = made
    with pytest.raises(ValueError, match="another recipe"):
        train(replace(recipe, learning_rate=1e-4), work, tmp_path, workers=0)
    with pytest.raises(ValueError, match="detective is unknown"):
        train(recipe, work, tmp_path, stages=("detective",))


def test_a_pipeline_is_trained_on_and_nothing_of_it_but_the_u_net(made, recipe, tmp_path):
    folder, _ = made
    onward = replace(recipe, base=str(folder), steps=2)
    out = train(onward, tmp_path / "work", tmp_path / "out", workers=0)
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"latents", "unet"}
    for name in ("vae/diffusion_pytorch_model.safetensors", "detector/model.safetensors"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    assert not any(str(folder) in path.read_text() for path in out.glob("*/config.json")), "it is told where the base lay"
    before, after = (load_pipeline(str(each)).unet.state_dict() for each in (folder, out))
    moved = {name: (before[name] - after[name]).abs().max().item() for name in before}
    # Two steps of Adam from there, at a rate that rises to 1e-3; half precision rounds.
    assert 0 < max(moved.values()) < 4e-3
    for changes in ({"size": 48}, {"encoder": "picturebook-clip"}):
        with pytest.raises(
            ValueError, match=r"the base .* has as pixels a side, channels and width of text states \(32, 4, 64"
        ):
            train(replace(onward, **changes), tmp_path / "work2", tmp_path / "out2", workers=0)
    shutil.copytree(folder, tmp_path / "blind")
    shutil.rmtree(tmp_path / "blind" / "detector")
    with pytest.raises(ValueError, match="and no detector; wanted"):
        train(replace(onward, base=str(tmp_path / "blind")), tmp_path / "work2", tmp_path / "out2", workers=0)


def test_stages_alone_write_no_pipeline(recipe, tmp_path):
    train(recipe, tmp_path / "work", tmp_path / "out", workers=0, stages=("latents",))
    assert not (tmp_path / "out").exists() and set(STAGES) > {"latents"}
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"autoencoder", "latents"}
    made = np.load(next((tmp_path / "work" / "latents").glob("*.npz")))
    assert made["latents"].shape == (128, 4, 8, 8)
    shown, _ = map_cells(draw_numbered(recipe, 7).scene, recipe.size)
    assert (made["kinds"][7] == shown.numpy()).all()


def test_the_running_average_is_what_is_kept(tmp_path):
    torch.manual_seed(0)
    module, wanted = nn.Linear(1, 1, bias=False), []

    def losses(batch, rng):
        wanted.append(module.weight.item())
        return {"loss": module(torch.ones(1)).square().sum()}

    fit(Fit("part", tmp_path, 5, 0.1, 1, 100, 0, average=0.5), module, list(range(5)), losses, workers=0)
    last = load_state(tmp_path)["model"]["weight"].item()
    values = [*wanted[1:], last]
    average = values[0]
    for value in values[1:]:
        average = 0.5 * average + 0.5 * value
    assert module.weight.item() == pytest.approx(average, rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    module = nn.Linear(1, 1)

    def losses(batch, rng):
        return {"loss": module(torch.full((1,), float("nan"))).sum()}

    with pytest.raises(FloatingPointError, match="part is nan at step 1"):
        fit(Fit("part", tmp_path, 5, 0.1, 1, 100, 0), module, [0] * 5, losses, workers=0)


def test_a_gradient_that_is_no_number_stops_the_run_and_a_killed_one_logs_no_step_twice(tmp_path):
    module = nn.Linear(1, 1)

    def losses(batch, rng, last=100):
        if batch == last:
            raise KeyboardInterrupt  # as a kill, after which nothing is saved
        value = module(torch.ones(1))
        # A finite loss of which the gradient is not.
        return {"loss": (value - value.detach()).abs().sqrt().sum() if batch == 50 else value.square().sum()}

    plan = Fit("part", tmp_path, 60, 0.1, 0.1, 10, 0)
    with pytest.raises(KeyboardInterrupt):
        fit(plan, module, list(range(60)), lambda batch, rng: losses(batch, rng, 45), workers=0)
    assert load_state(tmp_path)["step"] == 40
    with pytest.raises(FloatingPointError, match="the norm of its gradient (nan|inf): a lower learning rate"):
        fit(plan, module, list(range(60)), losses, workers=0)
    fit(plan, module, [0] * 60, losses, workers=0)
    logged = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == sorted(set(logged)) == [20, 40, 60]


def test_a_finished_pipeline_stays_and_another_is_not_written_over(made, recipe, tmp_path):
    folder, work = made
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert train(recipe, work, folder, workers=0) == folder
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="holds another pipeline: its seed is 0, now 5. Choose another folder"):
        train(replace(recipe, seed=5), tmp_path / "work", folder, workers=0)
    with claim(tmp_path / "busy"), pytest.raises(ValueError, match="another run is writing to"):
        train(recipe, tmp_path / "busy", tmp_path / "out", workers=0)


def test_what_a_training_will_do_is_said(recipe):
    lines = preview(replace(recipe, steps=400, warmup=0.1), STAGES)
    assert lines[-1] == "unet: 400 steps of 4 scenes, learning rate up to 0.001, warm-up 40 steps"
    text = "\n".join(preview(replace(recipe, steps=50, warmup=100), STAGES))
    assert "warning: the learning rate of unet gets to 0.0005 of 0.001, as warm-up takes 100 steps of 50" in text
    assert len(preview(replace(recipe, base="some"), STAGES)) == 1


def test_latents_are_scaled_to_a_variance_of_one():
    model = build_autoencoder(SMALL).eval()
    (images,) = Pictures(SMALL, 8)[0]
    factor = scale_latents(model, images)
    with torch.inference_mode():
        latents = model.encode(images.float() / 127.5 - 1).latent_dist.mean * factor
    assert latents.std().item() == pytest.approx(1, abs=1e-4) and model.config.scaling_factor == factor
    losses = autoencoder_losses(model, images, 0.5, torch.Generator().manual_seed(0))
    same = autoencoder_losses(model, images, 0.5, torch.Generator().manual_seed(0))
    assert losses == same and losses["difference"] > 0


class Oracle(nn.Module):
    """A U-Net that knows the latents: the velocity at each noise level, exactly."""

    def __init__(self, latents, scheduler):
        super().__init__()
        self.latents, self.scheduler = latents, scheduler

    def forward(self, noisy, times, encoder_hidden_states=None, cross_attention_kwargs=None):
        kept = self.scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
        noise = (noisy - kept.sqrt() * self.latents) / (1 - kept).sqrt()
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * self.latents
        return type("Output", (), {"sample": velocity})


def velocity_loss(unet, scheduler, latents, weights, seed=2):
    nothing = Grounding(torch.full(latents[:, 0].shape, NO_KIND), torch.full((len(latents), 77), NO_KIND))
    states = torch.zeros(len(latents), 77, 8)
    losses = denoiser_losses(unet, scheduler, latents, weights, states, nothing, torch.Generator().manual_seed(seed))
    assert losses[1].item() == 0
    return losses[0].item()


def test_the_loss_and_the_sampler_speak_of_the_same_noise():
    scheduler = build_scheduler()
    latents = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    unet, alike = Oracle(latents, scheduler), torch.ones(6, 4, 4)
    assert velocity_loss(unet, scheduler, latents, alike) < 1e-8
    assert velocity_loss(Oracle(latents + 0.1, scheduler), scheduler, latents, alike) > 1e-4
    scheduler.set_timesteps(20)
    noisy = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    for time in scheduler.timesteps:
        noisy = scheduler.step(unet(noisy, time.repeat(6)).sample, time, noisy).prev_sample
    assert torch.allclose(noisy, latents, atol=1e-3)


def test_places_weigh_what_they_are_given():
    scheduler = build_scheduler()
    latents = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    wrong = latents.clone()
    wrong[:, :, 1, 2] += 1
    unet, weights = Oracle(wrong, scheduler), torch.ones(6, 4, 4)
    weights[:, 1, 2] = 0
    assert velocity_loss(unet, scheduler, latents, weights) < 1e-8
    alike = velocity_loss(unet, scheduler, latents, torch.ones(6, 4, 4))
    weights[:, 1, 2] = 5
    assert velocity_loss(unet, scheduler, latents, weights) == pytest.approx(alike * 5 * 16 / 20, rel=1e-4)


def test_grounding_wants_the_words_about_what_a_place_shows():
    shown = torch.full((1, 4, 4), NO_KIND)
    shown[0, 0, 0], shown[0, 3, 3], shown[0, 2, 2] = 3, 7, 50
    told = torch.tensor([[NO_KIND, 3, 3, 7, NO_KIND]])
    weights = torch.rand(1, 2, 16, 5, generator=torch.Generator().manual_seed(0)).softmax(-1)
    grounding = Grounding(shown, told)
    grounding.add(weights)
    first = weights[0, :, 0, 1:3].sum(-1).mean().log()
    last = weights[0, :, 15, 3].mean().log()
    assert grounding.loss().item() == pytest.approx(-(first + last).item() / 2, rel=1e-5)
    # Half the side: a corner's place is still its thing's, and of two things in one place the first in number counts.
    small = weights[:, :, :4]
    grounding = Grounding(shown, told)
    grounding.add(small)
    first, last = small[0, :, 0, 1:3].sum(-1).mean().log(), small[0, :, 3, 3].mean().log()
    assert grounding.loss().item() == pytest.approx(-(first + last).item() / 2, rel=1e-5)
    silent = Grounding(shown, torch.full((1, 5), NO_KIND))
    silent.add(weights)
    assert silent.loss().item() == 0


def test_grounding_reaches_the_attention_and_nothing_behind_it(recipe):
    """The U-Net that is trained hands its attention over with its gradient."""
    unet = build_unet(SMALL, 24)
    record_attention(unet)
    told = torch.full((2, 77), NO_KIND)
    told[:, 4] = 9
    grounding = Grounding(torch.full((2, 8, 8), 9), told)
    states = torch.randn(2, 77, 24, generator=torch.Generator().manual_seed(0))
    weights = torch.ones(2, 8, 8)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    _, loss = denoiser_losses(unet, build_scheduler(), latents, weights, states, grounding, torch.Generator().manual_seed(2))
    loss.backward()
    moved = {name.rsplit(".", 2)[1] for name, value in unet.named_parameters() if value.grad is not None and value.grad.any()}
    assert {"to_q", "to_k"} <= moved
    assert unet.conv_out.weight.grad is None


def test_tokens_speak_of_the_things_their_phrases_name(recipe):
    tokenizer, seen = load(recipe.encoder).tokenizer, 0
    captions = Captions(recipe, tokenizer)
    for step in range(4):
        rows, texts, _, told = captions[step]
        for row, text, kinds in zip(rows, texts, told, strict=True):
            tokens = tokenizer(text)
            assert kinds.shape == (77,) and (kinds[len(tokens) :] == NO_KIND).all()
            for thing in draw_numbered(recipe, row).scene.things:
                named = [
                    text[a:b] for (a, b), kind in zip(tokens.spans, kinds, strict=False) if kind == KIND_NAMES.index(thing.kind)
                ]
                at = text.find(f" {thing.spec.name}")
                if 0 <= at < tokens.unseen_start - len(thing.spec.name) - 1:
                    assert thing.spec.name.replace(" ", "") in "".join(named)
                    seen += 1
    assert seen > 10


def test_cells_show_what_the_masks_show():
    scene = draw_page("train", 0, 3).scene
    kinds, colours = map_cells(scene, 64)
    masks = scene.masks(64)
    for row in range(16):
        for column in range(16):
            shares = masks[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean((1, 2))
            thing = scene.things[shares.argmax()]
            if shares.max() >= 0.25:
                assert KIND_NAMES[kinds[row, column]] == thing.kind and COLOUR_NAMES[colours[row, column]] == thing.colour
            else:
                assert kinds[row, column] == NO_KIND
    assert (kinds != NO_KIND).any()


def test_captions_differ_every_time_and_some_are_left_out(recipe):
    captions = Captions(recipe, load(recipe.encoder).tokenizer)
    seen = list(islice((captions[step] for step in range(60)), 60))
    texts = [text for _, batch, *_ in seen for text in batch]
    assert seen[3][:2] == captions[3][:2] and len(set(texts)) > 150
    alone = [len(draw_numbered(recipe, row).scene.things) == 1 for rows, *_ in islice(seen, 2) for row in rows]
    assert all(alone), "at first"
    assert not all(len(draw_numbered(recipe, row).scene.things) == 1 for rows, *_ in seen[2:] for row in rows)
    assert 0.02 < texts.count("") / len(texts) < 0.2
    assert all(0 <= row < recipe.scenes for rows, *_ in seen for row in rows)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 50}, "multiple of 16"),
        ({"steps": 0}, "steps is 0"),
        ({"unsaid": 2.0}, "unsaid is 2.0"),
        ({"width": "wide"}, "width is 'wide', wanted a whole number"),
    ],
)
def test_recipes_out_of_range_are_named(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_recipe(**changes)


def test_the_u_net_fits_its_recipe():
    unet = build_unet(SMALL, 24)
    assert unet.config.cross_attention_dim == 24 and unet.config.sample_size == 8
    assert {layer.heads for name, layer in unet.named_modules() if name.endswith("attn2")} == {2, 3, 5}


def test_the_u_net_begins_by_reading_states_that_vary_alike():
    unet, rng = build_unet(SMALL, 24), torch.Generator().manual_seed(0)
    spread = torch.diag(torch.logspace(-1, 1, 24))
    turned = torch.linalg.qr(torch.randn(24, 24, generator=rng)).Q
    states = torch.randn(600, 24, generator=rng) @ spread @ turned + 3
    read_evenly(unet, states)
    with torch.no_grad():
        read = unet.encoder_hid_proj(states)
        varied = torch.linalg.eigvalsh(torch.cov(read.T))
        # What varies by 0.1 only is not brought up to 1.
        assert varied.max() < 1.01 and varied[2:].min() > 0.5 and varied.min() < 0.5
        assert read.mean(0).abs().max() < 1e-3
        pooled = unet.add_embedding.pool.v_proj(unet.add_embedding.norm1(states))
        assert pooled.mean(0).abs().max() < 1e-3, "centred too"
    with pytest.raises(ValueError, match="got 40 text states"):
        read_evenly(unet, states[:40])


def test_the_captions_whose_states_are_measured_are_none_of_the_training(recipe, monkeypatch):
    encoder, seen = load(recipe.encoder), []
    captions = Captions(recipe, encoder.tokenizer)
    monkeypatch.setattr(Captions, "__getitem__", lambda self, step: seen.append(step) or ([], ["a red kite"] * 4, None))
    states = _word_states(recipe, encoder, captions)
    assert min(seen) == recipe.steps and len(states) == 640 * len(encoder.tokenizer("a red kite").ids[1:-1])
    assert states.shape[1] == encoder.model.config["text_cfg"]["width"]
