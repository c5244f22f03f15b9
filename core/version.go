package core

import "fmt"

// A VersionError says that stored bytes have a format that this program does not
// know, most likely of a later version of it. They are left as they are.
type VersionError struct {
	Place string // what has the format
	Found uint64
	Reads uint64 // the newest format that this program reads
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s has format %d, this program reads %d: use the version that wrote it, or a newer one", e.Place, e.Found, e.Reads)
}
