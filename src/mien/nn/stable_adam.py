"""Adam whose updates are held where its second moments have not yet seen gradients of that size."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam


class StableAdam(Adam):
    """Adam with update clipping (Wortsman et al. 2023, arXiv:2304.13013; first in arXiv:1804.04235).

    Where gradients grow faster than the second moments follow, Adam takes steps of up to 1 / sqrt(1 - beta2)
    times its rate in every weight at once; against an adversary that answers, this runs away. Here a tensor's
    update is divided by how far the root mean square of gradient / sqrt(second moment) is above `most`.
    most: 0 leaves Adam as it is. First moments are not looked at: meant for beta1 = 0.
    """

    def __init__(self, params: Iterable[nn.Parameter], *, most: float, **options: Any) -> None:
        super().__init__(params, **options)
        self._most = most

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update; see torch.optim.Adam."""
        held = [*self._too_far()] if self._most else []
        result = super().step(closure)
        for parameter, before, excess in held:
            shortened = before + (parameter - before) / excess
            parameter.copy_(torch.where(excess > 1, shortened, parameter))
        return result

    def _too_far(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Every parameter with what it is now, and how many times too far Adam will move it."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None or not (state := self.state.get(parameter)):
                    continue
                size = _update_size(parameter.grad, state["exp_avg_sq"], group["betas"][1], state["step"])
                yield parameter, parameter.detach().clone(), size / self._most


def _update_size(gradient: Tensor, moments: Tensor, beta2: float, steps: Tensor) -> Tensor:
    """Root mean square of Adam's update in learning rates: 1 for gradients of the usual size."""
    squares = gradient.square()
    corrected = torch.lerp(squares, moments, beta2) / (1 - beta2 ** (steps + 1))
    return (squares / corrected.clamp_min(1e-16)).mean().sqrt()
