"""What runs workloads."""
