package containerd

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"holdfast/edge"
)

// ParseLogins reads what "docker login" writes: {"auths": {"host": {"auth": base64 of
// user:password}}}. What lies in a helper of the machine it was written on cannot be
// read here.
func ParseLogins(text []byte) (map[string]Login, error) {
	var file struct {
		Auths map[string]struct {
			Auth     string `json:"auth"`
			User     string `json:"username"`
			Password string `json:"password"`
			Identity string `json:"identitytoken"`
		} `json:"auths"`
	}
	// The error of a decoder may quote what it read.
	if json.Unmarshal(text, &file) != nil || file.Auths == nil {
		return nil, edge.WithHint(fmt.Errorf("the file of registries' passwords is no document with \"auths\": %w", edge.ErrInvalid),
			`write {"auths": {"registry.example": {"username": "…", "password": "…"}}}, or take what docker login wrote`)
	}
	logins := map[string]Login{}
	for where, given := range file.Auths {
		login := Login{User: given.User, Password: given.Password}
		if given.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(given.Auth)
			user, password, found := strings.Cut(string(plain), ":")
			if err != nil || !found {
				return nil, fmt.Errorf("the password for registry %.80q is not base64 of user:password: %w", where, edge.ErrInvalid)
			}
			login = Login{User: user, Password: strings.TrimRight(password, "\x00")}
		}
		if login.Password == "" {
			return nil, edge.WithHint(fmt.Errorf("there is no password for registry %.80q in the file of passwords: %w", where, edge.ErrInvalid),
				"docker login may have put it into a helper (credsStore) or taken a token for it; write username and password instead")
		}
		logins[loginHost(where)] = login
	}
	return logins, nil
}

// loginHost is the host that an entry is for, which docker writes in several ways.
func loginHost(where string) string {
	where = strings.TrimPrefix(strings.TrimPrefix(where, "https://"), "http://")
	host, _, _ := strings.Cut(where, "/")
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}
