"""How far a training is and what came of it: HTML, and the lines of its figure."""

from __future__ import annotations

from typing import Any

from demos.finetuning.figures import training_figure
from demos.finetuning.plan import warnings
from demos.finetuning.trainings import Training
from demos.pieces import numbers_table, visible

# Figures that are no losses.
_WATCHED = ("positive cosine", "negative cosine", "temperature")
_RECALLS = {
    "long text to image R@1": "long caption → picture",
    "long image to text R@1": "picture → long caption",
    "details text to image R@1": "all but its summary → picture",
    "details image to text R@1": "picture → all but its summary",
    "short text to image R@1": "summary → picture",
    "short image to text R@1": "picture → summary",
}
_BOTH_WAYS = {"long captions": "long", "without their summaries": "details", "summaries only": "short"}

# Of a long run, about this many steps stand in the table of its numbers.
TABLED = 40

Lines = dict[str, list[tuple[int, float]]]


def status(training: Training) -> str:
    """What is being done, the rate, the time that is left, and why the training may learn little."""
    return _stage(training) + warnings(training.warnings)


def _stage(training: Training) -> str:
    steps, step = training.recipe.steps, training.step
    if not training.begun or not step:
        return _meter(f"{training.phase} …", "about to begin", None)
    if step == steps or training.phase != "Training":
        return _meter(f"{training.phase if training.phase != 'Training' else 'Measuring'} …", f"{step:,} steps taken", None)
    scenes = training.rate * training.recipe.batch
    goal = f"{steps:,}, {steps * training.recipe.batch:,} pairs in all"
    facts = f"step {step:,} of {goal} · {scenes:,.0f} pairs a second · {_time(training.seconds_left)} left"
    return _meter("Training", facts, step / steps)


def figure(training: Training) -> Any:
    """Losses and recall so far; recall begins with that of the stretched base."""
    losses, recalls = _lines(training)
    return training_figure(losses, recalls, training.step if training.over.is_set() else training.recipe.steps)


def numbers(training: Training) -> str:
    """The same as a table."""
    losses, recalls = _lines(training)
    lines = {f"recall: {name} (%)": points for name, points in recalls.items()} | losses
    columns = [dict(points[:: max(1, len(points) // TABLED)]) for points in lines.values()]
    steps = sorted({step for column in columns for step in column})
    return numbers_table(["step", *lines], [[step, *(column.get(step) for column in columns)] for step in steps])


def _lines(training: Training) -> tuple[Lines, Lines]:
    losses: Lines = {}
    recalls: Lines = {}
    over = training.over.is_set()
    # A run that was ended early is measured once more, after its last step.
    ended = [(training.step, training.after)] if over and training.step < training.recipe.steps else []
    for step, values in [(0, training.stretched), *training.rows, *ended]:
        for name, value in values.items():
            if name not in _WATCHED and name not in _RECALLS:
                losses.setdefault(f"loss: {name}", []).append((step, value))
        for title, kind in _BOTH_WAYS.items():
            ways = [value for name, value in values.items() if name in _RECALLS and name.startswith(kind)]
            if ways:
                recalls.setdefault(title, []).append((step, sum(ways) / len(ways)))
    return losses, recalls


def outcome(training: Training, title: str, base: str) -> str:
    """Recall before and after, where the model is now, and how to load it elsewhere."""
    steps, batch = training.step, training.recipe.batch
    early = f", stopped {training.recipe.steps - steps:,} early" if steps < training.recipe.steps else ""
    name = visible(training.recipe.name)
    return (
        f'<div class="outcome"><p><b>{visible(title)}</b> has seen {steps * batch:,} pairs in {steps:,} steps{early}. '
        "Choose it in the pickers of the other tabs; only you see it, until it has not been used for an hour.</p>"
        f"{warnings(training.warnings)}{_table(training, base)}{numbers(training)}"
        f"<p>To keep it, download it, unpack it, and load it with <code>longclip.load(&quot;{name}&quot;)</code>.</p></div>"
    )


def _table(training: Training, base: str) -> str:
    before, stretched, after = training.before, training.stretched, training.after
    rows = "".join(
        f'<tr><th scope="row">{label}</th><td>{before[name]:.0f} %</td><td>{stretched[name]:.0f} %</td>'
        f"<td>{after[name]:.0f} %</td>"
        f"{_change(round(after[name] - before[name]))}</tr>"
        for name, label in _RECALLS.items()
        if name in before and name in after
    )
    if not rows:
        return ""
    heads = "".join(f'<th scope="col">{visible(name)}</th>' for name in (base, "stretched", "now", "change"))
    return (
        '<table class="figures"><caption>Found first among the held-out pairs</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _change(points: int) -> str:
    kind, mark = ("up", "▲ ") if points > 0 else ("down", "▼ ") if points < 0 else ("same", "= ")
    return f'<td class="{kind}">{mark}{abs(points) or ""}</td>'


def _meter(what: str, facts: str, share: float | None) -> str:
    bar = 'class="unknown"' if share is None else f'style="width:{100 * share:.1f}%"'
    return (
        f'<div class="progress"><p class="count" role="status"><b>{visible(what)}</b><em>{facts}</em></p>'
        f'<div class="meter busy"><i {bar}></i></div></div>'
    )


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} minutes" if minutes else f"{rest} seconds"
