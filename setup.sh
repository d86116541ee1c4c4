#!/usr/bin/env bash
# Makes (or repairs, or brings up to date) the virtual environment .venv beside this file.
#
# Usage: ./setup.sh [--dev]
#   --dev   also installs what ./run_tests.sh needs
#
# It needs Python 3.11 to 3.13 with venv and pip, and a package index; no root. Without a C++
# compiler the metrics are left out whose packages come as source (PESQ; MCD and F0 by WORLD).
# When nothing has changed since the last time it ends at once. pip does the work, with your own
# pip settings: the index they name decides between a CPU and a CUDA build of torch.
#
#   PYTHON=/path/to/python3.12     the Python to build on (default: the newest that fits)
#   WAVEWRIGHT_TORCH=2.11.0        another version of torch than constraints.txt names
#
# A torch that can be imported and is in pyproject.toml's range is kept: one already in .venv, or
# one that belongs to the chosen Python (a container or conda environment that ships its own).
set -euo pipefail
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_CONSTRAINT
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

oldest_torch_minor=6 # of torch 2, as in pyproject.toml
in_range='import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2 && exit 1; }

find_root() { # through symbolic links, whatever the caller's directory
    local file=${BASH_SOURCE[0]} folder
    while [[ -L $file ]]; do
        folder=$(cd -P "$(dirname "$file")" && pwd)
        file=$(readlink "$file")
        [[ $file == /* ]] || file=$folder/$file
    done
    cd -P "$(dirname "$file")" && pwd
}

read_stamp() { # sets recorded_* from the stamp, empty without one
    recorded_extras='' recorded_torch='' recorded_python=''
    [[ -f .venv/setup.stamp ]] || return 0
    { read -r _ recorded_extras && read -r _ recorded_torch && read -r _ recorded_python; } \
        <.venv/setup.stamp || true
}

# What has to be equal for there to be nothing to do. Options that were given once stay given.
wanted_stamp() {
    extras=alignments,phonemes
    [[ -z $dev && $recorded_extras != *,dev ]] || extras+=,dev
    printf 'extras %s\ntorch %s\npython %s\nroot %s\n' "$extras" \
        "${WAVEWRIGHT_TORCH:-$recorded_torch}" "${PYTHON:-$recorded_python}" "$root"
    printf 'compiler %s\n' "$(type -P c++ g++ clang++ | head -n 1)" # a new one: try again
    printf '%s\n' "$(<.venv/pyvenv.cfg)" "$(<pyproject.toml)" "$(<constraints.txt)" "$(<setup.sh)"
}

up_to_date() {
    [[ -x .venv/bin/python && -x .venv/bin/wavewright && -f .venv/setup.stamp ]] || return 1
    read_stamp
    [[ $(<.venv/setup.stamp) == "$(wanted_stamp)" ]]
}

choose_python() { # the first one that runs: a name on PATH may be a shim with nothing behind it
    local name candidate
    local itself='import sys; print(sys._base_executable)' # not the .venv that may be active
    if [[ -n ${PYTHON:-} ]]; then
        "$PYTHON" -c "$in_range" 2>/dev/null ||
            fail "PYTHON=$PYTHON is not a Python 3.11 to 3.13 with the venv and ensurepip modules."
        "$PYTHON" -c "$itself" && return
    fi
    for name in ${CONDA_PREFIX:+"$CONDA_PREFIX/bin/python"} python3.13 python3.12 python3.11 \
        python3 python; do
        while read -r candidate; do
            if "$candidate" -c "$in_range" >/dev/null 2>&1; then
                "$candidate" -c "$itself" && return
            fi
        done < <(type -aP "$name")
    done
    fail "no Python 3.11 to 3.13 with the venv and ensurepip modules was found on PATH." \
        "Install one (on Debian and Ubuntu: python3 and python3-venv), or set PYTHON to its path."
}

torch_of() { # prints the version of the torch that a Python imports, if it is in range
    "$1" -W ignore - "$oldest_torch_minor" <<'PYTHON' 2>/dev/null || true
import sys
import torch
major, minor = (int(part) for part in torch.__version__.split(".")[:2])
if major == 2 and minor >= int(sys.argv[1]) or major > 2:
    print(torch.__version__)
PYTHON
}

# The lock is on the open file, which this shell holds until it ends; children inherit it.
take_lock() {
    exec 9>.venv.lock
    "$1" - <<'PYTHON'
import fcntl
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("setup: another setup.sh is at work here; waiting for it", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
PYTHON
}

venv_works() {
    local which='import sys; print(sys.base_prefix, sys.version)'
    [[ -x .venv/bin/python && -f .venv/pyvenv.cfg ]] || return 1
    [[ $(<.venv/pyvenv.cfg) == *"$root/.venv"* ]] || return 1 # made elsewhere and moved here
    .venv/bin/python -c "$in_range" 2>/dev/null || return 1
    .venv/bin/python -m pip --version >/dev/null 2>&1 || return 1
    [[ -z ${PYTHON:-} || $("$python" -c "$which") == "$(.venv/bin/python -c "$which")" ]]
}

make_venv() {
    local shared=()
    if [[ -z ${WAVEWRIGHT_TORCH:-} && -n $(torch_of "$python") ]]; then
        shared=(--system-site-packages)
    fi
    say "making .venv with $("$python" --version) ($python)${shared:+, which brings its own torch}"
    [[ -n ${shared:-} ]] || say "a first install downloads 0.5 GB (3 GB with a CUDA build of torch)"
    rm -rf .venv
    "$python" -m venv ${shared[@]+"${shared[@]}"} "$root/.venv"
}

# An install that was cut off leaves packages without their list of files, or with files missing:
# forget those, so that pip installs them again.
forget_broken_packages() {
    .venv/bin/python - <<'PYTHON'
import importlib.metadata
import shutil
import sysconfig
from pathlib import Path

site = Path(sysconfig.get_path("purelib"))
for leftover in site.glob("~*"):
    shutil.rmtree(leftover, ignore_errors=True)
for folder in site.glob("*.dist-info"):
    files = importlib.metadata.PathDistribution(folder).files
    if files is None or any(
        not (site / file).exists() or (file.size or 0) != (site / file).stat().st_size
        for file in files
        if file.suffix != ".pyc" and file.size is not None
    ):
        print(f"setup: {folder.name.removesuffix('.dist-info')} is damaged, installing it again")
        shutil.rmtree(folder)
PYTHON
}

write_constraints() { # .venv/constraints.txt: the tested versions, around the torch that is kept
    local tested torch=${WAVEWRIGHT_TORCH:-} found
    tested=$(grep '^torch==' constraints.txt) && tested=${tested#torch==}
    found=$(torch_of .venv/bin/python)
    if [[ -n $found && (-z $torch || ${found%%+*} == "$torch") ]]; then
        say "keeping torch $found"
        torch=$found
    fi
    torch=${torch:-${recorded_torch:-$tested}}
    local torch_pins='^torch=='
    if [[ ${torch%%+*} != "$tested" ]]; then # it may ask for other versions of these
        torch_pins='^(torch|filelock|fsspec|networkx|setuptools|sympy|typing_extensions)=='
    fi
    grep -vE "$torch_pins" constraints.txt >.venv/constraints.txt
    echo "torch==$torch" >>.venv/constraints.txt
}

install() {
    local quiet=-q
    [[ ! -t 1 ]] || quiet='' # a person sees what pip downloads
    .venv/bin/python -m pip install $quiet -c .venv/constraints.txt "$@" ||
        fail "pip could not install $* (its message is above). Mend the cause and run setup.sh again."
}

# What has no wheel here and cannot be built is left out, and said; nothing else needs it.
install_metrics() {
    local package packages=() left_out=''
    while read -r package; do
        packages+=("$package")
    done < <(sed -n '/^metrics = \[/,/^\]/s/^ *"\([^"]*\)".*/\1/p' pyproject.toml)
    : >.venv/metrics.log
    if ! try_to_install "${packages[@]}"; then
        for package in "${packages[@]}"; do
            try_to_install "$package" || left_out+=" ${package%%>*}"
        done
    fi
    # It declares torchaudio, among others, which would replace torch, and needs none of them.
    try_to_install --no-deps distillmos xls-r-sqa || left_out+=" distillmos"
    [[ -z $left_out ]] || say "left out:$left_out. Metrics that need them will have no value" \
        "(no C++ compiler? .venv/metrics.log has pip's own words)."
}

try_to_install() { # a failed build prints pages
    .venv/bin/python -m pip install -q -c .venv/constraints.txt "$@" </dev/null >>.venv/metrics.log 2>&1
}

dev=''
case ${1:-} in
--dev) dev=yes ;;
'') ;;
*) echo "setup: unknown option '$1'; the only one is --dev." >&2 && exit 2 ;;
esac
root=$(find_root)
cd "$root"

if up_to_date; then
    say "nothing to do (.venv is up to date)"
    exit 0
fi

python=$(choose_python)
take_lock "$python"
if up_to_date; then exit 0; fi # whoever held the lock did it

read_stamp
rm -f .venv/setup.stamp
if venv_works; then
    say "bringing .venv up to date"
    forget_broken_packages
else
    make_venv
fi
write_constraints
stamp=$(wanted_stamp)
extras=${stamp%%$'\n'*} && extras=${extras#extras }
say "installing wavewright[$extras] and what it needs, with pip"
install hatchling
install --no-build-isolation -e ".[$extras]"
say "installing what metrics need (two packages are compiled, which takes a minute or two)"
install_metrics
.venv/bin/python -c 'import wavewright, wavewright_stages'
printf '%s\n' "$stamp" >.venv/setup.stamp.new
mv .venv/setup.stamp.new .venv/setup.stamp
say "done: .venv/bin/wavewright is ready"
