// Package viewtest holds core/view to an evaluator that shares nothing with it: over
// events in blocks, at every cut.
//
//	history.go   writes events into blocks, as a shard does
//	oracle.go    the answers of the evaluator over such blocks
package viewtest
