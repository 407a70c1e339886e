from __future__ import annotations

import errno
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS
from PIL import Image

import longclip
from longclip import checkpoints
from longclip.__main__ import COMMANDS, main
from longclip.commands import export


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 30), "red").save(path)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0 and "--json" in capsys.readouterr().out


def test_help_lists_the_commands_and_imports_nothing_heavy():
    code = (
        "import sys; from longclip.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'open_clip', 'transformers', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in COMMANDS)


def test_info_lists_the_models(capsys):
    code, out, _ = run(capsys, "info")
    assert code == 0 and all(spec.name in out for spec in longclip.available())
    _, out, _ = run(capsys, "info", "--json")
    assert [model["name"] for model in json.loads(out)] == [spec.name for spec in longclip.available()]


def test_info_describes_a_model(capsys, tiny_model_folder):
    _, out, _ = run(capsys, "info", tiny_model_folder(248), "--json")
    described = json.loads(out)
    assert (described["context_length"], described["dim"], described["precision"]) == (248, 48, "fp16")
    _, out, _ = run(capsys, "info", "openai/ViT-B-16")
    assert "hf-hub:timm/vit_base_patch16_clip_224.openai@main" in out and "parameters" not in out


def test_encode_texts(capsys, tiny_model_folder, tmp_path):
    folder = tiny_model_folder(77)
    code, out, _ = run(capsys, "encode", "--model", folder, "--text", *CORPUS[:2], "--json")
    encoded = json.loads(out)
    expected = longclip.load(folder).encode_text(CORPUS[:2])
    assert code == 0 and np.allclose([row["vector"] for row in encoded["rows"]], expected, atol=1e-6)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(CORPUS))
    code, out, _ = run(capsys, "encode", "--model", folder, "--text-file", texts, "--out", tmp_path / "v.npy")
    assert code == 0 and "3 vectors of 48 are in" in out
    assert np.allclose(np.load(tmp_path / "v.npy")[:2], expected, atol=1e-6)


def test_encode_says_what_is_not_read(capsys, tiny_model_folder):
    _, out, _ = run(capsys, "encode", "--model", tiny_model_folder(77), "--text", "fox " * 100)
    assert "(102 tokens, of which the first 77 are read)" in out
    _, out, _ = run(capsys, "encode", "--model", tiny_model_folder(77), "--text", "fox " * 100, "--json")
    assert json.loads(out)["rows"][0]["unseen"] == "fox " * 25


def test_encode_pictures(capsys, tiny_model_folder, picture):
    _, out, _ = run(capsys, "encode", "--model", tiny_model_folder(77), "--image", picture, "--json")
    row = json.loads(out)["rows"][0]
    assert row["image"] == str(picture) and np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_export_and_load_again(capsys, tiny_model_folder, tmp_path, format):
    out = tmp_path / "new" / ("model" if format in ("folder", "hugging_face") else "model.pt")
    code, printed, _ = run(capsys, "export", tiny_model_folder(248), "--format", format, "--out", out, "--json")
    assert code == 0 and json.loads(printed)["precision"] == "fp16"
    first, second = longclip.load(tiny_model_folder(248)), longclip.load(out)
    assert np.allclose(first.encode_text(CORPUS), second.encode_text(CORPUS), atol=1e-5)
    assert second.tokenizer.words == first.tokenizer.words
    code, _, err = run(capsys, "export", tiny_model_folder(248), "--format", format, "--out", out)
    assert code == 2 and "nothing is overwritten" in err


def test_export_in_another_precision(capsys, tiny_model_folder, tmp_path):
    arguments = ("--format", "folder", "--out", tmp_path / "single", "--precision", "fp32")
    assert run(capsys, "export", tiny_model_folder(77), *arguments)[0] == 0
    assert checkpoints.read(tmp_path / "single").precision == "fp32"


def test_export_knows_the_formats():
    assert set(export.FORMATS) == set(checkpoints.FORMATS) and set(export.PRECISIONS) == set(checkpoints.PRECISIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "nothing"), "not one of picturebook-clip"),
        (("info", "hf-hub:nothing"), "names no repository"),
        (("encode", "--model", "TINY", "--image", "none.png"), "there is no file none.png"),
        (("encode", "--model", "TINY", "--text-file", "none.txt"), "none.txt"),
        (("encode", "--model", "TINY", "--text", "a", "--out", "a.txt"), "ends in .npy"),
        (("export", "TINY", "--format", "longclip", "--out", "new.pt"), "context length 77, wanted 248"),
        (("export", "TINY", "--format", "longclip", "--out", "new"), "ends in .pt or .safetensors"),
        (("evaluate", "nothing"), "nothing"),
    ],
)
def test_errors_are_one_sentence(capsys, monkeypatch, tmp_path, tiny_model_folder, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *(tiny_model_folder(77) if argument == "TINY" else argument for argument in arguments))
    # Before it, how the model was read and where it computes.
    said = err.splitlines()[-1]
    assert code == 2 and out == "" and said.startswith("error: ") and message in said
    assert err.count("error: ") == 1 and "Traceback" not in err


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("encode",), ("export", "x", "--format", "none", "--out", "y")])
def test_wrong_usage_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 2


def test_as_a_module(tiny_model_folder):
    done = subprocess.run(
        [sys.executable, "-m", "longclip", "info", str(tiny_model_folder(77))],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(longclip.__file__).parents[1],
    )
    assert "context_length  77" in done.stdout


def run_through(command: str, **options):
    """A shell's line, with the interpreter and the folder of this checkout."""
    root = Path(__file__).resolve().parents[1]
    line = command.replace("LONGCLIP", f"{shlex.quote(sys.executable)} -W ignore -m longclip")
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=root, capture_output=True, text=True, **options)


@pytest.mark.parametrize("command", ["info", "info --json", "encode --help"])
def test_a_reader_that_leaves_ends_a_command_quietly(command):
    """As `head` does; here one that never reads, so that it does not depend on who is faster."""
    done = run_through(f"LONGCLIP {command} | (exec 0<&-; sleep 0)")
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == (0 if "help" in command else 141)  # argparse takes no notice


def test_interrupting_ends_a_command_in_a_word(monkeypatch, capsys):
    from longclip.commands import info

    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "run", interrupt)
    assert main(["info"]) == 130 and capsys.readouterr().err == "interrupted\n"


def test_a_full_disk_is_a_sentence(monkeypatch, capsys):
    from longclip.commands import info

    def fill(args):
        raise OSError(errno.ENOSPC, "No space left on device", "vectors.npy")

    monkeypatch.setattr(info, "run", fill)
    assert main(["info"]) == 2 and capsys.readouterr().err == "error: [Errno 28] No space left on device: 'vectors.npy'\n"


def test_commands_say_which_device(capsys):
    assert main(["encode", "--model", "picturebook-clip", "--text", "fox", "--device", "cpu", "--json"]) == 0
    said = capsys.readouterr()
    assert "picturebook-clip computes on cpu" in said.err.splitlines() and json.loads(said.out)["dim"]
    assert main(["encode", "--model", "picturebook-clip", "--text", "fox", "--device", "gpu"]) == 2
    assert "'gpu' is no device that torch knows; wanted auto or one of" in capsys.readouterr().err
