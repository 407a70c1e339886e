"""Training objectives: one file each, features of a batch in, named losses out."""
