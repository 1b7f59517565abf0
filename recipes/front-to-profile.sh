#!/bin/sh
# Fronts into profiles and profiles into fronts, on rendered people (pix2pix).
#
# Cost, on one CPU core: 4 minutes of rendering, 9 of training each way (13 and 17 thousand pairs).
# Reached, on 150 people kept out, front to profile / profile to front:
#   L1          3.9 % / 4.3 %   (the input itself 10.7 %, the mean target 15.1 % / 13.7 %)
#   rank 1      92 % / 81 %     among 100 people, vgg-random (the input 24 % / 26 %, the mean target 1 %)
set -eu
mien render pairs.zip --pairs front-profile --count 1500
for way in front-profile profile-front; do
    mien train pairs.zip --model pix2pix --preset quick --direction "$way" --minutes 9 --out "runs-$way"
    mien evaluate "runs-$way"/00000-* --data pairs.zip
    mien report "runs-$way"/00000-*
done
