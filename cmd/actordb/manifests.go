package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"regexp"

	"github.com/google/go-jsonnet"

	"actordb/core/control"
	"actordb/internal/datadir"
)

//go:embed kubernetes.jsonnet
var kubernetes string

type dagManifestsCommand struct {
	File         string `arg:"" optional:"" default:"dag.jsonnet" help:"Process network; if there is no such file and none was named, the program's own."`
	Image        string `required:"" placeholder:"IMAGE" help:"Container image with the program as actordb."`
	Name         string `default:"actordb" help:"Of the cluster: its objects are called so."`
	Namespace    string `default:"default" help:"Of the objects."`
	Nodes        int    `default:"3" help:"As the cluster was created with."`
	Storage      string `default:"100Gi" help:"Of each node."`
	StorageClass string `placeholder:"NAME" help:"Of the volumes; left out, the default one."`
}

func (dagManifestsCommand) Help() string {
	return `The objects that run a cluster on Kubernetes, as a List: a StatefulSet whose pods keep apart from each other, services for nodes and for clients, a disruption budget of one node, and the process network.

Example:

    actordb cluster create --dir prod --node actordb-0.actordb-nodes:7400 --node actordb-1.actordb-nodes:7400 --node actordb-2.actordb-nodes:7400 --shards 2
    for i in 0 1 2; do n=prod/node-$((i+1)); echo --from-file=actordb-$i.node.json=$n/node.json --from-file=actordb-$i.cluster.json=$n/cluster.json --from-file=actordb-$i.identity.pem=$n/identity/identity.pem; done | xargs kubectl create secret generic actordb-nodes
    actordb dag manifests --image registry/actordb:1 | kubectl apply -f -`
}

// Names that Kubernetes takes for objects (RFC 1123) and as quantities of storage.
var (
	objectName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)
	quantity   = regexp.MustCompile(`^[1-9][0-9]*(Mi|Gi|Ti)$`)
)

// Run implements the command.
func (c *dagManifestsCommand) Run() error {
	text, err := c.render()
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		return environment("standard output: %w", err)
	}
	return nil
}

func (c *dagManifestsCommand) render() (string, error) {
	switch {
	case !objectName.MatchString(c.Name), !objectName.MatchString(c.Namespace), c.StorageClass != "" && !objectName.MatchString(c.StorageClass):
		return "", usage("names of objects are small letters, digits and hyphens, at most 40: --name %q --namespace %q --storage-class %q", c.Name, c.Namespace, c.StorageClass)
	case c.Nodes < 1 || c.Nodes > datadir.FirstNodesMax:
		return "", usage("--nodes %d: want 1 to %d; 3 or 5 survive the loss of 1 or 2", c.Nodes, datadir.FirstNodesMax)
	case !quantity.MatchString(c.Storage):
		return "", usage("--storage %q: want a number and Mi, Gi or Ti, such as 100Gi", c.Storage)
	}
	n, err := loadNetwork(c.File)
	if err != nil {
		return "", err
	}
	document, err := json.Marshal(documentOf(n))
	if err != nil {
		return "", err
	}
	vm := jsonnet.MakeVM()
	for key, value := range map[string]string{"name": c.Name, "namespace": c.Namespace, "image": c.Image, "storage": c.Storage, "storageClass": c.StorageClass, "hash": fmt.Sprintf("%x", n.Hash)} {
		vm.TLAVar(key, value)
	}
	vm.TLACode("nodes", fmt.Sprint(c.Nodes))
	vm.TLACode("network", string(document))
	return vm.EvaluateAnonymousSnippet("kubernetes.jsonnet", kubernetes)
}

// documentOf is a network as data, with all that it imports and all defaults: JSON is
// jsonnet.
func documentOf(n *control.Network) map[string]any {
	processes := map[string]any{}
	for _, p := range n.Processes {
		d := map[string]any{"kind": p.Kind, "count": p.Count, "needs": append([]string{}, p.Needs...), "limits": p.Limits}
		if p.Backend != "" {
			d["backend"] = p.Backend
		}
		if p.URL != "" {
			d["url"] = p.URL
		}
		processes[p.Name] = d
	}
	return map[string]any{"format": 1, "processes": processes}
}
