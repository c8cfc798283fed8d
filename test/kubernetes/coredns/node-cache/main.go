// A stand-in for NodeLocal DNSCache, whose module no proxy serves: its flags, the variables of its Corefile, an interface with its
// addresses, and CoreDNS. With an interface it does what node-cache does without iptables rules ("-setupiptables=false").
package main

import (
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/coredns/coredns/coremain"
	"github.com/vishvananda/netlink"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/reload"
)

func main() {
	// CoreDNS has flags of its own.
	flags := flag.NewFlagSet("node-cache", flag.ExitOnError)
	addresses := flags.String("localip", "169.254.20.10", "addresses to listen on, with commas between")
	conf := flags.String("conf", "/etc/Corefile", "where the Corefile is written")
	base := flags.String("basecorefile", "/etc/coredns/Corefile.base", "the Corefile with its variables")
	service := flags.String("upstreamsvc", "kube-dns", "name of the Service in this namespace that is asked")
	flags.String("pidfile", "", "ignored")
	// It ends the program itself where they are wrong.
	_ = flags.Parse(os.Args[1:])
	if err := listenOn(strings.Split(*addresses, ",")); err != nil {
		log.Fatal(err)
	}
	if err := write(*conf, *base, *service); err != nil {
		log.Fatal(err)
	}
	os.Args = []string{os.Args[0], "-conf", *conf}
	coremain.Run()
}

// A bridge without ports: some kernels have no dummy interfaces.
func listenOn(addresses []string) error {
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "nodelocaldns"}}
	if err := netlink.LinkAdd(link); err != nil && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	for _, text := range addresses {
		address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(text), Mask: net.CIDRMask(32, 32)}}
		if err := netlink.AddrAdd(link, address); err != nil && !errors.Is(err, syscall.EEXIST) {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

func write(conf, base, service string) error {
	text, err := os.ReadFile(base)
	if err != nil {
		return err
	}
	variable := strings.ReplaceAll(strings.ToUpper(service), "-", "_") + "_SERVICE_HOST"
	values := strings.NewReplacer(
		"__PILLAR__CLUSTER__DNS__", os.Getenv(variable),
		"__PILLAR__UPSTREAM__SERVERS__", "/etc/resolv.conf",
	)
	return os.WriteFile(conf, []byte(values.Replace(string(text))), 0o644)
}
