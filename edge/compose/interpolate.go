package compose

import (
	"errors"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
)

// interpolate replaces ${NAME} as Compose does, but for a name that is not set
// and has no default: that is an error here.
func (f *file) interpolate(text string, at *node) string {
	if !strings.Contains(text, "$") {
		return text
	}
	strict := func(part string, lookup template.Mapping, cfg *template.Config) (string, error) {
		value, applied, err := template.DefaultReplacementAppliedFunc(part, lookup, cfg)
		if err == nil && !applied {
			err = errUnset
		}
		return value, err
	}
	value, err := template.SubstituteWithOptions(text, f.lookup, template.WithReplacementFunction(strict), template.WithoutLogging)
	var required *template.MissingRequiredError
	switch {
	case err == nil:
	case errors.Is(err, errUnset):
		f.addLight(at, quote(text)+" names a variable that is not set", "set it, or write ${NAME:-default}")
	case errors.As(err, &required):
		f.addLight(at, required.Error(), "set it")
	default:
		f.addLight(at, quote(text)+" is not a valid template", "write ${NAME}, ${NAME:-default}, or $$ for a dollar sign")
	}
	return value
}

var errUnset = errors.New("variable is not set")

func (f *file) lookup(name string) (string, bool) {
	value, ok := f.environ[name]
	return value, ok
}

// projectName names the app as Compose names a project: by the key name, else
// after the folder of the file. In a document of several projects it is named there.
func (f *file) projectName(root *node, path string) string {
	given := root.at("name")
	if f.app != "" {
		if given != nil && given.text != f.app {
			f.addLight(given, quote(given.text)+" is not the name this project has here, "+quote(f.app), "remove it")
		}
		return f.app
	}
	if given == nil {
		if name := normalName(folderName(path)); name != "" {
			return name
		}
		return "default"
	}
	if name := normalName(given.text); name == given.text && name != "" {
		return name
	}
	f.addLight(given, quote(given.text)+" cannot name an app", "use lower-case letters, digits, '-' and '_', the first a letter or digit")
	return ""
}

// normalName makes a project's name of any text as Compose does: in lower case, without
// what a name may not hold.
func normalName(text string) string {
	kept := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(text))
	return strings.TrimLeft(kept, "_-")
}
