"""A table of comparisons in, one plain sentence or two out."""

import numpy as np
import pandas as pd

from pymc_sgld.diagnostics.comparison.joint import Joint
from pymc_sgld.diagnostics.comparison.marginal import FEWEST_DRAWS, Tolerance
from pymc_sgld.diagnostics.matching import Match, shorten
from pymc_sgld.wording import apart

R_HAT_LIMIT = 1.01
"""Above this R-hat the chains have not mixed (Vehtari et al. 2021, section 4)."""

ESS_LIMIT = 400
"""Below this bulk effective sample size the diagnostics are unreliable themselves (ibid.)."""

DOUBTFUL = 3
"""Monte-Carlo errors by which a figure may be outside the tolerance by chance."""


def describe(
    table: pd.DataFrame,
    match: Match,
    tolerance: Tolerance,
    joint: Joint | None,
    *,
    name_missing: bool,
) -> str:
    """Say whether two runs agree, where they differ most, and what to do about it.

    Parameters
    ----------
    table : DataFrame
        One row per parameter, the fields of `pymc_sgld.diagnostics.comparison.marginal.Comparison`.
    match : Match
        The draws that the rows were computed from, in the same order.
    tolerance : Tolerance
        What counts as agreement.
    joint : Joint or None
        What all parameters together show, if that was tested.
    name_missing : bool
        Whether to name the variables that only one of the runs has.

    Returns
    -------
    str
        One sentence, and others where the runs are too short, incomplete or not comparable.
    """
    few = too_few(match)
    if few and not table["agrees"].all():
        return " ".join(["cannot tell.", *few])
    first = headline(table, tolerance, joint)
    figures = worst_figures(table, tolerance)
    sentences = [f"{first}{figures}{not_comparable(table, match)}."]
    failing = table[~table["agrees"]]
    reasons = monte_carlo_reasons(failing if len(failing) else table, tolerance)
    if not reasons and len(failing) and may_be_chance(failing, tolerance):
        reasons = [f"no figure is outside the tolerance by more than {DOUBTFUL} of its errors"]
    if reasons and len(failing):
        sentences.append(f"Run longer first, this may be Monte-Carlo error: {'; '.join(reasons)}.")
    elif reasons:
        sentences.append(f"Run longer before you rely on it: {'; '.join(reasons)}.")
    sentences += few or without_r_hat(match)
    missing = {"idata": match.only_in_idata, "the reference": match.only_in_reference}
    for role, names in missing.items():
        if name_missing and names:
            sentences.append(f"Not compared, only in {role}: {shorten(names)}.")
    return " ".join(sentences)


def headline(table: pd.DataFrame, tolerance: Tolerance, joint: Joint | None) -> str:
    """Count the parameters that agree, that do not, or that cannot be told."""
    total = len(table)
    if table["agrees"].all():
        subject = count(1, 1) if total == 1 else f"all {total} parameters are"
        within = f"{subject} within the tolerance ({tolerance})"
        if joint is not None and joint.differs:
            return f"does not agree: {within} one by one, but not together ({evidence(joint)})"
        return f"agrees: {within}"
    inside = (table["mean_shift"].abs() <= tolerance.mean) & (
        (table["sd_ratio"] - 1).abs() <= tolerance.sd
    )
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


def worst_figures(table: pd.DataFrame, tolerance: Tolerance) -> str:
    """Name the parameters that are farthest off, with their figures."""
    shift = table["mean_shift"].abs().dropna()
    ratio = (table["sd_ratio"] - 1).abs().dropna()
    clauses = []
    if len(shift):
        text, _ = apart(shift.max(), tolerance.mean)
        clauses.append(f"worst mean shift {text} sd ({shift.idxmax()})")
    if len(ratio):
        worst = ratio.idxmax()
        found = table.loc[worst, "sd_ratio"]
        text, _ = apart(found, 1 + tolerance.sd if found > 1 else 1 - tolerance.sd)
        clauses.append(f"worst sd ratio {text} ({worst})")
    return f"; {', '.join(clauses)}" if clauses else ""


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
    for role, field in (("idata", "draws"), ("the reference", "reference")):
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


def monte_carlo_reasons(table: pd.DataFrame, tolerance: Tolerance) -> list[str]:
    """List the figures that say that the runs are too short to judge, with the worst parameter."""
    reasons = []
    error = table["mean_shift_mcse"].dropna()
    if (error > tolerance.mean).any():
        text, _ = apart(error.max(), tolerance.mean)
        reasons.append(f"the error of the mean shift is {text} sd ({error.idxmax()})")
    for role, prefix in (("idata", ""), ("the reference", "reference_")):
        r_hat = table[f"{prefix}r_hat"].dropna()
        if (r_hat > R_HAT_LIMIT).any():
            text, _ = apart(r_hat.max(), R_HAT_LIMIT)
            reasons.append(f"R-hat is {text} in {role} ({r_hat.idxmax()})")
        size = table[f"{prefix}ess_bulk"].dropna()
        if (size < ESS_LIMIT).any():
            reasons.append(
                f"the bulk ESS is {np.floor(size.min()):.0f} in {role} ({size.idxmin()})"
            )
    error = table["sd_ratio_mcse"].dropna()
    if (error > tolerance.sd).any():
        text, _ = apart(error.max(), tolerance.sd)
        reasons.append(f"the error of the sd ratio is {text} ({error.idxmax()})")
    return reasons


def may_be_chance(table: pd.DataFrame, tolerance: Tolerance) -> bool:
    """Whether no figure is outside the tolerance beyond doubt."""
    excess = (
        table["mean_shift"].abs() - tolerance.mean,
        (table["sd_ratio"] - 1).abs() - tolerance.sd,
    )
    errors = table["mean_shift_mcse"], table["sd_ratio_mcse"]
    return all((e <= DOUBTFUL * error).all() for e, error in zip(excess, errors, strict=True))


RUNS = (("idata", "draws"), ("The reference", "reference"))


def too_few(match: Match) -> list[str]:
    """Say which run has hardly any draws."""
    sizes = {role: getattr(match.parameters[0], field).shape[1] for role, field in RUNS}
    return [
        f"{role} has only {draws} draw{'s' if draws > 1 else ''} per chain, too few for any "
        "diagnostic: run longer."
        for role, draws in sizes.items()
        if draws < FEWEST_DRAWS
    ]


def without_r_hat(match: Match) -> list[str]:
    """Say which run has one chain."""
    return [
        f"{role} has a single chain, so its R-hat is unknown: run two or more chains."
        for role, field in RUNS
        if len(getattr(match.parameters[0], field)) == 1
    ]
