#!/usr/bin/env bash
# Every modality on one GPU in under ten minutes: trains 100 steps in bf16 with and without torch.compile, is killed, resumes,
# samples, evaluates. Prints one table and writes gpu_check.json. Without a GPU it runs small and says what it left out.
#   scripts/gpu_check.sh [--out gpu_check.json] [--steps 100] [modality ...]
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" scripts/gpu_check.py "$@"
