package pgcat

import (
	"fmt"
	"slices"
	"strings"

	"actordb/core/row"
	"actordb/core/sql/plan"
	"actordb/core/zset"
)

// Schemas of this package's tables.
const (
	Schema   = "pg_catalog"
	Standard = "information_schema"
)

// Own reports whether a schema is one of this package.
func Own(schema string) bool { return schema == Schema || schema == Standard }

// A table is one of the two schemas'.
type table struct {
	plan.Table
	schema, name string
	oid          int64
	defaults     []row.Value
}

// tablesText declares the tables: OID and name, then columns with types and, where it is
// not null, what they hold if a row says nothing else. The OIDs are PostgreSQL's where they matter.
const tablesText = `
2615 pg_catalog.pg_namespace: oid oid, nspname name, nspowner oid = 10, nspacl text[]
1259 pg_catalog.pg_class: oid oid, relname name, relnamespace oid, reltype oid = 0, reloftype oid = 0, relowner oid = 10, relam oid = 0, relfilenode oid = 0,
	reltablespace oid = 0, relpages int4 = 0, reltuples float4 = -1, relallvisible int4 = 0, reltoastrelid oid = 0, relhasindex bool = f, relisshared bool = f,
	relpersistence char = p, relkind char, relnatts int2, relchecks int2 = 0, relhasrules bool = f, relhastriggers bool = f, relhassubclass bool = f,
	relrowsecurity bool = f, relforcerowsecurity bool = f, relispopulated bool = t, relreplident char = d, relispartition bool = f, relrewrite oid = 0,
	relfrozenxid xid = 0, relminmxid xid = 0, relacl text[], reloptions text[], relpartbound text
1249 pg_catalog.pg_attribute: attrelid oid, attname name, atttypid oid, attlen int2, attnum int2, attcacheoff int4 = -1, atttypmod int4 = -1, attndims int2 = 0,
	attbyval bool, attalign char = i, attstorage char, attcompression char = '', attnotnull bool, atthasdef bool = f, atthasmissing bool = f, attidentity char = '',
	attgenerated char = '', attisdropped bool = f, attislocal bool = t, attinhcount int2 = 0, attcollation oid = 0, attstattarget int2 = -1, attacl text[],
	attoptions text[], attfdwoptions text[], attmissingval text
1247 pg_catalog.pg_type: oid oid, typname name, typnamespace oid = 11, typowner oid = 10, typlen int2, typbyval bool, typtype char = b, typcategory char,
	typispreferred bool, typisdefined bool = t, typdelim char = ",", typrelid oid = 0, typsubscript oid = 0, typelem oid = 0, typarray oid = 0, typinput oid = 0,
	typoutput oid = 0, typreceive oid = 0, typsend oid = 0, typmodin oid = 0, typmodout oid = 0, typanalyze oid = 0, typalign char = i, typstorage char,
	typnotnull bool = f, typbasetype oid = 0, typtypmod int4 = -1, typndims int4 = 0, typcollation oid = 0, typdefaultbin text, typdefault text, typacl text[]
1255 pg_catalog.pg_proc: oid oid, proname name, pronamespace oid = 11, proowner oid = 10, prolang oid = 12, procost float4 = 1, prorows float4 = 0, provariadic oid = 0,
	prosupport oid = 0, prokind char, prosecdef bool = f, proleakproof bool = f, proisstrict bool = t, proretset bool = f, provolatile char = i, proparallel char = s,
	pronargs int2, pronargdefaults int2 = 0, prorettype oid, proargtypes oidvector, proallargtypes oid[], proargmodes text[], proargnames text[], proargdefaults text,
	protrftypes oid[], prosrc text = '', probin text, prosqlbody text, proconfig text[], proacl text[]
1262 pg_catalog.pg_database: oid oid, datname name, datdba oid = 10, encoding int4 = 6, datlocprovider char = c, datistemplate bool = f, datallowconn bool = t,
	dathasloginevt bool = f, datconnlimit int4 = -1, datfrozenxid xid = 0, datminmxid xid = 0, dattablespace oid = 1663, datcollate text = C, datctype text = C,
	datlocale text, daticulocale text, daticurules text, datcollversion text, datacl text[]
1260 pg_catalog.pg_roles: oid oid, rolname name, rolsuper bool = f, rolinherit bool = t, rolcreaterole bool = f, rolcreatedb bool = f, rolcanlogin bool = f,
	rolreplication bool = f, rolconnlimit int4 = -1, rolpassword text, rolvaliduntil timestamptz, rolbypassrls bool = f, rolconfig text[]
1261 pg_catalog.pg_auth_members: oid oid, roleid oid, member oid, grantor oid, admin_option bool, inherit_option bool, set_option bool
3456 pg_catalog.pg_collation: oid oid, collname name, collnamespace oid = 11, collowner oid = 10, collprovider char, collisdeterministic bool = t, collencoding int4 = -1,
	collcollate text, collctype text, colllocale text, collicurules text, collversion text
1213 pg_catalog.pg_tablespace: oid oid, spcname name, spcowner oid = 10, spcacl text[], spcoptions text[]
2612 pg_catalog.pg_language: oid oid, lanname name, lanowner oid = 10, lanispl bool = f, lanpltrusted bool = t, lanplcallfoid oid = 0, laninline oid = 0, lanvalidator oid = 0, lanacl text[]
12001 pg_catalog.pg_settings: name text, setting text, unit text, category text = "Preset Options", short_desc text, extra_desc text, context text = internal,
	vartype text = string, source text = default, min_val text, max_val text, enumvals text[], boot_val text, reset_val text, sourcefile text, sourceline int4, pending_restart bool = f
12002 pg_catalog.pg_tables: schemaname name, tablename name, tableowner name = actordb, tablespace name, hasindexes bool = f, hasrules bool = f, hastriggers bool = f, rowsecurity bool = f
12003 pg_catalog.pg_views: schemaname name, viewname name, viewowner name = actordb, definition text
12004 pg_catalog.pg_matviews: schemaname name, matviewname name, matviewowner name = actordb, tablespace name, hasindexes bool = f, ispopulated bool = t, definition text
2601 pg_catalog.pg_am: oid oid, amname name, amhandler oid, amtype char
2604 pg_catalog.pg_attrdef: oid oid, adrelid oid, adnum int2, adbin text
2606 pg_catalog.pg_constraint: oid oid, conname name, connamespace oid, contype char, condeferrable bool, condeferred bool, convalidated bool, conrelid oid, contypid oid,
	conindid oid, conparentid oid, confrelid oid, confupdtype char, confdeltype char, confmatchtype char, conislocal bool, coninhcount int2, connoinherit bool,
	conkey int2[], confkey int2[], conpfeqop oid[], conppeqop oid[], conffeqop oid[], confdelsetcols int2[], conexclop oid[], conbin text
2608 pg_catalog.pg_depend: classid oid, objid oid, objsubid int4, refclassid oid, refobjid oid, refobjsubid int4, deptype char
2609 pg_catalog.pg_description: objoid oid, classoid oid, objsubid int4, description text
2396 pg_catalog.pg_shdescription: objoid oid, classoid oid, description text
3501 pg_catalog.pg_enum: oid oid, enumtypid oid, enumsortorder float4, enumlabel name
3079 pg_catalog.pg_extension: oid oid, extname name, extowner oid, extnamespace oid, extrelocatable bool, extversion text, extconfig oid[], extcondition text[]
3118 pg_catalog.pg_foreign_table: ftrelid oid, ftserver oid, ftoptions text[]
1417 pg_catalog.pg_foreign_server: oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text, srvversion text, srvacl text[], srvoptions text[]
2610 pg_catalog.pg_index: indexrelid oid, indrelid oid, indnatts int2, indnkeyatts int2, indisunique bool, indnullsnotdistinct bool, indisprimary bool, indisexclusion bool,
	indimmediate bool, indisclustered bool, indisvalid bool, indcheckxmin bool, indisready bool, indislive bool, indisreplident bool, indkey int2[], indcollation oidvector,
	indclass oidvector, indoption int2[], indexprs text, indpred text
2611 pg_catalog.pg_inherits: inhrelid oid, inhparent oid, inhseqno int4, inhdetachpending bool
3350 pg_catalog.pg_partitioned_table: partrelid oid, partstrat char, partnatts int2, partdefid oid, partattrs int2[], partclass oidvector, partcollation oidvector, partexprs text
3256 pg_catalog.pg_policy: oid oid, polname name, polrelid oid, polcmd char, polpermissive bool, polroles oid[], polqual text, polwithcheck text
6104 pg_catalog.pg_publication: oid oid, pubname name, pubowner oid, puballtables bool, pubinsert bool, pubupdate bool, pubdelete bool, pubtruncate bool, pubviaroot bool
6106 pg_catalog.pg_publication_rel: oid oid, prpubid oid, prrelid oid, prqual text, prattrs int2[]
6237 pg_catalog.pg_publication_namespace: oid oid, pnpubid oid, pnnspid oid
3541 pg_catalog.pg_range: rngtypid oid, rngsubtype oid, rngmultitypid oid, rngcollation oid, rngsubopc oid, rngcanonical oid, rngsubdiff oid
2618 pg_catalog.pg_rewrite: oid oid, rulename name, ev_class oid, ev_type char, ev_enabled char, is_instead bool, ev_qual text, ev_action text
2224 pg_catalog.pg_sequence: seqrelid oid, seqtypid oid, seqstart int8, seqincrement int8, seqmax int8, seqmin int8, seqcache int8, seqcycle bool
3381 pg_catalog.pg_statistic_ext: oid oid, stxrelid oid, stxname name, stxnamespace oid, stxowner oid, stxkeys int2[], stxstattarget int2, stxkind text[], stxexprs text
2620 pg_catalog.pg_trigger: oid oid, tgrelid oid, tgparentid oid, tgname name, tgfoid oid, tgtype int2, tgenabled char, tgisinternal bool, tgconstrrelid oid, tgconstrindid oid,
	tgconstraint oid, tgdeferrable bool, tginitdeferred bool, tgnargs int2, tgattr int2[], tgargs bytea, tgqual text, tgoldtable name, tgnewtable name
12101 information_schema.schemata: catalog_name name = actordb, schema_name name, schema_owner name = actordb, default_character_set_catalog name, default_character_set_schema name,
	default_character_set_name name, sql_path text
12102 information_schema.tables: table_catalog name = actordb, table_schema name, table_name name, table_type text, self_referencing_column_name name, reference_generation text,
	user_defined_type_catalog name, user_defined_type_schema name, user_defined_type_name name, is_insertable_into text = NO, is_typed text = NO, commit_action text
12103 information_schema.columns: table_catalog name = actordb, table_schema name, table_name name, column_name name, ordinal_position int4, column_default text, is_nullable text,
	data_type text, character_maximum_length int4, character_octet_length int4, numeric_precision int4, numeric_precision_radix int4, numeric_scale int4,
	datetime_precision int4, interval_type text, interval_precision int4, character_set_catalog name, character_set_schema name, character_set_name name,
	collation_catalog name, collation_schema name, collation_name name, domain_catalog name, domain_schema name, domain_name name, udt_catalog name = actordb,
	udt_schema name = pg_catalog, udt_name name, scope_catalog name, scope_schema name, scope_name name, maximum_cardinality int4, dtd_identifier name,
	is_self_referencing text = NO, is_identity text = NO, identity_generation text, identity_start text, identity_increment text, identity_maximum text,
	identity_minimum text, identity_cycle text = NO, is_generated text = NEVER, generation_expression text, is_updatable text = NO
12104 information_schema.views: table_catalog name = actordb, table_schema name, table_name name, view_definition text, check_option text = NONE, is_updatable text = NO,
	is_insertable_into text = NO, is_trigger_updatable text = NO, is_trigger_deletable text = NO, is_trigger_insertable_into text = NO
12105 information_schema.table_constraints: constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name,
	constraint_type text, is_deferrable text, initially_deferred text, enforced text, nulls_distinct text
12106 information_schema.key_column_usage: constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name,
	column_name name, ordinal_position int4, position_in_unique_constraint int4
12107 information_schema.referential_constraints: constraint_catalog name, constraint_schema name, constraint_name name, unique_constraint_catalog name,
	unique_constraint_schema name, unique_constraint_name name, match_option text, update_rule text, delete_rule text
12108 information_schema.constraint_column_usage: table_catalog name, table_schema name, table_name name, column_name name, constraint_catalog name, constraint_schema name, constraint_name name
12109 information_schema.routines: specific_catalog name, specific_schema name, specific_name name, routine_catalog name, routine_schema name, routine_name name, routine_type text, data_type text
`

