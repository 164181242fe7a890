"""Run workloads on a Kubernetes cluster."""
