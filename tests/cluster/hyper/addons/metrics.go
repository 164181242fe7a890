package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	api "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	groupVersion = "metrics.k8s.io/v1beta1"
	often        = 4 * time.Second
)

// One count of CPU seconds, and when it was taken.
type sample struct {
	seconds float64
	at      time.Time
}

type usage struct {
	last, before sample
	memory       int64
}

type meter struct {
	lock   sync.Mutex
	usages map[string]usage // "namespace/pod/container", or "node"
	pods   corelisters.PodLister
	nodes  corelisters.NodeLister
	http   *http.Client
}

var line = regexp.MustCompile(`^(container_cpu_usage_seconds_total|container_memory_working_set_bytes|node_cpu_usage_seconds_total|node_memory_working_set_bytes)(?:\{([^}]*)\})? (\S+) (\d+)$`)
var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

// Serve what the kubelets count as the API from which autoscalers read.
func metrics() error {
	config, client, err := connect()
	if err != nil {
		return err
	}
	// A kubelet's certificate carries its node's address, so the cluster's own trust will do.
	transport, err := rest.TransportFor(rest.CopyConfig(config))
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	one := &meter{
		usages: map[string]usage{}, pods: factory.Core().V1().Pods().Lister(), nodes: factory.Core().V1().Nodes().Lister(),
		http: &http.Client{Transport: transport, Timeout: 3 * time.Second},
	}
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	go func() {
		for ; ; time.Sleep(often) {
			one.look()
		}
	}()
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	server := &http.Server{Addr: ":8443", Handler: one, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	return server.ListenAndServeTLS("", "")
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"metrics"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func (m *meter) look() {
	nodes, _ := m.nodes.List(labels.Everything())
	seen := map[string]bool{}
	whole := true
	for _, node := range nodes {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				if err := m.read(node.Name, address.Address, seen); err != nil {
					whole = false
					fmt.Println("kubelet of", node.Name, "did not answer:", err)
				}
			}
		}
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	for key := range m.usages {
		if whole && !seen[key] {
			delete(m.usages, key)
		}
	}
}

func (m *meter) read(node, address string, seen map[string]bool) error {
	answer, err := m.http.Get("https://" + address + ":10250/metrics/resource")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %s", answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	m.lock.Lock()
	defer m.lock.Unlock()
	for lines.Scan() {
		found := line.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		value, _ := strconv.ParseFloat(found[3], 64)
		millis, _ := strconv.ParseInt(found[4], 10, 64)
		key := node
		if found[2] != "" {
			of := map[string]string{}
			for _, pair := range label.FindAllStringSubmatch(found[2], -1) {
				of[pair[1]] = pair[2]
			}
			key = of["namespace"] + "/" + of["pod"] + "/" + of["container"]
		}
		seen[key] = true
		one := m.usages[key]
		if strings.HasSuffix(found[1], "memory_working_set_bytes") {
			one.memory = int64(value)
		} else if now := (sample{value, time.UnixMilli(millis)}); now.at.After(one.last.at) {
			if value < one.last.seconds {
				one.last = sample{} // a container began anew
			}
			one.before, one.last = one.last, now
		}
		m.usages[key] = one
	}
	return lines.Err()
}

func (u usage) list() (corev1.ResourceList, metav1.Time, metav1.Duration, bool) {
	window := u.last.at.Sub(u.before.at)
	if u.before.at.IsZero() || window <= 0 {
		return nil, metav1.Time{}, metav1.Duration{}, false
	}
	nano := int64((u.last.seconds - u.before.seconds) / window.Seconds() * 1e9)
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(nano, resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(u.memory, resource.BinarySI),
	}, metav1.NewTime(u.last.at), metav1.Duration{Duration: window}, true
}

func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	words := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if len(words) < 3 || words[0] != "apis" || words[1]+"/"+words[2] != groupVersion {
		if r.URL.Path == "/readyz" || r.URL.Path == "/healthz" {
			return
		}
		http.NotFound(w, r)
		return
	}
	switch rest := words[3:]; {
	case len(rest) == 0:
		write(w, discovery())
	case rest[0] == "nodes":
		m.serveNodes(w, rest[1:], selector)
	case rest[0] == "pods":
		m.servePods(w, "", "", selector)
	case rest[0] == "namespaces" && len(rest) == 3 && rest[2] == "pods":
		m.servePods(w, rest[1], "", selector)
	case rest[0] == "namespaces" && len(rest) == 4 && rest[2] == "pods":
		m.servePods(w, rest[1], rest[3], selector)
	default:
		http.NotFound(w, r)
	}
}

func discovery() metav1.APIResourceList {
	verbs := metav1.Verbs{"get", "list"}
	return metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: groupVersion,
		APIResources: []metav1.APIResource{
			{Name: "nodes", Kind: "NodeMetrics", Verbs: verbs}, {Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: verbs},
		},
	}
}

func (m *meter) serveNodes(w http.ResponseWriter, name []string, selector labels.Selector) {
	nodes, _ := m.nodes.List(selector)
	list := api.NodeMetricsList{TypeMeta: metav1.TypeMeta{Kind: "NodeMetricsList", APIVersion: groupVersion}, Items: []api.NodeMetrics{}}
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, node := range nodes {
		if used, at, window, ok := m.usages[node.Name].list(); ok && (len(name) == 0 || name[0] == node.Name) {
			list.Items = append(list.Items, api.NodeMetrics{
				TypeMeta:   metav1.TypeMeta{Kind: "NodeMetrics", APIVersion: groupVersion},
				ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: node.Labels, CreationTimestamp: metav1.Now()},
				Timestamp:  at, Window: window, Usage: used,
			})
		}
	}
	if len(name) == 0 {
		write(w, list)
	} else if len(list.Items) == 1 {
		write(w, list.Items[0])
	} else {
		missing(w, "nodes", name[0])
	}
}

func (m *meter) servePods(w http.ResponseWriter, namespace, name string, selector labels.Selector) {
	pods, _ := m.pods.Pods(namespace).List(selector)
	list := api.PodMetricsList{TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: groupVersion}, Items: []api.PodMetrics{}}
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, pod := range pods {
		one := api.PodMetrics{
			TypeMeta:   metav1.TypeMeta{Kind: "PodMetrics", APIVersion: groupVersion},
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, Labels: pod.Labels, CreationTimestamp: metav1.Now()},
		}
		for _, container := range pod.Spec.Containers {
			if used, at, window, ok := m.usages[pod.Namespace+"/"+pod.Name+"/"+container.Name].list(); ok {
				one.Timestamp, one.Window = at, window
				one.Containers = append(one.Containers, api.ContainerMetrics{Name: container.Name, Usage: used})
			}
		}
		// An autoscaler takes a pod without one of its containers for a smaller pod.
		if len(one.Containers) == len(pod.Spec.Containers) && (name == "" || name == pod.Name) {
			list.Items = append(list.Items, one)
		}
	}
	if name == "" {
		write(w, list)
	} else if len(list.Items) == 1 {
		write(w, list.Items[0])
	} else {
		missing(w, "pods", name)
	}
}

func write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func missing(w http.ResponseWriter, kind, name string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: fmt.Sprintf("%s.metrics.k8s.io \"%s\" not found", kind, name),
	})
}
