#!/usr/bin/env bash
# Usage: ./recipes/digits/run.sh [--stage 3] [--stop-stage 5] [--set train.max_steps=1000]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/../../setup.sh"
exec "$here/../../.venv/bin/wavewright" run "$here/recipe.yaml" "$@"
