// Looks up one name, once: prints `asking`, then its time and result as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

type result struct {
	Milliseconds float64  `json:"ms"`
	Addresses    []string `json:"addresses"`
	Error        string   `json:"error"`
}

func main() {
	fmt.Println("asking")
	start := time.Now()
	addresses, err := net.DefaultResolver.LookupHost(context.Background(), os.Args[1])
	found := result{float64(time.Since(start).Microseconds()) / 1000, append([]string{}, addresses...), ""}
	var failure *net.DNSError
	if errors.As(err, &failure) {
		found.Error = failure.Err
	} else if err != nil {
		found.Error = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(found)
}
