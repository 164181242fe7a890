package main

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

const zone = "svc.cluster.local"

type resolver struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// Answer A questions below svc.cluster.local; nothing else is known here, and nobody else is asked.
func names() error {
	_, client, err := connect()
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	one := &resolver{factory.Core().V1().Services().Lister(), factory.Discovery().V1().EndpointSlices().Lister()}
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	packets, err := net.ListenPacket("udp", ":53")
	if err != nil {
		return err
	}
	streams, err := net.Listen("tcp", ":53")
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	go func() { failed <- one.udp(packets) }()
	go func() { failed <- one.tcp(streams) }()
	go func() {
		failed <- http.ListenAndServe(":8081", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}()
	return <-failed
}

func (r *resolver) udp(packets net.PacketConn) error {
	buffer := make([]byte, 4096)
	for {
		count, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return err
		}
		if reply := r.reply(buffer[:count], 1200); reply != nil {
			_, _ = packets.WriteTo(reply, from)
		}
	}
}

func (r *resolver) tcp(streams net.Listener) error {
	for {
		stream, err := streams.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer stream.Close()
			_ = stream.SetDeadline(time.Now().Add(5 * time.Second))
			var length [2]byte
			for {
				if _, err := io.ReadFull(stream, length[:]); err != nil {
					return
				}
				question := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(stream, question); err != nil {
					return
				}
				reply := r.reply(question, 65535)
				if reply == nil {
					return
				}
				binary.BigEndian.PutUint16(length[:], uint16(len(reply)))
				_, _ = stream.Write(append(length[:], reply...))
			}
		}()
	}
}

func (r *resolver) reply(packet []byte, most int) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(packet)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	addresses, alias, known := r.find(strings.ToLower(strings.TrimSuffix(question.Name.String(), ".")))
	message := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
		},
		Questions: []dnsmessage.Question{question},
	}
	if !known {
		message.RCode = dnsmessage.RCodeNameError
	}
	common := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 5}
	if alias != "" {
		if name, err := dnsmessage.NewName(alias + "."); err == nil {
			message.Answers = append(message.Answers, dnsmessage.Resource{Header: common, Body: &dnsmessage.CNAMEResource{CNAME: name}})
		}
	}
	if question.Type == dnsmessage.TypeA {
		for _, address := range addresses {
			if ip := net.ParseIP(address).To4(); ip != nil {
				message.Answers = append(message.Answers, dnsmessage.Resource{Header: common, Body: &dnsmessage.AResource{A: [4]byte(ip)}})
			}
		}
	}
	packed, err := message.Pack()
	if err == nil && len(packed) > most {
		message.Answers, message.Truncated = nil, true
		packed, err = message.Pack()
	}
	if err != nil {
		return nil
	}
	return packed
}

// Addresses of SERVICE.NAMESPACE or HOST.SERVICE.NAMESPACE below the zone; whether there is such a name.
func (r *resolver) find(name string) (addresses []string, alias string, known bool) {
	below, ok := strings.CutSuffix(name, "."+zone)
	if !ok {
		return nil, "", name == zone || name == "cluster.local"
	}
	words := strings.Split(below, ".")
	host := ""
	if len(words) == 3 {
		host, words = words[0], words[1:]
	}
	if len(words) != 2 {
		return nil, "", false
	}
	service, err := r.services.Services(words[1]).Get(words[0])
	if err != nil {
		return nil, "", false
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil, service.Spec.ExternalName, true
	}
	if service.Spec.ClusterIP != corev1.ClusterIPNone {
		return []string{service.Spec.ClusterIP}, "", host == ""
	}
	slices, _ := r.slices.EndpointSlices(words[1]).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: words[0]}))
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			named := host == "" || (endpoint.Hostname != nil && *endpoint.Hostname == host)
			if ready && named {
				addresses = append(addresses, endpoint.Addresses...)
			}
		}
	}
	return addresses, "", host == "" || len(addresses) > 0
}
