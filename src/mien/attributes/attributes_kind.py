"""The kind "attributes": reads labels off images; what its runs leave behind."""

from typing import Any

from mien.attributes.report import write_report
from mien.attributes.scores import AttributeExamination, evaluate, examine, quick_scores
from mien.core.checkpoint import model_id
from mien.models import attributes
from mien.models.attributes import Reader
from mien.training.kinds import Kind
from mien.training.outputs import ProductOutputs, Snapshot

_GLANCE = 512  # held-out pictures that are looked at during training


class AttributeOutputs(ProductOutputs):
    """The outputs of a run of the family `attributes`; see `training.outputs.Outputs`."""

    kind, product = attributes.KIND, attributes.PRODUCT

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert self._lesson.held_out is not None
        self._held_out = self._lesson.held_out

    @property
    def _network(self) -> Reader:
        network = super()._network
        assert isinstance(network, Reader)
        return network

    def show(self) -> Snapshot:
        """The main scores on up to 512 held-out images; nothing is selected by them."""
        return Snapshot(quick_scores(self._network, self._held_out, _GLANCE))

    def end(self) -> None:
        """Evaluate the model on all held-out people, and store and show the result."""
        path = self._run.newest_product(self.kind)
        examination = examine(
            self._network,
            self._held_out,
            model_id(path),
            self._training.nimg,
            kept_out=True,
            how=f"kept out of training {self._lesson.how}",
        )
        examination.append(self._run)
        for event in examination.tables():
            self._events.send(event)


KIND = Kind("attributes", write_report, AttributeOutputs, evaluate, AttributeExamination)
