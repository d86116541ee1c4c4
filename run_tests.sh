#!/usr/bin/env bash
# The one test command: sets up .venv, then lint, format, types, import arrows and the tests.
#
# Usage: ./run_tests.sh                          everything (what CI runs)
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
    run "faults" "$python" -m pytest -n "${WAVEWRIGHT_TEST_WORKERS:-2}" -m "long or not long" \
        tests/faults tests/recipes
    run "SIGKILL at random" "$python" -m tests.faults.fuzz "$@"
    exit
fi

if (($#)); then
    echo "== pytest $* (only the tests asked for; linters and types are left out)"
    exec "$python" -m pytest "$@"
fi

failed=()
run "ruff check" "$python" -m ruff check . || failed+=("ruff check")
run "ruff format" "$python" -m ruff format --check . || failed+=("ruff format")
run "mypy" "$python" -m mypy || failed+=("mypy")
run "import-linter" "$python" -c 'from importlinter.cli import lint_imports_command as main; main()' ||
    failed+=("import-linter")
run "pytest" "$python" -m pytest -n "${WAVEWRIGHT_TEST_WORKERS:-2}" || failed+=("pytest")
# pytest's closing line stays the last one of a good run.
if ((${#failed[@]})); then
    (IFS=,; printf '\nFAILED: %s\n' "${failed[*]}") >&2
    exit 1
fi
