#!/bin/sh
# Rendered eyes with known gaze, made to look like your photos of eyes, and whether that helps a gaze reader.
# usage: real-looking-eyes.sh EYES/ LABELLED     (a folder of photos; a dataset of real eyes with gaze labels)
#
# Cost, on one CPU core: 3 minutes of rendering, 5 of refining, 5 for 40 small models.
# Reached (benchmarks/refine.py, benchmarks/worth.py): a fresh classifier of 23 px patches falls from 99 % to 54 %;
# pupils stay within 1.3 px; gaze read 10.6 degrees off after refined eyes, 17.5 after raw ones, 13.9 after 100 real.
set -eu
mien render rendered.zip --eyes --count 1000
mien train rendered.zip --real "folder:$1?size=64" --model simgan --minutes 5
mien refine runs/00000-rendered-simgan-64 rendered.zip --out refined.zip
mien worth --real "$2" --synthetic rendered=rendered.zip --synthetic refined=refined.zip --label gaze --real-count 100
