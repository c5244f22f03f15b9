// Package pgcat is PostgreSQL's system catalogs: what psql and drivers ask to find out
// what there is. The tables of pg_catalog and information_schema are tables of the
// engine like others, whose rows are made from the catalog when a query reads them, and
// the functions that go with them are functions of its expressions.
//
//	schema.go     the tables: names, types, and what a column holds if nothing is said
//	pg.go         the rows of pg_catalog
//	standard.go   the rows of information_schema
//	function.go   pg_get_userbyid, format_type, current_setting and their like
//	name.go       regclass and its like: names to OIDs and back
//	types.go      types by their OIDs
//
// Columns are PostgreSQL 17's, with other types where the engine has none of that name:
// oid and xid are bigint, name, "char" and pg_node_tree are text, an oidvector is bigint[].
// Tables of what the database does not have, such as pg_index, are there and have no rows.
package pgcat
