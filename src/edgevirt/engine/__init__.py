"""The embedded Kubernetes: a small control plane that knows nothing about virtual machines."""
