"""Adam without first moment, whose updates are held while its second moments lag behind the gradients."""

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

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
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if any(parameter.is_cuda for parameter in parameters):
                self._update_together(parameters, group)
                continue
            for parameter in parameters:
                self._update(parameter, parameter.grad, group)
        return loss

    def _moments(self, parameter: Tensor, beta2: float) -> tuple[Tensor, float]:
        """The second moments of a parameter and what divides them at this, its next, step."""
        state = self.state[parameter]
        if not state:
            state |= {"step": torch.zeros(()), "exp_avg_sq": torch.zeros_like(parameter)}
        state["step"] += 1
        return state["exp_avg_sq"], 1 - beta2 ** float(state["step"])

    def _update_together(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """The same of all parameters at once: on a GPU a kernel's start costs more than its work."""
        if not parameters:
            return
        beta2, gradients = group["betas"][1], [cast(Tensor, parameter.grad) for parameter in parameters]
        kept = [self._moments(parameter, beta2) for parameter in parameters]
        moments = [each for each, _ in kept]
        torch._foreach_mul_(moments, beta2)
        torch._foreach_addcmul_(moments, gradients, gradients, value=1 - beta2)
        divisors = torch._foreach_sqrt(moments)
        torch._foreach_div_(divisors, [math.sqrt(correction) for _, correction in kept])
        torch._foreach_add_(divisors, group["eps"])
        updates = torch._foreach_div(gradients, divisors)
        if self._most:
            sizes = torch._foreach_norm(updates)
            torch._foreach_div_(sizes, [math.sqrt(g.numel()) * self._most for g in gradients])
            torch._foreach_clamp_min_(sizes, 1)
            for update, size in zip(updates, sizes, strict=True):
                update.div_(size)
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        beta2 = group["betas"][1]
        moments, correction = self._moments(parameter, beta2)
        moments.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        divisor = moments.sqrt().div_(math.sqrt(correction)).add_(group["eps"])
        if self._most:
            size = torch.linalg.vector_norm(gradient / divisor) / math.sqrt(gradient.numel())
            divisor.mul_((size / self._most).clamp_min(1))
        parameter.addcdiv_(gradient, divisor, value=-group["lr"])
