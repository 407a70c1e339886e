"""Preprocessing against the libraries whose settings it takes: transformers' image processors and open_clip's transform."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, CLIPImageProcessor, SiglipImageProcessor

from longclip import checkpoints
from longclip.preprocessing import Preprocessing, PreprocessingError, ProcessorPreprocessing, preprocessing_of

SQUARE = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def written(processor, folder) -> dict:
    processor.save_pretrained(folder)
    return json.loads((folder / "preprocessor_config.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resample": 2},
        {"size": {"shortest_edge": 41}},
        {"size": {"height": 32, "width": 32}, "do_center_crop": False},
        {"do_normalize": False},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0], "image_std": [1.0, 1.0, 1.0]},
        {"image_mean": [0.5] * 3, "image_std": [0.25, 0.3, 0.35]},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
def test_a_processor_is_called_as_it_is(tmp_path, changes):
    settings = written(CLIPImageProcessor(**SQUARE | changes), tmp_path)
    ours, theirs = preprocessing_of(32, processor=settings), AutoImageProcessor.from_pretrained(tmp_path)
    for image in (picture(80, 50), picture(33, 97), picture(20, 20)):
        wanted = theirs(images=image, return_tensors="pt")["pixel_values"][0].float()
        assert torch.equal(ours(image), wanted)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (ours.mean, ours.std))
        laid = (torch.from_numpy(ours.layout(image)) / 255 - mean) / std
        torch.testing.assert_close(laid, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=0)


def test_settings_of_other_classes_and_of_older_releases_are_read(tmp_path):
    siglip = written(SiglipImageProcessor(size={"height": 32, "width": 32}), tmp_path)
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 32, "crop_size": 32, "do_resize": True, "resample": 3}
    for settings, kind in ((siglip, "Siglip"), (old, "CLIP"), ({"size": 32, "crop_size": 32}, "CLIP")):
        found = preprocessing_of(32, processor=settings)
        assert kind in found.describe() and found(picture(50, 40)).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": {"shortest_edge": 32}, "do_center_crop": False}, "the model reads 32 x 32"),
        ({**SQUARE, "crop_size": {"height": 48, "width": 48}}, "the model reads 32 x 32"),
        ({**SQUARE, "image_mean": [0.5]}, "1 values"),
        ({**SQUARE, "size": {"edge": 3}}, "transformers makes no CLIPImageProcessor"),
        ({**SQUARE, "image_processor_type": "NoSuchProcessor"}, "NoSuchProcessor"),
        ({**SQUARE, "auto_map": {"AutoImageProcessor": "code.Processor"}}, "code of its own"),
    ],
)
def test_a_processor_that_does_not_give_what_the_model_reads_is_refused(settings, said):
    with pytest.raises(PreprocessingError, match=said):
        ProcessorPreprocessing.from_settings((32, 32), settings)


@pytest.mark.parametrize("changes", [{}, {"resample": 2}, {"do_normalize": False}, {"rescale_factor": 1 / 127.5}])
@pytest.mark.parametrize("squash", [False, True])
def test_what_open_clip_can_say_is_said_in_its_terms(tmp_path, changes, squash):
    size = {"size": {"height": 32, "width": 32}, "do_center_crop": False} if squash else SQUARE
    ours = preprocessing_of(32, processor=written(CLIPImageProcessor(**size, **changes), tmp_path))
    again = Preprocessing.from_config(32, ours.settings())
    assert again.mode == ("squash" if squash else "shortest")
    image = picture(70, 45).resize((140, 90))
    # Torchvision and Pillow may round a pixel to neighbouring values.
    allowed = 3 / 255 / min(again.std)
    torch.testing.assert_close(again(image), ours(image), atol=allowed, rtol=0)


def test_what_open_clip_cannot_say_is_refused(tmp_path):
    ours = preprocessing_of(32, processor=written(CLIPImageProcessor(**SQUARE | {"size": {"shortest_edge": 41}}), tmp_path))
    with pytest.raises(PreprocessingError, match="open_clip cannot lay out"):
        ours.settings()


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_open_clips_settings_come_back_from_a_processor_unless_it_was_changed(mode, interpolation):
    given = Preprocessing((32, 32), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), interpolation, mode)
    settings = json.loads(json.dumps(given.processor()))
    assert preprocessing_of(32, processor=settings) == given
    theirs = ProcessorPreprocessing.from_settings((32, 32), {k: v for k, v in settings.items() if k != "open_clip"})
    torch.testing.assert_close(theirs(picture(70, 45)), given(picture(70, 45)), atol=3 / 255 / 0.4, rtol=0)
    mended = preprocessing_of(32, processor={**settings, "image_mean": [0.5] * 3})
    assert mended.mean == (0.5,) * 3


def test_open_clips_ways_without_a_counterpart_are_refused():
    for given in (Preprocessing(mode="longest"), Preprocessing((32, 48)), Preprocessing(interpolation="random")):
        with pytest.raises(PreprocessingError):
            given.processor()


def test_a_strip_is_not_resized_to_billions_of_pixels(tmp_path):
    ours = preprocessing_of(32, processor=written(CLIPImageProcessor(**SQUARE), tmp_path))
    strip = Image.new("RGB", (100_000, 1), "red")
    assert torch.equal(ours(strip), ours(Image.new("RGB", (64, 64), "red")))


@pytest.mark.parametrize("format", ["folder", "hugging_face", "open_clip"])
def test_settings_are_kept_in_the_files_of_a_model(tiny_model_folder, tmp_path, format):
    normalisation = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear"}
    given = replace(checkpoints.read(tiny_model_folder(77)), preprocess=normalisation)
    path = tmp_path / ("a.safetensors" if format == "open_clip" else "a")
    checkpoints.write(given, path, format)
    again = checkpoints.read(path)
    assert preprocessing_of(32, again.preprocess, again.processor) == Preprocessing.from_config(32, normalisation)


@pytest.mark.parametrize(
    ("changes", "said"), [({"image_std": [0.0] * 3}, "no 0 to divide by"), ({"rescale_factor": 0}, "black")]
)
def test_arithmetic_that_gives_no_numbers_is_refused(changes, said):
    with pytest.raises(PreprocessingError, match=said):
        ProcessorPreprocessing.from_settings((32, 32), {**SQUARE, **changes})


def test_a_processor_that_crops_unasked_reads_a_strip(tmp_path):
    """ConvNeXt's resizes to 32 / 0.875 and crops: of a long strip only the middle is resized, to the same pixels."""
    settings = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), "utf-8")
    ours, theirs = preprocessing_of(32, processor=settings), AutoImageProcessor.from_pretrained(tmp_path)
    strip = picture(20, 2400)
    wanted = theirs(images=strip, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ours(strip), wanted, atol=1 / 255 / 0.22, rtol=0)
    assert ours._shortened(picture(2, 2400)).size == (2, 200)
