"""CIFAR in its binary version and folders of classes, from files made here."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from longclip.evaluation.classification import read_classes
from longclip.evaluation.data import read_sets


def record(labels: list[int], colour: tuple[int, int, int]) -> bytes:
    return bytes(labels) + b"".join(bytes([value]) * 1024 for value in colour)


@pytest.fixture
def cifar10(tmp_path):
    (tmp_path / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n\n")
    (tmp_path / "test_batch.bin").write_bytes(record([2], (255, 0, 0)) + record([0], (0, 0, 255)))
    for number in (1, 2):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(record([number], (0, number, 0)))
    return tmp_path


@pytest.fixture
def folders(tmp_path):
    for name, count in (("n02", 2), ("n01", 3), ("n03", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{number}.jpg")
    return tmp_path


def test_cifar_10(cifar10):
    (data,) = read_sets(str(cifar10))
    assert data.classes == ["bird", "airplane"] and list(data.class_names) == ["airplane", "automobile", "bird"]
    assert [picture.getpixel((31, 31)) for picture in data.pictures] == [(255, 0, 0), (0, 0, 255)]
    training = data.training()
    assert training.classes == ["automobile", "bird"] and training.pictures[1].getpixel((0, 5)) == (0, 2, 0)
    assert len(read_classes(f"cifar:{cifar10}", limit=1).pictures) == 1


def test_the_planes_of_cifar_are_rows_of_red_then_green_then_blue(cifar10):
    planes = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    (cifar10 / "test_batch.bin").write_bytes(b"\x01" + planes.tobytes())
    pixels = np.asarray(read_classes(str(cifar10)).pictures[0])
    assert all(pixels[y, x, c] == planes[c, y, x] for c in range(3) for y in range(32) for x in range(32))


def test_cifar_100_has_the_fine_label_second(tmp_path):
    (tmp_path / "fine_label_names.txt").write_text("apple\naquarium_fish\n")
    (tmp_path / "test.bin").write_bytes(record([7, 1], (1, 2, 3)))
    data = read_classes(str(tmp_path))
    assert data.name == "cifar-100" and data.classes == ["aquarium fish"] and data.training is None
    assert data.pictures[0].getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("names", [("data_batch_1", "batches.meta"), ("train", "test", "meta")])
def test_pickles_are_refused_unread(tmp_path, names):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for name in names:
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="consists of pickles.*wanted the binary version, with test"):
        read_classes(str(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_faulty_cifars_are_refused(cifar10):
    (cifar10 / "test_batch.bin").write_bytes(b"\x00" * 3072)
    with pytest.raises(ValueError, match="3,072 bytes, wanted a multiple of 3,073"):
        read_classes(str(cifar10))
    (cifar10 / "test_batch.bin").write_bytes(record([9], (0, 0, 0)))
    with pytest.raises(ValueError, match="the label 9, but batches.meta.txt names 3"):
        read_classes(str(cifar10))
    (cifar10 / "batches.meta.txt").unlink()
    with pytest.raises(ValueError, match="no batches.meta.txt"):
        read_classes(str(cifar10))


def test_a_folder_a_class(folders):
    data = read_classes(str(folders))
    assert data.classes == ["n01"] * 3 + ["n02"] * 2 + ["n03"] and data.training is None
    assert [path.parent.name for path in data.pictures] == data.classes
    (folders / "classes.txt").write_text("n01 great white shark\nn02 tench\nn03 hen\n")
    assert list(read_classes(str(folders)).class_names.values()) == ["great white shark", "tench", "hen"]
    (folders / "classes.txt").write_text("shark\ntench\nhen\n")
    assert list(read_classes(str(folders)).class_names.values()) == ["shark", "tench", "hen"]
    (folders / "classnames.json").write_text('{"n01": "a", "n02": "b", "n03": "c", "n99": "z"}')
    assert list(read_classes(str(folders), limit=2).class_names.values()) == ["a", "b", "c"], (
        "those that a subset lacks can be chosen too"
    )


def test_folders_with_a_train_and_a_test_part(folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("split")
    for part in ("train", "val"):
        for name in ("hot_dog", "cat"):
            (root / part / name).mkdir(parents=True)
            (root / part / name / "1.png").write_bytes((folders / "n01" / "0.jpg").read_bytes())
    (root / "train" / "cow").mkdir()
    (root / "train" / "cow" / "1.png").write_bytes(b"")
    data = read_classes(f"classes:{root}")
    assert data.classes == ["cat", "hot_dog"] and list(data.class_names.values()) == ["cat", "cow", "hot dog"]
    assert data.training().classes == ["cat", "cow", "hot_dog"] and "val" in data.pictures[0].parts


@pytest.mark.parametrize(
    ("names", "message"),
    [("same\nother\n", "2 lines for 3 folders"), ("n01 a\nn02 b\n", "names of .*classes lack n03: wanted one for each folder")],
)
def test_faulty_names_are_refused(folders, names, message):
    (folders / "classes.txt").write_text(names)
    with pytest.raises(ValueError, match=message):
        read_classes(str(folders))


def test_captioned_pictures_are_no_classes(folders, tmp_path_factory):
    (folders / "n01" / "0.txt").write_text("a shark")
    assert read_classes(str(folders)) is None and len(read_sets(str(folders))[0].long) == 1
    empty = tmp_path_factory.mktemp("empty")
    assert read_classes(str(empty)) is None and read_classes("nothing") is None
    for source, message in (
        (f"cifar:{empty}", "test_batch.bin .cifar-10. or test.bin"),
        (f"classes:{empty}", "CLASS/picture.jpg"),
    ):
        with pytest.raises(ValueError, match=message):
            read_classes(source)
    with pytest.raises(FileNotFoundError, match="no folder nothing"):
        read_classes("classes:nothing")
