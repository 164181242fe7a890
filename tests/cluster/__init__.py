"""A real Kubernetes cluster on this machine, for tests and development."""
