// A stand-in for NodeLocal DNSCache, whose module no proxy serves: its flags, the variables of its Corefile, an interface with its
// addresses, its iptables rules, and CoreDNS. As there, interface and rules go when the program ends in order, and stay if it is killed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/coredns/caddy"
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

const device = "nodelocaldns"

func main() {
	// CoreDNS has flags of its own.
	flags := flag.NewFlagSet("node-cache", flag.ExitOnError)
	given := flags.String("localip", "169.254.20.10", "addresses to listen on, with commas between")
	conf := flags.String("conf", "/etc/Corefile", "where the Corefile is written")
	base := flags.String("basecorefile", "/etc/coredns/Corefile.base", "the Corefile with its variables")
	service := flags.String("upstreamsvc", "kube-dns", "name of the Service in this namespace that is asked")
	setUpRules := flags.Bool("setupiptables", true, "take packets to and from the addresses out of conntrack")
	flags.String("pidfile", "", "ignored")
	// It ends the program itself where they are wrong.
	_ = flags.Parse(os.Args[1:])
	addresses := strings.Split(*given, ",")
	if err := listenOn(addresses); err != nil {
		log.Fatal(err)
	}
	if err := write(*conf, *base, *service); err != nil {
		log.Fatal(err)
	}
	if *setUpRules {
		// Not before CoreDNS answers: without conntrack the Service's address is translated no more.
		caddy.RegisterEventHook("rules", func(event caddy.EventName, _ any) error {
			if event != caddy.InstanceStartupEvent {
				return nil
			}
			return setRules(addresses)
		})
	}
	caddy.OnProcessExit = append(caddy.OnProcessExit, func() {
		tearDown(addresses)
	})
	os.Args = []string{os.Args[0], "-conf", *conf}
	coremain.Run()
}

// A bridge without ports: some kernels have no dummy interfaces.
func listenOn(addresses []string) error {
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: device}}
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

// The rules that node-cache sets for each address (kubernetes/dns cmd/node-cache/app/cache_app.go, initIptables): table, chain, match, target.
func rules(address string) [][]string {
	var all [][]string
	for _, protocol := range []string{"tcp", "udp"} {
		to := []string{"-p", protocol, "-d", address, "--dport", "53"}
		from := []string{"-p", protocol, "-s", address, "--sport", "53"}
		all = append(all,
			rule("raw", "PREROUTING", to, "NOTRACK"),
			rule("filter", "INPUT", to, "ACCEPT"),
			rule("raw", "OUTPUT", from, "NOTRACK"),
			rule("filter", "OUTPUT", from, "ACCEPT"),
			rule("raw", "OUTPUT", to, "NOTRACK"),
		)
	}
	health := []string{"-p", "tcp", "-d", address, "--dport", "8080"}
	healthy := []string{"-p", "tcp", "-s", address, "--sport", "8080"}
	return append(all, rule("raw", "OUTPUT", health, "NOTRACK"), rule("raw", "OUTPUT", healthy, "NOTRACK"))
}

func rule(table, chain string, match []string, target string) []string {
	return append(append([]string{table, chain}, match...), "-j", target)
}

// command: -C checks, -I puts it first, -D deletes.
func iptables(command string, rule []string) error {
	words := append([]string{"-w", "-t", rule[0], command}, rule[1:]...)
	output, err := exec.Command("/usr/sbin/iptables", words...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(words, " "), err, output)
	}
	return nil
}

func setRules(addresses []string) error {
	for _, address := range addresses {
		for _, one := range rules(address) {
			if iptables("-C", one) == nil {
				continue
			}
			if err := iptables("-I", one); err != nil {
				return err
			}
		}
	}
	return nil
}

func tearDown(addresses []string) {
	for _, address := range addresses {
		for _, one := range rules(address) {
			_ = iptables("-D", one)
		}
	}
	if link, err := netlink.LinkByName(device); err == nil {
		_ = netlink.LinkDel(link)
	}
}
