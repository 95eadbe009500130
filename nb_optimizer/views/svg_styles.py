"""How curves look; every colour has a contrast of 3:1 or more on light and dark backgrounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How a curve looks; ``sample`` stands for it in the legend."""

    colour: str
    dash: str = ""
    width: float = 2
    sample: str = "\u2014"
    opacity: float = 1


STYLES = {
    "training": Style("#3b82f6"),
    "validation": Style("#d9730d", "6 4", sample="- -"),
    "previous": Style("#8a8a8a", "1 4", 1.5, "\u00b7\u00b7\u00b7"),
    "pale": Style("#8a8a8a", width=1, opacity=0.35),  # a pruned trial
    "plain": Style("#3b82f6", width=1.2, opacity=0.8),  # any other trial
    "run1": Style("#3b82f6"),
    "run2": Style("#d9730d", "6 4", sample="- -"),
    "run3": Style("#0d9488", "2 4", sample="\u00b7\u00b7\u00b7"),
    "run4": Style("#b05cc8", "10 4", sample="\u2013 \u2013"),
    "run5": Style("#e0457b", "8 4 2 4", sample="-\u00b7-"),
    "run6": Style("#85850f", "8 3 2 3 2 3", sample="-\u00b7\u00b7"),
}
