// Package viewtest holds core/view to an evaluator that shares nothing with it: over
// events in blocks, at every cut.
package viewtest
