package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"

	"actordb"
	"actordb/core/control"
)

// strictly decodes an object of Kubernetes: a field that it does not know is an error.
func strictly(t *testing.T, b []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
}

// The manifests are Kubernetes' own objects to the last field, they fit each other, and
// the network in them is the one that they were made of.
func TestManifests(t *testing.T) {
	c := dagManifestsCommand{File: "dag.jsonnet", Image: "registry/actordb:1", Name: "prod", Namespace: "data", Nodes: 5, Storage: "20Gi", StorageClass: "fast"}
	text, err := c.render()
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		APIVersion, Kind string
		Items            []json.RawMessage
	}
	strictly(t, []byte(text), &list)
	var set apps.StatefulSet
	var budget policy.PodDisruptionBudget
	var network core.ConfigMap
	services := map[string]core.Service{}
	for _, item := range list.Items {
		var kind struct{ Kind string }
		if err := json.Unmarshal(item, &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.Kind {
		case "StatefulSet":
			strictly(t, item, &set)
		case "PodDisruptionBudget":
			strictly(t, item, &budget)
		case "ConfigMap":
			strictly(t, item, &network)
		case "Service":
			var s core.Service
			strictly(t, item, &s)
			services[s.Name] = s
		default:
			t.Errorf("a %s", kind.Kind)
		}
	}
	if set.Namespace != "data" || *set.Spec.Replicas != 5 || set.Spec.PodManagementPolicy != apps.ParallelPodManagement {
		t.Errorf("%+v", set.Spec)
	}
	if s, ok := services[set.Spec.ServiceName]; !ok || s.Spec.ClusterIP != core.ClusterIPNone || !s.Spec.PublishNotReadyAddresses {
		t.Errorf("service of the nodes: %+v", s.Spec)
	}
	pod := set.Spec.Template
	for _, selector := range []map[string]string{set.Spec.Selector.MatchLabels, budget.Spec.Selector.MatchLabels, services["prod"].Spec.Selector} {
		for key, value := range selector {
			if pod.Labels[key] != value || len(selector) == 0 {
				t.Errorf("%v does not select %v", selector, pod.Labels)
			}
		}
	}
	if budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%v may be away", budget.Spec.MaxUnavailable)
	}
	apart := pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if len(apart) != 1 || apart[0].TopologyKey != "kubernetes.io/hostname" {
		t.Errorf("apart: %+v", apart)
	}
	node := pod.Spec.Containers[0]
	if node.StartupProbe == nil || node.ReadinessProbe == nil || node.LivenessProbe.TCPSocket.Port.StrVal != "frames" {
		t.Error("probes are missing")
	}
	volumes := []string{"data"}
	for _, v := range pod.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, m := range node.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("%s is mounted from nowhere", m.Name)
		}
	}
	files := pod.Spec.Volumes[0].Secret.Items
	if len(files) != 15 || files[14].Key != "prod-4.identity.pem" || files[14].Path != "prod-4/identity/identity.pem" {
		t.Errorf("%+v", files)
	}
	again, err := control.Load("dag.jsonnet", network.Data["dag.jsonnet"], nil)
	if err != nil {
		t.Fatal(err)
	}
	if own, err := actordb.Network(); err != nil || again.Hash != own.Hash || pod.Annotations["actordb/network"] != fmt.Sprintf("%x", own.Hash) {
		t.Errorf("another network: %v", err)
	}
	for _, bad := range []dagManifestsCommand{
		{File: c.File, Name: "Prod", Namespace: "data", Nodes: 3, Storage: "1Gi"},
		{File: c.File, Name: "prod", Namespace: "data", Nodes: 0, Storage: "1Gi"},
		{File: c.File, Name: "prod", Namespace: "data", Nodes: 3, Storage: "much"},
		{File: "nowhere.jsonnet", Name: "prod", Namespace: "data", Nodes: 3, Storage: "1Gi"},
	} {
		if text, err := bad.render(); err == nil {
			t.Errorf("%+v: %s", bad, strings.SplitN(text, "\n", 2)[0])
		}
	}
}
