"""What numbers need of a machine: matrix products by the faster of PyTorch's two CPU libraries, rows of unit length.

The rule: oneDNN where PyTorch runs AVX-512 on an AMD processor, MKL (PyTorch's own choice) everywhere else. MKL keeps
AVX-512 for Intel's processors; oneDNN, which comes with PyTorch and which it takes for bf16, uses it on both. Measured
on the image tower's products (docs/numbers.md): 1.4 to 1.8 times as fast there, no gain with AVX2, a loss below that.
The products are the same but for rounding.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear: x (..., in), weight (out, in), bias (out,) -> (..., out), in x's dtype.

    The other library is asked for fp32 on the CPU alone, where no gradient is recorded.

    >>> linear(torch.ones(5, 2), torch.ones(3, 2)).shape
    torch.Size([5, 3])
    """
    fits = x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_grad_enabled() and x.numel() > 0
    operator = _onednn() if fits and onednn_is_faster() else None
    if operator is None:
        return F.linear(x, weight, bias)
    return operator(x.contiguous(), weight.contiguous(), bias, "none", [], "")


def unit_length(rows: Tensor) -> Tensor:
    """(n, width) -> the same, each row of length 1, also rows whose squares are too large or too small for fp32.

    By a power of two first, which changes no digit.

    >>> unit_length(torch.tensor([[3e30, 4e30]]))
    tensor([[0.6000, 0.8000]])
    """
    _, exponent = torch.frexp(rows.abs().amax(-1, keepdim=True))
    return F.normalize(torch.ldexp(rows, -exponent), dim=-1)


@functools.cache
def onednn_is_faster() -> bool:
    """The rule above. A property of the machine, never measured at run time: an interrupted run must repeat itself.

    >>> onednn_is_faster() in (True, False)
    True
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and _is_amd() and _onednn() is not None


def _is_amd() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return any(line.startswith("vendor_id") and "AMD" in line for line in file)
    except OSError:
        return "AMD" in platform.processor()


@functools.cache
def _onednn() -> Callable[..., Tensor] | None:
    """PyTorch's operator, which its compiler uses too; None where it is not there or does otherwise."""
    try:
        operator: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
        x, weight, bias = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3), torch.ones(4)
        with torch.no_grad():
            same = torch.allclose(operator(x, weight, bias, "none", [], ""), F.linear(x, weight, bias))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return operator if same else None
