// Package olddata keeps data directories of earlier versions, as they were
// written, and proves that today's code reads them.
//
//	testdata/NAME.tar.gz   a directory
//	testdata/NAME.txt      what it must be read as: histories, states, sessions
//
// A new one is written by
//
//	go test ./internal/olddata -run TestWrite -args -write NAME
//
// whenever a format changes; the old ones stay.
package olddata

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fileBytesMax bounds one unpacked file: these directories are small.
const fileBytesMax = 16 << 20

// Pack writes a directory as a compressed tar, the same bytes for the same files.
func Pack(w io.Writer, dir string) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(dir, path)
		if err = errors.Join(err, relErr); err != nil || name == "." {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Typeflag: tar.TypeReg}
		var b []byte
		if d.IsDir() {
			h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o700, h.Name+"/"
		} else if b, err = os.ReadFile(path); err != nil {
			return err
		}
		h.Size = int64(len(b))
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err = t.Write(b)
		return err
	})
	return errors.Join(err, t.Close(), z.Close())
}

// Unpack makes the directory again.
func Unpack(r io.Reader, dir string) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) || h.Size > fileBytesMax {
			return fmt.Errorf("%s: not a file of a small directory", h.Name)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if strings.HasSuffix(h.Name, "/") {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		b, err := io.ReadAll(t)
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			return err
		}
	}
}
