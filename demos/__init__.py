"""The tabs of the app, one module each: `build(context, page, selection)` plus handlers that a test can call."""
