package mutants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Build builds the command of the module at root, with a mutant planted unless
// it is nil, to the file out.
func Build(root string, m *Mutant, out string) error {
	return compile(root, m, "-o", out, "./cmd/actordb")
}

// Compile compiles the packages that the mutant changes, and nothing more.
func Compile(root string, m *Mutant) error {
	var folders []string
	for _, e := range m.Edits {
		if folder := "./" + path.Dir(e.File); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return compile(root, m, folders...)
}

func compile(root string, m *Mutant, rest ...string) error {
	args, what := []string{"build"}, "the clean build"
	root, err := filepath.Abs(root) // an overlay names whole paths
	if err != nil {
		return err
	}
	if m != nil {
		what = m.Path
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
	cmd := exec.Command("go", append(args, rest...)...)
	cmd.Dir = root
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
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
		changed := filepath.Join(dir, strings.ReplaceAll(file, "/", "__"))
		if err := os.WriteFile(changed, text, 0o666); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = changed
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, b, 0o666)
}
