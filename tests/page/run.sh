#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page in a browser, with pictures: run.sh [SECONDS]. With SECONDS clicks flow for so long before anybody looks, so that
# the pictures show complete minutes (docs/screenshots: 1890). Called by ./dev page.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. infra/setup/setup.sh
setup_environment
export TRIBUTARY_BIN=${TRIBUTARY_BIN:-$PWD/build/dev/bin}
export PAGE_SHOTS=${PAGE_SHOTS:-$PWD/docs/screenshots}
export PAGE_WARM_SECONDS=${1:-0}
python3 tests/e2e/b30_page.py
! command -v pngquant >/dev/null || pngquant --force --ext .png --strip 96 "$PAGE_SHOTS"/page-*.png # a third of the bytes
