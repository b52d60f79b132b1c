"""Which effects of groups to integrate out: those that were asked for, or where it helps."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.groups.find import MOST_EFFECTS, Factor
from pymc_sgld.minibatch.groups.layout import counted, members_of

FEW_ROWS = 2000  # up to which effects are integrated out by default, however many groups there are
FEW_GROUPS = 30  # below which they are not, with more rows
LARGE_BATCH = 10_000  # rows of the smallest batch, beyond which they are not


def choose_factor(
    factors: Sequence[Factor], names: Sequence[str], marginalize: Collection[str] | bool | None
) -> tuple[Factor | None, dict[str, str]]:
    """Return the factor to integrate out, if any, and why others are not, by their names.

    ``marginalize``: their effects by name, or those of the factor that has the most groups: True in
    any case, and None if that helps.
    """
    reasons = {factor.names: factor.refusal for factor in factors if factor.refusal}
    able = [factor for factor in factors if not factor.refusal]
    if marginalize is None:
        unhelpful = {factor.names: _why_unhelpful(factor) for factor in able}
        reasons |= {name: reason for name, reason in unhelpful.items() if reason}
        able = [factor for factor in able if not unhelpful[factor.names]]
    if marginalize is None or marginalize is True:
        chosen = able[0] if able else None
        if marginalize and chosen is None:
            why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            raise SettingError(f"marginalize=True, but {_NONE}{f' ({why})' if why else ''}.")
    else:
        wanted = {marginalize} if isinstance(marginalize, str) else set(marginalize or ())
        chosen = next((f for f in able if wanted == f.axes.keys()), None)
        if chosen is None:
            raise SettingError(_why_not(factors, names, wanted))
    for factor in able:
        if factor is not chosen:
            reasons[factor.names] = (
                "only the effects of one set of groups are, the one with the most groups, and at "
                f"most {MOST_EFFECTS} effects of each group"
            )
    return chosen, reasons


def _why_unhelpful(factor: Factor) -> str | None:
    """Return why effects are better sampled as other variables, or None.

    A batch has a group of each class at least, with all of its rows. Where groups are few and
    large, this is a good part of the data, and the data tell each effect well: it is no problem.
    """
    rows = max(map(len, factor.index.values()), default=0)
    if rows <= FEW_ROWS:
        return None
    if factor.groups < FEW_GROUPS:
        return f"there are {factor.groups} groups, fewer than the {FEW_GROUPS} of the default"
    counts = [counted(of, factor.groups) for of in factor.index.values()]
    classes = members_of(counts)
    longest = [sum(max(1, int(c[members].max())) for c in counts) for members in classes]
    batch = sum(longest)
    most = min(LARGE_BATCH, rows // 4)
    if batch > most:
        return (
            f"groups have up to {longest[-1]} rows, all of which a batch would read, and "
            f"at most {most} are read by default"
        )
    return None


_NONE = "the model has no effects of groups that can be integrated out"
_HOW = (
    "Effects must be picked by one fixed index of all rows (not of pm.Minibatch), and be "
    "independent given the other variables"
)


def _why_not(factors: Sequence[Factor], names: Sequence[str], wanted: set[str]) -> str:
    """Return why effects that were asked for cannot be integrated out."""
    asked = " and ".join(f'"{name}"' for name in sorted(wanted))
    meant = [factor for factor in factors if factor.axes.keys() & wanted]
    for factor in meant:
        if factor.refusal:
            return f"marginalize: {asked} cannot be integrated out: {factor.refusal}."
    unknown = sorted(wanted.difference(names))
    if unknown:
        return f"marginalize has {unknown}, but the step samples {list(names)}."
    if len(meant) > 1:
        each = " or ".join(str(sorted(factor.axes)) for factor in meant)
        return f"marginalize: {asked} have different groups, and only one set can be: pass {each}."
    if meant and wanted < meant[0].axes.keys():
        return f"marginalize: pass all effects of the same groups: {sorted(meant[0].axes)}."
    known = [sorted(factor.axes) for factor in factors if not factor.refusal]
    have = f"those that can are {known}" if known else _NONE
    return f"marginalize: {asked} cannot be integrated out. {_HOW}; {have}."
