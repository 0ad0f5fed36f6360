// Package pages reads the documentation and the source beside each other: where links
// lead, which commands a page shows, and which codes the program has that a page must explain.
//
// # Promises
//
//   - A link is judged by what lies in the tree alone; nothing is fetched.
//   - Codes are read from the syntax of the source, not listed here, so that a new one is missed nowhere.
//
// # Testing
//
// Each reader is held against a small tree that has what it looks for, and one that lacks it.
package pages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	span     = regexp.MustCompile("`[^`\n]*`")
	inline   = regexp.MustCompile(`\]\(([^()\s]+(?:\([^()\s]*\))?[^()\s]*)(?:\s+"[^"]*")?\)`)
	tagged   = regexp.MustCompile(`(?:href|src|srcset)="([^"]+)"`)
	heading  = regexp.MustCompile(`^#{1,6}\s+(.+?)\s*#*$`)
	linked   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	external = regexp.MustCompile(`^[a-z]+:`)
)

// Broken are the relative links and anchors of all Markdown pages below the folders and
// files that lead nowhere, as "page: link: why".
func Broken(root string, within ...string) (broken []string, err error) {
	for _, from := range within {
		err = filepath.WalkDir(filepath.Join(root, from), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("cannot read page: %w", err)
			}
			for _, link := range Links(string(text)) {
				if why := follow(path, link); why != "" {
					broken = append(broken, fmt.Sprintf("%s: %s: %s", path, link, why))
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return broken, nil
}

// Links are the targets that a page names and that lie in the tree.
func Links(text string) (links []string) {
	text, _ = split(text)
	text = span.ReplaceAllString(text, "")
	for _, form := range []*regexp.Regexp{inline, tagged} {
		for _, match := range form.FindAllStringSubmatch(text, -1) {
			if target := match[1]; !external.MatchString(target) && !strings.HasPrefix(target, "//") {
				links = append(links, target)
			}
		}
	}
	return links
}

// follow says why a link of a page leads nowhere, or nothing.
func follow(page, link string) string {
	target, anchor, _ := strings.Cut(link, "#")
	at := page
	if target != "" {
		at = filepath.Join(filepath.Dir(page), target)
	}
	if _, err := os.Stat(at); err != nil {
		return "there is no such file"
	}
	if anchor == "" || filepath.Ext(at) != ".md" {
		return ""
	}
	text, err := os.ReadFile(at)
	if err != nil {
		return err.Error()
	}
	if !Anchors(string(text))[anchor] {
		return "the page has no such heading"
	}
	return ""
}

// Anchors are what the headings of a page are called in links.
func Anchors(text string) map[string]bool {
	anchors := map[string]bool{}
	prose, _ := split(text)
	for line := range strings.Lines(prose) {
		match := heading.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if match == nil {
			continue
		}
		name := slug(linked.ReplaceAllString(match[1], "$1"))
		for n, again := 1, name; ; n++ {
			if !anchors[again] {
				anchors[again] = true
				break
			}
			again = fmt.Sprintf("%s-%d", name, n)
		}
	}
	return anchors
}

// slug is a heading as its anchor is written.
func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, title)
}
