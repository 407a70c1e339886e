"""Where models compute: the fastest device there is, or the one that was asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: What stands for the fastest device there is, on the command line.
AUTO = "auto"


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of a name; for None or "auto" the fastest there is: cuda, then mps, then cpu.

    Under `torchrun` "cuda" is each process's own. Raises ValueError for a name of no device, and for one that is not here.
    """
    import torch

    there = _devices()
    if name is None or name == AUTO:
        name = there[0]
    wanted = f"wanted {AUTO} or one of {', '.join(there)}"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name!r} is no device that torch knows; {wanted}") from error
    if device.type not in there:
        raise ValueError(f"device {str(name)!r}: this machine has no {device.type.upper()} device that torch can use; {wanted}")
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count()
    number = device.index if device.index is not None else int(os.environ.get("LOCAL_RANK", 0)) % count
    if number >= count:
        raise ValueError(f"device {str(name)!r}: this machine has {count} CUDA devices, counted from 0; {wanted}")
    return torch.device("cuda", number)


def _devices() -> list[str]:
    """The kinds of device that torch can use here, the fastest first."""
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, here in found.items() if here]
