"""What `prepare` is made of: its settings, and the way from texts to shards."""
