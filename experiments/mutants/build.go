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
		folder := "./" + path.Dir(e.File)
		if m.Module != "" {
			folder = path.Join(m.Module, path.Dir(e.File))
		}
		if !slices.Contains(folders, folder) {
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
		flag, file := "-overlay", ""
		if m.Module == "" {
			file, err = m.overlay(root, dir)
		} else {
			flag = "-modfile"
			file, err = m.patched(root, dir)
		}
		if err != nil {
			return err
		}
		args = append(args, flag, file)
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

// patched copies the mutant's module to dir, with its changes, and returns a go.mod
// that has the copy in the place of the module.
func (m *Mutant) patched(root, dir string) (string, error) {
	files, err := m.Files(root)
	if err != nil {
		return "", err
	}
	from, err := m.folder(root)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, "module")
	if err := os.CopyFS(copied, os.DirFS(from)); err != nil {
		return "", err
	}
	for file, text := range files {
		changed := filepath.Join(copied, filepath.FromSlash(file))
		if err := os.Remove(changed); err != nil { // modules are read-only
			return "", err
		}
		if err := os.WriteFile(changed, text, 0o666); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		if name == "go.mod" {
			b = fmt.Appendf(b, "\nreplace %s => %s\n", m.Module, copied)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "go.mod"), nil
}
