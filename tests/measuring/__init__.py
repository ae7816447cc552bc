"""What is measured, how it is merged, and measurements from elsewhere."""
