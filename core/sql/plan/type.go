package plan

import (
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// TypeOf is the type that a column's type name stands for.
func TypeOf(t *tree.TypeName) (out row.Type, err error) {
	defer func() {
		switch f := recover().(type) {
		case nil:
		case *sqlerr.Error:
			err = f
		default:
			panic(f)
		}
	}()
	return typeOf(t), nil
}
