package mutants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build builds the command of the module at root, with a mutant planted unless
// it is nil, to the file out.
func Build(root string, m *Mutant, out string) error {
	args := []string{"build", "-o", out}
	if m != nil {
		dir, err := os.MkdirTemp("", "actordb-overlay-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		overlay, err := m.overlay(root, dir)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "./cmd/actordb")...)
	cmd.Dir = root
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		what := "the clean build"
		if m != nil {
			what = m.Path
		}
		return fmt.Errorf("%s: go build: %w: %s", what, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// overlay writes the changed files to dir and returns the file that
// go build -overlay takes.
func (m *Mutant) overlay(root, dir string) (string, error) {
	files, err := m.Files(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range files {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "__"))
		if err := os.WriteFile(path, text, 0o666); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o666)
}
