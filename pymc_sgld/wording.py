"""Numbers in sentences and tables."""

import numpy as np

MOST_DIGITS = 17
"""With them no two floating-point numbers are written alike."""


def apart(value: float, limit: float, digits: int = 3) -> tuple[str, str]:
    """Return a number and its limit, with as many digits as tell them apart.

    Examples
    --------
    >>> apart(1.24, 1.01)
    ('1.24', '1.01')
    >>> apart(1.0104, 1.01)
    ('1.0104', '1.01')
    """
    for shown in range(digits, MOST_DIGITS + 1):
        texts = f"{value:.{shown}g}", f"{limit:.{shown}g}"
        if texts[0] != texts[1]:
            break
    return texts


def with_error(value: float, error: float) -> str:
    """Return a number beside its standard error, by two digits of the latter.

    Examples
    --------
    >>> with_error(1.0234, 0.0171)
    '1.023 ± 0.017'
    """
    if np.isnan(value):
        return ""
    decimals = int(np.clip(1 - np.floor(np.log10(error)), 0, 3)) if error > 0 else 2
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
