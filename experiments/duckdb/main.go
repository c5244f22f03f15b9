// Command duckdb answers a query over Parquet files with DuckDB and says how long that
// took. It is a module of its own, so that DuckDB becomes no dependency of the database.
//
//	duckdb --threads 2 --rounds 3 'SELECT item, count(*) FROM '"'"'shop.ordered-*.parquet'"'"' GROUP BY item'
//
// Before each round the connection is a new one: nothing is kept from the one before but
// what the operating system has of the files. The answer goes into a table, as a
// materialized view would be built, and is shown when the clock has stopped.
// actordb exp run rebuild builds and runs it.
package main

import (
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

// An Answer is what is printed, as JSON.
type Answer struct {
	Version string
	Seconds []float64 // of each round
	Lines   []string  // rows, sorted; columns separated by |
}

func main() {
	threads := flag.Int("threads", 2, "of DuckDB")
	rounds := flag.Int("rounds", 1, "times that the query is asked")
	flag.Parse()
	if err := run(flag.Arg(0), *threads, *rounds); err != nil {
		fmt.Fprintf(os.Stderr, "duckdb: %v\n", err)
		os.Exit(1)
	}
}

func run(query string, threads, rounds int) error {
	if query == "" || rounds < 1 || threads < 1 {
		return fmt.Errorf("want a query, and at least one round and one thread")
	}
	var a Answer
	for range rounds {
		if err := a.round(query, threads); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

func (a *Answer) round(query string, threads int) (err error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(fmt.Sprintf("SET threads = %d", threads)); err != nil {
		return err
	}
	if err := db.QueryRow("SELECT version()").Scan(&a.Version); err != nil {
		return err
	}
	begun := time.Now()
	if _, err := db.Exec("CREATE TABLE built AS " + query); err != nil {
		return err
	}
	a.Seconds = append(a.Seconds, time.Since(begun).Seconds())
	rows, err := db.Query("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM built")
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	cells, to := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range cells {
		to[i] = &cells[i]
	}
	a.Lines = nil
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		var line []string
		for _, c := range cells {
			if !c.Valid {
				c.String = "NULL"
			}
			line = append(line, c.String)
		}
		a.Lines = append(a.Lines, strings.Join(line, "|"))
	}
	slices.Sort(a.Lines)
	return rows.Err()
}
