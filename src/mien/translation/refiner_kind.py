"""The kind "refiner": makes computer-generated images look real."""

from mien.training.kinds import Kind
from mien.translation.refiner_outputs import RefinerOutputs
from mien.translation.refiner_scores import RefinerExamination, evaluate
from mien.translation.report import write_report

KIND = Kind("refiner", write_report, RefinerOutputs, evaluate, RefinerExamination)
