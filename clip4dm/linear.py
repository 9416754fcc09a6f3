"""Matrix products without gradients, by the faster of PyTorch's two CPU libraries.

PyTorch multiplies fp32 matrices on a CPU with MKL, which leaves the wide vector units of AMD's processors unused;
oneDNN, which comes with PyTorch and which it takes for bf16, uses them. Its products are the same but for
rounding, and the same bits for any number of threads and rows.
"""

from __future__ import annotations

import functools
import platform

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear: x (..., in), weight (out, in), bias (out,) -> (..., out)."""
    if (x.dtype != torch.float32 or x.device.type != "cpu" or torch.is_grad_enabled() or x.numel() == 0
            or not onednn_is_faster()):
        return F.linear(x, weight, bias)
    return _onednn()(x.contiguous(), weight.contiguous(), bias, "none", [], "")


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this is an AMD processor with AVX-512. A property of the machine, never measured: results must repeat."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or _onednn() is None:
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return any(line.startswith("vendor_id") and "AMD" in line for line in file)
    except OSError:
        return "AMD" in platform.processor()


@functools.cache
def _onednn():
    """PyTorch's operator, which its compiler uses too; None where it is not there or does otherwise."""
    try:
        operator = torch.ops.mkldnn._linear_pointwise.default
        x, weight, bias = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3), torch.ones(4)
        with torch.no_grad():
            same = torch.equal(operator(x, weight, bias, "none", [], ""), F.linear(x, weight, bias))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return operator if same else None
