package ambient

import (
	"errors"
	_ "hash/maphash" // want `ambient: import of hash/maphash`
	_ "io"
	_ "log/slog"  // want `ambient: import of log/slog`
	_ "net"       // want `ambient: import of net`
	_ "net/netip" // want `ambient: import of net/netip`
	_ "os"        // want `ambient: import of os`
	_ "os/exec"   // want `ambient: import of os/exec`
	_ "runtime"   // want `ambient: import of runtime`
	_ "syscall"   // want `ambient: import of syscall`
)

var ErrRight = errors.New("no ambient state")
