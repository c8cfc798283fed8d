// Enforces the NetworkPolicies of a cluster on this node, for Pods whose packets come by queue 100 (`-j NFQUEUE --queue-num 100`).
// The controller of sigs.k8s.io/kube-network-policies decides. It queues packets by nftables itself where the kernel can; the rules of
// the tests do it by iptables, for kernels without CONFIG_NFT_QUEUE.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how the API server is reached")
	node := flag.String("node", "", "the name of this node")
	flag.Parse()
	if err := run(*kubeconfig, *node); err != nil {
		log.Fatal(err)
	}
}

func run(kubeconfig, node string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	objects := informers.NewSharedInformerFactory(client, 0)
	policies := objects.Networking().V1().NetworkPolicies()
	namespaces, pods := objects.Core().V1().Namespaces(), objects.Core().V1().Pods()
	controller, err := networkpolicy.NewController(client, policies, namespaces, pods, nil, nil, nil, nil,
		networkpolicy.Config{NodeName: node, QueueID: 100})
	if err != nil {
		return err
	}
	// It removes its nftables rules when it ends.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	objects.Start(ctx.Done())
	return controller.Run(ctx)
}
