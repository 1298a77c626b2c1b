"""What `extract` is made of: the plan of a search, its candidates, their trainings and timings."""
