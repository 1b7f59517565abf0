#!/bin/sh
# The generator that comes with mien (src/mien/assets), from photos and rendered heads alone.
# usage: packaged-model.sh PHOTOS/     (in an empty folder; MIEN: the checked-out repository, from which mien is
# installed by `pip install -e`, since the model is put into it)
#
# PHOTOS: a folder with a sub-folder for each source, all under terms that allow a model to be shipped.
# Killed, it goes on where it was: every step is skipped or resumed when it is run again.
#
# The rules of `prepare` are wider than usual, since most of those drops were wrong here; gray pictures are left out.
# Three stages: what rendered people can teach; photos; photos again with what the discriminator sees disturbed as
# strongly as it needs (ADA). Each begins with the weights of the one before, its learning rate high again.
# What each cost and reached is in docs/experiments.md, "The packaged model". `prepare` has changed since: it now leaves
# 1,605 people to learn from and 253 to judge by, where it left 1,623 and 251, and chance deals them out otherwise.
set -eu
: "${MIEN:?the checked-out repository}"
: "${RENDERED_KIMG:=25}" "${PHOTOS_KIMG:=125}" "${ADA_KIMG:=200}" "${ENCODER_MINUTES:=40}"

mien artefacts fetch
[ -f all.zip ] || mien prepare "$1" all.zip --size 64 \
    --max-mask 1 --min-eyes-open 0.2 --min-colour 0.02 --max-exposure 0.92
[ -f train.zip ] || python "$MIEN/benchmarks/hold_out.py" all.zip train.zip hold.zip

# The numbers of `lite` when it was trained; today's default has features at the picture's own size, and smaller batches.
numbers() { mien train "$@" --set batch_size=64 --set lr=1e-3; }
shapes="--set width_g=64 --set width_d=48 --set full_resolution=false"
numbers rendered:6000 --from none --preset default $shapes --set ema_half_life_nimg=2000 --kimg "$RENDERED_KIMG" --out base
numbers train.zip --from base/00000-* --augment none --kimg "$PHOTOS_KIMG" --out model
numbers train.zip --from model/00000-* --augment ada --augment-kimg 500 --kimg "$ADA_KIMG" --snapshot-kimg 10 --out ada

# Whether more training was of use to people that it never saw, and whether it may ship: exit code 1 where not.
python "$MIEN/benchmarks/best_snapshot.py" ada/00000-* --hold-out hold.zip --every 4
python "$MIEN/benchmarks/packaged_model.py" ada/00000-* --train train.zip --hold-out hold.zip --out card
python "$MIEN/benchmarks/package_model.py" ada/00000-* "$MIEN/src/mien/assets" --scores card/scores.md \
    --kimg "$((RENDERED_KIMG + PHOTOS_KIMG + ADA_KIMG))"

# The network that finds a photo's latents at once, for this very generator.
mien encoder --data train.zip --minutes "$ENCODER_MINUTES" --out encoder
python "$MIEN/benchmarks/package_encoder.py" encoder "$MIEN/src/mien/assets"

# Directions of its latents, read by the published networks that `mien artefacts fetch` brought.
mien directions learn --attributes smile,yaw,age,female,mouth_open,glasses,hair_lightness,skin_lightness \
    --samples 6000 --out "$MIEN/src/mien/assets/faces-64.directions.safetensors"
