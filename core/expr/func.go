package expr

import (
	"slices"
	"strings"

	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// NewFunc makes a function that computes one value at a time, for those whose answers are
// not in their arguments alone. args are types with commas between them. f gets a value of
// each, none of them null, and returns one of ret.
func NewFunc(name, args, ret string, f func(args []row.Value) (row.Value, *row.Error)) *Func {
	r := registryMap{}
	r.signature(name, args, ret, nil)
	made := r[name][0]
	made.kernel = func(c *call) {
		values := make([]row.Value, len(c.args))
		for i := range c.n {
			v := row.NullOf(made.ret)
			if !c.nulls.Get(i) {
				for k, a := range c.args {
					values[k] = a.Value(i)
				}
				var err *row.Error
				if v, err = f(values); err != nil {
					v = row.NullOf(made.ret)
					c.fail(i, err)
				} else if v.IsNull {
					c.fail(i, isNull)
				}
			}
			if made.ret.Fixed() {
				c.out.I[i] = v.I
			} else {
				c.out.AppendValue(v)
			}
		}
	}
	return made
}

// Pick is Resolve among functions that are given.
func Pick(list []*Func, name string, args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	f, err := choose(list, name, args, pos)
	if err != nil {
		return nil, err
	}
	return apply(f, args, pos)
}

// A Signature is what a function takes and returns.
type Signature struct {
	Name string
	Args []row.Type
	Ret  row.Type
}

// Signatures lists the functions with fixed types, by name; operators are none.
func Signatures() (list []Signature) {
	for _, fs := range registry {
		for _, f := range fs {
			if !f.infix {
				list = append(list, Signature{f.Name, f.args, f.ret})
			}
		}
	}
	slices.SortFunc(list, func(a, b Signature) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return slices.CompareFunc(a.Args, b.Args, func(x, y row.Type) int { return strings.Compare(x.String(), y.String()) })
	})
	return list
}
