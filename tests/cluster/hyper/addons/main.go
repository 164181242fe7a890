// Run one of the small services that a cluster for tests has beside its own parts.
//
//	addons names                  DNS for Services and their endpoints
//	addons metrics                the resource metrics API, from what the kubelets count
//	addons policies NODE          NetworkPolicies as rules of the kernel, for the pods of one node
package main

import (
	"fmt"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	way := ""
	if len(os.Args) > 1 {
		way = os.Args[1]
	}
	var err error
	switch way {
	case "names":
		err = names()
	case "metrics":
		err = metrics()
	case "policies":
		err = policies(os.Args[2])
	default:
		err = fmt.Errorf("no addon is called '%s'; there are names, metrics, policies", way)
	}
	fmt.Fprintln(os.Stderr, "Error:", err)
	os.Exit(1)
}

// The cluster that KUBECONFIG names, else the one that this process is a pod of.
func connect() (*rest.Config, *kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, nil, err
	}
	config.QPS, config.Burst = 50, 100
	client, err := kubernetes.NewForConfig(config)
	return config, client, err
}
