"""Answers to trials: which are valid, which are right."""

from typing import Any

from mien.core.errors import MienError
from mien.study.design import FAKE, REAL, Attributes, Prefer, Rate, Task
from mien.study.plan import CHECK


class Refused(MienError):  # noqa: N818 - named for what happened to the request
    """A request that is not carried out. status: of HTTP; kind: one word for programs and for the log."""

    def __init__(self, status: int, kind: str, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.kind = kind


def check_answer(task: Task, answer: Any) -> Any:
    """The answer, in one form. Raises Refused where it is none to this task."""
    if isinstance(task, Rate):
        wanted = {scale.name for scale in task.scales}
        if isinstance(answer, dict) and answer.keys() == wanted:
            values = {name: answer[name] for name in sorted(answer)}
            if all(type(value) is int and 1 <= value <= task.points for value in values.values()):
                return values
    elif isinstance(task, Attributes):
        if isinstance(answer, list) and all(one in task.attributes for one in answer):
            return [one for one in task.attributes if one in answer]
    elif answer in (("left", "right") if isinstance(task, Prefer) else (REAL, FAKE)):
        return answer
    raise Refused(422, "answer", "that is no answer to this question")


def is_correct(task: Task, phase: str, expected: Any, answer: Any) -> bool | None:
    """Whether a checked answer is right, None where no answer is."""
    if expected is None:
        return None
    if isinstance(task, Rate) and phase == CHECK:
        return all(value == expected for value in answer.values())
    return bool(answer == expected)
