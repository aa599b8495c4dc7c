package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A source is what the SDK module says in its source text and not in its schemas: the Go names of structures and fields,
// their order, which of them are required, and the values of enumerations.
type source struct {
	structs map[string][]sourceField
	enums   map[string]Enum
}

// A sourceField is a field of a structure in the SDK.
type sourceField struct {
	name     string
	required bool
}

// required is the sentence by which the SDK's comments mark a member that the model requires. Unlike its
// validators, the comments also cover booleans.
const required = "This member is required."

// readSource parses the module of an SDK service.
func readSource(module string) (*source, error) {
	dir, err := dirOf(module)
	if err != nil {
		return nil, err
	}
	src := &source{structs: map[string][]sourceField{}, enums: map[string]Enum{}}
	for _, pattern := range []string{"api_op_*.go", "types/types.go", "types/errors.go", "types/enums.go"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("read %s: no file matches %s", module, pattern)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			src.add(file)
		}
	}
	return src, nil
}

// dirOf returns where the module cache has a module.
func dirOf(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("locate %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// add takes in the declarations of one file.
func (src *source) add(file *ast.File) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if st, ok := spec.Type.(*ast.StructType); ok {
					src.structs[spec.Name.Name] = fieldsOf(st)
				}
			case *ast.ValueSpec:
				src.addEnumValue(spec)
			}
		}
	}
}

// fieldsOf lists the exported fields of a structure. The SDK embeds and adds some that are no members; the schemas tell.
func fieldsOf(st *ast.StructType) []sourceField {
	var fields []sourceField
	for _, f := range st.Fields.List {
		for _, name := range f.Names {
			if name.IsExported() {
				fields = append(fields, sourceField{name.Name, strings.Contains(f.Doc.Text(), required)})
			}
		}
	}
	return fields
}

// addEnumValue takes in `LaunchTypeEc2 LaunchType = "EC2"`.
func (src *source) addEnumValue(spec *ast.ValueSpec) {
	typ, ok := spec.Type.(*ast.Ident)
	if !ok || len(spec.Values) != 1 {
		return
	}
	lit, ok := spec.Values[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		return
	}
	e := src.enums[typ.Name]
	e.Name = typ.Name
	e.Values = append(e.Values, EnumValue{Go: spec.Names[0].Name, Wire: value})
	src.enums[typ.Name] = e
}
