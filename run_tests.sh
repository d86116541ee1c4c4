#!/usr/bin/env bash
# The one test command: sets up .venv, then lint, format, types, import arrows and the tests.
#
# Usage: ./run_tests.sh                          everything (what CI runs)
#        ./run_tests.sh quick                    the same for the loop of work: without
#                                                tests/faults, recipes and conformance, and
#                                                without the tests marked slow or browser
#        ./run_tests.sh tests/mel -k silent        any arguments go to pytest, which then runs alone
#        ./run_tests.sh interop [espnet nemo...]  the adapters in the real toolkits, which are
#                                                installed first (docs/interop.md); not in CI
#        ./run_tests.sh faults [--minutes 10]    the faults that take long to happen, and SIGKILL at
#                                                random for so many minutes (docs/reliability.md)
#        WAVEWRIGHT_TEST_WORKERS=4 ./run_tests.sh
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"
./setup.sh --dev
python=.venv/bin/python
export OMP_NUM_THREADS=1
# Compiled modules are kept: hundreds of child processes import them, and each of pytest's workers.
unset PYTHONDONTWRITEBYTECODE

run() {
    printf '\n== %s\n' "$1"
    shift
    "$@"
}

if [[ ${1:-} == interop ]]; then
    shift
    files=()
    for client in "$@"; do files+=("tests/clients/test_$client.py"); done
    exec "$python" -m pytest --timeout 7200 -s "${files[@]:-tests/clients}"
fi

if [[ ${1:-} == faults ]]; then
    shift
    run "faults" "$python" -m pytest -n "${WAVEWRIGHT_TEST_WORKERS:-2}" --dist worksteal \
        -m "long or not long" tests/faults tests/recipes
    run "what takes long elsewhere" "$python" -m pytest -n "${WAVEWRIGHT_TEST_WORKERS:-2}" \
        --dist worksteal -m long --ignore tests/faults --ignore tests/recipes
    run "SIGKILL at random" "$python" -m tests.faults.fuzz "$@"
    exit
fi

select=()
if [[ ${1:-} == quick ]]; then
    shift
    # A test that this lists as taking more than 3 s is to be marked slow.
    select=(-m "not slow and not browser and not long" --durations 8 --durations-min 3
        --ignore tests/faults --ignore tests/recipes --ignore tests/conformance)
fi

if (($#)); then
    echo "== pytest $* (only the tests asked for; linters and types are left out)"
    exec "$python" -m pytest "$@"
fi

failed=()
run "ruff check" "$python" -m ruff check . || failed+=("ruff check")
run "ruff format" "$python" -m ruff format --check . || failed+=("ruff format")

# Both run beside the tests, and print only what they find, after the tests.
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
"$python" -m mypy >"$found/mypy" 2>&1 &
mypy=$!
"$python" -c 'from importlinter.cli import lint_imports_command as main; main()' \
    >"$found/import-linter" 2>&1 &
import_linter=$!

run "pytest, with mypy and import-linter beside it" \
    "$python" -m pytest -n "${WAVEWRIGHT_TEST_WORKERS:-2}" --dist worksteal \
    ${select[@]+"${select[@]}"} ||
    failed+=("pytest")
wait "$mypy" || { run "mypy" cat "$found/mypy" && failed+=("mypy"); }
wait "$import_linter" ||
    { run "import-linter" cat "$found/import-linter" && failed+=("import-linter"); }
# pytest's closing line stays the last one of a good run.
if ((${#failed[@]})); then
    (IFS=,; printf '\nFAILED: %s\n' "${failed[*]}") >&2
    exit 1
fi
