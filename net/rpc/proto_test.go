package rpc

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	pb "actordb/net/rpc/actordbv1"
)

var rewrite = flag.Bool("rewrite", false, "TestGenerated writes the generated code (make proto)")

const protoFile = "actordb/v1/commands.proto"

// generate runs a protobuf plugin, which go.mod pins as a tool.
func generate(t *testing.T, plugin string, request *pluginpb.CodeGeneratorRequest) map[string]string {
	t.Helper()
	in, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "tool", plugin)
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &problem
	if err := cmd.Run(); err != nil {
		t.Fatalf("go tool %s: %v: %s", plugin, err, &problem)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out.Bytes(), &response); err != nil || response.Error != nil {
		t.Fatalf("%s: %v %s", plugin, err, response.GetError())
	}
	files := make(map[string]string)
	for _, f := range response.File {
		files[f.GetName()] = f.GetContent()
	}
	return files
}

// compile reads the .proto files, in the order in which each needs those before it.
func compile(t *testing.T) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{"proto"}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(t.Context(), protoFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		list = append(list, protodesc.ToFileDescriptorProto(f))
	}
	add(compiled[0])
	return list
}

// The generated code is what the .proto files say. With -rewrite it is made so.
func TestGenerated(t *testing.T) {
	list := compile(t)
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{protoFile}, Parameter: proto.String("module=actordb/net/rpc"),
		ProtoFile: list, SourceFileDescriptors: list[len(list)-1:],
	}
	files := 0
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-connect-go"} {
		for name, want := range generate(t, plugin, request) {
			files++
			if *rewrite {
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(name); err != nil || string(got) != want {
				t.Errorf("%s is not what the .proto file says (%v): run make proto", name, err)
			}
		}
	}
	if files != 2 {
		t.Errorf("%d files are generated, want 2", files)
	}
}

// Messages have no map fields, whose encodings differ each time, and the linked
// code is of these files.
func TestDescriptors(t *testing.T) {
	list := compile(t)
	source := list[len(list)-1]
	source.SourceCodeInfo = nil
	if linked := protodesc.ToFileDescriptorProto(pb.File_actordb_v1_commands_proto); !proto.Equal(source, linked) {
		t.Error("the generated code is of another .proto file: run make proto")
	}
	messages := pb.File_actordb_v1_commands_proto.Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			if fields.Get(j).IsMap() {
				t.Errorf("%s is a map", fields.Get(j).FullName())
			}
		}
	}
}

// The table of codes in the .proto file is the one that the handler uses.
func TestCodeTable(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("proto", protoFile))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 4 && f[0] == "//" && strings.Trim(f[3], "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" && strings.Trim(f[1], "0123456789") == "" {
			table[f[1]+" "+f[2]] = f[3]
		}
	}
	for code, c := range connectCodes {
		name := strings.ToUpper(c.String())
		row := decimal(code) + " " + code.String()
		if table[row] != name {
			t.Errorf("the table has %q for %s, the handler %s", table[row], row, name)
		}
		delete(table, row)
	}
	if len(table) > 0 {
		t.Errorf("the table has codes that the handler does not map: %v", table)
	}
}
