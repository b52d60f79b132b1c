"""Numbers in sentences."""

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
