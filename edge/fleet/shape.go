package fleet

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"holdfast/edge"
	"holdfast/edge/compose"
)

func itoa(n int) string { return strconv.Itoa(n) }

// quote shows a text of any length and content on one line.
func quote(text string) string {
	const shown = 80 // a terminal's width
	if utf8.RuneCountInString(text) > shown {
		return strconv.Quote(string([]rune(text)[:shown])) + "…"
	}
	return strconv.Quote(text)
}

// checkPlain finds what YAML allows and a document that is signed must not have:
// keys without a value, and keys that differ in case only. The apps are not looked
// at; Compose gives sense to both.
func (b *builder) checkPlain(path string, value any) {
	switch value := value.(type) {
	case nil:
		b.add(path, "has no value", "write one, or remove the key")
	case []any:
		for i, item := range value {
			b.checkPlain(path+"["+itoa(i)+"]", item)
		}
	case map[string]any:
		seen := map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			at := join(path, name)
			if other, twice := seen[strings.ToLower(name)]; twice {
				b.add(at, "differs from "+quote(other)+" in case only", "keep one")
			}
			seen[strings.ToLower(name)] = name
			if at != appsKey || value[name] == nil {
				b.checkPlain(at, value[name])
			}
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// unknown reports a key the document does not have.
func (b *builder) unknown(path string, into any) {
	parent, name := "", path
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		parent, name = path[:dot], path[dot+1:]
	}
	keys := keysOf(typeAt(reflect.TypeOf(into), parent))
	if parent == "" {
		keys = append(keys, appsKey)
	}
	remedy := "remove it"
	if guess := compose.Nearest(name, keys); guess != "" {
		remedy = "did you mean " + guess + "?"
	} else if len(keys) > 0 {
		remedy = "write one of " + strings.Join(keys, ", ")
	}
	b.add(path, "unknown key", remedy)
}

// typeAt follows a path such as triggers[0].deadline through a type, to nil where
// there is no such way.
func typeAt(of reflect.Type, path string) reflect.Type {
	for path != "" && of != nil {
		var name string
		name, path, _ = strings.Cut(path, ".")
		name, _, inList := strings.Cut(name, "[")
		of = below(plain(of), name)
		if inList && of != nil && plain(of).Kind() == reflect.Slice {
			of = plain(of).Elem()
		}
	}
	return of
}

func plain(of reflect.Type) reflect.Type {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return of
}

func below(of reflect.Type, name string) reflect.Type {
	switch of.Kind() {
	case reflect.Map:
		return of.Elem()
	case reflect.Struct:
		for i := range of.NumField() {
			if tag(of.Field(i)) == name {
				return of.Field(i).Type
			}
		}
	}
	return nil
}

func tag(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

// keysOf lists the keys a mapping may have that a person writes.
func keysOf(of reflect.Type) []string {
	if of == nil || plain(of).Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for i := range plain(of).NumField() {
		if name := tag(plain(of).Field(i)); name != "" && name != "-" && name != workloadsKey {
			keys = append(keys, name)
		}
	}
	return keys
}

// detail shows what a person wrote, where the decoder shows its JSON.
func (b *builder) detail(path, detail string) string {
	head, _, cut := strings.Cut(detail, ", not ")
	if given := b.textAt(path); cut && given != "" {
		return head + ", not " + quote(given)
	}
	return detail
}

// remedy says how to write what stands at a path, guessing what was meant.
func (b *builder) remedy(path, detail string) string {
	given := b.textAt(path)
	if strings.HasPrefix(detail, "unknown class") {
		return didYouMean(compose.Nearest(cmp.Or(given, path[strings.LastIndexByte(path, '.')+1:]), classNames()))
	}
	of := typeAt(reflect.TypeFor[edge.Policy](), path)
	if of == nil {
		return ""
	}
	form, guess := form(of, given)
	switch {
	case guess != "" && guess != given:
		return didYouMean(guess)
	case guess != "" && strings.Contains(detail, ", not "):
		return "write it without quotes"
	case strings.HasPrefix(detail, "must be"):
		return form
	}
	return "" // what is wrong is not how it is written
}

func didYouMean(guess string) string {
	if guess == "" {
		return ""
	}
	return "did you mean " + guess + "?"
}

func classNames() []string {
	names := make([]string, len(edge.Classes))
	for i, class := range edge.Classes {
		names[i] = class.String()
	}
	return names
}

// textAt is what a person wrote at a path, if that is one value.
func (b *builder) textAt(path string) string {
	value := any(b.document.Values())
	for path != "" {
		values, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		var name string
		name, path, _ = strings.Cut(path, ".")
		name, item, inList := strings.Cut(name, "[")
		value = values[name]
		if list, isList := value.([]any); inList && isList {
			i, err := strconv.Atoi(strings.TrimSuffix(item, "]"))
			if err != nil || i < 0 || i >= len(list) {
				return ""
			}
			value = list[i]
		}
	}
	switch value := value.(type) {
	case string:
		return value
	case int:
		return itoa(value)
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64)
	default:
		return ""
	}
}
