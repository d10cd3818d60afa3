"""What could keep this machine from training, or make it train otherwise than others do."""
