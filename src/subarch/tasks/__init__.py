"""What a model must learn: tasks, their data, how it is encoded and batched, and how predictions are scored."""
