#!/bin/sh
# The generator that comes with mien (src/mien/assets), from photos and rendered heads alone.
# usage: packaged-model.sh PHOTOS/     (run it in an empty folder, with the repository's benchmarks/ at MIEN)
#
# PHOTOS: a folder with a sub-folder for each source, all under terms that allow a model to be shipped.
# Killed, it goes on where it was: every step is skipped or resumed when it is run again.
#
# The model that ships (84 kimg) was made with RENDERED_KIMG=0 PHOTOS_KIMG=84. The rules of `prepare` are wider than
# usual, since most of those drops were wrong here; gray pictures are left out.
# Cost: 84 minutes on one core without AVX-512 (16 images a second), from nothing.
# Reached, hold-out of 265 faces, 200 fakes at psi 1: kernel distance .052 (.046-.060) through Lite0, 5.3 (3.7-6.9) through
# the mesh; a face found in 1,000 of 1,000; no nearer to training faces than people it never saw (LPIPS, identity).
set -eu
: "${MIEN:?the checked-out repository, for its benchmarks/}"
: "${RENDERED_KIMG:=100}" "${PHOTOS_KIMG:=400}"

mien artefacts fetch
[ -f all.zip ] || mien prepare "$1" all.zip --size 64 \
    --max-mask 1 --min-eyes-open 0.2 --min-colour 0.02 --max-exposure 0.92
[ -f train.zip ] || python "$MIEN/benchmarks/hold_out.py" all.zip train.zip hold.zip

# First what rendered people can teach, then photos. Each command goes on with its own run.
start=none
if [ "$RENDERED_KIMG" != 0 ]; then
    mien train rendered:6000 --from none --kimg "$RENDERED_KIMG" --out base
    start=$(echo base/00000-*)
fi
mien train train.zip --from "$start" --kimg "$PHOTOS_KIMG" --out model

# Whether it may ship: exit code 1 where the gate is shut.
python "$MIEN/benchmarks/packaged_model.py" model/00000-* --train train.zip --hold-out hold.zip --out card
python "$MIEN/benchmarks/package_model.py" model/00000-* assets --name faces-64 --scores card/scores.md
