package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const top = "LEEWARD"

// What the cluster holds now, as one node's rules depend on it.
type world struct {
	node   string
	pods   []*corev1.Pod
	spaces []*corev1.Namespace
}

// Sets of addresses, and for each pod chains that return what is let through and refuse the rest.
type rendered struct {
	members map[string][]string
	hooks   map[string][]string // FORWARD and INPUT
	pods    map[string][]string // chain to rules
}

func lives(pod *corev1.Pod) bool {
	return pod.Status.PodIP != "" && !pod.Spec.HostNetwork && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

func selects(selector *metav1.LabelSelector, of map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(of))
}

func has(policy *networkingv1.NetworkPolicy, kind networkingv1.PolicyType) bool {
	for _, one := range policy.Spec.PolicyTypes {
		if one == kind {
			return true
		}
	}
	return false
}

func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:16]
}

func (w *world) render(policies []*networkingv1.NetworkPolicy) *rendered {
	made := &rendered{members: map[string][]string{}, hooks: map[string][]string{}, pods: map[string][]string{}}
	for _, hook := range []string{"FORWARD", "INPUT"} {
		made.hooks[hook] = []string{"-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"}
	}
	sort.Slice(policies, func(i, j int) bool { return policies[i].UID < policies[j].UID })
	sort.Slice(w.pods, func(i, j int) bool { return w.pods[i].UID < w.pods[j].UID })
	for _, pod := range w.pods {
		if pod.Spec.NodeName != w.node || !lives(pod) {
			continue
		}
		var in, out []*networkingv1.NetworkPolicy
		for _, policy := range policies {
			if policy.Namespace == pod.Namespace && selects(&policy.Spec.PodSelector, pod.Labels) {
				if has(policy, networkingv1.PolicyTypeIngress) {
					in = append(in, policy)
				}
				if has(policy, networkingv1.PolicyTypeEgress) {
					out = append(out, policy)
				}
			}
		}
		name := short(string(pod.UID))
		if in != nil {
			chain := top + "-I-" + name
			made.hooks["FORWARD"] = append(made.hooks["FORWARD"], "-d "+pod.Status.PodIP+" -j "+chain)
			made.pods[chain] = w.chain(made, pod, in, true)
		}
		if out != nil {
			chain := top + "-E-" + name
			for _, hook := range []string{"FORWARD", "INPUT"} {
				made.hooks[hook] = append(made.hooks[hook], "-s "+pod.Status.PodIP+" -j "+chain)
			}
			made.pods[chain] = w.chain(made, pod, out, false)
		}
	}
	return made
}

func (w *world) chain(made *rendered, pod *corev1.Pod, policies []*networkingv1.NetworkPolicy, ingress bool) []string {
	var rules []string
	for _, policy := range policies {
		if ingress {
			for _, rule := range policy.Spec.Ingress {
				rules = append(rules, w.rules(made, pod, policy.Namespace, rule.From, rule.Ports, "src")...)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				rules = append(rules, w.rules(made, pod, policy.Namespace, rule.To, rule.Ports, "dst")...)
			}
		}
	}
	return append(rules, "-j REJECT --reject-with icmp-port-unreachable")
}

func (w *world) rules(made *rendered, pod *corev1.Pod, space string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, side string) []string {
	match := ""
	var named []*corev1.Pod
	if side == "src" {
		named = []*corev1.Pod{pod}
	}
	if len(peers) > 0 {
		addresses, matched := w.addresses(space, peers)
		if side == "dst" {
			named = matched
		}
		name := "lee-" + short(strings.Join(addresses, ","))
		made.members[name] = addresses
		match = "-m set --match-set " + name + " " + side + " "
	}
	if len(ports) == 0 {
		return []string{match + "-j RETURN"}
	}
	var rules []string
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		if port.Port == nil {
			rules = append(rules, match+"-p "+protocol+" -j RETURN")
			continue
		}
		for _, number := range numbers(port, protocol, named) {
			rules = append(rules, match+"-p "+protocol+" --dport "+number+" -j RETURN")
		}
	}
	return rules
}

