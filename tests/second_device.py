"""A second device: the GPU of a machine that has one, or what computes on the CPU and holds what a GPU holds.

Of the latter, tensors of one device and of the other do not meet in an operation, and numpy sees only the
CPU's. Either takes the CPU's random numbers, so that what it computes can be compared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

NAME = "second"
CPU = torch.device("cpu")
_GENERATORS: dict[int, torch.device] = {}  # by address: torch hands operations another object for them
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class SecondTensor(Tensor):
    """A tensor of the second device; `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls: Any, held: Tensor) -> Any:
        tensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device(NAME, 0),
            requires_grad=False,
        )
        tensor.held = held
        return tensor

    def __repr__(self, **_: Any) -> str:
        return f"SecondTensor({self.held})"

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def new_tensor(self, data: Any, **how: Any) -> Tensor:
        return torch.tensor(data, **{"device": self.device, "dtype": self.dtype, **how})

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.detach().cpu().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Placing(TorchDispatchMode):
    """New tensors are laid where they are asked for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _SecondGenerator(torch.Generator):
    """Random numbers of the device that it was made for: on this one, the CPU's."""

    def __new__(cls, device: Any = "cpu") -> Any:
        generator = super().__new__(cls)
        _GENERATORS[generator._cdata] = torch.device(device)
        return generator

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return _GENERATORS[self._cdata]


def _tensor(data: Any, *, device: Any = None, make: Any = torch.tensor, **how: Any) -> Tensor:
    """As `torch.tensor`, which asks no mode where its values go."""
    return cast(Tensor, make(data, **how).to(device))


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat = pytree.tree_leaves((args, kwargs))
    on_second = any(isinstance(x, SecondTensor) for x in flat)
    to = next((x for x in flat if isinstance(x, torch.device)), None)
    to_second = on_second if to is None else to.type == NAME
    generator = kwargs.get("generator")
    if not on_second and not to_second and generator is None:
        return func(*args, **kwargs)
    if on_second and func not in _COPIES:
        strangers = [x for x in flat if type(x) is not SecondTensor and isinstance(x, Tensor) and x.ndim]
        if strangers and not _indexes_only(func, args):
            raise RuntimeError(f"{func}: expected all tensors on one device, found {NAME} and cpu")
    if generator is not None and _GENERATORS.get(generator._cdata, CPU).type != (
        NAME if to_second else "cpu"
    ):
        raise RuntimeError(f"{func}: expected a generator of the device of its result")
    plain_args, plain_kwargs = pytree.tree_map(_held, (args, kwargs))
    result = func(*plain_args, **plain_kwargs)
    if not to_second or func is torch.ops.aten._local_scalar_dense.default:
        return result.clone() if isinstance(result, Tensor) and on_second is not to_second else result
    if func is torch.ops.aten.copy_.default and not isinstance(args[0], SecondTensor):
        return args[0]
    result = pytree.tree_map(lambda x: SecondTensor(x) if isinstance(x, Tensor) else x, result)
    return return_and_correct_aliasing(func, args, kwargs, result) if on_second else result


def _indexes_only(func: Any, args: Any) -> bool:
    """Whether the CPU's tensors are but indexes, which torch lets pass."""
    name = func.overloadpacket.__name__
    return name in ("index", "index_put_", "index_put", "_index_put_impl_") and isinstance(
        args[0], SecondTensor
    )


def _held(x: Any) -> Any:
    """What stands in for it on the CPU."""
    if isinstance(x, torch.device):
        return CPU
    return x.held if isinstance(x, SecondTensor) else x


@cache
def _registered() -> None:
    from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

    module = _DummyBackendModule()
    module.get_amp_supported_dtype = lambda: [torch.bfloat16]  # type: ignore[attr-defined]
    library = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    library.fallback(torch.library.fallthrough_kernel)
    _registered.library = library  # type: ignore[attr-defined]
    _setup_privateuseone_for_python_backend(NAME, backend_module=module)


@contextmanager
def second_device() -> Iterator[torch.device]:
    """In this context there is a second device: this one."""
    _registered()
    swap = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(
        True
    )  # optimisers keep their parameters, as with a GPU
    try:
        with pytest.MonkeyPatch.context() as patch, _Placing():
            patch.setattr(torch, "Generator", _SecondGenerator)
            patch.setattr(torch, "tensor", _tensor)
            yield torch.device(NAME, 0)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swap)


class _DrawingOnCpu(TorchDispatchMode):
    """Random numbers come from the CPU, wherever they go."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is None:
            return func(*args, **kwargs)
        to = torch.device("cuda" if _GENERATORS[kwargs["generator"]._cdata].type == "cuda" else "cpu")
        plain_args, plain_kwargs = pytree.tree_map(_on_cpu, (args, kwargs))
        result = func(*plain_args, **plain_kwargs)
        if args and isinstance(args[0], Tensor) and result is plain_args[0]:
            return args[0].copy_(result)
        return result.to(to)


def _on_cpu(x: Any) -> Any:
    if isinstance(x, torch.device):
        return CPU
    return x.cpu() if isinstance(x, Tensor) else x


@contextmanager
def gpu() -> Iterator[torch.device]:
    """In this context the GPU draws what the CPU does."""
    torch.backends.cudnn.allow_tf32 = False
    with pytest.MonkeyPatch.context() as patch, _DrawingOnCpu():
        patch.setattr(torch, "Generator", _SecondGenerator)
        yield torch.device("cuda", 0)


def with_second_device(function: Any, *arguments: Any) -> Any:
    """What the function gives for the second device and the arguments."""
    with gpu() if torch.cuda.is_available() else second_device() as device:
        return function(device, *arguments)
