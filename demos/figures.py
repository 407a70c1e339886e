"""What all figures share. Backgrounds are transparent and greys of middle strength, for a light page and a dark one."""

from __future__ import annotations

GREY, FAINT = "#7c8594", "rgba(125,135,150,.22)"
# Of texts where the style sheet, which gives them the colour of the theme, does not reach: in files.
TEXT = "#5b6475"
# One colour, line and marker a side, told apart without colour too. A model keeps those of its side where it stands alone.
SIDES = ("left", "right")
STYLES = {"left": ("#b07d1e", "dot", "circle-open"), "right": ("#8268e8", "solid", "square")}
# The same for more than two lines.
LINES = (
    STYLES["right"],
    STYLES["left"],
    ("#2f9e8f", "dash", "diamond"),
    ("#c4587a", "dashdot", "triangle-up"),
    (GREY, "longdash", "x"),
)
AXIS = {"gridcolor": FAINT, "linecolor": FAINT, "zeroline": False, "fixedrange": True}
LOOK = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": TEXT},
    "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
}
