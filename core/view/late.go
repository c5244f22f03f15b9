package view

import (
	"actordb/core/row"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
)

// SystemSchema is the schema of what the database tells about itself.
const SystemSchema = "system"

// LateEvents is the table of the events that projections' windows have excluded,
// because they were closed when the event came. It is not written: which events
// these are, the journals say (see tracker), so it is a query as any other, of all
// projections that there are when it is asked.
const LateEvents = SystemSchema + ".late_events"

const insufficientPrivilege sqlerr.State = "42501"

var lateTable = &plan.Table{Name: LateEvents, Schema: row.Schema{
	{Name: "projection", Type: row.Of(row.Text), NotNull: true},
	{Name: "event_type", Type: row.Of(row.Text), NotNull: true},
	{Name: "key", Type: row.Of(row.Text), NotNull: true},
	{Name: "seq", Type: row.Of(row.Int8), NotNull: true},
	{Name: "event_time", Type: row.Of(row.Timestamptz), NotNull: true},
	{Name: "commit_time", Type: row.Of(row.Timestamptz), NotNull: true},
	{Name: "principal", Type: row.Of(row.Text), NotNull: true},
	{Name: "watermark", Type: row.Of(row.Timestamptz), NotNull: true}, // when it was recorded
	{Name: "window_start", Type: row.Of(row.Timestamptz), NotNull: true},
	{Name: "window_end", Type: row.Of(row.Timestamptz), NotNull: true},
	{Name: "reason", Type: row.Of(row.Text), NotNull: true},
}}

// latePlan is the query of LateEvents.
func (c *Catalog) latePlan() (*plan.Plan, error) {
	var list []plan.NamedQuery
	for _, full := range c.order {
		if p := c.projections[full]; p != nil {
			list = append(list, plan.NamedQuery{Name: full, Query: p.Query})
		}
	}
	return plan.Late(list, lateTable, plan.Options{Catalog: c, View: true})
}
