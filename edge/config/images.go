package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Images say where images come from, beside the folder on the node itself.
type Images struct {
	Fetch     string   `json:"fetch"`     // policy or command: who may have images fetched
	Mirrors   []string `json:"mirrors"`   // asked before the registry that an image names
	Insecure  []string `json:"insecure"`  // registries without TLS
	CA        string   `json:"ca"`        // who else vouches for registries' certificates
	Passwords string   `json:"passwords"` // as docker login writes them
	Rate      Size     `json:"rate"`      // bytes a second of all pulls together; 0: unbounded
}

// Disk is what the node keeps of its file systems.
type Disk struct {
	Reserve Size `json:"reserve"` // that images never take
}

const (
	// FetchForPolicy lets a policy's images be fetched when it comes.
	FetchForPolicy = "policy"
	// FetchByCommand lets only the command to pull, and the command line, fetch images.
	FetchByCommand = "command"
)

// imageSettings are where images come from, and what room there must be for them.
func imageSettings() []setting {
	return []setting{
		{"images.fetch", true, "who may have images fetched from registries: policy, each one that names images the node has not got, or only the command to pull and the command line",
			choiceField(func(c *Config) *string { return &c.Images.Fetch }, FetchForPolicy, FetchByCommand)},
		{"images.mirrors", true, "registries asked first, in their order, whatever registry an image names",
			hostsField(func(c *Config) *[]string { return &c.Images.Mirrors })},
		{"images.insecure", true, "registries asked without TLS, as those of the loopback are",
			hostsField(func(c *Config) *[]string { return &c.Images.Insecure })},
		{"images.ca", true, "certificates of who vouches for registries beside those the system trusts; the file is read anew for each pull",
			pathField(func(c *Config) *string { return &c.Images.CA }, "the path of a PEM file", true)},
		{"images.passwords", true, "file of passwords for registries, as docker login writes it; empty: systemd's credential registry-passwords, if there is one; the file is read anew for each pull",
			pathField(func(c *Config) *string { return &c.Images.Passwords }, "the path of a file", true)},
		{"images.rate", true, "bytes a second that all pulls together take from the network; 0: as many as come",
			sizeField(func(c *Config) *Size { return &c.Images.Rate }, 0, largest, "512KiB")},
		{"disk.reserve", false, "room that images never take of the state's and containerd's file systems, a twentieth of each at most; from three times this on a warning says so, from twice this on unused images go",
			sizeField(func(c *Config) *Size { return &c.Disk.Reserve }, MiB, largest, "256MiB")},
	}
}

// maxHosts is more than any site has registries.
const maxHosts = 16

// hostsField takes hosts separated by commas, or a list of them in a file.
func hostsField(at func(*Config) *[]string) field {
	return field{
		wants: "hosts separated by commas, each with its port if it has one, such as registry.site:5000", tags: []string{"!!str"}, list: true,
		set: func(c *Config, in input) error {
			var hosts []string
			if in.text != "" {
				hosts = strings.Split(in.text, ",")
			}
			if len(hosts) > maxHosts || slices.ContainsFunc(hosts, func(host string) bool { return !isHost(host) }) {
				return errors.New("is not a list of hosts")
			}
			for i, host := range hosts {
				if slices.Contains(hosts[:i], host) {
					return fmt.Errorf("has %q twice", host)
				}
			}
			*at(c) = hosts
			return nil
		},
		get: func(c *Config) string { return strings.Join(*at(c), ",") },
	}
}

// isHost tells whether s is a host and perhaps a port, as references to images begin.
func isHost(s string) bool {
	u, err := url.Parse("//" + s)
	return err == nil && s != "" && u.Host == s && u.Hostname() != "" && u.User == nil
}
