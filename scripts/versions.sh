#!/bin/sh
# Installs the wheel beside the oldest and the newest PyMC that pyproject.toml allows, on each Python
# that is named, in environments that have nothing else and no constraints. Each must sample a model
# and pass a selection of the tests (in which warnings of other packages are no errors). Prints a line
# of a table for each:
#
#     sh scripts/versions.sh python3.12 python3.13
set -eu
cd "$(dirname "$0")/.."

oldest=$(sed -n 's/.*"pymc>=\([0-9.]*\).*/\1/p' pyproject.toml)
selection="tests/test_schedules.py tests/dynamics tests/gradients/test_svrg.py"

rm -rf build/versions
mkdir -p build/versions/checks
cp -r tests pyproject.toml scripts/sample_installed.py build/versions/checks # away from the checkout
"$1" -m venv build/versions/tools
build/versions/tools/bin/python -m pip install --quiet --disable-pip-version-check build
build/versions/tools/bin/python -m build --wheel --outdir build/versions . >build/versions/build.log

echo "| Python | PyMC | PyTensor | Numba | NumPy | samples | tests |"
echo "|---|---|---|---|---|---|---|"
for python in "$@"; do
    for pymc in "==$oldest" ""; do
        environment=build/versions/environment
        rm -rf "$environment"
        "$python" -m venv "$environment"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
            build/versions/*.whl "pymc$pymc" pytest
        "$environment/bin/python" -m pip check >build/versions/pip.log
        (
            cd build/versions/checks
            run=../environment/bin/python
            $run sample_installed.py >../sample.log 2>&1 && samples=yes || samples=no
            $run -m pytest -q -p no:cacheprovider -o filterwarnings= $selection >../tests.log 2>&1 || :
            $run -c '
import platform, sys
from importlib.metadata import version
names = "pymc", "pytensor", "numba", "numpy"
cells = platform.python_version(), *map(version, names), *sys.argv[1:]
print("|", " | ".join(cells), "|")' "$samples" "$(tail -n 1 ../tests.log | sed 's/,.*//; s/ in .*//')"
        )
    done
done
