"""What `compress` is made of: its settings, the plan of its budget, and the delivery with its report."""
