package containerd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/go-digest"

	"holdfast/edge"
)

// account is who a container's process is.
type account struct {
	uid, gid uint32
	groups   []uint32 // further groups of a user that the image knows
}

// nobody is the account of images that name none or root, unless the workload may
// run as root. The number is the one distroless images made customary.
const nobody = 65532

// userKey is a lookup in the files of one image.
type userKey struct {
	digest digest.Digest
	user   string
}

// account decides who runs: the workload's user, else the image's, and root only
// if the workload's security says so.
func (d *Driver) account(ctx context.Context, c *client.Client, w edge.Workload, img image) (account, error) {
	user := w.User
	if user == "" {
		user = img.config.User
	}
	if user == "" {
		user = "0:0"
	}
	who, err := d.lookUp(ctx, c, user, img)
	if err != nil {
		return account{}, fmt.Errorf("cannot resolve user %q of image %q: %w", user, img.name, err)
	}
	if who.uid != 0 || w.Security.RunAsRoot {
		return who, nil
	}
	if w.User != "" {
		return account{}, edge.WithHint(fmt.Errorf("user %q is root: %w", w.User, edge.ErrInvalid),
			"name another user, or relax the workload's security with runAsRoot")
	}
	return account{uid: nobody, gid: nobody}, nil
}

// lookUp reads numbers as they stand and looks into the image's own files only for
// names, for it takes reading its layers. A uid without a group has the group of the
// same number, as distroless images have it, and no further ones; whoever wants what
// /etc/passwd says names the user.
func (d *Driver) lookUp(ctx context.Context, c *client.Client, user string, img image) (account, error) {
	name, group, hasGroup := strings.Cut(user, ":")
	uid, uidErr := parseID(name)
	gid, gidErr := parseID(group)
	switch {
	case uidErr == nil && !hasGroup:
		return account{uid: uid, gid: uid}, nil
	case uidErr == nil && gidErr == nil:
		return account{uid: uid, gid: gid}, nil
	}
	key := userKey{digest: img.digest, user: user}
	if who, ok := d.images.account(key); ok {
		return who, nil
	}
	files, err := imageFiles(ctx, c, img, "etc/passwd", "etc/group")
	if err != nil {
		return account{}, edge.WithHint(err, "name the user and its group by number, which needs no look into the image")
	}
	who, err := findAccount(files[0], files[1], name, group)
	if err != nil {
		return account{}, err
	}
	d.images.keepAccount(key, who)
	return who, nil
}

func (i *imageCache) account(key userKey) (account, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	who, ok := i.users[key]
	return who, ok
}

func (i *imageCache) keepAccount(key userKey, who account) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.users == nil || len(i.users) >= maxCached {
		i.users = make(map[userKey]account)
	}
	i.users[key] = who
}

// findAccount reads the text of the image's passwd and group files. A user given by
// number, beside a group given by name, need not be listed.
func findAccount(passwd, group []byte, name, groupName string) (account, error) {
	users := readTable(passwd, 4)
	uid, numeric := parseID(name)
	at := slices.IndexFunc(users, func(row []string) bool {
		return row[0] == name || (numeric == nil && row[2] == name)
	})
	who := account{uid: uid, gid: uid}
	switch {
	case at >= 0:
		uid, err := parseID(users[at][2])
		gid, gidErr := parseID(users[at][3])
		if err := errors.Join(err, gidErr); err != nil {
			return account{}, fmt.Errorf("cannot read its line in /etc/passwd: %w", err)
		}
		who, name = account{uid: uid, gid: gid}, users[at][0]
	case numeric != nil:
		return account{}, fmt.Errorf("no user %q in the image's /etc/passwd: %w", name, edge.ErrNotFound)
	}
	groups := readTable(group, 3)
	if groupName == "" {
		who.groups = memberships(groups, name)
		return who, nil
	}
	gid, err := findGroup(groups, groupName)
	who.gid = gid
	return who, err
}

func findGroup(groups [][]string, group string) (uint32, error) {
	for _, row := range groups {
		if row[0] == group {
			return parseID(row[2])
		}
	}
	gid, err := parseID(group)
	if err != nil {
		return 0, fmt.Errorf("no group %q in the image's /etc/group: %w", group, edge.ErrNotFound)
	}
	return gid, nil
}

// memberships lists the groups that name a user as a member.
func memberships(groups [][]string, name string) []uint32 {
	var found []uint32
	for _, row := range groups {
		if len(row) < 4 || !slices.Contains(strings.Split(row[3], ","), name) {
			continue
		}
		if gid, err := parseID(row[2]); err == nil {
			found = append(found, gid)
		}
	}
	return found
}

// readTable reads the lines of a colon-separated text that have enough fields.
func readTable(text []byte, fields int) [][]string {
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		if row := strings.Split(strings.TrimRight(line, "\r\n"), ":"); len(row) >= fields {
			rows = append(rows, row)
		}
	}
	return rows
}

// parseID reads a user or group number that the kernel takes.
func parseID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n > math.MaxInt32 {
		err = strconv.ErrRange
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a user or group number: %w", text, edge.ErrInvalid)
	}
	return uint32(n), nil
}
