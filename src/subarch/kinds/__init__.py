"""What an answer is: one file a kind of task, each with all that the stages have to know of it."""
