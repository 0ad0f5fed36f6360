package main

import (
	"path/filepath"
)

// Who the packages are from, and what they are.
const (
	maintainer  = "the holdfast authors <holdfast@holdfast.example>"
	license     = "Apache-2.0"
	summary     = "edge gateway agent that keeps its inference deadlines"
	description = "holdfast drives containerd on a gateway, runs inference tasks earliest\n" +
		"deadline first, refuses at once what it cannot finish in time, and leaves\n" +
		"the models serving whatever happens to itself. A signed policy governs it;\n" +
		"a fleet speaks to it over any MQTT broker."
)

// recipe is what nfpm is told. It reads YAML, which JSON is a part of.
type recipe struct {
	Name        string            `json:"name"`
	Arch        string            `json:"arch"`
	Version     string            `json:"version"`
	Schema      string            `json:"version_schema"`
	Release     string            `json:"release,omitempty"`
	Section     string            `json:"section,omitempty"`
	Priority    string            `json:"priority,omitempty"`
	Maintainer  string            `json:"maintainer"`
	Description string            `json:"description"`
	License     string            `json:"license,omitempty"`
	Globs       bool              `json:"disable_globbing"` // true: names are names
	MTime       string            `json:"mtime"`
	Depends     []string          `json:"depends,omitempty"`
	Recommends  []string          `json:"recommends,omitempty"`
	Suggests    []string          `json:"suggests,omitempty"`
	Contents    []content         `json:"contents"`
	Scripts     map[string]string `json:"scripts"`
	Deb         map[string]any    `json:"deb,omitempty"`
	RPM         map[string]any    `json:"rpm,omitempty"`
	APK         map[string]any    `json:"apk,omitempty"`
}

// content is one file or folder of a package.
type content struct {
	From string `json:"src,omitempty"`
	To   string `json:"dst"`
	Type string `json:"type,omitempty"`
	Info info   `json:"file_info"`
}

type info struct {
	Mode  uint32 `json:"mode"`
	Owner string `json:"owner"`
	Group string `json:"group"`
	MTime string `json:"mtime"`
}

// recipeFor says what goes into a package of a kind.
func (r *release) recipeFor(s stage, a arch, kind string) (recipe, error) {
	p := recipe{
		Name: "holdfast", Arch: a.nfpm, Version: r.version.Plain, Schema: "none", Maintainer: maintainer,
		Description: summary + "\n" + description, License: license, Globs: true, MTime: r.stamp(),
	}
	manuals, err := s.manuals()
	if err != nil {
		return recipe{}, err
	}
	const doc = "/usr/share/doc/holdfast/"
	p.put(r, 0o755, a.program, "/usr/bin/holdfast")
	p.put(r, 0o644, filepath.Join(r.root, "build/systemd/networks.conf"), "/usr/share/holdfast/networks.conf")
	p.put(r, 0o644, s.path(a.name+"/sbom.cdx.json"), doc+"sbom.cdx.json")
	for _, name := range []string{"holdfast.rules.yaml", "holdfast.json"} { // for Prometheus and Grafana
		p.put(r, 0o644, filepath.Join(r.root, "build/monitoring", name), doc+name)
	}
	p.put(r, 0o644, s.path(a.name+"/third-party.txt.gz"), doc+"third-party.txt.gz")
	p.put(r, 0o644, s.path("changelog.gz"), doc+"changelog.gz")
	p.put(r, 0o644, s.path("completion.bash"), "/usr/share/bash-completion/completions/holdfast")
	p.put(r, 0o644, s.path("completion.fish"), "/usr/share/fish/vendor_completions.d/holdfast.fish")
	for _, page := range manuals {
		p.put(r, 0o644, s.path("man/"+page), "/usr/share/man/man8/"+page)
	}
	p.configure(r, s)
	map[string]func(*release, stage){"deb": p.deb, "rpm": p.rpm, "apk": p.apk}[kind](r, s)
	return p, nil
}

func (r *release) stamp() string { return r.at.Format("2006-01-02T15:04:05Z") }

func (p *recipe) put(r *release, mode uint32, from, to string) {
	p.Contents = append(p.Contents, content{from, to, "", info{mode, "root", "root", r.stamp()}})
}

