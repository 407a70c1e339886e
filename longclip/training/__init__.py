"""Training: recipes, batches, and the loop that turns them into a model."""
