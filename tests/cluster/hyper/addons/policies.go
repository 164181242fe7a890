package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const settle = 50 * time.Millisecond

// Keep the rules of one node's kernel as the NetworkPolicies say.
func policies(node string) error {
	_, client, err := connect()
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, spaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	rules := factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { poke() }, UpdateFunc: func(any, any) { poke() }, DeleteFunc: func(any) { poke() },
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), spaces.Informer(), rules.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	before, sets, chains := "", map[string]bool{}, map[string]bool{}
	for range changed {
		time.Sleep(settle)
		world := &world{node: node}
		world.pods, _ = pods.Lister().List(labels.Everything())
		world.spaces, _ = spaces.Lister().List(labels.Everything())
		var all []*networkingv1.NetworkPolicy
		all, _ = rules.Lister().List(labels.Everything())
		made := world.render(all)
		text := made.sets() + made.chains(nil)
		if text == before {
			continue
		}
		if err := made.apply(sets, chains); err != nil {
			fmt.Println("the rules were not applied:", err)
			time.Sleep(time.Second)
			poke()
			continue
		}
		before = text
	}
	return nil
}

func send(text string, argv ...string) error {
	command := exec.Command(argv[0], argv[1:]...)
	command.Stdin = bytes.NewBufferString(text)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, out)
	}
	return nil
}

// Sets first, for the chains name them; then what is named no more goes.
func (r *rendered) apply(known, chains map[string]bool) error {
	if err := send(r.sets(), "ipset", "restore"); err != nil {
		return err
	}
	var gone []string
	for chain := range chains {
		if _, ok := r.pods[chain]; !ok {
			gone = append(gone, chain)
		}
	}
	if err := send(r.chains(gone), "iptables-restore", "--noflush", "-w", "5"); err != nil {
		return err
	}
	for _, hook := range []string{"FORWARD", "INPUT"} {
		rule := []string{hook, "-j", top + "-" + hook}
		if send("", append([]string{"iptables", "-w", "5", "-C"}, rule...)...) != nil {
			if err := send("", append([]string{"iptables", "-w", "5", "-I"}, rule...)...); err != nil {
				return err
			}
		}
	}
	clear(chains)
	for chain := range r.pods {
		chains[chain] = true
	}
	for name := range known {
		if _, ok := r.members[name]; !ok && send("", "ipset", "destroy", name) == nil {
			delete(known, name)
		}
	}
	for name := range r.members {
		known[name] = true
	}
	return nil
}
