"""The embedded diffusion pipeline: an autoencoder, a U-Net on its latents, and a detector that judges what is drawn.

Trained in this order on scenes of the picture book: autoencoder -> latents of many scenes -> U-Net, which reads the frozen
`picturebook-clip`; the detector learns from scenes and from what the autoencoder makes of them. `train` does it all.
"""
