#!/usr/bin/env bash
# Pins the whole set of dependencies anew in constraints.txt. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
printf '%s\n' torch==2.14.1 torchvision==0.29.1 torchaudio==2.11.0 |
  uv pip compile --quiet --upgrade --no-emit-index-url --no-header --no-annotate --universal --all-extras \
    --python-version 3.11 --constraint /dev/stdin --output-file constraints.txt pyproject.toml