// aliases are PostgreSQL's types that the engine keeps as others.
var aliases = map[string]string{"oid": "bigint", "xid": "bigint", "name": "text", "char": "text", "oidvector": "bigint[]", "oid[]": "bigint[]", "name[]": "text[]"}

// Alias is the type that one of PostgreSQL's is kept as.
func Alias(name string) (string, bool) { kept, ok := aliases[name]; return kept, ok }

var tables = parseTables(tablesText)

func parseTables(text string) (list []*table) {
	for _, line := range strings.Split(strings.ReplaceAll(text, "\n\t", " "), "\n") {
		head, columns, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		t := &table{}
		full := ""
		if _, err := fmt.Sscanf(head, "%d %s", &t.oid, &full); err != nil {
			panic(err)
		}
		t.schema, t.name, _ = strings.Cut(full, ".")
		t.Name = full
		for _, c := range strings.Split(columns, ", ") {
			c, def, has := strings.Cut(c, " = ")
			name, typ, _ := strings.Cut(c, " ")
			col := row.Column{Name: name, Type: mustType(typ)}
			v := row.NullOf(col.Type)
			if has {
				v = valueOf(col.Type, strings.Trim(def, `'"`))
			}
			t.Schema, t.defaults = append(t.Schema, col), append(t.defaults, v)
		}
		list = append(list, t)
	}
	return list
}

