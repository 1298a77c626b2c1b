"""What `pretrain` is made of besides its stage: its settings, its models, and what they will take."""
