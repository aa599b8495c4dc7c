// Command gen writes gantry's copy of the AWS APIs that it answers: types, operation tables, errors and checks.
//
// It reads the published models where the AWS SDK for Go carries them: schemas at run time, and from its source text what
// the schemas lack. It is a module of its own so that the SDK stays out of gantry's. To follow a new version of an API,
// raise the version in go.mod, run `go run . -out ../../..` here, and read the diff.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
)

// sources are the services whose API is generated.
var sources = []Source{
	{
		Package: "ecsapi",
		Title:   "Amazon ECS",
		Module:  "github.com/aws/aws-sdk-go-v2/service/ecs",
		Client:  reflect.TypeFor[*ecs.Client](),
		Errors:  ecs.TypeRegistry,
		Limits:  ecsLimits,
		Own:     []string{"UpdateContainerInstancesStateInput.status"},
		Encoded: []string{"DescribeTasksOutput.tasks", "DescribeServicesOutput.services", "DescribeContainerInstancesOutput.containerInstances"},
		Private: []Private{
			{"RegisterContainerInstanceInput", "ClientToken", "clientToken"},
			{"DiscoverPollEndpointInput", "ZoneId", "zoneId"},
			{"DiscoverPollEndpointOutput", "SystemLogsEndpoint", "systemLogsEndpoint"},
		},
	},
	{
		Package: "logsapi",
		Title:   "Amazon CloudWatch Logs",
		Module:  "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs",
		Client:  reflect.TypeFor[*cloudwatchlogs.Client](),
		Errors:  cloudwatchlogs.TypeRegistry,
		Limits:  logsLimits,
	},
	{
		Package: "eventsapi",
		Title:   "Amazon EventBridge",
		Module:  "github.com/aws/aws-sdk-go-v2/service/eventbridge",
		Client:  reflect.TypeFor[*eventbridge.Client](),
		Errors:  eventbridge.TypeRegistry,
		Limits:  eventsLimits,
		Invalid: "ValidationException",
	},
}

func main() {
	out := flag.String("out", "../../..", "the root of gantry's source tree")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes the packages of every service below root, the root of gantry's source tree or an empty folder.
func run(root string) error {
	dir := filepath.Join(root, "internal", "wire")
	for _, from := range sources {
		svc, err := read(from)
		if err != nil {
			return fmt.Errorf("read the model of %s: %w", from.Title, err)
		}
		if err := write(svc, filepath.Join(dir, from.Package), filepath.Join(dir, "gen")); err != nil {
			return fmt.Errorf("write %s: %w", from.Package, err)
		}
		fmt.Printf("%s: %d operations, %d structures, %d enumerations, %d errors\n", from.Package, len(svc.Operations), len(svc.Structs), len(svc.Enums), len(svc.Errors))
	}
	return nil
}