func mustType(name string) row.Type {
	if kept, ok := aliases[name]; ok {
		name = kept
	}
	t, err := row.ParseType(name)
	if err != nil {
		panic(err)
	}
	return t
}

// valueOf makes a value of what rows say.
func valueOf(t row.Type, x any) row.Value {
	switch x := x.(type) {
	case bool:
		if x {
			return row.Value{Type: t, I: 1}
		}
		return row.Value{Type: t}
	case int:
		return row.Value{Type: t, I: int64(x)}
	case int16:
		return row.Value{Type: t, I: int64(x)}
	case int64:
		return row.Value{Type: t, I: x}
	case string:
		v, err := row.Parse(t, []byte(x))
		if err != nil {
			panic(err)
		}
		return v
	}
	panic(fmt.Sprintf("pgcat: a value of %T", x))
}

// Table finds one of the tables. A name without a schema is looked for in pg_catalog.
func Table(schema, name string) (*plan.Table, bool) {
	if schema == "" {
		schema = Schema
	}
	for _, t := range tables {
		if t.name == name && t.schema == schema {
			return &t.Table, true
		}
	}
	return nil, false
}

// Has reports whether a full name is that of one of the tables.
func Has(full string) bool {
	return slices.ContainsFunc(tables, func(t *table) bool { return t.Name == full })
}

// Rows are those of a table, by its full name.
func (c *Contents) Rows(full string) *zset.Batch {
	i := slices.IndexFunc(tables, func(t *table) bool { return t.Name == full })
	t := tables[i]
	out := zset.NewBatch(t.Schema.Types())
	rows := sources[full]
	if rows == nil {
		return out
	}
	rows(c, func(kv ...any) {
		values := slices.Clone(t.defaults)
		for i := 0; i < len(kv); i += 2 {
			at := t.Schema.Index(kv[i].(string))
			values[at] = valueOf(t.Schema[at].Type, kv[i+1])
		}
		out.AddValues(1, values...)
	})
	return out
}
