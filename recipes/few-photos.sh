#!/bin/sh
# Good faces from a few hundred photos, quickly: begin with what rendered heads have taught.
# usage: few-photos.sh PHOTOS/
#
# Cost, on one CPU core: 20 minutes for the base (once), 1 minute for the photos.
# Reached, on 879 portraits: Frechet through the mesh 13.5 after 4 thousand images and 7.5 after 24 thousand; from
# scratch 21.8 after 32 thousand (benchmarks/transfer.py).
set -eu
mien prepare "$1" photos.zip --size 64
mien train rendered:6000 --preset plain-quick --from none --kimg 100 --out base
mien train photos.zip --preset plain-quick --from base/00000-* --kimg 24
