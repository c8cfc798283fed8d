// Command argo-cd-plugin asks Argo CD's own server of config management plugins for the manifests of an application, as the
// repository server does, and prints them: `argo-cd-plugin CONFIG APPLICATION [NAME=VALUE...]`. CONFIG: a folder with plugin.yaml;
// APPLICATION: the folder of its manifests; then what Argo CD tells the plugin in its environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/argoproj/argo-cd/v3/cmpserver"
	"github.com/argoproj/argo-cd/v3/cmpserver/apiclient"
	"github.com/argoproj/argo-cd/v3/cmpserver/plugin"
	"github.com/argoproj/argo-cd/v3/util/cmp"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder, application string, env []string) error {
	config, err := plugin.ReadPluginConfig(folder)
	if err != nil {
		return err
	}
	server, err := cmpserver.NewServer(plugin.CMPServerInitConstants{PluginConfig: *config})
	if err != nil {
		return err
	}
	go server.Run()
	if err := appears(config.Address()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connection, client, err := apiclient.NewConfigManagementPluginClientSet(config.Address()).NewConfigManagementPluginClient()
	if err != nil {
		return err
	}
	defer connection.Close()
	stream, err := client.GenerateManifest(ctx)
	if err != nil {
		return err
	}
	if err := cmp.SendRepoStream(ctx, application, application, stream, env, nil); err != nil {
		return err
	}
	response, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	for _, manifest := range response.Manifests {
		fmt.Println("---\n" + manifest)
	}
	return nil
}

// appears waits until the server listens.
func appears(socket string) error {
	for range 200 {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New(socket + ": the plugin server did not listen within 10 s")
}
