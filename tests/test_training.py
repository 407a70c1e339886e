"""The training loop on tiny models: it learns, resumes to the bit, freezes what it must, and refuses what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import open_clip
import pytest
import torch

from longclip.encoder import load
from longclip.training import loop
from longclip.training.batches import PictureBookBatches, long_caption, web_caption
from longclip.training.recipe import Recipe, read_recipe
from longclip.training.state import load_state, save_state

TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 64},
    "text_cfg": {"context_length": 77, "width": 64, "heads": 1, "layers": 1},
}
CLIP = Recipe("tiny-clip", "contrastive", steps=6, model=TINY, batch=16, warmup=2)


@pytest.fixture(autouse=True)
def few_texts(monkeypatch):
    """The vocabulary of a few pages: what it holds does not matter here."""
    from longclip.picturebook import words

    monkeypatch.setattr(loop, "all_texts", lambda: words.training_texts("train", 40))
    monkeypatch.setattr(loop, "training_texts", lambda: words.training_texts("train", 40))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny CLIP, trained for six steps."""
    with pytest.MonkeyPatch.context() as patch:
        from longclip.picturebook import words

        patch.setattr(loop, "all_texts", lambda: words.training_texts("train", 40))
        patch.setattr(loop, "training_texts", lambda: words.training_texts("train", 40))
        return loop.train(CLIP, tmp_path_factory.mktemp("tiny-clip"), workers=0, command="test")


def fine_tuning(base, **changes) -> Recipe:
    recipe = Recipe("tiny-longclip", "primary-component", 4, base=str(base), batch=40, warmup=1, learning_rate=5e-3)
    return replace(recipe, family_share=0.5, **changes)


def weights(folder):
    return load_state(folder)["model"]


def test_a_batch_can_be_learned_by_heart(tmp_path):
    run = loop.start(replace(CLIP, steps=1000, learning_rate=3e-3), tmp_path)
    batch = PictureBookBatches(CLIP, 32)[0]
    losses = [run.update(batch)["contrastive"] for _ in range(80)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_model_folder_is_open_clips_own(base):
    made = json.loads((base / "recipe.json").read_text())
    assert made["recipe"]["seed"] == 0 and made["scenes"] == 6 * 16 and made["command"] == "test"
    encoder = load(base)
    model = open_clip.create_model(f"local-dir:{base}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{base}")
    texts = ["A red dog on the beach.", "Two striped kites."]
    with torch.no_grad():
        theirs = model.encode_text(tokenizer(texts), normalize=True).numpy()
    assert abs(encoder.encode_text(texts) - theirs).max() < 1e-5


def test_a_resumed_run_ends_with_the_same_weights_to_the_bit(tmp_path, base, monkeypatch):
    recipe = fine_tuning(base)
    loop.train(recipe, tmp_path / "whole", workers=0)

    class Killed(Exception):
        pass

    update = loop.Run.update

    def stop(run, batch):
        if run.step == 3:
            raise Killed
        return update(run, batch)

    monkeypatch.setattr(loop.Run, "update", stop)
    with pytest.raises(Killed):
        loop.train(recipe, tmp_path / "cut", workers=0, save_every=2)
    assert load_state(tmp_path / "cut")["step"] == 2
    monkeypatch.setattr(loop.Run, "update", update)
    loop.train(recipe, tmp_path / "cut", workers=0, save_every=2)
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_fine_tuning_stretches_and_leaves_the_first_rows_alone(tmp_path, base):
    loop.train(fine_tuning(base), tmp_path, workers=0)
    before, after = weights(base)["positional_embedding"], weights(tmp_path)["positional_embedding"]
    assert before.shape == (77, 64) and after.shape == (248, 64)
    stored = before.half().float()  # the base was read from its folder, which is in half precision
    assert torch.equal(after[:20], stored[:20])
    assert not torch.allclose(after[20:60], stored[20:60].repeat_interleave(4, 0)[:40], atol=1e-4)
    assert load(tmp_path).context_length == 248


def test_a_folder_of_another_run_is_refused(base):
    with pytest.raises(ValueError, match="run of another recipe"):
        loop.train(replace(CLIP, seed=1), base, workers=0)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path):
    recipe = replace(CLIP, steps=3)
    run = loop.start(recipe, tmp_path)
    with torch.no_grad():
        run.model.logit_scale.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="at step 0"):
        run.update(PictureBookBatches(recipe, 32)[0])


