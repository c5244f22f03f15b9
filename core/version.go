package core

import "fmt"

// A Version is one of the form in which nodes write to each other and into the logs
// that they share.
//
//	1  what there was first
//	2  a block names the replica that decided it, and tells what its clock said
//
// A log has a version of its own, which its blocks are written in. It is raised by an
// operator when all its replicas speak the greater one, and never lowered.
type Version uint16

// What this program speaks, and reads.
const (
	VersionMin Version = 1
	VersionMax Version = 2
)

// Versions is a range of them, both ends of which are in it.
type Versions struct{ Low, High Version }

// Spoken are the versions of this program.
func Spoken() Versions { return Versions{VersionMin, VersionMax} }

// Has tells whether v is one of them.
func (r Versions) Has(v Version) bool { return r.Low <= v && v <= r.High }

// Common is the greatest version of both ranges, 0 if there is none.
func (r Versions) Common(o Versions) Version {
	if v := min(r.High, o.High); v >= max(r.Low, o.Low) {
		return v
	}
	return 0
}

func (r Versions) String() string {
	if r.Low == r.High {
		return fmt.Sprintf("version %d", r.Low)
	}
	return fmt.Sprintf("versions %d to %d", r.Low, r.High)
}

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
