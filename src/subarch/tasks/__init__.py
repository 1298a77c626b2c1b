"""What a model must learn: tasks, their data, how they are encoded and batched, how answers are scored."""
