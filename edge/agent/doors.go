package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"holdfast/edge"
	"holdfast/edge/config"
)

// tokenCredential is systemd's credential with the token of the API, where the
// configuration names no file.
const tokenCredential = "api-token"

// takeToken has the port believe who has the token. One that cannot be used leaves the one
// before in force: at the start that is none.
func (a *Agent) takeToken(c config.Config) {
	err := a.useToken(tokenPath(c, a.options.Getenv))
	if err == nil {
		a.warnings.Clear(codeAPIToken, "api.tokenFile")
		return
	}
	a.warnings.Raise(edge.Warning{
		Code: codeAPIToken, Subject: "api.tokenFile", Detail: err.Error(),
		Remedy: "write one line of 16 or more letters and digits, such as `openssl rand -hex 32` makes, chmod 600, and send SIGHUP",
	})
}

func tokenPath(c config.Config, getenv func(string) string) string {
	if folder := getenv("CREDENTIALS_DIRECTORY"); c.API.TokenFile == "" && folder != "" {
		if given := filepath.Join(folder, tokenCredential); exists(given) {
			return given
		}
	}
	return c.API.TokenFile
}

// useToken reads the token and puts it in force. The error may be that others can read it
// too: it is in force nevertheless, as the one who made it so can change that.
func (a *Agent) useToken(path string) error {
	if path == "" {
		return a.api.UseToken("")
	}
	text, err := readPassword(path)
	if err != nil {
		return errors.New(strings.Replace(err.Error(), "cannot read password", "cannot read token", 1))
	}
	if err := a.api.UseToken(text); err != nil {
		return fmt.Errorf("cannot use %q: %w", path, err)
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others than its owner can reach %q (mode %04o): %w", path, info.Mode().Perm(), fs.ErrPermission)
	}
	return err
}

// socketGroup is the number of the group whose members may use the socket; 0 is the
// agent's own. A group that the machine does not know gets nobody in.
func (a *Agent) socketGroup(c config.Config) int {
	name := c.API.Group
	if name == "" {
		return 0
	}
	if number, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(number)
	}
	group, err := user.LookupGroup(name)
	number := 0
	if err == nil {
		number, err = strconv.Atoi(group.Gid)
	}
	if err != nil {
		a.warnings.Raise(edge.Warning{
			Code: codeAPIGroup, Subject: name, Detail: fmt.Sprintf("the socket is for root alone: %v", err),
			Remedy: "make the group (groupadd --system " + name + "), or correct api.group, and restart the agent; no workload stops",
		})
	}
	return number
}

// asked tells of what somebody at the local API has the node do.
func (a *Agent) asked(what, who string) {
	a.chronicle.Add(edge.Event{Kind: edge.EventAPIAsked, Subject: what, Cause: who})
}
