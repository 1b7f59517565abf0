#!/bin/sh
# The generator that comes with mien (src/mien/assets), from photos and rendered heads alone.
# usage: packaged-model.sh PHOTOS/     (run it in an empty folder, with the repository's benchmarks/ at MIEN)
#
# PHOTOS: a folder with a sub-folder for each source, all under terms that allow a model to be shipped.
# Killed, it goes on where it was: every step is skipped or resumed when it is run again.
#
# Cost:
# Reached:
set -eu
: "${MIEN:?the checked-out repository, for its benchmarks/}"
: "${RENDERED_KIMG:=100}" "${PHOTOS_KIMG:=400}"

mien artefacts fetch
[ -f all.zip ] || mien prepare "$1" all.zip --size 64
[ -f train.zip ] || python "$MIEN/benchmarks/hold_out.py" all.zip train.zip hold.zip

# First what rendered people can teach, then photos. Each command goes on with its own run.
mien train rendered:6000 --from none --kimg "$RENDERED_KIMG" --out base
mien train train.zip --from base/00000-* --kimg "$PHOTOS_KIMG" --out model

# Whether it may ship: exit code 1 where the gate is shut.
python "$MIEN/benchmarks/packaged_model.py" model/00000-* --train train.zip --hold-out hold.zip --out card
python "$MIEN/benchmarks/package_model.py" model/00000-* assets --name faces-64 --scores card/scores.md
