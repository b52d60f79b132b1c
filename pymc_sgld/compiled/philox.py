r"""Normal numbers by a counter and a key, in compiled code that works on many at a time.

Of each of the numbers 0, 1, 2, ... a block cipher makes four words of 32 random bits (Philox, with
ten rounds). Two words make two normal numbers (Box and Muller): one word is :math:`u \in (0, 1)`,
the other an angle :math:`\varphi`,

.. math:: z_1 = \sqrt{-2 \log u}\, \cos \varphi, \qquad z_2 = \sqrt{-2 \log u}\, \sin \varphi .

No number needs the one before it, and nothing branches, so that a processor computes eight or four
at once. Logarithm, sine and cosine are polynomials, as compilers call a function for each number
otherwise. A normal number is at most 6.8 in size, which more than one of 10^11 would exceed.

References
----------
Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
Box and Muller (1958), A note on the generation of random normal deviates.
FDLIBM, the mathematical library of Sun Microsystems: the coefficients of the polynomials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

BLOCK = 512  # counters at a time: what is in between stays in the fastest cache
PER_COUNTER = 4  # words, and normal numbers
ROUNDS = 10


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function in compiled code, which is kept for the next process."""
    try:
        return numba.njit(function, cache=True, error_model="numpy")
    except RuntimeError:  # there is no directory for it that can be written to
        return numba.njit(function, error_model="numpy")


@compiled
def random_words(key: tuple[np.uint32, np.uint32], first: np.uint32, words: np.ndarray) -> None:
    """Write the words of counters from ``first`` on, shape (4, counters)."""
    times0, times1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    more0, more1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
    high = np.uint64(32)
    for i in range(words.shape[1]):
        a, b, c, d = np.uint32(first + np.uint32(i)), np.uint32(0), np.uint32(0), np.uint32(0)
        key0, key1 = key
        for _ in range(ROUNDS):
            product0, product1 = np.uint64(a) * times0, np.uint64(c) * times1
            a = np.uint32(product1 >> high) ^ b ^ key0
            c = np.uint32(product0 >> high) ^ d ^ key1
            b, d = np.uint32(product1), np.uint32(product0)
            key0, key1 = np.uint32(key0 + more0), np.uint32(key1 + more1)
        words[0, i], words[1, i], words[2, i], words[3, i] = a, b, c, d


@compiled
def _radii(words: np.ndarray, found: np.ndarray, bits: np.ndarray, powers: np.ndarray) -> None:
    """Write the square roots of -2 log u. ``bits``: the memory of ``found``, as integers."""
    real, integer = found.dtype.type, bits.dtype.type
    if found.itemsize == 4:
        mantissa, root = integer(23), integer(0x3F3504F3)  # bits of it, and those of 1 / sqrt(2)
    else:
        mantissa, root = integer(52), integer(0x3FE6A09E667F3BCD)
    for i in range(len(words)):
        found[i] = real(words[i]) * real(2.0**-32) + real(2.0**-33)
    for i in range(len(words)):  # u is 2^power times a number around one
        power = (bits[i] - root) >> mantissa
        powers[i] = power
        bits[i] -= power << mantissa
    for i in range(len(words)):
        x = found[i] - real(1)
        s = x / (real(2) + x)
        z = s * s
        tail = real(0.1818357216161805) + z * (
            real(0.1531383769920937) + z * real(0.14798198605116586)
        )
        tail = real(0.2857142874366239) + z * (real(0.22222198432149784) + z * tail)
        tail = z * (real(0.6666666666666735) + z * (real(0.3999999999940942) + z * tail))
        half = real(0.5) * x * x
        log = powers[i] * real(0.6931471805599453) - (half - s * (half + tail) - x)
        found[i] = np.sqrt(max(real(-2) * log, real(0)))


@compiled
def _pairs(words: np.ndarray, radii: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Write the points of these radii, in directions that the words say."""
    real = radii.dtype.type
    one = np.uint32(1)
    for i in range(len(words)):
        word = words[i]  # two bits say which quarter, the others where in it, around its middle
        t = real(np.int32(word << np.uint32(2))) * real(np.pi / 2 * 2.0**-32)
        v = t * t
        sine = real(-2.5050760253406863e-08) + v * real(1.58969099521155e-10)
        sine = real(-0.0001984126982985795) + v * (real(2.7557313707070068e-06) + v * sine)
        sine = real(-0.16666666666666632) + v * (real(0.00833333333332249) + v * sine)
        sine = t + t * v * sine
        cosine = real(2.087572321298175e-09) + v * real(-1.1359647557788195e-11)
        cosine = real(2.480158728947673e-05) + v * (real(-2.7557314351390663e-07) + v * cosine)
        cosine = real(0.0416666666666666) + v * (real(-0.001388888888887411) + v * cosine)
        cosine = real(1) - real(0.5) * v + v * v * cosine
        odd, upper = (word >> np.uint32(30)) & one, word >> np.uint32(31)
        across, along = (sine, cosine) if odd else (cosine, sine)
        first[i] = -radii[i] * across if odd ^ upper else radii[i] * across
        second[i] = -radii[i] * along if upper else radii[i] * along


@compiled
def fill(
    key: tuple[np.uint32, np.uint32], out: np.ndarray, radii: np.ndarray, bits: np.ndarray
) -> None:
    """Write normal numbers into ``out``, whose size is a multiple of ``4 * BLOCK``."""
    words, powers = np.empty((4, BLOCK), np.uint32), np.empty(BLOCK, out.dtype)
    for begin in range(0, out.size, 4 * BLOCK):
        random_words(key, np.uint32(begin // 4), words)
        for half in range(2):
            place = begin + 2 * half * BLOCK
            _radii(words[2 * half], radii, bits, powers)
            _pairs(
                words[2 * half + 1],
                radii,
                out[place : place + BLOCK],
                out[place + BLOCK : place + 2 * BLOCK],
            )
