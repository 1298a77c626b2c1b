"""What `evaluate` is made of: its settings, a suite of tasks, and the data that are scored."""
