#!/bin/sh
# Builds the wheel and the source archive into dist, and installs each into an environment that has
# nothing else, with the newest versions that pyproject.toml allows. Both must sample a model.
set -eu
cd "$(dirname "$0")/.."

rm -rf build dist
.venv/bin/python -m venv build/tools
build/tools/bin/python -m pip install --quiet --disable-pip-version-check build
build/tools/bin/python -m build --outdir dist .
.venv/bin/python -m venv build/bare
for archive in dist/*.whl dist/*.tar.gz; do
    build/bare/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$archive"
    build/bare/bin/python -m pip install --quiet --disable-pip-version-check "$archive"
    build/bare/bin/python -m pip check
    # from another folder: here the checkout would be imported
    (cd build && bare/bin/python ../scripts/sample_installed.py)
    echo "package: $archive is installed, and samples"
done
