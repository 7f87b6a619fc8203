"""Where products of matrices may be taken in bfloat16, because they are faster so."""

import functools

import torch


@functools.cache
def has_half(device_type: str) -> bool:
    """Whether a device multiplies bfloat16 in hardware: every GPU that we train on, and some processors."""
    if device_type == "cuda":
        return True
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
