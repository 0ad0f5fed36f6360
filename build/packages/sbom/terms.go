package sbom

import (
	"debug/buildinfo"
	"fmt"
	"strings"
)

// Terms writes out, for a program, under which terms its modules may be used: their own
// files, each text once, with the modules it belongs to. Who hands on the program hands
// on this with it.
func Terms(program, cache string) (string, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("cannot read what Go wrote into program %q: %w", program, err)
	}
	var order []string
	whose := map[string][]string{}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		texts, err := Licenses(cache, module.Path, module.Version)
		if err != nil {
			return "", err
		}
		for _, text := range texts {
			content := strings.TrimSpace(strings.ReplaceAll(text.Content, "\r\n", "\n"))
			if whose[content] == nil {
				order = append(order, content)
			}
			whose[content] = append(whose[content], module.Path+" "+module.Version+" ("+text.Name+")")
		}
	}
	var b strings.Builder
	b.WriteString("Modules that are part of holdfast, and their terms. Go's own library is under\nthe licence of golang.org/x/sys.\n")
	for _, content := range order {
		b.WriteString("\n" + strings.Repeat("=", 80) + "\n")
		for _, module := range whose[content] {
			b.WriteString(module + "\n")
		}
		b.WriteString(strings.Repeat("-", 80) + "\n" + content + "\n")
	}
	return b.String(), nil
}
