"""No progress bars of diffusers and transformers while weights are read."""

from __future__ import annotations


def hide_loading_bars() -> None:
    """Switch them off, for the whole process.

    A bar takes tqdm's lock, which is shared with forked processes: a thread that loads a model behind one has been seen to wait
    for it for ever, in a process that had trained before.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
