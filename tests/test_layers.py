"""Imports point one way: `longclip` <- `demos` <- `app.py`, and heavy packages stay inside the modules that need them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*(ROOT / "longclip").rglob("*.py"), *(ROOT / "demos").rglob("*.py"), ROOT / "app.py"])
EVERY = sorted({*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")})
FORBIDDEN = {
    "longclip": {"gradio", "plotly", "demos", "app"},
    "demos": {"torch", "open_clip", "diffusers", "transformers", "app"},
    "app.py": {"torch", "open_clip", "diffusers", "transformers"},
}


def imported(path: Path) -> set[str]:
    """Top-level names of all absolute imports of a file, those inside functions and `if TYPE_CHECKING` included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_nothing_above_it(path):
    place = path.relative_to(ROOT).parts[0]
    wrong = imported(path) & FORBIDDEN[place]
    assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", EVERY, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_importing_the_library_is_light():
    code = (
        "import sys, longclip; heavy = {'torch', 'open_clip', 'transformers', 'numpy', 'PIL'} & set(sys.modules); print(heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_readme_shows_the_tree_that_is_there():
    """Every path in the README's tree exists, and every module of the top levels stands in it."""
    text = (ROOT / "README.md").read_text("utf-8")
    tree = text.split("## Where things are", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    shown, stack = set(), []
    for line in tree.splitlines():
        name = line.split("#")[0].strip()
        if name:
            depth = (len(line) - len(line.lstrip())) // 2
            stack[depth:] = [name]
            shown.add("/".join(part.rstrip("/") for part in stack))
    missing = [name for name in shown if not (ROOT / name).exists()]
    assert not missing, f"the README's tree names {missing}, which are not there"
    there = {path.name for folder in ("longclip", "demos") for path in (ROOT / folder).iterdir()}
    there = {name for name in there if not name.startswith("__")}
    absent = sorted(name for name in there if not any(entry.endswith(f"/{name}") for entry in shown))
    assert not absent, f"the README's tree lacks {absent}"
