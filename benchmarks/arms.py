"""Experiments of several arms and seeds: each trained and measured once, kept on disk, shown as a table with its spread."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longclip.encoder import load
from longclip.training.loop import train
from longclip.training.recipe import Recipe

Figures = dict[str, Any]
RESULT = "figures.json"


@dataclass(frozen=True)
class Arm:
    """What an arm is called, what it tells, and its recipe but for the seed."""

    name: str
    about: str
    recipe: Recipe


def run_arms(
    arms: Sequence[Arm], seeds: Sequence[int], folder: Path, measure: Callable[[Any], Figures], show: Callable[[dict], None]
) -> dict[str, list[Figures]]:
    """Figures by arm, one entry a seed; seed by seed, so that a table is whole as early as it can be.

    What is on disk for the same recipe is taken from there, a run that was cut off goes on; `show` is called with what
    there is after each. Raises ValueError where the folder holds figures of another recipe.
    """
    found: dict[str, list[Figures]] = {arm.name: [] for arm in arms}
    for seed in seeds:
        for arm in arms:
            recipe = _with_seed(arm.recipe, seed)
            place = folder / arm.name.replace(" ", "-") / str(seed)
            if not (place / RESULT).is_file():
                train(recipe, place)
                made = {"recipe": asdict(recipe), "figures": measure(load(place))}
                (place / RESULT).write_text(json.dumps(made, indent=1) + "\n", "utf-8")
                for state in place.glob("state-*.pt"):
                    state.unlink()
                shutil.rmtree(place / "tensorboard", ignore_errors=True)
            made = json.loads((place / RESULT).read_text("utf-8"))
            if made["recipe"] != asdict(recipe):
                raise ValueError(f"{place} holds figures of another recipe; choose another --out, or remove it")
            found[arm.name].append(made["figures"])
            show(found)
    return found


def format_table(found: dict[str, list[Figures]], columns: dict[str, str]) -> str:
    """Markdown: an arm a row, mean ± half the range over the seeds; `columns` maps headings to figures."""
    lines = ["| arm | seeds | " + " | ".join(columns) + " |", "| --- |" + " --- |" * (len(columns) + 1)]
    for arm, rows in found.items():
        if rows:
            cells = [spread([row[figure] for row in rows]) for figure in columns.values()]
            lines.append(f"| {arm} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw_curves(found: dict[str, list[Figures]], curve: str, x: str, y: str, path: Path) -> None:
    """The figure `curve` ({place: value}), a line an arm: the mean of its seeds, and their range as a band."""
    import plotly.graph_objects as go
    from plotly.colors import qualitative

    figure = go.Figure(layout={"xaxis_title": x, "yaxis_title": y, "template": "plotly_white"})
    for number, (arm, rows) in enumerate((arm, rows) for arm, rows in found.items() if rows):
        places = list(rows[0][curve])
        values = [[row[curve][place] for row in rows] for place in places]
        at, colour = [float(place) for place in places], qualitative.Safe[number % len(qualitative.Safe)]
        low, high = [min(some) for some in values], [max(some) for some in values]
        band = {"fill": "toself", "line_width": 0, "opacity": 0.2, "fillcolor": colour, "hoverinfo": "skip"}
        figure.add_scatter(x=at + at[::-1], y=high + low[::-1], showlegend=False, mode="lines", **band)
        line = {"color": colour, "dash": ("solid", "dash", "dot")[number % 3]}
        figure.add_scatter(x=at, y=[statistics.mean(some) for some in values], name=arm, mode="lines+markers", line=line)
    figure.write_html(path, include_plotlyjs="cdn")


def spread(values: Sequence[float | None]) -> str:
    """Mean ± half the range."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    half = (max(known) - min(known)) / 2
    digits = 1 if abs(statistics.mean(known)) >= 1 else 3
    return f"{statistics.mean(known):.{digits}f} ± {half:.{digits}f}"


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return Recipe(**asdict(recipe) | {"seed": seed})
