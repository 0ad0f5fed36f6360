package broker

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"holdfast/edge"
)

// A line of the password file is user:$7$rounds$salt$hash, where hash is PBKDF2 with
// SHA-512, 64 bytes, and salt and hash are in base64: mosquitto's format.
const (
	hashKind  = "7"
	hashBytes = sha512.Size
	saltBytes = 12
	// rounds is what we write; reading bounds what a file may make us compute.
	rounds     = 20_000
	mostRounds = 1_000_000
	// maxUsers is the size of a password file beyond which it is something else.
	maxUsers = 1 << 20
)

// HashPassword returns the line of the password file for a user.
func HashPassword(user, password string) (string, error) {
	if user == "" || strings.ContainsAny(user, ":\r\n") || len(user) > 256 {
		return "", fmt.Errorf("cannot use user name %.80q: %w", user, edge.ErrInvalid)
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	hash, err := pbkdf2.Key(sha512.New, password, salt, rounds, hashBytes)
	if err != nil {
		return "", fmt.Errorf("cannot hash password: %w", err)
	}
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s:$%s$%d$%s$%s", user, hashKind, rounds, text(salt), text(hash)), nil
}

// eachUser calls of for the lines of the password file that name a user, until it
// returns false.
func eachUser(file string, of func(number int, user, hash string) bool) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("cannot open password file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxUsers {
		return fmt.Errorf("cannot read password file %q: no regular file of at most %d bytes: %w", file, maxUsers, edge.ErrInvalid)
	}
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, hash, _ := strings.Cut(line, ":")
		if !of(number, user, hash) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read password file %q: %w", file, err)
	}
	return nil
}

// checkPassword looks a user up in the file as it is now.
func checkPassword(file, user, password string) (proven bool, err error) {
	unread := eachUser(file, func(_ int, name, hash string) bool {
		if name == user {
			proven, err = proves(hash, password)
		}
		return name != user
	})
	return proven, errors.Join(err, unread)
}

// checkUsers reads the whole file once, so that a slip is told at the start. It tells how
// many users there are.
func checkUsers(file string) (users int, err error) {
	unread := eachUser(file, func(number int, user, hash string) bool {
		users++
		if _, bad := readHash(hash); bad != nil || user == "" {
			err = fmt.Errorf("cannot use password file %q, line %d: %w", file, number, errors.Join(bad, edge.ErrInvalid))
		}
		return err == nil
	})
	if unread != nil {
		err = fmt.Errorf("%w: %w", edge.ErrInvalid, unread)
	}
	return users, err
}

// hashed is what the file knows of a password.
type hashed struct {
	rounds     int
	salt, want []byte
}

func readHash(text string) (hashed, error) {
	bad := errors.New("want user:$7$rounds$salt$hash, as `holdfast broker password` and mosquitto_passwd write it")
	parts := strings.Split(text, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != hashKind {
		return hashed{}, bad
	}
	n, err := strconv.Atoi(parts[2])
	salt, errSalt := base64.StdEncoding.DecodeString(parts[3])
	want, errHash := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || errSalt != nil || errHash != nil || n < 1 || n > mostRounds || len(want) != hashBytes {
		return hashed{}, bad
	}
	return hashed{n, salt, want}, nil
}

// proves tells whether a password has the hash.
func proves(text, password string) (bool, error) {
	h, err := readHash(text)
	if err != nil {
		return false, fmt.Errorf("cannot read a hash in password file: %w", err)
	}
	got, err := pbkdf2.Key(sha512.New, password, h.salt, h.rounds, hashBytes)
	if err != nil {
		return false, fmt.Errorf("cannot hash password: %w", err)
	}
	return subtle.ConstantTimeCompare(got, h.want) == 1, nil
}
