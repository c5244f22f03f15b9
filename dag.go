// Package actordb holds the process network that a node runs when it is given no
// other. The database is a program, cmd/actordb; its client is package net/client.
package actordb

import (
	_ "embed"

	"actordb/core/control"
)

//go:embed dag.jsonnet
var source string

// Network is dag.jsonnet's.
func Network() (*control.Network, error) { return control.Load("dag.jsonnet", source, nil) }

// NetworkSource is its text: a start for an own one.
func NetworkSource() string { return source }
