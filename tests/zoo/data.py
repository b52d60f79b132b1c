"""The data of all models: ``ROWS`` rows of noise of every kind."""

import numpy as np

ROWS, GROUPS, COLUMNS = 28, 5, 3

_rng = np.random.default_rng(20110628)
X = _rng.normal(size=(ROWS, COLUMNS))
x = _rng.normal(size=ROWS)
y = _rng.normal(size=ROWS)
positive = _rng.gamma(2.0, size=ROWS)
unit = _rng.uniform(0.05, 0.95, size=ROWS)
counts = _rng.poisson(3.0, size=ROWS)
binary = _rng.integers(0, 2, size=ROWS)
classes = _rng.integers(0, 4, size=ROWS)
group = _rng.integers(0, GROUPS, size=ROWS)
second_group = _rng.integers(0, 3, size=ROWS)
exposure = _rng.uniform(1, 5, size=ROWS)
trials = counts + _rng.integers(1, 6, size=ROWS)
angle = _rng.uniform(-3, 3, size=ROWS)
shares = _rng.dirichlet(np.ones(4), size=ROWS)
table = np.stack([counts, binary, classes], axis=1)
series = _rng.normal(size=(ROWS, 6))
pairs = _rng.integers(0, GROUPS, size=(ROWS, 2))
walks = _rng.normal(size=(ROWS, 5, 2)).cumsum(axis=1)
covariances = np.stack([np.cov(_rng.normal(size=(2, 9))) for _ in range(ROWS)])
time = np.linspace(0, 1, ROWS)
coords = {"row": range(ROWS), "feature": list("abc"), "group": range(GROUPS)}
