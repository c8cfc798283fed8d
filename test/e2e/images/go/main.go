// The same as probe.c, by Go's own resolver.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "cat" {
		text, err := os.ReadFile(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(string(text))
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "lookup" {
		began := time.Now()
		found, err := net.LookupHost(os.Args[2])
		took := float64(time.Since(began).Microseconds()) / 1e3
		if err != nil {
			fmt.Printf("%v %.1f\n", err, took)
			os.Exit(2)
		}
		fmt.Printf("%s %.1f\n", strings.Join(found, " "), took)
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
}
