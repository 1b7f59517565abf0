"""The kind "denoiser": takes noise out of images."""

from mien.training.kinds import Kind
from mien.translation.denoiser_outputs import DenoiserOutputs
from mien.translation.denoiser_scores import DenoiserExamination, evaluate
from mien.translation.report import write_report

KIND = Kind("denoiser", write_report, DenoiserOutputs, evaluate, DenoiserExamination)
