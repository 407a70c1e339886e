"""Text to image: a diffusion pipeline that reads its prompt with another CLIP or Long-CLIP, and what it draws then.

`pipelines.load_pipeline` -> `pipelines.swap` -> `prompts.embed` -> `drawing.draw`. Nothing here changes a pipeline it is given.
"""
