"""What surrounds a stage: its record and deadline, and the folder that it claims and finishes."""
