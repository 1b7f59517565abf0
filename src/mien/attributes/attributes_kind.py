"""The kind "attributes": reads labels off images."""

from mien.attributes.outputs import AttributeOutputs
from mien.attributes.report import write_report
from mien.attributes.scores import AttributeExamination, evaluate
from mien.training.kinds import Kind

KIND = Kind("attributes", write_report, AttributeOutputs, evaluate, AttributeExamination)