func numbers(port networkingv1.NetworkPolicyPort, protocol string, pods []*corev1.Pod) []string {
	if port.Port.Type == intstr.Int {
		if port.EndPort != nil {
			return []string{fmt.Sprintf("%d:%d", port.Port.IntVal, *port.EndPort)}
		}
		return []string{fmt.Sprint(port.Port.IntVal)}
	}
	found := map[string]bool{}
	for _, pod := range pods {
		for _, container := range pod.Spec.Containers {
			for _, one := range container.Ports {
				if one.Name == port.Port.StrVal && strings.EqualFold(string(one.Protocol), protocol) {
					found[fmt.Sprint(one.ContainerPort)] = true
				}
			}
		}
	}
	return keys(found)
}

func (w *world) addresses(space string, peers []networkingv1.NetworkPolicyPeer) ([]string, []*corev1.Pod) {
	found := map[string]bool{}
	var matched []*corev1.Pod
	for _, peer := range peers {
		if peer.IPBlock != nil {
			for _, block := range halves(peer.IPBlock.CIDR) {
				found[block] = true
			}
			for _, except := range peer.IPBlock.Except {
				for _, block := range halves(except) {
					found[block+" nomatch"] = true
				}
			}
			continue
		}
		for _, pod := range w.pods {
			if lives(pod) && w.inside(pod.Namespace, space, peer.NamespaceSelector) &&
				(peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)) {
				found[pod.Status.PodIP+"/32"] = true
				matched = append(matched, pod)
			}
		}
	}
	return keys(found), matched
}

func (w *world) inside(name, space string, selector *metav1.LabelSelector) bool {
	if selector == nil {
		return name == space
	}
	for _, one := range w.spaces {
		if one.Name == name {
			return selects(selector, one.Labels)
		}
	}
	return false
}

// A set of networks cannot hold the whole world at once, nor what is not IPv4.
func halves(block string) []string {
	_, parsed, err := net.ParseCIDR(block)
	if err != nil || parsed.IP.To4() == nil {
		return nil
	}
	if ones, _ := parsed.Mask.Size(); ones == 0 {
		return []string{"0.0.0.0/1", "128.0.0.0/1"}
	}
	return []string{parsed.String()}
}

func keys[T any](of map[string]T) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (r *rendered) sets() string {
	var text strings.Builder
	for _, name := range keys(r.members) {
		next := name + "-n"
		fmt.Fprintf(&text, "create %s hash:net -exist\ncreate %s hash:net -exist\nflush %s\n", name, next, next)
		for _, member := range r.members[name] {
			fmt.Fprintf(&text, "add %s %s\n", next, member)
		}
		fmt.Fprintf(&text, "swap %s %s\ndestroy %s\n", next, name, next)
	}
	return text.String()
}

// The chains of pods that are `gone` are declared, and so emptied, before they are removed.
func (r *rendered) chains(gone []string) string {
	var text strings.Builder
	text.WriteString("*filter\n")
	for _, chain := range gone {
		fmt.Fprintf(&text, ":%s - [0:0]\n", chain)
	}
	for _, hook := range keys(r.hooks) {
		fmt.Fprintf(&text, ":%s-%s - [0:0]\n", top, hook)
	}
	for _, chain := range keys(r.pods) {
		fmt.Fprintf(&text, ":%s - [0:0]\n", chain)
	}
	for _, hook := range keys(r.hooks) {
		for _, rule := range r.hooks[hook] {
			fmt.Fprintf(&text, "-A %s-%s %s\n", top, hook, rule)
		}
	}
	for _, chain := range keys(r.pods) {
		for _, rule := range r.pods[chain] {
			fmt.Fprintf(&text, "-A %s %s\n", chain, rule)
		}
	}
	for _, chain := range gone {
		fmt.Fprintf(&text, "-X %s\n", chain)
	}
	text.WriteString("COMMIT\n")
	return text.String()
}
