"""The marginal likelihood behind the reference of ``students``."""

from pathlib import Path

import numpy as np
from scipy.integrate import quad

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_log_density_is_that_of_a_direct_integral(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from known_posteriors.groups import student_rows
    from marginal_reference import Marginal

    data = student_rows(students=12, rows=100)

    def direct(intercept, beta, log_spread):
        spread = np.exp(log_spread)
        total = log_spread - (intercept**2 / 1.5**2 + beta @ beta + spread**2) / 2
        for student in range(12):
            own = data.student == student
            logit, sign = intercept + data.covariates[own] @ beta, 2 * data.correct[own] - 1

            def integrand(u, logit=logit, sign=sign):
                likelihood = np.prod(1 / (1 + np.exp(-sign * (logit + spread * u))))
                return likelihood * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)

            total += np.log(quad(integrand, -10, 10, epsabs=0, epsrel=1e-10)[0])
        return total

    log_density = Marginal(data)
    for point in ([0.4, 0.8, 0.3, -0.2, -0.1], [-1, 0, 1, 0.5, 0.6], [0, 0, 0, 0, -3]):
        point = np.array(point)
        expected = direct(point[0], point[1:-1], point[-1])
        np.testing.assert_allclose(log_density(point), expected, rtol=1e-8)
