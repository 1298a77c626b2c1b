"""What happened: the record of every run, on MLflow."""
