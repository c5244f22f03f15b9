// Package disktest is the judge of storage backends: one suite for disk.FS and
// one for disk.KV, for our backends and for third parties'.
//
//	func TestConformance(t *testing.T) {
//		disktest.TestFS(t, func(t *testing.T) disktest.FSHarness {
//			dir := t.TempDir()
//			return disktest.FSHarness{Open: func() (disk.FS, error) { return osfile.Open(dir) }}
//		})
//	}
//
// Each promise of package disk (F1 to F6, K1 to K4) has at least one check; a
// check is a subtest whose first line says what it protects. Each check gets a
// harness of its own, with an empty store.
//
// A backend that cannot lose power leaves Crash nil; the checks that need it
// are then skipped visibly, and prove nothing. What a power loss takes is up to
// the backend and may differ each time, so those checks run several rounds.
//
// The checks are made of the small interface T alone. The package's own tests
// run them against backends that are broken on purpose and require that each is
// rejected by the check that names the promise.
package disktest
