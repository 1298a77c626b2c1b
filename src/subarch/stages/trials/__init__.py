"""What `search` is made of: its settings, its trials, what they share, their driver and their record."""
