"""The kind "translator": turns images of one side of pairs into the other."""

from mien.training.kinds import Kind
from mien.translation.report import write_report
from mien.translation.translator_outputs import TranslatorOutputs
from mien.translation.translator_scores import TranslatorExamination, evaluate

KIND = Kind("translator", write_report, TranslatorOutputs, evaluate, TranslatorExamination)
