"""What a stage reads: the task's data and models, and whether they fit together, before anything is trained."""
