"""Pictures with captions to fine-tune on: files of several formats in, pairs out, and the policies that draw from them."""
