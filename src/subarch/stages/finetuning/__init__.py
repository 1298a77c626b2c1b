"""What `finetune` is made of: its settings, one training, a suite of them, and the folder of the result."""
