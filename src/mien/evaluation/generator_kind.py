"""The kind "generator": draws images."""

from mien.evaluation.report import write_report
from mien.training.kinds import Kind

KIND = Kind("generator", write_report)
