"""One visual language: colours that keep apart for colour-blind readers, on a light and on a dark page.

Charts are stored with the light colours, so that their JSON means something anywhere; a page replaces
each by a CSS variable that follows the reader's theme. Colour never carries a meaning alone: series also
differ by dash and by shape.
"""

from __future__ import annotations

SERIES = ("#1878d8", "#9a3f0c", "#239674", "#6f2a98", "#8c6704", "#59626b")
"""Blue, rust, green, purple, ochre, slate: at least 3.5:1 on white, and apart in lightness too."""

SERIES_DARK = ("#7cc3fb", "#ee6a30", "#52e8b4", "#b968ee", "#e3b834", "#8a9197")
"""The same hues on a dark page: at least 5:1 on it."""

ACCENT, ACCENT_DARK = "#0b62ad", "#7cc3fb"
"""Links."""

INK, INK_DARK = "#1c2126", "#e6e9ec"
MUTED, MUTED_DARK = "#5b6570", "#a2acb6"
FAINT, FAINT_DARK = "#dfe3e7", "#343b43"
PAPER, PAPER_DARK = "#ffffff", "#14181c"

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 2], [1, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"
"""Metrics that are the same on every system, so that a label fits where it was measured."""

VARIABLES = {
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, start=1)},
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    FAINT: "var(--faint)",
    PAPER: "var(--paper)",
    # what Vega-Lite uses where a chart brings no colours of its own
    "#000": "var(--ink)",
    "#000000": "var(--ink)",
    "black": "var(--ink)",
    "#888": "var(--muted)",
    "#ddd": "var(--faint)",
    "#4c78a8": "var(--series-1)",
    "white": "var(--paper)",
    "#fff": "var(--paper)",
}


def css() -> str:
    """The variables of both themes, as the declarations of `:root` and of its dark form."""
    light = _series(SERIES) | {"ink": INK, "muted": MUTED, "faint": FAINT, "paper": PAPER, "accent": ACCENT}
    dark = {"ink": INK_DARK, "muted": MUTED_DARK, "faint": FAINT_DARK, "paper": PAPER_DARK, "accent": ACCENT_DARK}
    dark |= _series(SERIES_DARK)
    return (
        f"figure svg{{font-family:{FONT}}}\n:root{{{_declare(light)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_declare(dark)}}}}}\n"
    )


def _series(colours: tuple[str, ...]) -> dict[str, str]:
    return {f"series-{i}": colour for i, colour in enumerate(colours, start=1)}


def _declare(values: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in values.items())
