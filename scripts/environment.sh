#!/bin/sh
# Makes the environment .venv of this checkout, with the optional dependencies that are named:
#
#     sh scripts/environment.sh plots
#     sh scripts/environment.sh dev docs
#
# Says nothing and takes no time when all of it is there. Uses uv where it runs, else venv and pip.
set -eu
cd "$(dirname "$0")/.."

minors="13 12 14" # PyMC 6 installs on Python 3.12 to 3.14: the order in which we look for them
preferred=$(sed -n 's/^3\.\([0-9]*\).*/\1/p' .python-version 2>/dev/null || :)

say() { printf '%s\n' "environment: $*" >&2; }

runs() { "$@" </dev/null >/dev/null 2>&1; }

# --- Is there anything to do? --------------------------------------------------------------------

made_from=$(cat pyproject.toml constraints.txt scripts/environment.sh | cksum)

# The folder belongs to an environment: in a copied or moved checkout, .venv would import the package
# from the folder where it was made.
whole() {
    [ "$(cat .venv/made-in 2>/dev/null)" = "$(pwd -P)" ] &&
        [ ! -e .venv/unfinished ] && runs .venv/bin/python -c ''
}

missing=
for extra in "$@"; do
    [ "$(cat ".venv/made-with-$extra" 2>/dev/null)" = "$made_from" ] || missing="$missing $extra"
done
if whole && [ -z "$missing" ]; then exit 0; fi

# --- Find uv and a Python ------------------------------------------------------------------------

uv=
if runs uv --version; then
    uv=uv
elif command -v uv >/dev/null 2>&1; then
    say "uv is on the PATH but does not run: using venv and pip"
fi

# Every program of a name on the PATH, not only the first: that one may be a pyenv shim that does not
# run, with a good one behind it.
on_path() (
    IFS=:
    set -f
    for folder in $PATH; do
        if [ -x "$folder/$1" ]; then printf '%s\n' "$folder/$1"; fi
    done
)

candidates() {
    for minor in $preferred $minors; do on_path "python3.$minor"; done
    on_path python3
    on_path python
    for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do
        for minor in $minors; do
            for python in "$root/versions/3.$minor"*/bin/python; do
                if [ -x "$python" ]; then printf '%s\n' "$python"; fi
            done
        done
    done
}

# Is it one of the given versions, and the ordinary interpreter that the wheels are built for? Debian
# and Ubuntu have a Python without the part of venv that installs pip; uv does not need that part.
fits='
import importlib.util, sys, sysconfig
fits = sys.version_info[0] == 3 and str(sys.version_info[1]) in sys.argv[1].split()
fits &= sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
fits &= sys.argv[2] == "uv" or all(map(importlib.util.find_spec, ("venv", "ensurepip")))
if fits:
    print(sys.executable)
'

find_python() {
    candidates | while IFS= read -r python; do
        found=$("$python" -c "$fits" "$1" "$uv" </dev/null 2>/dev/null) || continue
        if [ -n "$found" ]; then printf '%s\n' "$found" && break; fi
    done
}

no_python() {
    say "found no Python 3.12, 3.13 or 3.14 that can make an environment; this package needs one."
    say "Install it and run the same command again. For example, one of"
    say "    Debian, Ubuntu   sudo apt install python3 python3-venv   (where that is 3.12 or newer)"
    say "    Fedora           sudo dnf install python3.13"
    say "    macOS            brew install python@3.13"
    say "    pyenv            pyenv install 3.13"
    say "    uv               uv python install 3.13"
    exit 1
}

# --- Make it -------------------------------------------------------------------------------------

make_venv() {
    rm -rf .venv
    python=$(find_python "${preferred:-$minors}")
    [ -n "$python" ] || python=$(find_python "$minors")
    if [ -z "$python" ] && [ -n "$uv" ]; then
        say "found no Python 3.12, 3.13 or 3.14: asking uv to fetch one"
        uv venv --quiet --no-project --python "3.${preferred:-13}" .venv || no_python
    elif [ -z "$python" ]; then
        no_python
    else
        say "making .venv with $("$python" --version), $python"
        if [ -n "$uv" ]; then
            uv venv --quiet --no-project --python "$python" .venv
        else
            "$python" -m venv .venv
        fi
    fi
    pwd -P >.venv/made-in
}

install() {
    if [ -n "$uv" ]; then
        uv pip install --python .venv/bin/python -c constraints.txt -e "$1"
    else
        # The lines about what is there already are no news; a pipe keeps only the status of its end.
        { .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off \
            -c constraints.txt -e "$1" || : >.venv/failed; } |
            grep -v '^ *Requirement already satisfied' || :
        [ ! -e .venv/failed ]
    fi
}

# An environment that uv made has no pip in it, and uv may be gone since.
if [ -n "$uv" ] || runs .venv/bin/python -m pip --version; then can_install=yes; else can_install=; fi

if ! whole || [ -z "$can_install" ]; then
    if [ -e .venv ]; then say "making .venv again: this one is unfinished, was moved or has no pip"; fi
    missing=" $*"
    make_venv
fi

extras=$(printf '%s' "${missing# }" | tr ' ' ',')
say "installing PyMC and the rest ($extras) with ${uv:-pip}; this takes minutes, and only the first time"
: >.venv/unfinished
install ".[$extras]" || {
    say "could not install; the lines above say why. The same command starts afresh"
    exit 1
}
for extra in $missing; do printf '%s\n' "$made_from" >".venv/made-with-$extra"; done
rm .venv/unfinished
say "done"
