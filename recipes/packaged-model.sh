#!/bin/sh
# The generator that comes with mien (src/mien/assets), from photos and rendered heads alone.
# usage: packaged-model.sh PHOTOS/     (in an empty folder; MIEN: the checked-out repository, from which mien is
# installed by `pip install -e`, since the model is put into it)
#
# PHOTOS: a folder with a sub-folder for each source, all under terms that allow a model to be shipped; here photos,
# official and portraits-cc0. In the first two nobody stands twice.
# Killed, it goes on where it was: every step is skipped or resumed when it is run again.
#
# The rules of `prepare` are wider than usual, since most of those drops were wrong here; gray pictures are left out.
# Three stages: what rendered people can teach; photos, what the discriminator sees disturbed as strongly as it needs
# (ADA); the same at a lower rate, women shown twice. What each cost and reached is in docs/experiments.md, "The
# packaged model".
set -eu
: "${MIEN:?the checked-out repository}"
: "${RENDERED_KIMG:=25}" "${PHOTOS_KIMG:=200}" "${BALANCED_KIMG:=80}" "${ENCODER_KIMG:=125}"

mien artefacts fetch
[ -f all.zip ] || mien prepare "$1" all.zip --size 64 \
    --max-mask 1 --min-eyes-open 0.2 --min-colour 0.02 --max-exposure 0.92
[ -f train.zip ] || python "$MIEN/benchmarks/hold_out.py" all.zip train.zip hold.zip
[ -f balanced.zip ] || python "$MIEN/benchmarks/balance.py" train.zip balanced.zip

mien train rendered:6000 --from none --preset default --set ema_half_life_nimg=2000 --kimg "$RENDERED_KIMG" --out base
mien train train.zip --from base/00000-* --augment ada --augment-kimg 100 --kimg "$PHOTOS_KIMG" --snapshot-kimg 10 \
    --out photos
mien train balanced.zip --from photos/00000-* --augment ada --augment-kimg 100 --lr-scale 0.4 --kimg "$BALANCED_KIMG" \
    --snapshot-kimg 20 --out model

# Whether more training was of use to people that it never saw, and whether it may ship: exit code 1 where not.
python "$MIEN/benchmarks/best_snapshot.py" model/00000-* --hold-out hold.zip
python "$MIEN/benchmarks/packaged_model.py" model/00000-* --train train.zip --hold-out hold.zip \
    --once photos official --out card
python "$MIEN/benchmarks/package_model.py" model/00000-* "$MIEN/src/mien/assets" --scores card/scores.md \
    --kimg "$((RENDERED_KIMG + PHOTOS_KIMG + BALANCED_KIMG))"

# The network that finds a photo's latents at once, for this very generator.
mien encoder --data train.zip --kimg "$ENCODER_KIMG" --out encoder
python "$MIEN/benchmarks/package_encoder.py" encoder "$MIEN/src/mien/assets"

# Directions of its latents, read by the published networks that `mien artefacts fetch` brought. The smile is learnt by
# itself: beside `mouth_open` each would be cleared of the other.
all="$MIEN/src/mien/assets/faces-64.directions.safetensors"
mien directions learn --attributes smile,yaw,age,female,mouth_open,glasses,hair_lightness,skin_lightness \
    --samples 6000 --out "$all"
mien directions learn --attributes smile --hold female,age,yaw,glasses,hair_lightness,skin_lightness \
    --samples 3000 --out smile.directions.safetensors
python - "$all" <<'END'
import sys
from pathlib import Path
from mien.latent.directions.direction import Directions
path = Path(sys.argv[1])
smile = Directions.read(Path("smile.directions.safetensors"))
Directions.read(path).joined(smile.several).save(path)
END
python "$MIEN/benchmarks/latent_pictures.py" "$MIEN/docs/images/latent"