def test_the_logit_scale_stays_below_100(tmp_path):
    run = loop.start(CLIP, tmp_path)
    with torch.no_grad():
        run.model.logit_scale.fill_(5.0)
    run.update(PictureBookBatches(CLIP, 32)[0])
    assert run.model.logit_scale.exp().item() <= 100.001


def test_the_schedule_warms_up_and_falls_to_a_hundredth():
    rates = [loop.schedule(step, 10, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0
    assert rates[-1] == pytest.approx(0.01) and rates[55] == pytest.approx(0.505)


def test_batches_depend_on_their_number_alone(base):
    recipe = fine_tuning(base)
    a, b = PictureBookBatches(recipe, 32), PictureBookBatches(recipe, 32)
    a[0]
    assert torch.equal(a[3].images, b[3].images) and a[3].long == b[3].long and a[3].short == b[3].short
    assert a[3].long != a[2].long
    assert a[3].images.shape == (40, 3, 32, 32) and a[3].images.dtype == torch.uint8
    assert len(set(a[3].short)) < len(a[3].short), "families share their summary"


def test_pre_training_begins_with_one_thing_before_one_background():
    from random import Random

    batches = PictureBookBatches(replace(CLIP, first_steps=1), 32)
    first, later = ([page.scene for page in batches._web_pages(step, Random(0))] for step in (0, 1))
    assert {len(scene.things) for scene in first} == {1} and len({scene.subject.kind for scene in first}) > 8
    assert len({(scene.setting, scene.time, scene.weather) for scene in first}) == 1
    assert max(len(scene.things) for scene in later) > 3 and len({scene.setting for scene in later}) > 4
    assert all(text.count(".") == 1 for text in batches[0].long)


def test_captions_for_training_follow_their_policy():
    from random import Random

    from longclip.picturebook.pages import draw_page

    pages = [draw_page("train", 0, index) for index in range(400)]
    web = [web_caption(page, Random(index)) for index, page in enumerate(pages)]
    words = sorted(len(text.split()) for text in web)
    assert words[200] < 15, "half of the web's captions are short"
    assert 0.2 < sum(text == page.short.text for text, page in zip(web, pages, strict=True)) / 400 < 0.4
    long = [long_caption(page, Random(index), 0.7) for index, page in enumerate(pages)]
    kept = sum(text.startswith(page.short.text) for text, page in zip(long, pages, strict=True)) / 400
    assert 0.2 < kept < 0.4
    assert all(long_caption(page, Random(0), 0.0).startswith(page.short.text) for page in pages[:50])


def test_recipes_that_ship_can_be_read_and_changed():
    assert read_recipe("picturebook-clip").objective == "contrastive"
    assert read_recipe("picturebook-longclip", steps=5, seed=None).steps == 5


def test_wrong_recipes_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="no recipe 'picturebok-clip'.*picturebook-clip, picturebook-longclip"):
        read_recipe("picturebok-clip")
    (tmp_path / "a.toml").write_text('name = "a"\nobjective = "contrastive"\nsteps = 1\nbase = "b"\nlearningrate = 1\n')
    with pytest.raises(ValueError, match="a.toml has learningrate"):
        read_recipe(tmp_path / "a.toml")
    with pytest.raises(ValueError, match="objective 'clip' is unknown; there are contrastive, primary-component"):
        replace(CLIP, objective="clip")
    with pytest.raises(ValueError, match="summary_drop is 7"):
        replace(CLIP, summary_drop=7)


def test_a_damaged_state_is_one_clear_error(tmp_path):
    save_state(tmp_path, {"step": 1, "model": {"w": torch.zeros(1000)}})
    file = tmp_path / "state.pt"
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(ValueError, match="cannot be read as the state of a run"):
        load_state(tmp_path)
    assert load_state(tmp_path / "nothing") is None
