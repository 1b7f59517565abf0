"""mien: portraits in, faces of people who do not exist out.

The Python API; each name is loaded when first used, so importing mien costs nothing. Paths may be strings.

collect_photos   a site's pictures with their fields, politely
prepare_photos   photos to a packed dataset, with a verdict on each
render_people    computer-generated heads with every label known
open_dataset     a zip, a folder, "rendered:2000" or a layout: "celeba:FOLDER"
open_pairs       aligned inputs and targets of a paired dataset
train            train a model: iterate over it for its events, or .run() it
load             a run's or a file's generator, ready to draw
generate         pictures of seeds, marked as generated
evaluate         scores with their provenance
audit            may a model be released, or does it repeat its training images
modes            what training images have and a model does not draw
write_report     a run's HTML page
annotate         what a model or the face mesh reads off pictures, into their manifest
translate        pictures through a network that learnt from pairs; denoise, refine likewise
denoise          noise away
refine           computer-generated pictures made to look real
project_photos   the latents of the faces in photos
edit             faces changed along directions
vary             faces near that of a photo or a seed
detect           are faces in pictures synthetic
verify           a picture's provenance mark
"""

import importlib
import os
from typing import Any

__version__ = "0.2.0.dev0"
TOOL = f"mien {__version__}"

# How often OpenMP threads that wait for each other look before they sleep. Its own 300,000 burn, on a machine
# with other jobs, the time of those they wait for. Read when torch is loaded.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "30000"

# Large tensors in pages of 2 MB where Linux has them: faults of 4 kB pages took half of the time of feature
# extraction. Read when torch first takes memory; the results are the same bits.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_PUBLIC = {
    "collect_photos": ("mien.python", "collect_photos"),
    "prepare_photos": ("mien.python", "prepare_photos"),
    "render_people": ("mien.render.people", "render_people"),
    "open_dataset": ("mien.datasets.opening", "open_dataset"),
    "open_pairs": ("mien.datasets.paired", "open_pairs"),
    "train": ("mien.python", "train"),
    "load": ("mien.python", "load"),
    "generate": ("mien.python", "generate"),
    "evaluate": ("mien.python", "evaluate"),
    "audit": ("mien.python", "audit"),
    "modes": ("mien.python", "modes"),
    "write_report": ("mien.python", "write_report"),
    "annotate": ("mien.python", "annotate"),
    "translate": ("mien.python", "translate"),
    "denoise": ("mien.python", "denoise"),
    "refine": ("mien.python", "refine"),
    "project_photos": ("mien.python", "project_photos"),
    "edit": ("mien.python", "edit"),
    "vary": ("mien.python", "vary"),
    "detect": ("mien.python", "detect"),
    "verify": ("mien.core.provenance", "verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(["TOOL", "__version__", *_PUBLIC])
