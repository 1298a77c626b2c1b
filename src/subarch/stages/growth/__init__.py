"""What Agora is made of: who is admitted, where Timaeus is trained, which points are added."""
