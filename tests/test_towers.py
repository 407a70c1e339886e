"""Every kind of tower that open_clip builds: trained as open_clip's own model would be, frozen block by block, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_runs import fine_tuning

from longclip import checkpoints
from longclip.data.pairs import Pair, PairData
from longclip.model import build_model
from longclip.objectives.contrastive import contrastive_loss
from longclip.preprocessing import Preprocessing
from longclip.tokenizer_files import save_tokenizer
from longclip.tokens import Tokenizer
from longclip.training.batches import Batch
from longclip.training.pairs import PairBatches
from longclip.training.run import Run, start
from longclip.training.start import Start, start_model
from longclip.training.step import add_gradient
from longclip.training.towers import freeze
from longclip.vocabulary import reduce_vocabulary

VOCAB, MERGES = reduce_vocabulary(["A red fox sits beside a small pond.", "Two green boats rest on the sand."])
TEXT = {"context_length": 77, "vocab_size": len(VOCAB), "width": 64, "heads": 1, "layers": 2}
VISION = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}
TIMM = {"timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear", "image_size": 64}
RESNET = {"image_size": 64, "layers": [1, 1, 2, 1], "width": 8, "patch_size": None, "head_width": 32}
CONVNEXT = TIMM | {"timm_model_name": "test_convnext", "timm_drop_path": 0.1}
#: Towers by kind, and how many blocks of the vision tower can be frozen.
KINDS = {
    "vision transformer": (VISION, TEXT, 2),
    "resnet": (RESNET, TEXT, 5),
    "convnext": (CONVNEXT, TEXT, 9),
    "resnet of timm": (TIMM | {"timm_model_name": "test_resnet"}, TEXT, 4),
    "attentional pooling": (
        VISION | {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 1},
        TEXT,
        2,
    ),
    "mean of patches": (VISION | {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True}, TEXT, 2),
    "sines": (VISION | {"pos_embed_type": "sin_cos_2d"}, TEXT, 2),
    "patch dropout": (VISION | {"patch_dropout": 0.5}, TEXT, 2),
    "blocks of another kind": (VISION | {"qk_norm": True, "scale_attn": True}, TEXT | {"qk_norm": True}, 2),
    "no projection": (VISION, TEXT | {"proj_type": "none", "width": 48}, 2),
    "end by its id": (VISION, TEXT | {"pool_type": "eos", "eos_id": len(VOCAB) - 1}, 2),
}
RECIPE = replace(fine_tuning("base"), data="table:x", objective="contrastive", batch=6, clip_norm=0.0, family_share=0.0)


def model_of(vision: dict, text: dict, **config):
    torch.manual_seed(0)
    return build_model({"embed_dim": 48, "vision_cfg": vision, "text_cfg": text, **config})


def run_of(model, recipe=RECIPE) -> Run:
    size = model.visual.image_size
    size = (size, size) if isinstance(size, int) else tuple(size)
    return Run(recipe, "nowhere", model, Tokenizer(VOCAB, MERGES, model.context_length), Preprocessing(size))


def batch_of(run: Run, rows: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (rows, 3, *run.look.size), generator=generator, dtype=torch.uint8)
    return Batch(images, [f"A red fox sits beside {number} boats. " * 4 for number in range(rows)])


def gradients(run: Run) -> dict:
    return {name: weights.grad.clone() for name, weights in run.model.named_parameters() if weights.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_open_clips_own_whole_and_in_chunks(kind):
    vision, text, _ = KINDS[kind]
    run = run_of(model_of(vision, text))
    run.towers.eval()  # what drops patches at random is tried below
    batch = batch_of(run)
    add_gradient(run, batch)
    mine = gradients(run)
    # open_clip's own forward passes, padded to their length, under plain autograd.
    plain = model_of(vision, text).eval()
    for name, weights in plain.named_parameters():
        weights.requires_grad_(name in mine)
    from open_clip.model import CLIP

    image = CLIP.encode_image(plain, run.pixels(batch.images), normalize=True)
    ids = torch.zeros(6, 77, dtype=torch.long)
    for row, caption in enumerate(batch.long):
        found = run.tokenizer(caption).ids
        ids[row, : len(found)] = torch.tensor(found)
    words = CLIP.encode_text(plain, ids, normalize=True)
    contrastive_loss(image, words, plain.logit_scale.exp(), RECIPE.smoothing).backward()
    theirs = {name: weights.grad for name, weights in plain.named_parameters() if weights.grad is not None}
    assert mine.keys() == theirs.keys()
    length = torch.stack([gradient.norm() for gradient in theirs.values()]).norm()
    for name, gradient in theirs.items():
        assert (mine[name] - gradient).norm() < 1e-4 * length, name
    chunked = run_of(model_of(vision, text), replace(RECIPE, chunk=4))
    chunked.towers.eval()
    add_gradient(chunked, batch)
    for name, gradient in gradients(chunked).items():
        assert (mine[name] - gradient).norm() < 1e-4 * length, name


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_stretched_and_is_written_and_read_again(kind, tmp_path):
    vision, text, _ = KINDS[kind]
    folder = tmp_path / "base"
    checkpoints.write(checkpoints.checkpoint_of(model_of(vision, text).eval()), folder)
    save_tokenizer(folder, VOCAB, MERGES, 77, [])
    run = start(replace(RECIPE, base=str(folder), steps=3, warmup=0, learning_rate=1e-3), tmp_path)
    assert run.model.context_length == 248
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.train_mode()
    for _ in range(2):
        values = run.update([batch_of(run)])
    assert values["contrastive"] > 0
    after = run.model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any(name.startswith("visual.") for name in moved) and "positional_embedding" in moved
    # Statistics, tables of sines and the leading positions stay the base's.
    assert not any(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in moved)
    assert ("visual.positional_embedding" in moved) == (kind != "sines" and "visual.positional_embedding" in before)
    assert torch.equal(after["positional_embedding"][:20], before["positional_embedding"][:20])


@pytest.mark.parametrize("kind", KINDS)
def test_the_lowest_blocks_are_frozen_and_no_others(kind):
    vision, text, blocks = KINDS[kind]
    model = model_of(vision, text)

    def trained(count: int) -> set[str]:
        freeze(model, replace(RECIPE, freeze_vision=count))
        return {name for name, weights in model.named_parameters() if weights.requires_grad}

    kept = [trained(count) for count in range(blocks + 1)]
    for fewer, more in zip(kept[1:], kept[:-1], strict=True):
        assert fewer < more, "each block holds something of its own"
    gone = kept[0] - kept[-1]
    assert all(name.startswith("visual.") for name in gone)
    above = {name for name in kept[-1] if name.startswith("visual.")}
    assert not any("block" in name or ".layer" in name or "stages." in name for name in above)
    assert trained(-1) == {name for name in kept[0] if not name.startswith("visual.")}
    with pytest.raises(ValueError, match=f"freeze_vision is {blocks + 1}, and the vision tower has {blocks} blocks"):
        freeze(model, replace(RECIPE, freeze_vision=blocks + 1))


def test_what_is_dropped_at_random_is_the_same_in_both_passes_and_after_a_stop():
    batch, found = None, []
    for _ in range(2):
        run = run_of(model_of(*KINDS["patch dropout"][:2]), replace(RECIPE, chunk=4, steps=9))
        run.train_mode()
        batch = batch or batch_of(run)
        torch.manual_seed(len(found))  # whatever else a process has drawn
        add_gradient(run, batch)
        found.append(gradients(run))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    # Both passes of a chunk see the same patches: else the features would not be those whose gradient is taken.
    from longclip.training import step

    seen, encode = [], step.encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "encode", lambda *arguments, **options: seen.append(encode(*arguments, **options)) or seen[-1])
        add_gradient(run, batch)
    (first, second), (again, last) = seen[:2], seen[2:]
    assert torch.equal(first[0]["image"], again[0]["image"]) and torch.equal(second[0]["image"], last[0]["image"])
    assert not torch.equal(first[0]["image"][:2], second[0]["image"])


@pytest.mark.parametrize(
    ("vision", "config", "changes", "message"),
    [
        (
            VISION | {"attentional_pool": "parallel", "attn_pooler_queries": 4, "attn_pooler_heads": 1},
            {},
            {},
            "fails to encode",
        ),
        (VISION | {"image_size": [32, 48]}, {}, {"data": "picturebook"}, "scenes are square, and .* reads 48 × 32 pixels"),
        (VISION, {}, {"objective": "primary-component", "batch": 60, "components": 48}, "components is 48, and .* 48 wide"),
        (VISION, {}, {"keep_rows": 76}, "keep_rows is 76, and .* has 77 text positions"),
    ],
    ids=["two poolers", "oblong", "components", "rows"],
)
def test_a_base_that_cannot_be_trained_is_refused_in_a_sentence(vision, config, changes, message, monkeypatch):
    from types import SimpleNamespace

    from longclip.training import start as starting

    model = model_of(vision, TEXT, **config).eval()
    size = vision["image_size"]
    look = Preprocessing((size, size) if isinstance(size, int) else tuple(size))
    encoder = SimpleNamespace(model=model, tokenizer=Tokenizer(VOCAB, MERGES, 77), preprocessing=look, identity="")
    monkeypatch.setattr(starting, "load", lambda *arguments, **options: encoder)
    with pytest.raises(ValueError, match=message) as caught:
        start_model(replace(RECIPE, **changes))
    assert "\n" not in str(caught.value)


def test_a_logit_bias_and_a_scale_of_one_entry_are_trained_around():
    run = run_of(model_of(VISION, TEXT, init_logit_bias=-10.0, nonscalar_logit_scale=True))
    before = run.model.logit_scale.item()
    run.update([batch_of(run)])
    assert run.model.logit_bias.item() == -10 and run.model.logit_scale.item() != before


def test_random_weights_learn_their_statistics_and_take_no_chunks():
    config = {"embed_dim": 48, "vision_cfg": RESNET, "text_cfg": TEXT | {"vocab_size": 49408}}
    recipe = replace(RECIPE, base=None, model=config, stretch="none")
    begun: Start = start_model(recipe)
    run = run_of(begun.model, recipe)
    run.train_mode()
    before = begun.model.visual.bn1.running_mean.clone()
    run.update([batch_of(run)])
    assert not torch.equal(before, begun.model.visual.bn1.running_mean)
    with pytest.raises(ValueError, match="chunk is 2, and .* batch normalisation, which learns from whole batches"):
        start_model(replace(recipe, chunk=2))


@pytest.mark.parametrize("broken", [{}, {"embd": 1}, {"text_cfg": {"widht": 4}}, {"vision_cfg": {"width": 0}}], ids=str)
def test_a_config_that_makes_no_model_is_refused_in_a_sentence(broken):
    with pytest.raises(ValueError, match="^model is no open_clip config of a CLIP"):
        start_model(replace(RECIPE, base=None, stretch="none", model={"vision_cfg": VISION} | broken))


def test_pairs_are_read_for_oblong_towers(tmp_path):
    from PIL import Image

    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    data = PairData("pairs", [Pair(tmp_path / "a.png", ("A fox.",))] * 6)
    run = run_of(model_of(VISION | {"image_size": [32, 48]}, TEXT))
    batch = PairBatches(RECIPE, data, run.look)[0]
    assert batch.images.shape == (6, 3, 32, 48) and run.update([batch])["contrastive"] > 0
