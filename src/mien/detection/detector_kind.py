"""The kind "detector": tells synthetic faces from photographs."""

from mien.detection.outputs import DetectorOutputs
from mien.detection.report import write_report
from mien.detection.scores import DetectorExamination, evaluate
from mien.training.kinds import Kind

KIND = Kind("detector", write_report, DetectorOutputs, evaluate, DetectorExamination)
