// Command otel-collector is OpenTelemetry's collector with its OTLP receiver and one exporter of ours, which prints each message as
// the collector's own JSON. It takes the arguments that every collector takes: `--config=yaml:...`.
package main

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.uber.org/zap"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

type printer struct {
	component.StartFunc
	component.ShutdownFunc
	consumer.Traces
}

type config struct {
	// Refuse has a gRPC code for each of the first messages: 8 becomes 429, 14 becomes 503, each with Retry-After: 1; 3 becomes 400.
	Refuse []codes.Code `mapstructure:"refuse"`
}

func defaults() component.Config { return &config{} }

func refusal(code codes.Code) error {
	refused := status.New(code, "refused")
	retry := &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}
	if told, err := refused.WithDetails(retry); err == nil && code != codes.InvalidArgument {
		return told.Err()
	}
	return refused.Err()
}

func newPrinter(_ context.Context, _ exporter.Settings, given component.Config) (exporter.Traces, error) {
	refuse := given.(*config).Refuse
	var received atomic.Int64
	traces, err := consumer.NewTraces(func(_ context.Context, traces ptrace.Traces) error {
		if at := int(received.Add(1)) - 1; at < len(refuse) {
			return refusal(refuse[at])
		}
		text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		if err != nil {
			return err
		}
		_, err = fmt.Println(string(text))
		return err
	})
	return printer{Traces: traces}, err
}

// logs tells what the collector says of itself on standard error.
func logs(context.Context, telemetry.LoggerSettings, component.Config) (*zap.Logger, component.ShutdownFunc, error) {
	logger, err := zap.NewProduction()
	return logger, nil, err
}

func factories() (otelcol.Factories, error) {
	in := otlpreceiver.NewFactory()
	out := exporter.NewFactory(component.MustNewType("print"), defaults, exporter.WithTraces(newPrinter, component.StabilityLevelStable))
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{in.Type(): in},
		Exporters: map[component.Type]exporter.Factory{out.Type(): out},
		Telemetry: telemetry.NewFactory(func() component.Config { return &struct{}{} }, telemetry.WithCreateLogger(logs)),
	}, nil
}

func main() {
	providers := []confmap.ProviderFactory{yamlprovider.NewFactory()}
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "otel-collector", Description: "OpenTelemetry's collector, for tests"},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{ProviderFactories: providers, DefaultScheme: "yaml"},
		},
	})
	if err := command.Execute(); err != nil {
		log.Fatal(err)
	}
}