// folder is a folder of the package's own.
func (p *recipe) folder(r *release, mode uint32, to string) {
	p.Contents = append(p.Contents, content{"", to, "dir", info{mode, "root", "root", r.stamp()}})
}

// configure puts what is a person's to change: an upgrade leaves it as it is.
func (p *recipe) configure(r *release, s stage) {
	p.folder(r, 0o755, "/etc/holdfast")
	p.folder(r, 0o755, "/etc/holdfast/conf.d")
	p.Contents = append(p.Contents, content{s.path("config.yaml"), "/etc/holdfast/config.yaml", "config|noreplace", info{0o644, "root", "root", r.stamp()}})
}

// script names the script of a kind for a moment in a package's life.
func (p *recipe) script(s stage, kind string, moments map[string]string) {
	p.Scripts = map[string]string{}
	for moment, name := range moments {
		p.Scripts[moment] = s.path(kind + "." + name)
	}
}

func (p *recipe) deb(r *release, s stage) {
	p.Section, p.Priority = "net", "optional"
	p.License = "" // Debian's place for it is the file copyright
	p.Recommends = []string{"containerd (>= 1.6) | containerd.io (>= 1.6)", "runc | containerd.io"}
	p.Suggests = []string{"containernetworking-plugins", "nftables"}
	p.unit(r)
	p.put(r, 0o644, s.path("copyright"), "/usr/share/doc/holdfast/copyright")
	p.put(r, 0o644, s.path("changelog.Debian.gz"), "/usr/share/doc/holdfast/changelog.Debian.gz")
	p.put(r, 0o644, s.path("completion.zsh"), "/usr/share/zsh/vendor-completions/_holdfast")
	p.put(r, 0o644, s.path("lintian"), "/usr/share/lintian/overrides/holdfast")
	p.script(s, "deb", map[string]string{"preinstall": "preinst", "postinstall": "postinst", "preremove": "prerm", "postremove": "postrm"})
	p.Deb = map[string]any{"compression": "xz"}
}

func (p *recipe) rpm(r *release, s stage) {
	p.Release, p.Description = "1", description // which has the summary apart
	p.Recommends = []string{"containerd >= 1.6", "runc"}
	p.Suggests = []string{"containernetworking-plugins", "nftables"}
	p.unit(r)
	p.put(r, 0o644, filepath.Join(r.root, "LICENSE"), "/usr/share/licenses/holdfast/LICENSE")
	p.put(r, 0o644, s.path("completion.zsh"), "/usr/share/zsh/site-functions/_holdfast")
	p.script(s, "rpm", map[string]string{"postinstall": "postinstall", "preremove": "preremove", "postremove": "postremove"})
	p.RPM = map[string]any{
		"compression": "xz", "group": "System Environment/Daemons", "packager": maintainer,
		"summary": summary,
		// Where it was made says nothing about it, and would be another each time.
		"buildhost": "holdfast.example",
	}
}

// unit puts the service for systemd.
func (p *recipe) unit(r *release) {
	p.put(r, 0o644, filepath.Join(r.root, "build/systemd/holdfast.service"), "/usr/lib/systemd/system/holdfast.service")
}

func (p *recipe) apk(r *release, s stage) {
	p.Version, p.Release = r.version.Apk, "r0"
	p.Description = summary // one line, as each field of an apk is; more lines are read by nobody, or as an error
	p.put(r, 0o755, s.path("holdfast.initd"), "/etc/init.d/holdfast")
	p.Contents = append(p.Contents, content{s.path("holdfast.confd"), "/etc/conf.d/holdfast", "config|noreplace", info{0o644, "root", "root", r.stamp()}})
	p.put(r, 0o644, s.path("logrotate"), "/etc/logrotate.d/holdfast")
	p.put(r, 0o644, filepath.Join(r.root, "LICENSE"), "/usr/share/licenses/holdfast/LICENSE")
	p.put(r, 0o644, s.path("completion.zsh"), "/usr/share/zsh/site-functions/_holdfast")
	p.script(s, "apk", map[string]string{"preremove": "preremove"})
	p.APK = map[string]any{"scripts": map[string]string{"postupgrade": s.path("apk.postupgrade")}}
}
