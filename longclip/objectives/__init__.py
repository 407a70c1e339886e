"""Training objectives, one file each: features of a batch in, losses out. `combined` adds up those a recipe asks for."""
