"""No progress bars of diffusers and transformers while weights are read."""

from __future__ import annotations


def hide_loading_bars() -> None:
    """Switch them off, for the whole process: the app says itself what it loads, and its log is for other things."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
