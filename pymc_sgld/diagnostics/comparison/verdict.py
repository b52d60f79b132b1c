"""A table of comparisons in, a verdict out."""

import numpy as np
import pandas as pd

from pymc_sgld.diagnostics.comparison.joint import Joint
from pymc_sgld.diagnostics.matching import Match, shorten
from pymc_sgld.tolerance import ESS_LIMIT, FEWEST_DRAWS, R_HAT_LIMIT, Doubt, Tolerance, Verdict
from pymc_sgld.wording import apart

DOUBTFUL = 3
"""Monte-Carlo errors by which a figure may be outside the tolerance by chance."""

UNMIXED = 1.1
"""R-hat above which Monte-Carlo errors say little themselves."""

ROLES = (("idata", "draws", ""), ("the reference", "reference", "reference_"))


def judge(
    table: pd.DataFrame,
    match: Match,
    tolerance: Tolerance,
    joint: Joint | None,
    *,
    name_missing: bool,
) -> Verdict:
    """Say whether two runs agree, where they differ most, and what to do about it.

    The doubts are those about the length of the runs: nothing is known to be wrong by them.
    """
    few = too_few(match)
    if few and not table["agrees"].all():
        return Verdict("cannot tell: there are too few draws for any diagnostic.", few)
    first = headline(table, tolerance, joint)
    sentence = f"{first}{tolerance.worst_figures(table)}{not_comparable(table, match)}."
    notes = []
    for role, field, _ in ROLES:
        if len(getattr(match.parameters[0], field)) == 1:
            notes.append(f"R-hat of {role} is not known: it takes two chains or more.")
    for role, names in (
        ("idata", match.only_in_idata),
        ("the reference", match.only_in_reference),
    ):
        if name_missing and names:
            notes.append(f"Not compared, only in {role}: {shorten(names)}.")
    return Verdict(sentence, few or doubts_of_length(table, tolerance), notes)


def headline(table: pd.DataFrame, tolerance: Tolerance, joint: Joint | None) -> str:
    """Count the parameters that agree, that do not, or that cannot be told."""
    total = len(table)
    if table["agrees"].all():
        subject = count(1, 1) if total == 1 else f"all {total} parameters are"
        within = f"{subject} within the tolerance ({tolerance})"
        if joint is not None and joint.differs:
            return f"does not agree: {within} one by one, but not together ({evidence(joint)})"
        return f"agrees: {within}"
    inside = tolerance.excess(table["mean_shift"], table["sd_ratio"]) <= 1
    outside = int((~table["agrees"] & ~inside).sum())
    if outside:
        return f"does not agree: {count(outside, total)} outside the tolerance ({tolerance})"
    unresolved = int((~table["agrees"]).sum())
    return (
        f"cannot tell: {count(unresolved, total)} within the tolerance "
        f"({tolerance}), but the Monte-Carlo error of the mean shift is not"
    )


def evidence(joint: Joint) -> str:
    """Say what the joint test found, and where."""
    figures = (
        f"{joint.draws} against {joint.reference_draws} nearly independent draws differ, "
        f"p = {joint.p_value:.2g}"
    )
    if joint.worst_pair is None:
        return figures
    one, other, ours, theirs = joint.worst_pair
    return f"{figures}; correlation of {one} and {other} {ours:.2f} instead of {theirs:.2f}"


def count(some: int, total: int) -> str:
    """Say how many of the parameters are meant, with the verb."""
    if total == 1:
        return "the only parameter is"
    return f"{some} of {total} parameters {'is' if some == 1 else 'are'}"


def not_comparable(table: pd.DataFrame, match: Match) -> str:
    """Name the parameters that have no figures, with the reason."""
    clauses = []
    constant = {
        parameter.label
        for parameter in match.parameters
        if parameter.reference.size > 1
        and np.isnan(table.loc[parameter.label, "mean_shift"])
        and not table.loc[parameter.label, "agrees"]
    }
    for role, field, _ in ROLES:
        broken = [
            parameter.label
            for parameter in match.parameters
            if not np.isfinite(getattr(parameter, field)).all()
        ]
        constant -= set(broken)
        if broken:
            clauses.append(f"{role} has draws that are not finite ({shorten(broken)})")
    if constant:
        listed = shorten([label for label in table.index if label in constant])
        clauses.append(f"constant in the reference, not the same in idata: {listed}")
    return "".join(f"; {clause}" for clause in clauses)


def doubts_of_length(table: pd.DataFrame, tolerance: Tolerance) -> list[Doubt]:
    """List the figures that say that the runs are too short to judge, with the worst parameter."""
    failing = table[~table["agrees"]]
    some = failing if len(failing) else table
    found = []
    for role, _, prefix in ROLES:
        r_hat, size = some[f"{prefix}r_hat"].dropna(), some[f"{prefix}ess_bulk"].dropna()
        if (r_hat > R_HAT_LIMIT).any():
            text, _ = apart(r_hat.max(), R_HAT_LIMIT)
            found.append((r_hat.idxmax(), f"R-hat is {text} in {role}"))
        if (size < ESS_LIMIT).any():
            text = f"the bulk ESS is {np.floor(size.min()):.0f} in {role}"
            found.append((size.idxmin(), text))
    for name, unit, most in (
        ("mean shift", " sd", tolerance.mean),
        ("sd ratio", "", tolerance.sd),
    ):
        error = some[f"{name.replace(' ', '_')}_mcse"].dropna()
        if (error > most).any():
            text, _ = apart(error.max(), most)
            found.append((error.idxmax(), f"the error of the {name} is {text}{unit}"))
    if not found and len(failing) and may_be_chance(failing, tolerance):
        text = f"no figure is outside the tolerance by more than {DOUBTFUL} of its errors"
        found.append(("all parameters", text))
    known = failing[failing["mean_shift"].notna()]
    mixed = not (known[["r_hat", "reference_r_hat"]] > UNMIXED).any(axis=None)
    if known.empty:
        remedy = "run longer before you rely on it"
    elif mixed and not may_be_chance(known, tolerance):
        remedy = "the difference is larger than Monte-Carlo error; longer runs only show its size"
    else:
        remedy = "run longer first, this may be Monte-Carlo error"
    return [Doubt(label, text, remedy, 1.0) for label, text in found]


def may_be_chance(table: pd.DataFrame, tolerance: Tolerance) -> bool:
    """Whether no figure is outside the tolerance beyond doubt."""
    excess = (
        table["mean_shift"].abs() - tolerance.mean,
        (table["sd_ratio"] - 1).abs() - tolerance.sd,
    )
    errors = table["mean_shift_mcse"], table["sd_ratio_mcse"]
    return all((e <= DOUBTFUL * error).all() for e, error in zip(excess, errors, strict=True))


def too_few(match: Match) -> list[Doubt]:
    """Say which run has hardly any draws."""
    found = []
    for role, field, _ in ROLES:
        draws = getattr(match.parameters[0], field).shape[1]
        if draws < FEWEST_DRAWS:
            text = f"it has only {draws} draw{'s' if draws > 1 else ''} per chain"
            found.append(Doubt(role, text, "run longer", 1.0))
    return found
