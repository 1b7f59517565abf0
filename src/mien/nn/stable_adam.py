"""Adam without first moment, whose updates are held while its second moments lag behind the gradients."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class StableAdam(Optimizer):
    """Adam with beta1 = 0 and update clipping (Wortsman et al. 2023, arXiv:2304.13013; arXiv:1804.04235).

    Where gradients grow faster than the second moments follow, Adam takes steps of up to 1 / sqrt(1 - beta2)
    times its rate in every weight at once; against an adversary that answers, this runs away. Here a tensor's
    update is divided by how far its root mean square, in learning rates, is above `most`.
    most: 0 leaves Adam as it is. Reads the states of torch.optim.Adam, whose first moment it passes over.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, most: float, lr: float, beta2: float, eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": (0.0, beta2), "eps": eps})
        self._most = most

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update of every parameter that has a gradient. closure: evaluated first, if given."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, beta2 = self.state[parameter], group["betas"][1]
        if not state:
            state |= {"step": torch.zeros(()), "exp_avg_sq": torch.zeros_like(parameter)}
        state["step"] += 1
        moments: Tensor = state["exp_avg_sq"]
        moments.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        correction = 1 - beta2 ** float(state["step"])
        divisor = moments.sqrt().div_(math.sqrt(correction)).add_(group["eps"])
        if self._most:
            size = torch.linalg.vector_norm(gradient / divisor) / math.sqrt(gradient.numel())
            divisor.mul_((size / self._most).clamp_min(1))
        parameter.addcdiv_(gradient, divisor, value=-group["lr"])
