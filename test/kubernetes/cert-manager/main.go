// Command cert-manager runs the parts of cert-manager that issue and renew certificates of Issuers `selfSigned` and `ca`, that
// write caBundles into registrations of webhooks, and that check what users write. cert-manager's own programs are modules that the Go
// module proxy does not have; what they run are packages of a module that it has. This module's path is below that one's, as theirs
// are: Go lets no others import its internal packages. -kubeconfig: how to log in to the API server; -certificate, -key: files of
// the webhook's certificate; -port: where it listens.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	kubernetes "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/cert-manager/cert-manager/internal/apis/config/shared"
	config "github.com/cert-manager/cert-manager/internal/apis/config/webhook"
	"github.com/cert-manager/cert-manager/internal/webhook"
	certmanager "github.com/cert-manager/cert-manager/pkg/client/clientset/versioned/scheme"
	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logs "github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/cert-manager/cert-manager/pkg/util"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Starts every controller that the imports above have registered.
func issue(ctx context.Context, kubeconfig string, failed chan<- error) error {
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{Kubeconfig: kubeconfig})
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	for name, construct := range controller.Known() {
		one, err := construct(factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		go func() { failed <- one.Run(2, ctx) }()
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	return nil
}

// Runs the injector of CAs until it fails.
func inject(ctx context.Context) error {
	rest, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		kubernetes.AddToScheme, certmanager.AddToScheme, apiextensions.AddToScheme, aggregator.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	// It gives the name under which fields are owned.
	rest = util.RestConfigWithUserAgent(rest, "cainjector")
	manager, err := ctrl.NewManager(rest, ctrl.Options{
		Scheme:  scheme,
		Cache:   cache.Options{ReaderFailOnMissingInformer: true},
		Client:  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		Metrics: metrics.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	if err := cainjector.RegisterAllInjectors(ctx, manager, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
		EnabledReconcilersFor:        map[string]bool{cainjector.MutatingWebhookConfigurationName: true},
	}); err != nil {
		return err
	}
	return manager.Start(ctx)
}

// Checks what users write, until it fails: /validate and /mutate.
func check(ctx context.Context, kubeconfig, certificate, key string, port int) error {
	files := shared.FilesystemServingConfig{CertFile: certificate, KeyFile: key}
	server, err := webhook.NewCertManagerWebhookServer(logs.Log, config.WebhookConfiguration{
		KubeConfig:           kubeconfig,
		SecurePort:           int32(port),
		TLSConfig:            shared.TLSConfig{Filesystem: files},
		MetricsListenAddress: "0",
	})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

func main() {
	certificate := flag.String("certificate", "", "the webhook's certificate")
	key := flag.String("key", "", "its key")
	port := flag.Int("port", 0, "where the webhook listens")
	flag.Parse()
	// The injector's library has this flag.
	kubeconfig := flag.Lookup("kubeconfig").Value.String()
	ctx := logs.NewContext(ctrl.SetupSignalHandler(), logs.Log)
	ctrl.SetLogger(logs.Log)
	failed := make(chan error)
	if err := issue(ctx, kubeconfig, failed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { failed <- inject(ctx) }()
	go func() { failed <- check(ctx, kubeconfig, *certificate, *key, *port) }()
	if err := <-failed; err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
