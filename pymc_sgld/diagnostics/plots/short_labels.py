"""Labels that fit beside a plot and stay apart: shortened in the middle, as ends tell more."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def shortened(labels: Sequence[str], width: int) -> list[str]:
    """Return labels of at most `width` letters; those that differ stay different.

    The middle is left out, or, of labels whose ends are alike, what comes before they differ. Where
    even this leaves some alike they are numbered.

    Examples
    --------
    >>> shortened(["alpha[a county, Minnesota]", "alpha[a county, Wisconsin]", "mu"], 16)
    ['alpha[a…nnesota]', 'alpha[a…sconsin]', 'mu']
    >>> shortened(["alpha[the 1st county]", "alpha[the 2nd county]"], 12)
    ['alp…1st coun', 'alp…2nd coun']
    """
    cut = {label: _middle(label, width) for label in labels}
    for alike in _alike(cut):
        letters = enumerate(zip(*alike, strict=False))
        begin = next((i for i, each in letters if len(set(each)) > 1), min(map(len, alike)))
        for label in alike:
            cut[label] = f"{label[: width // 4]}…{label[begin:]}"[:width]
    for alike in _alike(cut):
        for number, label in enumerate(alike, 1):
            mark = f" ({number})"
            cut[label] = cut[label][: width - len(mark)] + mark
    return [cut[label] for label in labels]


def in_two_lines(labels: Sequence[str], width: int) -> dict[str, str]:
    """Return each label on at most two lines of `width` letters."""
    for letters in range(2 * width, width - 1, -1):
        lines = [textwrap.wrap(label, width) for label in shortened(labels, letters)]
        if all(len(of_one) <= 2 for of_one in lines):
            break
    return {label: "\n".join(of_one) for label, of_one in zip(labels, lines, strict=True)}


def _middle(label: str, width: int) -> str:
    if len(label) <= width:
        return label
    end = width // 2
    return f"{label[: width - 1 - end]}…{label[len(label) - end :]}"


def _alike(cut: dict[str, str]) -> Iterable[list[str]]:
    """Return the labels that became the same."""
    groups: dict[str, list[str]] = {}
    for label, short in cut.items():
        groups.setdefault(short, []).append(label)
    return [group for group in groups.values() if len(group) > 1]
