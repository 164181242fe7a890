output "kubeconfig" {
  description = "Writes the access of whoever calls it: gcloud's own."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.own.name} --region ${var.region} --project ${var.project}"
}

output "registry" {
  description = "Where images are pushed to."
  value       = local.registry
}

output "address" {
  description = "The command that prints the address for the DNS record *.<domain>."
  value       = "kubectl get service leeward -n leeward -o jsonpath='{.status.loadBalancer.ingress[0].ip}'"
}
