"""The commands of ``python -m longclip``, one module each: `HELP`, `add_arguments(parser)` and `run(args) -> exit code`."""
